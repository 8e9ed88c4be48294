"""Cases of HDF5 files, Minari's and D4RL's: arrays of every wrong form, links and views of other files, bombs."""

import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hostile_metadata import HUGE
from spoiling import (
    ANY,
    REFUSED,
    SAME,
    array,
    bomb,
    case,
    cut,
    datatype,
    external,
    file,
    flip,
    group,
    raw,
    rows,
    soft,
    swap,
    text,
    typed,
    virtual,
)

EFFECTS: dict[str, tuple[Any, str]] = {
    "gone": (lambda x: None, REFUSED),
    "shorter": (lambda x: x[:-1], REFUSED),
    "empty": (lambda x: x[:0], REFUSED),
    "longer": (lambda x: np.concatenate([x, x]), REFUSED),
    "wider": (lambda x: x[..., None], SAME),
    "twice as wide": (lambda x: np.stack([x, x], axis=-1), REFUSED),
    "scalar": (lambda x: np.float32(1), REFUSED),
    "nan": (lambda x: x * np.float32("nan"), REFUSED),
    "minus one": (lambda x: x * 0 - 1.0, ANY),
    "halves": (lambda x: x * 0 + 0.5, ANY),
    "1e300": (lambda x: x.astype(float) + 1e300, ANY),
    "text": (lambda x: np.full(x.shape, b"abc"), REFUSED),
    "void": (lambda x: np.zeros(x.shape, "V5"), REFUSED),
    "complex": (lambda x: x * 1j, REFUSED),
    "int64 least": (lambda x: np.full(x.shape, -(2**63)), ANY),
    "compound": (lambda x: np.zeros(x.shape, [("a", "f4"), ("b", "i4")]), REFUSED),
}
FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")
FLAGS = ("terminations", "truncations", "terminals", "timeouts")
NO_FLAGS = ("nan", "minus one", "halves", "1e300", "int64 least")
"""Effects whose values are no flags, and are to be refused as such."""


def strings(values: np.ndarray) -> tuple[Any, Any]:
    return np.full(values.shape, "text", object), h5py.string_dtype()


def ragged(values: np.ndarray) -> tuple[Any, Any]:
    made = np.empty(len(values), object)
    made[:] = [np.zeros(i, np.float32) for i in range(len(values))]
    return made, h5py.vlen_dtype(np.float32)


def references(values: np.ndarray) -> tuple[Any, Any]:
    return np.full(len(values), h5py.Reference(), object), h5py.ref_dtype


def choices(values: np.ndarray) -> tuple[Any, Any]:
    return np.zeros(len(values), "i1"), h5py.enum_dtype({"A": 0, "B": 1}, "i1")


TYPES = {"strings": strings, "ragged": ragged, "references": references, "an enumeration": choices}


def fifo(path: Path) -> None:
    os.mkfifo(path)


SWAPS: dict[str, Any] = {
    "a FIFO": fifo,
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/null": lambda path: path.symlink_to("/dev/null"),
    "nothing": lambda path: None,
}


def _arrays() -> None:
    for field in FIELDS:
        for name, (effect, allowed) in EFFECTS.items():
            allowed = REFUSED if field in FLAGS and name in NO_FLAGS else allowed
            case("minari", f"{field} {name}", array(1, field, effect), allowed)
        path = f"episode_1/{field}"
        for name, make in TYPES.items():
            case("minari", f"{field} {name}", file(typed(path, make)), REFUSED if name != "an enumeration" else ANY)
        case("minari", f"{field} a group", file(group(path)), REFUSED)
        case("minari", f"{field} a type", file(datatype(path)), REFUSED)
        case("minari", f"{field} 10**12 values", file(bomb(path, (HUGE,))), REFUSED)
        case("minari", f"{field} external link", file(external("episode_1", field, keep=True)), REFUSED)
    for field in ("rewards", "observations"):
        case("minari", f"{field} external link to nothing", file(external("episode_1", field)), REFUSED)
        case("minari", f"{field} raw bytes of a file", file(raw("episode_1", field)), REFUSED)
        case("minari", f"{field} a view", file(virtual("episode_1", field)), REFUSED)
        case("minari", f"{field} a view of nothing", file(virtual("episode_1", field, there=False)), REFUSED)
        case(
            "minari", f"{field} soft link to itself", file(soft(f"episode_1/{field}", f"/episode_1/{field}")), REFUSED
        )
        case("minari", f"{field} dangling soft link", file(soft(f"episode_1/{field}", "/none")), REFUSED)
        case(
            "minari", f"{field} 400 MB packed", file(bomb(f"episode_1/{field}", (100_000_000,), 10_000_000)), REFUSED
        )
    case("minari", "an episode by an external link", file(_outside), REFUSED)
    case("minari", "no episode", file(lambda f, d: f.__delitem__("episode_1")), REFUSED)
    case("minari", "no episodes", file(lambda f, d: [f.__delitem__(name) for name in list(f)]), REFUSED)
    case("minari", "an episode is an array", file(_flat), REFUSED)
    case("minari", "infos declared huge", file(bomb("episode_1/infos/x", (HUGE,))), SAME)
    case("minari", "infos 400 MB packed", file(bomb("episode_1/infos/x", (100_000_000,), 100_000_000)), SAME)
    case("minari", "infos an array", file(lambda f, d: f.__setitem__("episode_1/infos", np.zeros(3))), SAME)
    case("minari", "infos external link", file(external("episode_1/infos", "x", keep=True)), SAME)
    case("minari", "infos of infos", file(soft("episode_1/infos", "/episode_1")), SAME)
    case("minari", "attributes odd", file(_attributes), SAME)


