"""What the subcommands share: the answer they give and how `NAME=VALUE` is read."""

import abc
import ast
import dataclasses
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from purejaxo2o.types import O2OError


class Answer(NamedTuple):
    """What a command found out: for people, and for machines (anything that `sinks.plain` takes)."""

    text: str
    data: Any
    code: int = 0  # of the process; not 0 where a part failed and the rest is reported


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(abc.ABC):
    """A subcommand: its fields are its arguments."""

    json: bool = False
    """Print one JSON document on standard output instead of text."""

    @abc.abstractmethod
    def run(self) -> Answer:
        """Do it. Raises `O2OError` for bad input."""


def pairs(groups: Iterable[Iterable[str]]) -> dict[str, str]:
    """`NAME=VALUE` arguments by name. Raises `O2OError` for any other form and for a name given twice."""
    found: dict[str, str] = {}
    for text in (text for group in groups for text in group):
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise O2OError(f"{text!r} is no setting; write NAME=VALUE without spaces, e.g. agent.learning_rate=1e-4")
        if name in found:
            raise O2OError(f"{name} is given twice, as {found[name]} and {value}; give it once")
        found[name] = value
    return found


def literal(text: str) -> Any:
    """A Python literal (number, True, None, tuple, ...), anything else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def show(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | Sequence[str] | None = None) -> str:
    """A table, as wide as the terminal at most."""
    from purejaxo2o.tables import table

    return table(rows, columns, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None)


def say(text: str) -> None:
    """A line on what is going on; standard output is for results."""
    print(text, file=sys.stderr, flush=True)
