"""Files that are written whole or not at all, and read as what nobody vouches for. No pickle.

They are written under another name, forced to the disk, then renamed. Of each array its type, shape and checksum can
be kept beside it (a seal), so that other values are noticed although the file is a good one.
"""

import contextlib
import errno
import json
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from purejaxo2o.loop.identity import checksum
from purejaxo2o.types import O2OError

TEMPORARY = ".tmp"
"""The end of the name under which a file is written."""
SEAL = "seal"
"""The name of the seal among the arrays of a file that is sealed within itself."""
CHUNK = 2**24
"""Bytes that are read at once."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
"""What a disk may say to a write that is no fault of the program."""
RESUMING = "make room or allow writing there, then go on from the last checkpoint by resuming (--resume)"

Seal = Mapping[str, Any]
"""`{name: [type, shape, checksum]}`."""


def output_folder(out: str | os.PathLike[str]) -> Path:
    """`out` as the path of a folder that is there or can be made; writes nothing.

    Raises `O2OError` for what is no path, is or lies below a file, or may not be written to."""
    try:
        path = at = Path(os.fsdecode(out))
        while not (known := _mode(at)) and at != at.parent:
            at = at.parent
    except (OSError, ValueError, TypeError) as error:  # a name too long, a NUL, no path at all
        reason = getattr(error, "strerror", None) or str(error)
        raise O2OError(f"output folder {str(out)[:100]!r} cannot be used ({reason}); choose another") from None
    if not stat.S_ISDIR(known):
        where = "is a file" if at == path else f"lies below {at}, which is a file"
        raise O2OError(f"output folder {path} {where}; choose another")
    if not os.access(at, os.W_OK | os.X_OK):
        raise O2OError(f"output folder {path} cannot be used (no writing in {at}); choose another")
    return path


def _mode(path: Path) -> int:
    """What is there, a file or a folder; 0 for nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return os.lstat(path).st_mode if path.is_symlink() else 0


def write_json(path: Path, content: Any) -> None:
    """Write whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote. Raises `ValueError` for anything else, `OSError` for no file."""
    with _opened(path) as file:
        try:
            return json.loads(file.read())
        except RecursionError:
            raise ValueError("nested too deeply") from None


def seal(arrays: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """What `read_arrays` compares."""
    return {name: [str(x.dtype), list(x.shape), checksum(x)] for name, x in arrays.items()}


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """An `.npz` file, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        named: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
        np.savez(file, **named)


def read_arrays(path: Path, sealed: Seal | None = None) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote; with a seal, what it says, and nothing else.

    Raises `ValueError` for a file that is damaged or differs from the seal, `OSError` for none."""
    with _opened(path) as file:
        try:
            arrays = _arrays(file)
        except (OSError, ValueError):
            raise
        except Exception as error:  # a damaged file makes zipfile and NumPy raise anything
            raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    return arrays if sealed is None else _compared(arrays, sealed)


def write_sealed(path: Path, arrays: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """An `.npz` file with a seal inside, which also holds `about` (in JSON's types)."""
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    text = json.dumps({**about, "arrays": seal(plain)}, sort_keys=True).encode()
    write_arrays(path, plain | {SEAL: np.frombuffer(text, np.uint8)})


def read_sealed(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `write_sealed` wrote: arrays and `about`. Raises as `read_arrays`, and `ValueError` without a seal."""
    arrays = read_arrays(path)
    if SEAL not in arrays:
        raise ValueError("it has no seal")
    try:
        about = json.loads(arrays.pop(SEAL).tobytes())
    except RecursionError:
        raise ValueError("its seal is nested too deeply") from None
    if not isinstance(about, dict) or not isinstance(about.get("arrays"), dict):
        raise ValueError("its seal is none")
    return _compared(arrays, about.pop("arrays")), about


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A regular file: a pipe or a device might never end. Raises `ValueError` for another kind."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        yield file


def _arrays(file: IO[bytes]) -> dict[str, np.ndarray]:
    size, found = os.fstat(file.fileno()).st_size, {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size > size:
                raise ValueError(f"{name[:100]} is packed, which this program does not do")
            if name in found:
                raise ValueError(f"{name[:100]} is there twice")
            with archive.open(info) as member:
                found[name] = _array(member, info.file_size)
    return found


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """An array of no more bytes than its member of the archive has."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of NumPy's format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read(file)
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if kind.hasobject or min(shape, default=0) < 0 or count * kind.itemsize > size:
        raise ValueError(f"an array {kind}{list(shape)} in {size} bytes")
    content, at = bytearray(count * kind.itemsize), 0
    while at < len(content) and (more := file.readinto(memoryview(content)[at : at + CHUNK])):  # type: ignore[attr-defined]
        at += more
    if at < len(content) or file.read(1):  # to the end, where the archive's own checksum is compared
        raise ValueError(f"too few or too many bytes for an array {kind}{list(shape)}")
    array = np.frombuffer(content, kind, count) if content else np.empty(count, kind)
    return array.reshape(shape, order="F" if by_columns else "C")


def _compared(arrays: dict[str, np.ndarray], sealed: Seal) -> dict[str, np.ndarray]:
    if odd := sorted(arrays.keys() ^ sealed.keys()):
        raise ValueError(f"it {'lacks' if odd[0] in sealed else 'holds an unsealed'} {odd[0][:100]}")
    found = {}
    for name, array in arrays.items():
        # Types that NumPy does not know (bfloat16) come back as bytes.
        if array.dtype.kind == "V" and isinstance(sealed[name], list) and sealed[name]:
            array = _typed(array, sealed[name][0])
        found[name] = array
    for name, entry in seal(found).items():
        if entry != sealed[name]:
            raise ValueError(f"its {name[:100]} is not what was sealed: {_difference(entry, sealed[name])}")
    return found


def _difference(found: list[Any], wanted: Any) -> str:
    if not isinstance(wanted, list) or found[:2] == wanted[:2]:
        return "other values"
    return f"{found[0]}{found[1]}, not {' '.join(map(str, wanted[:2]))[:100]}"


def _typed(array: np.ndarray, kind: Any) -> np.ndarray:
    try:
        return array.view(np.dtype(kind))
    except (TypeError, ValueError):
        return array


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a file under; it takes the place of `path` at the end, and is gone if the body fails."""
    temporary = path.with_name(path.name + TEMPORARY)
    temporary.unlink(missing_ok=True)  # if it is a link, what it names is not ours to write
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def full_disk(folder: Path | None, remedy: str = RESUMING) -> Iterator[None]:
    """Turns a disk that is full, read-only, broken, or that has lost the folder, into one `O2OError`."""
    try:
        yield
    except OSError as error:
        if folder is None or not (error.errno in FULL or _within(folder, error)):
            raise
        where = folder if folder.is_dir() else f"{folder}, which is no folder (any more)"
        raise O2OError(f"cannot write to {where} ({error.strerror}); {remedy}") from error


def _within(folder: Path, error: OSError) -> bool:
    """Whether it is about a file below the folder; what a user's own sinks open is theirs to report."""
    name = error.filename if isinstance(error.filename, str | os.PathLike) else None
    return name is not None and Path(name).absolute().is_relative_to(folder.absolute())
