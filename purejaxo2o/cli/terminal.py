"""Standard output and error of the command line, which may be closed, full, or read by nobody any more."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

PIPE_CLOSED = 141
"""The exit code of a Unix program whose reader has gone, 128 + SIGPIPE."""


def open_all() -> None:
    """Make both streams fit to be written to, whatever they were started with: one that is closed swallows what is
    written, and a character that its encoding lacks becomes an escape.

    Files that are opened later would get the number of a closed stream, and what C code prints would land in them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (for the whole process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """A line or more of results on standard output, at once. Raises `OSError` where that is full or nobody reads."""
    print(text, flush=True)


def complain(line: str) -> None:
    """A line on standard error; where that cannot be written to, nobody can be told."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Everything that the body printed is out at its end, and if not, that is an `OSError` here."""
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def give_up() -> None:
    """What is left in a stream that cannot be written to goes nowhere: Python would end with a complaint."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _silence(stream)


def _silence(stream: TextIO) -> None:
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # no file of the system's
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
