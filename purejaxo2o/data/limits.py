"""How much memory a data file may ask for, known from its headers before anything of it is read."""

import os
import stat
from pathlib import Path

from purejaxo2o.data.free_memory import SHARE, free_memory, size
from purejaxo2o.types import O2OError

FREELY = 1 << 30
"""Bytes that any file may unfold to."""
UNFOLDED = 100
"""Times its size on the disk that a larger file may unfold to. Recordings are compressed to a half or a tenth."""
VARIABLE = "PUREJAXO2O_DATA_LIMIT"
"""Environment variable: GB that a dataset may take, instead of all this."""


def check_regular(where: str, path: Path) -> None:
    """Raise `O2OError` unless `path` is an ordinary file: a pipe would keep a reader waiting, a device never ends."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise O2OError(f"{where} cannot be read ({path}: {reason}); download or make it again") from None
    if not stat.S_ISREG(kind):
        raise O2OError(f"{where} cannot be read ({path} is no regular file); download or make it again")


def check_size(where: str, *, stored: int, declared: int, needed: int) -> None:
    """Raise `O2OError` for a file whose arrays are larger than memory, or far larger than the file.

    stored: bytes on the disk. declared: of its arrays, as its headers tell. needed: what reading them takes.
    A file of a few kB may declare arrays of any size, compressed or not written at all."""
    given = _given()
    if given is not None:
        if max(declared, needed) > given:
            raise O2OError(f"{where} takes {size(max(declared, needed))}, {VARIABLE} allows {size(given)}; raise it")
        return
    free = free_memory()
    if free is not None and needed > SHARE * free:
        raise O2OError(
            f"{where} takes {size(needed)} of memory and {size(free)} are free; use a smaller dataset or a larger "
            f"machine (or set {VARIABLE} to the GB that it may take)"
        )
    if declared > max(FREELY, UNFOLDED * stored):
        raise O2OError(
            f"{where} has {size(stored)} on the disk and declares arrays of {size(declared)}; if you trust it, set "
            f"{VARIABLE} to the GB that it may take, else download it again"
        )


def _given() -> int | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    try:
        given = float(text)
    except ValueError:
        given = 0.0
    if not 0 < given < 1e9:
        raise O2OError(f"{VARIABLE} is {text!r}; give a positive number of GB")
    return int(given * 1e9)
