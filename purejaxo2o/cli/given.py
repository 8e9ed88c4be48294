"""Settings and axes as they are given in a shell: `NAME=VALUE` and `NAME=V1,V2`."""

import ast
import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from tyro.conf import arg

from purejaxo2o.types import O2OError

Reference = Annotated[tuple[float, float] | None, arg(metavar="LOW HIGH", help_behavior_hint="")]
LONGEST = 200
"""Characters of a word; what is longer is a slip."""
MOST = 2**63
"""Whole numbers of this size and above fit no integer of the machine's."""
OPENING, CLOSING = "([{", ")]}"


def pairs(groups: Iterable[Iterable[str]]) -> dict[str, str]:
    """`NAME=VALUE` arguments by name, `phase.` in front of a name left out.

    Raises `O2OError` for any other form and for a setting given twice, however it is spelled."""
    found: dict[str, str] = {}
    for text in (text for group in groups for text in group):
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise O2OError(
                f"{_short(text)!r} is no setting; write NAME=VALUE without spaces, e.g. agent.discount=0.98"
            )
        name = name.removeprefix("phase.")
        if name in found:
            raise O2OError(f"{name} is given twice, as {_short(found[name])} and {_short(value)}; give it once")
        found[name] = value
    return found


def literal(text: str) -> Any:
    """A number, True, False, None or a tuple of them, anything else as a word.

    Raises `O2OError` for Python's other values, for numbers that no machine holds, and for words without end."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    except (TypeError, MemoryError, RecursionError, OverflowError):
        raise _no_value(text) from None
    for part in _parts(value):
        if isinstance(part, str) and len(part) > LONGEST:
            raise _no_value(text)
        if isinstance(part, int | float) and not (
            math.isfinite(part) if isinstance(part, float) else -MOST < part < MOST
        ):
            raise O2OError(f"{_short(text)} is too large a number; give one that a computer holds")
        if not isinstance(part, str | int | float | None):
            raise _no_value(text)
    return value


def reference_of(pair: tuple[float, float]) -> tuple[float, float]:
    """The returns that score 0 and 100. Raises `O2OError` unless they are finite and in order."""
    low, high = pair
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise O2OError(f"--reference {low:g} {high:g}: give finite returns, the lower one, which scores 0, first")
    return low, high


def values(name: str, text: str) -> list[Any]:
    """The values of an axis out of `V1,V2`: numbers, words, or tuples such as `(8,8),(16,16)`.

    Raises `O2OError` where one is missing between commas, or as `literal`."""
    found = list(_split(text))
    if not all(found):
        raise O2OError(
            f"--over {name}={_short(text)} lacks a value between commas; write values with commas between them, "
            f"e.g. {name}=0.1,0.2"
        )
    return [tuple(value) if isinstance(value := literal(part), list) else value for part in found]


def _split(text: str) -> Iterator[str]:
    """At the commas that no bracket encloses."""
    depth, start = 0, 0
    for at, character in enumerate(text):
        depth += (character in OPENING) - (character in CLOSING)
        if character == "," and depth == 0:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def _parts(value: Any) -> Iterator[Any]:
    """What tuples and lists are made of, at any depth."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting.extend(part)
        else:
            yield part


def _no_value(text: str) -> O2OError:
    return O2OError(f"{_short(text)} is no value of a setting; give a number, a word, or a tuple such as (256,256)")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:80]}... ({len(text)} characters)"
