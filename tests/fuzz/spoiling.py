"""Small good datasets, and what can be done to their files: each function here returns one that spoils a folder."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from purejaxo2o.types import Space, Spaces, Transition

NAME, OTHER = "test/reach-v0", "test/good-v0"
SPACES = Spaces(Space((1,)), Space((1,)))
ROWS = 9
MARKER = "marker"
ANY, SAME, REFUSED = "any", "same", "refused"
"""What may come of a case: rows that pass the checks or a refusal; the good rows or a refusal; a refusal alone."""

CASES: dict[str, tuple[str, Any, str]] = {}
"""Label: what is spoiled ("minari" or "d4rl"), how, and what may come of it."""


def case(kind: str, label: str, spoil: Any, allowed: str = ANY) -> None:
    label = f"{kind}: {label}"
    assert label not in CASES
    CASES[label] = (kind, spoil, allowed)


def rows() -> Transition:
    """Three episodes of 2, 3 and 4 steps, the last one terminated."""
    last = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1], bool)
    ended = last & (np.arange(ROWS) == ROWS - 1)
    obs = np.linspace(0, 1, ROWS, dtype=np.float32)[:, None]
    after = np.append(obs[1:], [[2.0]], axis=0).astype(np.float32)
    return Transition(obs, 0.5 * obs, obs[:, 0], after, ended, last & ~ended)


def metadata(changes: dict[str, Any] | None = None, drop: tuple[str, ...] = ()):
    """Entries of `metadata.json` changed; a text with MARKER in it gets the marker's path."""

    def spoil(data: Path) -> None:
        path = data / "metadata.json"
        found = json.loads(path.read_text()) | (changes or {})
        text = json.dumps({name: value for name, value in found.items() if name not in drop})
        path.write_text(text.replace("MARKER", str(data.parents[3] / MARKER)))

    return spoil


def text(content: bytes, name: str = "metadata.json"):
    return lambda data: (data / name).write_bytes(content)


def array(episode: int, field: str, function: Any):
    """One array of the file changed; None drops it."""

    def spoil(data: Path) -> None:
        with h5py.File(data / "main_data.hdf5", "a") as file:
            group: Any = file[f"episode_{episode}"]
            value = function(group[field][()])
            del group[field]
            if value is not None:
                group[field] = value

    return spoil


def file(function: Any, name: str = "main_data.hdf5"):
    """Something done to the open HDF5 file: `function(file, folder)`."""

    def spoil(data: Path) -> None:
        with h5py.File(data / name, "a") as opened:
            function(opened, data)

    return spoil


def swap(name: str, function: Any):
    """A file replaced by something else: `function(path)`, its bytes being gone."""

    def spoil(data: Path) -> None:
        (data / name).unlink()
        function(data / name)

    return spoil


def cut(name: str, share: float):
    def spoil(data: Path) -> None:
        content = (data / name).read_bytes()
        (data / name).write_bytes(content[: int(share * len(content))])

    return spoil


def flip(name: str, seed: int):
    """One to four bytes changed at random."""

    def spoil(data: Path) -> None:
        random = np.random.default_rng(seed)
        content = bytearray((data / name).read_bytes())
        for at in random.integers(0, len(content), 1 + seed % 4):
            content[at] ^= int(random.integers(1, 256))
        (data / name).write_bytes(content)

    return spoil


def external(group: str, field: str, keep: bool = False):
    """A link into another file that lies beside the datasets."""

    def function(file: Any, data: Path) -> None:
        source = data.parents[3] / "outside.h5"
        length = file[f"{group}/{field}"].shape if f"{group}/{field}" in file else (ROWS,)
        with h5py.File(source, "w") as other:
            other["x"] = np.full(length, 0.25, np.float32)
        if f"{group}/{field}" in file:
            del file[f"{group}/{field}"]
        file[f"{group}/{field}"] = h5py.ExternalLink(str(source) if keep else "gone.h5", "x")

    return function


def raw(group: str, field: str):
    """An array whose bytes are another file's."""

    def function(file: Any, data: Path) -> None:
        shape = file[f"{group}/{field}"].shape
        source = data.parents[3] / "secret"
        source.write_bytes(np.full(shape, 0.25, np.float32).tobytes())
        del file[f"{group}/{field}"]
        place = [(str(source), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(f"{group}/{field}", shape, "float32", external=place)

    return function


def virtual(group: str, field: str, there: bool = True):
    """An array that is a view of another file, or of one that does not exist (its fill value comes out then)."""

    def function(file: Any, data: Path) -> None:
        shape = file[f"{group}/{field}"].shape
        source = data.parents[3] / "outside.h5"
        with h5py.File(source, "w") as other:
            other["x"] = np.full(shape, 0.25, np.float32)
        del file[f"{group}/{field}"]
        layout = h5py.VirtualLayout(shape=shape, dtype="float32")
        layout[...] = h5py.VirtualSource(str(source) if there else "gone.h5", "x", shape=shape)
        file.create_virtual_dataset(f"{group}/{field}", layout, fillvalue=0.5)

    return function


def soft(path: str, target: str):
    def function(file: Any, data: Path) -> None:
        if path in file:
            del file[path]
        file[path] = h5py.SoftLink(target)

    return function


def bomb(path: str, shape: tuple[int, ...], written: int = 0, dtype: str = "float32"):
    """An array that is declared huge; `written` of its values are really there, compressed to nothing."""

    def function(file: Any, data: Path) -> None:
        if path in file:
            del file[path]
        chunks = (min(shape[0], 1 << 20), *shape[1:])
        made = file.create_dataset(path, shape, dtype, chunks=chunks, compression="gzip", fillvalue=0)
        if written:
            made[:written] = 0

    return function


def typed(path: str, make: Any):
    """An array replaced by whatever `make(values)` gives, with its type."""

    def function(file: Any, data: Path) -> None:
        values = file[path][()]
        del file[path]
        made = make(values)
        if isinstance(made, h5py.Group | h5py.Datatype):
            return
        values, dtype = made if isinstance(made, tuple) else (made, None)
        file.create_dataset(path, data=values, dtype=dtype)

    return function


def group(path: str):
    def function(file: Any, data: Path) -> None:
        del file[path]
        file.create_group(path)["inside"] = np.zeros(3)

    return function


def datatype(path: str):
    def function(file: Any, data: Path) -> None:
        del file[path]
        file[path] = np.dtype("float32")

    return function
