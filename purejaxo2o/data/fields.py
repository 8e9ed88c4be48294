"""Fields of a JSON file that somebody else wrote: parsed within bounds, named in one line where they are wrong."""

import json
import reprlib
from typing import Any

from purejaxo2o.types import O2OError

DEEPEST = 64
"""Levels of lists and objects."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def parsed(where: str, text: str) -> Any:
    """What the JSON in `where` says. Raises `O2OError` for what is no JSON, and for more than `DEEPEST` levels."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise O2OError(f"{where} is nested too deeply; correct it") from None
    except ValueError as error:
        raise O2OError(f"{where} is no JSON ({line(error)}); correct it, or download or make it again") from None
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise O2OError(f"{where} is nested more than {DEEPEST} levels deep; correct it")
        containers = [part.values() if isinstance(part, dict) else part for part in level if _holds(part)]
        level, depth = [part for container in containers for part in container], depth + 1
    return value


def whole(value: Any) -> bool:
    """Whether it is an integer; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def short(value: Any) -> str:
    """As Python writes it, cut where it is long."""
    return line(_SHORT.repr(value))


def line(text: Any) -> str:
    """The text of an error, or of anything else, in one line."""
    joined = " ".join(str(text).split())
    return (joined if len(joined) <= 200 else f"{joined[:197]}...") or type(text).__name__


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)
