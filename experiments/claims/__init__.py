"""What each method's paper claims, as contrasts that a laptop can measure. One file a method."""

import importlib
import pkgutil

from experiments.claims.claim import Claim


def names() -> tuple[str, ...]:
    """Every method with a claim: the modules of this folder that hold one."""
    own = {"claim", "measure", "shift", "table", "__main__"}
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in own))


def load(name: str) -> Claim:
    """The claim about the method `name`."""
    return importlib.import_module(f"experiments.claims.{name}").CLAIM
