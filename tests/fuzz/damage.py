"""What can be done to a run folder: each function here returns one that damages it."""

import io
import os
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

RUN, OTHER, SWEEP = "run", "other", "sweep"
"""Folders: a run, another one of the same form, a sweep in parts."""

CASES: dict[str, tuple[str, Any, bool]] = {}
"""Label: the folder that is damaged, how, and whether other numbers may come out, as of a run that was made up."""


def case(folder: str, label: str, spoil: Any, *, other: bool = False) -> None:
    label = f"{folder}: {label}"
    assert label not in CASES, label
    CASES[label] = (folder, spoil, other)


DOCUMENTS: dict[str, bytes] = {
    **{text: text.encode() for text in ("[]", "null", '""', "0", "{}", "true", "NaN", "[{}]", '{"recipe": "bc"}')},
    **{"empty": b"", "binary": b"\x80\xff\x00", "deep": b"[" * 100_000, "digits": b'{"a": ' + b"9" * 5_000 + b"}"},
}
ODD = (None, 5, -1, 1e999, True, "x", "line\nbreak", "x" * 2_000, [], [[]], {}, {"a": [1]}, 10**400)
SWAPS: dict[str, Any] = {
    "a FIFO": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/null": lambda path: path.symlink_to("/dev/null"),
}


def put(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def gone(name: str):
    def spoil(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def instead(name: str, make: Any):
    """Something else under that name, be there a file or not: `make(path)`."""

    def spoil(folder: Path) -> None:
        if os.path.lexists(folder / name):
            gone(name)(folder)
        make(folder / name)

    return spoil


def cut(name: str, share: float):
    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return spoil


def flip(name: str, seed: int):
    def spoil(folder: Path) -> None:
        random, content = np.random.default_rng(seed), bytearray((folder / name).read_bytes())
        for at in random.integers(0, len(content), 1 + seed % 3):
            content[at] ^= int(random.integers(1, 256))
        (folder / name).write_bytes(content)

    return spoil


def arrays(name: str, change: Any, save: Any = np.savez):
    """A valid zip with other arrays: `change(arrays)` returns them."""

    def spoil(folder: Path) -> None:
        with np.load(folder / name) as opened:
            found = {key: opened[key] for key in opened.files}
        with (folder / name).open("wb") as file:
            save(file, **change(found))

    return spoil


def one(function: Any, which: int):
    """One array changed, the same for the same number."""

    def change(found: dict[str, Any]) -> dict[str, Any]:
        names = sorted(name for name in found if name != "seal")
        key = names[which % len(names)]
        return found | {key: function(found[key])}

    return change


def edited(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind in "US":
        return np.array(["edited"] * x.size, x.dtype).reshape(x.shape)
    return ~x if x.dtype == bool else (x + 1).astype(x.dtype)


CHANGES: dict[str, Any] = {
    "edited": edited,
    "as float64": lambda x: x.astype(np.float64) if x.dtype.kind in "fiub" else x.astype("S9"),
    "as text": lambda x: x.astype("U5"),
    "as objects": lambda x: x.astype(object),
    "one axis more": lambda x: x[None],
    "emptied": lambda x: np.zeros((0,), x.dtype),
    "twice": lambda x: np.concatenate([np.ravel(x)] * 2),
    "not a number": lambda x: np.full(x.shape, np.nan),
    "huge": lambda x: np.broadcast_to(np.zeros(1, x.dtype), (2_000_000,)),
    "a complex number": lambda x: np.full(x.shape, 1j),
}


def encrypted(name: str):
    """Every entry marked as encrypted."""

    def spoil(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = content.find(mark)
            while place >= 0:
                content[place + at] |= 1
                place = content.find(mark, place + 4)
        (folder / name).write_bytes(content)

    return spoil


def header(name: str, text: bytes):
    """The first array with another header: it declares what is not there."""

    def spoil(folder: Path) -> None:
        with zipfile.ZipFile(folder / name) as opened:
            found = {key: opened.read(key) for key in opened.namelist()}
        first = sorted(found)[0]
        found[first] = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        with zipfile.ZipFile(folder / name, "w") as made:
            for key, content in found.items():
                made.writestr(key, content)

    return spoil


def twice(name: str):
    """Every name is there two times, the second with other values."""

    def spoil(folder: Path) -> None:
        with np.load(folder / name) as opened:
            found = {key: edited(opened[key]) for key in opened.files}
        with zipfile.ZipFile(folder / name, "a") as made, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for key, value in found.items():
                stream = io.BytesIO()
                np.save(stream, value)
                made.writestr(f"{key}.npy", stream.getvalue())

    return spoil


def foreign(name: str):
    return lambda folder: shutil.copy(folder.parent / f"good-{OTHER}" / name, folder / name)


def checkpoint(function: Any):
    """Something done to the newest checkpoint: `function(its folder, the run's folder)`."""

    def spoil(folder: Path) -> None:
        kept = sorted((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
        function(kept[-1], folder)

    return spoil


def inside(name: str, spoil_named: Any):
    """A damage of a file of the newest checkpoint: `spoil_named(name)` makes it."""

    def function(newest: Path, folder: Path) -> None:
        path = next(newest.rglob(name))
        spoil_named(path.name)(path.parent)

    return checkpoint(function)


def both_foreign(newest: Path, folder: Path) -> None:
    other = folder.parent / f"good-{OTHER}" / "checkpoints" / newest.name
    shutil.rmtree(newest)
    shutil.copytree(other, newest)


def foreign_inside(name: str):
    """Another run's arrays under one's own seal."""

    def function(newest: Path, folder: Path) -> None:
        other = folder.parent / f"good-{OTHER}" / "checkpoints" / newest.name
        for path in newest.rglob(name):
            shutil.copy(other / path.relative_to(newest), path)

    return checkpoint(function)
