"""Where a user's files lie: compiled programs and datasets by default, and what a command may write into."""

import os
from pathlib import Path

from purejaxo2o.types import O2OError

PROGRAMS, DATASETS = "PUREJAXO2O_CACHE", "MINARI_DATASETS_PATH"
"""Environment variables that name these folders."""
LONGEST = 255
"""Bytes of one part of a path, on all common file systems."""


def programs() -> Path | None:
    """The folder of compiled programs: `$PUREJAXO2O_CACHE`, else `~/.cache/purejaxo2o/xla`; None for a user without
    a home, whose programs are not kept."""
    given = os.environ.get(PROGRAMS)
    if given:
        return Path(given)
    home = _home()
    return None if home is None else home / ".cache" / "purejaxo2o" / "xla"


def datasets() -> Path:
    """The folder of datasets, which need not exist yet: `$MINARI_DATASETS_PATH`, else Minari's `~/.minari/datasets`.

    Raises `O2OError` for a user without a home."""
    given = os.environ.get(DATASETS)
    if given:
        return Path(given)
    home = _home()
    if home is None:
        raise O2OError(f"this user has no home folder to keep datasets in; set {DATASETS} to a folder for them")
    return home / ".minari" / "datasets"


def _home() -> Path | None:
    """None in containers that run under a number which is no user's."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.is_absolute() else None


def check_folder(path: str | os.PathLike[str], what: str = "output folder") -> None:
    """Raise `O2OError` unless `path` is a folder that may be written into, or can be made one. Makes nothing."""
    _check_text(path, what)
    place = Path(path)
    there = next((p for p in (place, *place.parents) if os.path.lexists(p)), Path())
    if not there.is_dir():
        kind = "is no folder" if there == place else f"lies below {there}, which is no folder"
        raise O2OError(f"{what} {place} {kind}; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise O2OError(f"{what} {place} cannot be written to ({there} does not allow it); choose another")


def check_file(path: str | os.PathLike[str], what: str = "output file") -> None:
    """Raise `O2OError` unless a file can be written at `path`. Makes nothing."""
    _check_text(path, what)
    place = Path(path)
    if place.is_dir():
        raise O2OError(f"{what} {place} is a folder; give the name of a file")
    if place.exists() and not place.is_file():  # what is written whole replaces it: a device would be gone
        raise O2OError(f"{what} {place} is no regular file; choose another")
    check_folder(place.parent, f"{what} {place}: folder")


def _check_text(path: str | os.PathLike[str], what: str) -> None:
    """Names that no file system, or no library below us, takes."""
    text = os.fspath(path)
    try:
        parts = [part.encode() for part in Path(text).parts]
    except UnicodeEncodeError:
        raise O2OError(f"{what} {text!r} is not UTF-8; choose another name") from None
    if not text or "\0" in text:
        raise O2OError(f"{what} {text!r} is no path; give the name of one")
    if any(len(part) > LONGEST for part in parts):
        raise O2OError(f"{what} {_short(text)} has a name of more than {LONGEST} bytes; choose a shorter one")


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:40]}...{text[-40:]}"
