"""One process at a time in a folder.

An advisory lock on the file `.lock` there (`flock`), which the system gives back when the process ends, however it
ends; the file is gone afterwards, unless the process was killed. Where the file system has no such locks, the run
goes on and says so.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from purejaxo2o.types import O2OError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = ".lock"
HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)


@contextlib.contextmanager
def held(folder: Path | None, note: Callable[[str], None], *, name: str = NAME) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if it is not there, and goes if nothing came into it.

    note: is told where there are no locks. name: of the lock's file. Raises `O2OError` if another process has it, and
    for a folder that cannot be made."""
    if folder is None:
        yield
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _take(folder / name, note)
    except OSError as error:
        _clear(made)
        blocked = (folder / name).is_dir() or (folder / name).is_symlink()
        remedy = f"remove {folder / name}, or choose another" if blocked else "choose another"
        raise O2OError(f"output folder {folder} cannot be used ({error.strerror}); {remedy}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / name).unlink()  # while it is held: see `_take`
        _clear(made)
        os.close(descriptor)


def _clear(made: list[Path]) -> None:
    """Remove the folders that were made and are empty, from the innermost on."""
    with contextlib.suppress(OSError):
        for path in made:
            path.rmdir()


def _take(path: Path, note: Callable[[str], None]) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if fcntl is None:
                raise OSError(errno.ENOTSUP, "no locks on this system")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                os.close(descriptor)
                raise O2OError(
                    f"another process is at work in {path.parent}; wait until it ends, or choose another folder"
                ) from None
            note(f"cannot lock {path.parent} ({error.strerror}): see to it that no other process writes there")
            return descriptor
        if _same(descriptor, path):
            return descriptor
        os.close(descriptor)  # who held it has removed it in between


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
