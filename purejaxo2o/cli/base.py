"""What the subcommands share: the answer they give, tables, and lines on what is going on."""

import abc
import dataclasses
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from purejaxo2o.types import O2OError


class Answer(NamedTuple):
    """What a command found out: for people, and for machines (anything that `rows.plain` takes)."""

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


def key_seed(seed: int) -> int:
    """A number that a random key can be made of. Raises `O2OError` for others."""
    if not 0 <= seed < 2**32:
        raise O2OError(f"--seed is {seed}; give a whole number from 0 to {2**32 - 1}")
    return seed


def episode_count(count: int) -> int:
    """A number of episodes. Raises `O2OError` for none and for more than a device counts."""
    if not 1 <= count < 2**31:
        raise O2OError(f"--episodes is {count}; give at least 1 and fewer than {2**31:,}")
    return count


def show(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | Sequence[str] | None = None) -> str:
    """A table, as wide as `terminal_width` at most."""
    from purejaxo2o.figures.tables import table

    return table(rows, columns, width=terminal_width())


def terminal_width() -> int | None:
    """Characters of a line, as the terminal or COLUMNS says; None in a file, where lines may be of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else None


def say(text: str) -> None:
    """A line on what is going on; standard output is for results."""
    print(text, file=sys.stderr, flush=True)
