"""What a run was made with: packages, the commit, and the code of the user's own classes.

None of it belongs to a run's identity: a run may be resumed with another version, but not without a remark.
"""

import dataclasses
import hashlib
import subprocess
import sys
import types
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from purejaxo2o.loop.identity import OURS, instructions, path_of

PACKAGES = (
    "purejaxo2o",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "brax",
    "gymnax",
    "mujoco",
    "mujoco-mjx",
    "minari",
    "numpy",
)


def versions(*values: Any) -> dict[str, str | None]:
    """Of Python and the packages; and the code of those classes within `values` that are not of this package."""
    found = {name: _version(name) for name in PACKAGES} | {"python": sys.version.split()[0]}
    return found | {f"code of {path_of(kind)}": _code(kind) for value in values for kind in _own_classes(value)}


def commit() -> str | None:
    """The commit of the source tree, when the package runs out of one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def remark(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How two configurations of one run differ in what its identity leaves out, in one line; empty if they do not."""
    one, other = ({**(x.get("versions") or {}), "commit": x.get("commit")} for x in (found, wanted))
    changes = [
        f"{name} {str(one[name])[:12]} is now {str(other[name])[:12]}"
        for name in sorted(one.keys() & other.keys())
        if one[name] != other[name]
    ]
    if not changes:
        return ""
    return f"resumed with other versions ({', '.join(changes)}): its numbers may differ from those of a run in one go"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _own_classes(value: Any) -> list[type]:
    """The classes of settings within a value that this package does not have, each once."""
    found: dict[type, None] = {}
    if isinstance(value, tuple | list):
        for part in value:
            found |= dict.fromkeys(_own_classes(part))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        if type(value).__module__.split(".")[0] != OURS:
            found[type(value)] = None
        for field in dataclasses.fields(value):
            found |= dict.fromkeys(_own_classes(getattr(value, field.name)))
    return list(found)


def _code(kind: type) -> str:
    """A checksum of what the class's functions do, those of its own bases included."""
    content = hashlib.sha256()
    for base in kind.__mro__:
        if base.__module__.split(".")[0] in (OURS, "builtins", "typing"):
            continue
        for name, part in sorted(vars(base).items()):
            function = getattr(part, "fget", None) or getattr(part, "__func__", part)
            if isinstance(function, types.FunctionType):
                content.update(name.encode() + instructions(function.__code__))
    return content.hexdigest()
