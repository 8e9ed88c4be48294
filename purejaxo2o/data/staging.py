"""A dataset's folder appears under its name whole, or not at all, whenever the writer is killed.

It is written into `.staging-<random>` beside the others, and locked by its writer as long as that lives; the system
takes the lock back from a dead one. Where the name is taken, old and new folder change places in one system call.
Where the system has no such call there are two renames, and between them neither has the name: what a writer that is
killed there leaves is enough to finish (`recover`), and whoever looks for a dataset next does so.
"""

import contextlib
import ctypes
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks; what a killed writer leaves there stays
    fcntl = None

PREFIX = ".staging-"
NEW, OLD, NAME = "new", "old", "name"
"""In a staging folder: the dataset that is written, the one that it replaces, and the id of both."""
_AT_FDCWD, _EXCHANGE = -100, 2


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """A folder of one's own in `root`, gone at the end. What killed writers left is finished or removed first."""
    clear(root)
    root.mkdir(parents=True, exist_ok=True)
    folder, lock = _locked(root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def publish(folder: Path, dataset_id: str, target: Path, *, overwrite: bool) -> None:
    """Give the finished dataset `folder / NEW` its name. What had the name is in `folder` afterwards.

    Raises `OSError` where there is one of that name by now, unless `overwrite`."""
    for path in (folder / NEW).rglob("*"):
        _to_disk(path)
    (folder / NAME).write_text(dataset_id)
    _to_disk(folder / NAME)
    if not (overwrite and target.exists()):
        os.rename(folder / NEW, target)
    elif not _exchange(folder / NEW, target):
        os.rename(target, folder / OLD)
        try:
            os.rename(folder / NEW, target)
        except OSError:
            os.rename(folder / OLD, target)
            raise
    _to_disk(target.parent)


def recover(root: Path) -> None:
    """Finish what a writer began that was killed between its two renames. Changes nothing else."""
    for folder in _abandoned(root):
        _finish(root, folder)


def clear(root: Path) -> None:
    """Finish and remove what killed writers have left in `root`; a living writer's folder is not touched."""
    for folder in _abandoned(root):
        _finish(root, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _locked(root: Path) -> tuple[Path, int | None]:
    """A new staging folder and its lock. Whoever clears up may have come in between: then another one."""
    while True:
        folder = root / f"{PREFIX}{uuid.uuid4().hex}"
        folder.mkdir()
        if fcntl is None:
            return folder, None
        lock = os.open(folder, os.O_RDONLY)
        if _lock(lock) is not False and _is_at(lock, folder):
            return folder, lock
        os.close(lock)


def _abandoned(root: Path) -> Iterator[Path]:
    """Staging folders that no living process has locked, each locked in turn."""
    if fcntl is None:
        return
    for folder in sorted(root.glob(f"{PREFIX}*")):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # gone meanwhile, or not ours
            continue
        try:
            if _lock(lock) and _is_at(lock, folder):
                yield folder
        finally:
            os.close(lock)


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free and is taken now; None where the file system has no locks."""
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    return False


def _finish(root: Path, folder: Path) -> None:
    """The second rename, where only the first was done."""
    with contextlib.suppress(OSError, ValueError):
        dataset_id = (folder / NAME).read_text()
        target = root / dataset_id
        inside = root.resolve() in target.resolve().parents
        between = (folder / OLD).is_dir() and (folder / NEW).is_dir()
        if between and inside and not target.exists():
            os.rename(folder / NEW, target)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names at once; whether system and file system can."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0


def _to_disk(path: Path) -> None:
    """Else a power cut may leave a name with nothing in it."""
    if fcntl is None:  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
