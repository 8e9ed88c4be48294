"""What a setting may be: kinds and ranges of values, and how a value becomes the plain one that a field keeps.

Kind and range are read off where a field is declared: its type (`int`, `float`, `bool`, `Number`, a `Literal`, a
tuple of numbers, each maybe with `| None`) and the range that `types.number` or `types.static` gives it. Traced
values are never looked into.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from purejaxo2o.spelling import nearest, shown

LARGEST = 2**31 - 1
"""Counters are int32."""
HUGE = 10**300
"""Whole numbers from here on may have no float."""


class Range(NamedTuple):
    """Numbers from `low` to `high`, or with `above` and `below` those bounds left out."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def holds(self, value: Any) -> Any:
        """Elementwise."""
        strict = (self.above == -math.inf) | (value > self.above)
        return (value >= self.low) & (value <= self.high) & strict & ((self.below == math.inf) | (value < self.below))

    def __str__(self) -> str:
        left, right = max(self.low, self.above), min(self.high, self.below)
        if right == math.inf:
            return f"be above {left:g}" if self.above == left else f"be at least {left:g}"
        if left == -math.inf:
            return f"be below {right:g}" if self.below == right else f"be at most {right:g}"
        ends = "(" if self.above == left else "[", ")" if self.below == right else "]"
        return f"lie in {ends[0]}{_short(left)}, {_short(right)}{ends[1]}"


def _short(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


Sort = Literal["number", "whole", "flag", "choice", "numbers", "wholes", "text", "parts", "named", "other"]
"""parts: a tuple of anything that is no structure; named: a dictionary of numbers."""


class Kind(NamedTuple):
    """What a field takes. fixed: part of the structure (`types.static`); optional: None, too."""

    sort: Sort
    fixed: bool = False
    optional: bool = False
    range: Range = Range()
    choices: tuple[Any, ...] = ()
    length: int | None = None  # of a tuple; None: any


def kinds(cls: type) -> dict[str, Kind]:
    """By name, of every field of a dataclass."""
    return dict(_kinds(cls))


@functools.cache
def _kinds(cls: type) -> tuple[tuple[str, Kind], ...]:
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError):  # types that only a checker knows
        hints = {}
    return tuple((f.name, _kind(f, hints.get(f.name, f.type))) for f in dataclasses.fields(cls))


def _kind(field: Any, hint: Any) -> Kind:
    fixed, span = bool(field.metadata.get("static")), field.metadata.get("range", Range())
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    own = [option for option in options if option is not type(None)]
    known = {"fixed": fixed, "optional": len(own) < len(options), "range": span}
    if _is_number(own):
        return Kind("number", **known)
    if not fixed and len(own) == 1 and typing.get_origin(own[0]) is tuple:
        return Kind("parts")
    if not fixed and len(own) == 1 and typing.get_origin(own[0]) is dict:
        return Kind("named" if _is_number(typing.get_args(typing.get_args(own[0])[1])) else "other")
    if not fixed or len(own) != 1:
        return Kind("other", fixed)
    (own,) = own
    if own in (bool, str):
        return Kind("flag" if own is bool else "text", **known)
    if typing.get_origin(own) is Literal:
        return Kind("choice", choices=typing.get_args(own), **known)
    inside = typing.get_args(own) if typing.get_origin(own) is tuple else (own,)
    length = None if inside[-1:] == (...,) else len(inside)
    inside = {x for x in inside if x is not ...}
    if inside == {int}:
        known["range"] = _sizes(span)
    if inside not in ({int}, {float}):
        return Kind("other", fixed)
    if own in (int, float):
        return Kind("whole" if own is int else "number", **known)
    return Kind("wholes" if inside == {int} else "numbers", length=length, **known)


def _is_number(options: Iterable[Any]) -> bool:
    """`Number` is `float | Array`."""
    return float in options and set(options) <= {float, int, jax.Array}


def _sizes(span: Range) -> Range:
    """A whole number is a size unless it is declared otherwise."""
    low = 1 if span.low == -math.inf and span.above == -math.inf else span.low
    return span._replace(low=low, high=min(span.high, LARGEST))


def traced(value: Any) -> bool:
    """Whether the value is not known yet."""
    return isinstance(value, Tracer)


def plain(value: Any) -> Any:
    """Python's own number, tuple or text for what NumPy, JAX or a list says; anything else as it is."""
    if traced(value):
        return value
    if isinstance(value, np.generic | np.ndarray) or (isinstance(value, jax.Array) and _is_data(value)):
        array = np.asarray(value)
        if array.dtype in (np.float16, np.float32):  # 0.9, not the 0.8999999761581421 that is nearest to it
            array = array.astype(str).astype(float)
        return plain(array.tolist())
    if type(value) in (list, tuple):
        return tuple(map(plain, value))
    return value


