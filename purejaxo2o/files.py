"""Files that are written whole or not at all: under another name, forced to the disk, then renamed. No pickle."""

import contextlib
import errno
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from purejaxo2o.types import O2OError

TEMPORARY = ".tmp"
"""The end of the name under which a file is written."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
"""What a disk may say to a write that is no fault of the program."""


def write_json(path: Path, content: Any) -> None:
    """Write whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """An `.npz` file, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        named: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
        np.savez(file, **named)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote. Raises `ValueError` for a damaged file, `OSError` for none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a file under; it takes the place of `path` at the end, and is gone if the body fails."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def full_disk(folder: Path | None) -> Iterator[None]:
    """Turns a full (or read-only, or broken) disk in the body into one `O2OError` that names the folder."""
    try:
        yield
    except OSError as error:
        if folder is None or error.errno not in FULL:
            raise
        raise O2OError(
            f"cannot write to {folder} ({error.strerror}); make room or allow writing there, then go on from the "
            "last checkpoint by resuming (--resume)"
        ) from error