def _outside(file: Any, data: Path) -> None:
    del file["episode_1"]
    source = data.parents[3] / "outside.h5"
    shutil.copy(data.parents[1] / "good-v0" / "data" / "main_data.hdf5", source)
    file["episode_1"] = h5py.ExternalLink(str(source), "episode_1")


def _flat(file: Any, data: Path) -> None:
    del file["episode_1"]
    file["episode_1"] = np.zeros(3)


def _attributes(file: Any, data: Path) -> None:
    for name in ("id", "total_steps", "seed"):
        file["episode_1"].attrs[name] = "x" * 1_000


def _files() -> None:
    for name in ("main_data.hdf5", "metadata.json"):
        for kind, function in SWAPS.items():
            case("minari", f"{name} {kind}", swap(name, function), REFUSED)
        for share in (0.0, 0.01, 0.3, 0.6, 0.9, 0.99):
            case("minari", f"{name} cut to {share:.0%}", cut(name, share), REFUSED)
        for seed in range(24):
            case("minari", f"{name} changed bytes, seed {seed}", flip(name, seed))
    case("minari", "data is a link to itself", lambda d: (shutil.rmtree(d), d.symlink_to(d.name)), REFUSED)
    case("minari", "data is a file", lambda d: (shutil.rmtree(d), d.write_text("x")), REFUSED)
    case("minari", "text for HDF5", text(b"no HDF5" * 1_000, "main_data.hdf5"), REFUSED)


# -- spoiling a D4RL file --------------------------------------------------------------------------------------

STREAM = "walker2d_medium-v2.hdf5"


FREE = (("timeouts", "gone"), ("next_observations", "gone"), ("actions", "twice as wide"))
"""What a file may lack, and what nothing in it contradicts."""


def stream() -> dict[str, np.ndarray]:
    """Three trajectories of 2, 3 and 4 rows; the second one is cut."""
    good = rows()
    return {
        "observations": good.obs,
        "actions": good.action,
        "rewards": good.reward,
        "next_observations": good.next_obs,
        "terminals": good.terminated,
        "timeouts": good.truncated,
    }


def whole(function: Any):
    """One array of the stream changed: as `array`, for `typed` and the like."""

    def spoil(data: Path) -> None:
        with h5py.File(data / STREAM, "a") as opened:
            function(opened, data)

    return spoil


def column(field: str, function: Any):
    def change(opened: Any, data: Path) -> None:
        value = function(opened[field][()])
        del opened[field]
        if value is not None:
            opened[field] = value

    return whole(change)


def _stream() -> None:
    for field in stream():
        for name, (effect, allowed) in EFFECTS.items():
            allowed = REFUSED if field in FLAGS and name in NO_FLAGS else allowed
            if (field, name) in FREE:
                allowed = ANY
            case("d4rl", f"{field} {name}", column(field, effect), allowed)
        for name, make in TYPES.items():
            case("d4rl", f"{field} {name}", whole(typed(field, make)), ANY if name == "an enumeration" else REFUSED)
        case("d4rl", f"{field} a group", whole(group(field)), REFUSED if field in ("rewards", "terminals") else ANY)
        case("d4rl", f"{field} a type", whole(datatype(field)), REFUSED if field in ("rewards", "terminals") else ANY)
        case("d4rl", f"{field} 10**12 values", whole(bomb(field, (HUGE,))), REFUSED)
    for field in ("rewards", "terminals"):
        case("d4rl", f"{field} external link", whole(external("/", field, keep=True)), REFUSED)
        case("d4rl", f"{field} external link to nothing", whole(external("/", field)), REFUSED)
        case("d4rl", f"{field} raw bytes of a file", whole(raw("/", field)), REFUSED)
        case("d4rl", f"{field} a view", whole(virtual("/", field)), REFUSED)
        case("d4rl", f"{field} a view of nothing", whole(virtual("/", field, there=False)), REFUSED)
        case("d4rl", f"{field} soft link to itself", whole(soft(field, f"/{field}")), REFUSED)
        case("d4rl", f"{field} dangling soft link", whole(soft(field, "/none")), REFUSED)
        case("d4rl", f"{field} 400 MB packed", whole(bomb(field, (100_000_000,), 10_000_000)), REFUSED)
    case("d4rl", "infos declared huge", whole(bomb("infos/x", (HUGE,))), SAME)
    case("d4rl", "all 10**12 rows", whole(_all_huge), REFUSED)
    case("d4rl", "all 400 MB packed", whole(_all_packed), REFUSED)
    for kind, function in SWAPS.items():
        case("d4rl", f"file {kind}", swap(STREAM, function), REFUSED)
    for share in (0.0, 0.01, 0.3, 0.6, 0.9, 0.99):
        case("d4rl", f"cut to {share:.0%}", cut(STREAM, share), REFUSED)
    for seed in range(24):
        case("d4rl", f"changed bytes, seed {seed}", flip(STREAM, seed))
    case("d4rl", "text", text(b"no HDF5" * 1_000, STREAM), REFUSED)


def _all_huge(opened: Any, data: Path) -> None:
    for name, value in stream().items():
        bomb(name, (HUGE, *value.shape[1:]))(opened, data)


def _all_packed(opened: Any, data: Path) -> None:
    for name, value in stream().items():
        bomb(name, (100_000_000, *value.shape[1:]))(opened, data)


_arrays()
_files()
_stream()
