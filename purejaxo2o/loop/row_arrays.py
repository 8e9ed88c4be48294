"""Do the arrays of some rows fit together? Told from their shapes and types alone, and so while tracing, too."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import O2OError, Transition
from purejaxo2o.values import traced

FLAGS = ("terminated", "truncated")
SCALARS = ("reward", *FLAGS)
NARROW = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}
"""What NumPy makes of Python's numbers, and what JAX makes of that."""


def narrowed(data: Transition) -> Transition:
    """The same rows without 64-bit numbers."""

    def narrow(x: Any) -> Any:
        return x.astype(NARROW[x.dtype]) if getattr(x, "dtype", None) in NARROW else x

    return jax.tree.map(narrow, data)


def check_arrays(data: Any, lead: str) -> None:
    """Raise `O2OError` for the first field of a `Transition` that has no array of the right shape and type.

    lead: names of the leading axes, "N" of flat rows, "TE" of a store's."""
    if not isinstance(data, Transition):
        names = ", ".join(name for name in Transition._fields if name != "extras")
        raise O2OError(f"rows are a {type(data).__name__}; give o2o.Transition({names}) of arrays")
    if not isinstance(data.extras, dict):
        raise O2OError(f"extras is a {type(data.extras).__name__}; give a dictionary of arrays")
    fields: dict[str, Any] = data._asdict() | {f"extras[{k!r}]": x for k, x in data.extras.items()}
    del fields["extras"]
    for name, array in fields.items():
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            raise O2OError(f"{name} is a {type(array).__name__}; give an array, one entry a row")
        _check_type(name, array)
    _check_axes(fields, lead)
    if lead == "N" and described(data.obs) != described(data.next_obs):
        raise O2OError(f"next_obs is {described(data.next_obs)}, obs is {described(data.obs)}; make them alike")


def _check_type(name: str, array: Any) -> None:
    kind = array.dtype
    if name in FLAGS:
        right, wanted, remedy = bool(jnp.issubdtype(kind, jnp.bool_)), "bool", f"{name} != 0"
    elif name == "reward":
        right, wanted, remedy = jnp.issubdtype(kind, jnp.floating), "float32", "reward.astype('float32')"
    else:
        right = jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)
        right = right or (name.startswith("extras") and jnp.issubdtype(kind, jnp.bool_))
        wanted = "float32" if name != "action" else "float32, or int32 of discrete actions"
        remedy = f"{name}.astype('float32')"
    if not right:
        raise O2OError(f"{name} is {described(array)}; it must be {wanted}, e.g. {remedy}")


def _check_axes(fields: dict[str, Any], lead: str) -> None:
    axes, count = "[" + ", ".join(lead) + "]", len(lead)
    for name, array in fields.items():
        if len(array.shape) < count or (name in SCALARS and len(array.shape) > count):
            how = (
                "flat rows one after the other"
                if lead == "N"
                else "as purejaxo2o.loop.store.from_transitions makes them"
            )
            raise O2OError(f"{name} is {described(array)}; it must be {axes}{_rest(name)}, {how}")
    # What most fields have is right; where they are at odds, the rewards.
    leading = {name: tuple(array.shape[:count]) for name, array in fields.items()}
    votes = Counter(leading.values())
    right = max(votes, key=lambda shape: (votes[shape], shape == leading["reward"]))
    for name, shape in leading.items():
        if shape != right:
            wanted = [*right, *fields[name].shape[count:]]
            raise O2OError(
                f"{name} is {described(fields[name])}; it must be {wanted}: the others have {_many(right)}"
            )
    if 0 in right:
        raise O2OError(f"there are no rows: reward is {described(fields['reward'])}; record some first")


def _rest(name: str) -> str:
    if name in SCALARS:
        return ", one number a row"
    return ""


def _many(leading: tuple[int, ...]) -> str:
    rows = f"{leading[0]} rows"
    return rows if len(leading) == 1 else f"{rows} of {leading[1]} environments"


def described(array: Any) -> str:
    """`float32[100, 3]`."""
    return f"{array.dtype}{list(array.shape)}"


def known(array: Any) -> bool:
    """Whether the values can be looked at: not while tracing, nor of mere shapes."""
    return isinstance(array, np.ndarray | np.generic | jax.Array) and not traced(array)
