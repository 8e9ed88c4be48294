"""HDF5 files that somebody else wrote, opened so that what is read lies in the file itself and fits into memory.

HDF5 can point outside: a link to an object of another file, an array whose bytes are another file's, an array put
together from others. All three are followed silently, and a missing source reads as zeros. Here they are refused, as
are arrays that were declared and never written.
"""

import contextlib
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from PIL import Image

from purejaxo2o.data.fields import line
from purejaxo2o.data.limits import check_regular
from purejaxo2o.types import O2OError

AGAIN = "it was not downloaded or written completely: delete it, then download or make it again"
ALONE = "a dataset has to lie in one file: copy what it points to into it, or do not trust it"
ROOM, HARMLESS = 1 << 10, 1 << 20
"""Bytes: what a filter may add to a chunk, and a packed chunk that need not be unpacked to see how large it gets."""
DAMAGES = (
    *(ValueError, KeyError, TypeError, OSError, AssertionError, AttributeError, IndexError, MemoryError),
    *(NotImplementedError, RuntimeError, OverflowError, Image.DecompressionBombError, zlib.error),
)
"""What a damaged file makes h5py, Pillow, pyarrow and Minari raise."""


@contextlib.contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn whatever a damaged file makes another library raise into one clear error. Not for code of ours."""
    try:
        yield
    except O2OError:
        raise
    except DAMAGES as error:
        raise O2OError(
            f"{where} cannot be read ({type(error).__name__}: {line(error)}); delete it and download or make it again"
        ) from error


@contextlib.contextmanager
def opened(where: str, path: Path) -> Iterator[h5py.File]:
    """The file at `path`, for reading. Raises `O2OError` for what is no regular file and no HDF5."""
    check_regular(where, path)
    with readable(where):
        file = h5py.File(path, "r")
    with file:
        yield file


def member(where: str, group: h5py.Group, name: str) -> Any:
    """What `group` holds under `name` (`a/b` for something deeper); None for nothing.

    Raises `O2OError` for a link to another place."""
    found: Any = group
    for part in name.split("/"):
        if part in ("", ".") or not isinstance(found, h5py.Group):
            return None
        with readable(where):
            there = found.id.links.exists(part.encode())  # `in` would follow the link
            link = found.get(part, getlink=True) if there else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise O2OError(f"{where}: {name} is a link to another place ({_target(link)}); {ALONE}")
        with readable(where):
            found = found[part]
    return found


def column(where: str, group: h5py.Group, name: str, *, numbers: bool = True) -> h5py.Dataset | None:
    """The array under `name`, unread, or None. Raises `O2OError` where it lies elsewhere or cannot be loaded.

    numbers: it must hold real numbers; else bytes of pictures."""
    found = member(where, group, name)
    if found is None or not isinstance(found, h5py.Dataset):
        return None
    with readable(where):
        plan = found.id.get_create_plist()
        virtual, external = plan.get_layout() == h5py.h5d.VIRTUAL, plan.get_external_count() > 0
        shape, kind, stored = found.shape, found.dtype, found.id.get_storage_size()
    if virtual or external:
        raise O2OError(f"{where}: {name} is {'put together from' if virtual else 'stored in'} other files; {ALONE}")
    if shape is None or (math.prod(shape) and not stored):
        raise O2OError(f"{where}: {name} was declared and never written; {AGAIN}")
    if numbers and kind.kind not in "biuf":
        raise O2OError(f"{where}: {name} are {kind}, no real numbers; re-record it")
    with readable(where):
        swollen = plan.get_nfilters() > 0 and _swells(found, plan)
    if swollen:
        raise O2OError(f"{where}: {name} unpacks to more than its own size; it is damaged or hostile: do not use it")
    return found


def declared(array: h5py.Dataset) -> int:
    """Bytes of the array once it is read."""
    return math.prod(array.shape) * array.dtype.itemsize


def working(array: h5py.Dataset) -> int:
    """Bytes that reading the array takes: HDF5 unpacks whole chunks, and those may be larger than the array."""
    return max(declared(array), math.prod(array.chunks or (0,)) * array.dtype.itemsize)


def _swells(array: h5py.Dataset, plan: Any) -> bool:
    """Whether a packed chunk becomes larger than a chunk is. HDF5 goes on unpacking as long as there is something:
    2 MB may become 2 GB, for an array of three numbers."""
    whole, packed = math.prod(array.chunks or (0,)) * array.dtype.itemsize, []
    array.id.chunk_iter(packed.append)
    if any(part.size > whole + whole // 8 + ROOM for part in packed):
        return True
    last = plan.get_filter(plan.get_nfilters() - 1)[0]
    if last != h5py.h5z.FILTER_DEFLATE:
        return False
    for part in packed:
        if part.size > HARMLESS:  # smaller ones swell to a thousand times their size, and no more
            _, content = array.id.read_direct_chunk(part.chunk_offset)
            if len(zlib.decompressobj().decompress(content, whole + ROOM + 1)) > whole + ROOM:
                return True
    return False


def _target(link: Any) -> str:
    parts = [str(getattr(link, name)) for name in ("filename", "path") if hasattr(link, name)]
    return line(":".join(parts))