def _is_data(value: jax.Array) -> bool:
    return not jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def settled(kind: Kind, value: Any) -> Any:
    """The value as a field of that kind keeps it, so that equal settings are equal and hash alike. What does not fit
    is left for `fault` to tell."""
    if kind.sort == "parts":
        return tuple(value) if isinstance(value, list) else value
    if kind.sort == "named":
        return {name: settled(Kind("number"), x) for name, x in value.items()} if isinstance(value, dict) else value
    if not kind.fixed and (kind.sort != "number" or getattr(value, "shape", ()) != ()):
        return value
    value = plain(value)
    if isinstance(value, tuple) and kind.sort in ("wholes", "numbers"):
        return tuple(settled(_element(kind), x) for x in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if kind.sort == "whole" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind.sort == "number" and kind.fixed and isinstance(value, int) and abs(value) < HUGE:
        return float(value)  # leaves may be axes for `vmap`, too, which are whole
    return value


def _element(kind: Kind) -> Kind:
    return kind._replace(sort="whole" if kind.sort == "wholes" else "number", optional=False)


def fault(kind: Kind, value: Any, like: Any = None) -> str:
    """What is wrong with a settled value, to be said after the setting's name; "" if nothing is.

    like: the value that the setting has, an example for the message."""
    if kind.sort in ("parts", "other") or (kind.optional and value is None):
        return ""
    if kind.sort == "named":
        return "" if isinstance(value, dict) else f"takes a dictionary, got {shown(value)}"
    if kind.fixed and (traced(value) or isinstance(value, jax.Array)):
        return "is static (it decides shapes or structure) and cannot be an array; loop over values"
    if kind.sort == "choice":
        known = isinstance(value, str) and value in kind.choices
        return "" if known else f"is {shown(value)}; {nearest(value, kind.choices)}"
    if kind.sort in ("wholes", "numbers"):
        return _tuple_fault(kind, value, like)
    if kind.sort == "number":
        return _number_fault(kind, value)
    if kind.sort == "whole":
        return _whole_fault(kind, value)
    if kind.sort == "flag":
        return "" if isinstance(value, bool) else f"takes True or False, got {shown(value)}"
    return "" if isinstance(value, str) else f"takes text, got {shown(value)}"


def _whole_fault(kind: Kind, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"takes a whole number, got {shown(value)}"
    if kind.range.holds(value):
        return ""
    # Everybody knows the largest integer for what it is only if it is in the way.
    span = kind.range._replace(high=math.inf) if kind.range.high == LARGEST and value <= LARGEST else kind.range
    return f"is {shown(value)}; it must {span}"


def _tuple_fault(kind: Kind, value: Any, like: Any) -> str:
    if not isinstance(value, tuple) or (kind.length is not None and len(value) != kind.length):
        return f"takes a tuple like {shown(like)}, got {shown(value)}"
    one = _element(kind)
    if not any(fault(one, x) for x in value):
        return ""
    if kind.sort == "numbers":
        return f"is {shown(value)}; it takes {len(value)} finite numbers"
    if all(isinstance(x, int) and not isinstance(x, bool) for x in value):
        return f"is {shown(value)}; sizes must be at least {max(one.range.low, 1):g}, and at most {LARGEST}"
    return f"is {shown(value)}; sizes must be whole numbers"


def _number_fault(kind: Kind, value: Any) -> str:
    if isinstance(value, jax.Array | np.ndarray):
        if (wrong := _type_fault(value)) or traced(value):
            return wrong
        if kind.fixed:
            return f"takes a number, got {shown(value)}"
        if not value.size:
            return "is an empty array; give at least one number"
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return f"takes a number, got {shown(value)}"
    elif isinstance(value, int) and abs(value) >= HUGE:
        return f"is {shown(value)}; it must be a finite number, also as float32, which is computed with"
    exact = np.asarray(float(value) if isinstance(value, int) else value)
    single = _single(exact)
    for wrong, why in (
        (~np.isfinite(exact), "; it must be a finite number"),
        (~np.isfinite(single), ", infinite as float32, which is computed with; it must be a finite number"),
        ((single == 0) & (exact != 0), ", 0 as float32, which is computed with; give 0 or a larger number"),
        (~kind.range.holds(exact), f"; it must {kind.range}"),
        (~kind.range.holds(single), f", as float32 at the end of what it may be; it must {kind.range}"),
    ):
        if np.any(wrong):
            return f"is {shown(value)}{why}"
    return ""


def _single(exact: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return exact.astype(np.float32)


def _type_fault(value: Any) -> str:
    """Arrays of numbers are settings under `vmap`; flags, text, keys and objects never are."""
    kind = value.dtype
    if jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer):
        return ""
    return f"takes a number, got an array of {kind}"
