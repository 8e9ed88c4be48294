"""What makes two runs the same run: every value that would change their numbers, described in JSON's types.

`describe` walks any value that a recipe, a task or a dataset is made of. The description holds the import path of
every class, every static field, every number, and arrays by value or by checksum. `restore.py` goes the way back.
"""

import dataclasses
import enum
import functools
import hashlib
import json
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.spelling import cut
from purejaxo2o.types import O2OError

CLASS, ARRAY, KEY, NUMBER, LIST, CODE = "@class", "@array", "@key", "@number", "@list", "@code"
BY_VALUE = 1024
"""Arrays of up to so many elements are described by their values, larger ones by a checksum."""
OURS = "purejaxo2o"
"""This package."""


def describe(value: Any) -> Any:
    """`value` in JSON's types: equal for equal values, different for different ones.

    Instances become `{"@class": "module:Name", field: ...}`, tuples lists. Raises `O2OError` for a value that holds
    itself."""
    return _described(value, frozenset(), set())


def _described(value: Any, around: frozenset[int], known: set[int]) -> Any:
    """around: ids of what holds the value. known: ids of the objects that were described by their attributes."""
    if id(value) in around:
        raise O2OError(f"a {type(value).__name__} among the settings holds itself; give settings that do not")
    inner = functools.partial(_described, around=around | {id(value)}, known=known)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, enum.Enum):
        return {CLASS: path_of(type(value)), "name": value.name}
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return value if isinstance(value, int) or math.isfinite(value) else {NUMBER: repr(value)}
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return _array(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {CLASS: path_of(type(value))} | {
            field.name: inner(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {_escaped(name): inner(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, tuple) and (names := getattr(value, "_fields", None)):
        return {CLASS: path_of(type(value))} | {name: inner(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [inner(part) for part in value]
    if isinstance(value, Sequence | set | frozenset):
        parts = [inner(part) for part in value]
        return {LIST: parts if isinstance(value, Sequence) else sorted(parts, key=text_of)}
    return _code(value, inner, known)


def _escaped(name: Any) -> str:
    return f"@{name}" if str(name).startswith("@") else str(name)


def _array(value: Any) -> dict[str, Any]:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return {KEY: str(jax.random.key_impl(value)), "data": np.asarray(jax.random.key_data(value)).tolist()}
    array = np.asarray(value)
    kind = f"{array.dtype}{list(array.shape)}"
    if array.size <= BY_VALUE and array.dtype.kind in "biuf":
        exact = array.astype(np.float64) if array.dtype.kind == "f" else array
        return {ARRAY: kind, "values": describe(tuple(exact.reshape(-1).tolist()))}
    return summary(array)


def summary(array: np.ndarray) -> dict[str, Any]:
    """An array by type, shape and checksum."""
    return {ARRAY: f"{array.dtype}{list(array.shape)}", "sha256": checksum(array)}


def checksum(array: np.ndarray) -> str:
    """SHA-256 of an array's bytes, in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def _code(value: Any, inner: Any, known: set[int]) -> dict[str, Any]:
    """Functions, classes, and objects of which nothing is known but their attributes."""
    if isinstance(value, functools.partial):
        return {CODE: "partial", "of": inner((value.func, value.args, value.keywords))}
    if isinstance(value, types.MethodType):
        return {CODE: value.__func__.__qualname__, "of": inner(value.__self__)}
    if isinstance(value, types.ModuleType):  # brax's environments hold one; its attributes are everything it imports
        return {CODE: value.__name__}
    found = {CODE: path_of(value if hasattr(value, "__qualname__") else type(value))}
    if isinstance(value, types.FunctionType) and "<" in value.__qualname__:  # no name leads to it
        closed = tuple(cell.cell_contents for cell in value.__closure__ or ())
        held = inner((closed, value.__defaults__, value.__kwdefaults__))
        return found | {"bytes": hashlib.sha256(instructions(value.__code__)).hexdigest(), "of": held}
    if hasattr(value, "__qualname__"):
        return found
    if id(value) in known:  # such objects often know each other
        return found | {"of": "itself"}
    if hasattr(value, "__dict__"):
        known.add(id(value))
        return found | {"of": _described(vars(value), frozenset(), known)}
    return found if " at 0x" in repr(value) else found | {"text": repr(value)}


def instructions(code: types.CodeType) -> bytes:
    """What a function does, whatever its lines are called and wherever they are."""
    return b"\0".join([code.co_code, repr(code.co_names).encode(), *map(_constant, code.co_consts)])


def _constant(value: Any) -> bytes:
    if isinstance(value, types.CodeType):
        return instructions(value)
    # The order of a set is another one in every process.
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value).encode()


def path_of(thing: Any) -> str:
    """The import path of a class or function, `module:Name`."""
    return f"{getattr(thing, '__module__', None)}:{thing.__qualname__}"


def text_of(description: Any) -> str:
    """JSON without choices; equal texts mean equal descriptions (1, 1.0 and true differ)."""
    return json.dumps(description, sort_keys=True, separators=(",", ":"))


def digest(description: Any) -> str:
    """A hash of a description."""
    return hashlib.sha256(text_of(description).encode()).hexdigest()


def flat(description: Any, prefix: str = "") -> dict[str, Any]:
    """A description on one level, by dotted names: a setting is called as in `o2o.replace`."""
    if isinstance(description, Mapping) and ARRAY in description:
        held = description.get("values", description.get("sha256"))
        return {prefix: f"{description[ARRAY]} {held}"}
    if not isinstance(description, Mapping) or KEY in description or NUMBER in description or LIST in description:
        return {prefix: description}
    found: dict[str, Any] = {}
    for name, part in description.items():
        label = name.removeprefix("@") if name in (CLASS, CODE) else name
        found |= flat(part, f"{prefix}.{label}" if prefix else label)
    return found


def recipe_names(description: Any) -> dict[str, Any]:
    """The description of a recipe on one level: `agent.expectile`, `online.steps`, `num_envs`."""
    known = description.get("phases") if isinstance(description, Mapping) else None
    if not isinstance(known, list) or not all(
        isinstance(x, Mapping) and isinstance(x.get("name"), str) for x in known
    ):
        return flat(description, "recipe")  # of no recipe
    found: dict[str, Any] = {"phases": [phase["name"] for phase in known]}
    for name, part in description.items():
        if name == "phases":
            for phase in part:
                found |= flat({k: v for k, v in phase.items() if k != "name"}, phase["name"])
        elif name not in ("name", CLASS):
            found |= flat(part, name)
    return found


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first name whose values differ, in words (`its x is 1, not 2`); empty when there is none.

    What is special (a name, a class) goes before what follows from it (a field that only one class has)."""
    for name in sorted(found.keys() | wanted.keys(), key=_rank):
        if text_of(found.get(name)) != text_of(wanted.get(name)):
            return f"its {name} is {cut(repr(found.get(name)))}, not {cut(repr(wanted.get(name)))}"
    return ""


def _rank(name: str) -> tuple[bool, bool, bool, str]:
    return "." in name, name == "keys", not name.endswith(".class"), name  # seeds say more than their keys
