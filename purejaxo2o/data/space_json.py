"""The spaces that a dataset declares: Minari's JSON, checked before Gymnasium makes anything of it."""

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from purejaxo2o.data.fields import line, parsed, short, whole
from purejaxo2o.types import O2OError, nearest

LARGEST = 1 << 26
"""Numbers in one element of a space."""


def read_space(where: str, text: Any) -> gym.Space:
    """The space that the metadata field `where` declares.

    Raises `O2OError` for anything but a description of one of Gymnasium's fundamental spaces, of a dictionary or a
    tuple of them."""
    if not isinstance(text, str):
        raise O2OError(f"{where} is {short(text)}, no text that describes a space; re-record the dataset")
    return _space(where, parsed(where, text))


def _space(where: str, fields: Any) -> gym.Space:
    if not isinstance(fields, dict):
        raise O2OError(f"{where} is {short(fields)}, no description of a space; re-record the dataset")
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in READERS:
        known = nearest(kind, READERS) if isinstance(kind, str) else f"known: {', '.join(READERS)}"
        raise O2OError(f"{where} is of the type {short(kind)}; {known}")
    try:
        return READERS[kind](where, fields)
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        if isinstance(error, O2OError):
            raise
        reason = f"it lacks {error}" if isinstance(error, KeyError) else line(error)
        raise O2OError(f"{where} is no {kind} space ({reason}); re-record the dataset") from None


def _box(where: str, fields: dict[str, Any]) -> gym.Space:
    shape, dtype = fields["shape"], fields["dtype"]
    if not (isinstance(shape, list) and all(whole(size) and size > 0 for size in shape)):
        raise ValueError(f"shape is {short(shape)}")
    if math.prod(shape) > LARGEST:
        raise ValueError(f"its shape {shape} has more than {LARGEST} numbers")
    if not isinstance(dtype, str) or dtype not in NUMBERS:
        raise ValueError(f"dtype is {short(dtype)}")
    with np.errstate(over="ignore"):  # what becomes infinite is no bound
        low, high = (np.array(fields[name], dtype) for name in ("low", "high"))
    for name, bound in (("low", low), ("high", high)):
        if bound.shape != tuple(shape):
            raise ValueError(f"{name} is of shape {list(bound.shape)}, not {shape}")
    return gym.spaces.Box(low, high, tuple(shape), np.dtype(dtype).type)


NUMBERS = {
    *("float16", "float32", "float64", "bool"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def _discrete(where: str, fields: dict[str, Any]) -> gym.Space:
    n, start = fields["n"], fields.get("start", 0)
    if not (whole(n) and 0 < n < 2**31 and whole(start) and abs(start) < 2**31):
        raise ValueError(f"n is {short(n)}, start is {short(start)}")
    return gym.spaces.Discrete(n, start=start)


def _multi_discrete(where: str, fields: dict[str, Any]) -> gym.Space:
    nvec, start = np.array(fields["nvec"], np.int64), fields.get("start")
    return gym.spaces.MultiDiscrete(nvec, start=None if start is None else np.array(start, np.int64))


def _multi_binary(where: str, fields: dict[str, Any]) -> gym.Space:
    n = fields["n"]
    sizes = n if isinstance(n, list) else [n]
    if not sizes or not all(whole(size) and size > 0 for size in sizes) or math.prod(sizes) > LARGEST:
        raise ValueError(f"n is {short(n)}")
    return gym.spaces.MultiBinary(n)


def _dict(where: str, fields: dict[str, Any]) -> gym.Space:
    spaces = fields["subspaces"]
    if not isinstance(spaces, dict) or not spaces:
        raise ValueError(f"subspaces is {short(spaces)}")
    return gym.spaces.Dict({name: _space(f"{where}/{name}", part) for name, part in spaces.items()})


def _tuple(where: str, fields: dict[str, Any]) -> gym.Space:
    spaces = fields["subspaces"]
    if not isinstance(spaces, list) or not spaces:
        raise ValueError(f"subspaces is {short(spaces)}")
    return gym.spaces.Tuple([_space(f"{where}/{i}", part) for i, part in enumerate(spaces)])


def _text(where: str, fields: dict[str, Any]) -> gym.Space:
    lengths = fields["max_length"], fields.get("min_length", 1)
    if not all(whole(size) and 0 <= size < 2**31 for size in lengths):
        raise ValueError(f"its lengths are {short(lengths)}")
    return gym.spaces.Text(lengths[0], min_length=lengths[1])


READERS: dict[str, Callable[[str, dict[str, Any]], gym.Space]] = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiDiscrete": _multi_discrete,
    "MultiBinary": _multi_binary,
    "Dict": _dict,
    "Tuple": _tuple,
    "Text": _text,
}
"""By Minari's name of the space."""
