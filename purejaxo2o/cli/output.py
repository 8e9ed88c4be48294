"""The folder that runs go into: whether it may be used, and making room in it for a new run (`--overwrite`)."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from purejaxo2o.data import places
from purejaxo2o.disk import lock
from purejaxo2o.disk.files import TEMPORARY
from purejaxo2o.types import O2OError

MARKS = {"config.json": "a run", "study.json": "runs"}
"""Files by which a folder is known to be one of ours, and what it then holds."""


def check(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise `O2OError` unless a run may begin (or go on) in `folder`, before data are loaded. Touches nothing."""
    if resume and overwrite:
        raise O2OError("--resume and --overwrite exclude each other; give the one that is meant")
    places.check_folder(folder)
    # What a process has that has just begun here, or was killed before it had written anything.
    if resume or not folder.exists() or all(map(_passing, folder.iterdir())):
        return
    what = next((what for mark, what in MARKS.items() if (folder / mark).is_file()), None)
    if what is None:
        raise O2OError(f"output folder {folder} is not empty and holds no run; choose another or empty it")
    if not overwrite:
        raise O2OError(
            f"output folder {folder} already holds {what}; choose another (--out), go on with it (--resume), or "
            "replace it (--overwrite)"
        )
    if folder.is_symlink() or folder.resolve() == Path.cwd().resolve():
        raise O2OError(
            f"output folder {folder} is a link or where you are; --overwrite would take it away: go elsewhere"
        )


def _passing(entry: Path) -> bool:
    return entry.name.endswith(TEMPORARY) or entry.name.startswith(lock.NAME)


@contextlib.contextmanager
def room(folder: Path, *, overwrite: bool) -> Iterator[None]:
    """With `overwrite`, an earlier run in `folder` lies aside while the body runs, and is deleted at its end.

    It comes back if the body fails before it has put anything there. Raises `O2OError` while another process is at
    work in it."""
    if not (overwrite and folder.is_dir()):
        yield
        return
    aside = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
    with lock.held(folder, lambda note: None):
        os.rename(folder, aside)
        (aside / lock.NAME).unlink(missing_ok=True)
    try:
        yield
    finally:
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.rename(aside, folder)
