"""Datasets that were damaged, or made to do harm: honest rows or one line, no code run, nothing written.

A case spoils a small good dataset, Minari's or D4RL's. Then it is loaded, described, listed, inspected and taken for
a task. Rows that come out must be those of the good one wherever the damage has no right to change them. The code
that some of the files name would leave a marker; nobody may ask for much more memory than the file has bytes.
"""

import contextlib
import io
import json
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import bench
import h5py
import jax
import numpy as np
import pytest
from bench import Fault

import purejaxo2o as o2o
from purejaxo2o import datasets
from purejaxo2o.cli import main
from purejaxo2o.data import checks, minari
from purejaxo2o.types import Space, Spaces, Transition

pytestmark = pytest.mark.slow

NAME, OTHER = "test/reach-v0", "test/good-v0"
SPACES = Spaces(Space((1,)), Space((1,)))
ROWS = 9
MARKER = "marker"
MOST = 64 << 20
"""Bytes that one call may allocate: the good files have less than a hundred kilobytes."""
ANY, SAME, REFUSED = "any", "same", "refused"
"""What may come of a case: rows that pass the checks or a refusal; the good rows or a refusal; a refusal alone."""

CASES: dict[str, tuple[str, Any, str]] = {}
"""Label: what is spoiled ("minari" or "d4rl"), how, and what may come of it."""


def case(kind: str, label: str, spoil: Any, allowed: str = ANY) -> None:
    label = f"{kind}: {label}"
    assert label not in CASES
    CASES[label] = (kind, spoil, allowed)


# -- spoiling a Minari folder ----------------------------------------------------------------------------------


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


EVIL = {
    "os:system": {"command": "touch MARKER"},
    "subprocess:call": {"args": ["touch", "MARKER"]},
    "subprocess:check_output": {"args": "touch MARKER", "shell": True},
    "os:mkdir": {"path": "MARKER"},
    "os:popen": {"cmd": "touch MARKER"},
    "io:open": {"file": "MARKER", "mode": "w"},
    "builtins:eval": {"source": "open('MARKER', 'w')"},
    "pathlib:Path.touch": {"self": "MARKER"},
    "evil_module:make": {"path": "MARKER"},
    "shutil:rmtree": {"path": "MARKER"},
}
"""Entry points that do something, with their arguments; `evil_module` writes the marker when it is imported."""
MODULE = "evil_module"
SPEC: dict[str, Any] = {
    "id": "Evil-v0",
    "entry_point": None,
    "reward_threshold": None,
    "nondeterministic": False,
    "max_episode_steps": 10,
    "order_enforce": True,
    "disable_env_checker": True,
    "kwargs": {},
    "additional_wrappers": [],
    "vector_entry_point": None,
}


def spec(**changes: Any) -> str:
    return json.dumps(SPEC | changes)


def wrapper(entry_point: str, kwargs: Any) -> dict[str, Any]:
    return {"name": "Evil", "entry_point": entry_point, "kwargs": kwargs}


def _acting() -> None:
    """Metadata that name code."""
    for entry, kwargs in EVIL.items():
        evil = spec(entry_point=entry, kwargs=kwargs)
        case(
            "minari",
            f"no spaces, {entry}",
            metadata({"env_spec": evil}, ("action_space", "observation_space")),
            REFUSED,
        )
    evil = spec(entry_point="os:system", kwargs=EVIL["os:system"])
    for name in ("action_space", "observation_space"):
        case("minari", f"no {name}, os:system", metadata({"env_spec": evil}, (name,)), REFUSED)
        case("minari", f"{name} null, os:system", metadata({"env_spec": evil, name: None}), REFUSED)
    case("minari", "spaces, os:system", metadata({"env_spec": evil}), SAME)
    case("minari", "eval_env_spec, os:system", metadata({"env_spec": evil, "eval_env_spec": evil}), SAME)
    module = spec(id=f"{MODULE}:Evil-v0")
    case("minari", "an id with a module", metadata({"env_spec": module}), SAME)
    case("minari", "an id with a module, no spaces", metadata({"env_spec": module}, ("action_space",)), REFUSED)
    case("minari", "eval_env_spec, an id with a module", metadata({"eval_env_spec": module}), SAME)
    for real in ("Pendulum-v1", "Hopper-v5"):
        wrapped = [wrapper("os:system", EVIL["os:system"]), wrapper(f"{MODULE}:make", {"path": "MARKER"})]
        case("minari", f"{real}, wrappers", metadata({"env_spec": spec(id=real, additional_wrappers=wrapped)}), SAME)
        harmless = [wrapper("os:system", EVIL["os:system"]) | {"name": "ClipAction"}]
        changed = metadata({"env_spec": spec(id=real, additional_wrappers=harmless)})
        case("minari", f"{real}, a wrapper that calls itself harmless", changed, SAME)
        case("minari", f"{real}, entry point", metadata({"env_spec": spec(id=real, entry_point="os:system")}), SAME)
        changed = metadata({"env_spec": spec(id=real, vector_entry_point="os:system")})
        case("minari", f"{real}, vector entry point", changed, SAME)
        changed = metadata({"env_spec": spec(id=real, kwargs={"render_mode": "human"})})
        case("minari", f"{real}, a window", changed, SAME)
    for name in ("Hopper-v5", "Humanoid-v5", "Swimmer-v4"):
        changed = metadata({"env_spec": spec(id=name, kwargs={"xml_file": "MARKER.xml"})})
        case("minari", f"{name}, xml_file", changed, SAME)
    case("minari", "Hopper-v5, xml_file that is there", _model, SAME)
    changed = metadata(
        {"action_space": json.dumps({"type": "Box", "dtype": "__import__('os').system('touch MARKER')"})}
    )
    case("minari", "a type that is code", changed, REFUSED)
    changed = metadata({"action_space": "cos\nsystem\n(S'touch MARKER'\ntR."})
    case("minari", "a pickle as a space", changed, REFUSED)
    case(
        "minari",
        "a namespace's metadata",
        lambda d: (d.parents[1] / "namespace_metadata.json").write_text("[[["),
        SAME,
    )


def _model(data: Path) -> None:
    import gymnasium

    source = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "hopper.xml"
    shutil.copy(source, data.parents[3] / "model.xml")
    metadata({"env_spec": spec(id="Hopper-v5", kwargs={"xml_file": str(data.parents[3] / "model.xml")})})(data)


DEEP = "[" * 100_000
HUGE = 10**12
TEXTS = {
    "empty": b"",
    "[]": b"[]",
    "null": b"null",
    "a text": b'"text"',
    "a number": b"7",
    "{}": b"{}",
    "NaN": b"NaN",
    "deep": DEEP.encode(),
    "deep objects": b'{"a":' * 50_000,
    "digits": b'{"total_steps": ' + b"9" * 5_000 + b"}",
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "NUL": b"\x00" * 100,
    "a surrogate": b'{"data_format": "\\ud800"}',
}
COUNTS = (HUGE, 10**9, 10**40, -1, 0, 1, 4, 1.5, 3.0, "3", True, None, [3], {}, float("nan"), float("inf"))
ODD = (None, 5, -1, 1e999, True, "", "x", "line\nbreak", "\x1b[31m", "x" * 2_000, [], [1], {}, {"a": {"b": []}})
BOX = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-1.0], "high": [1.0]}


def nested(depth: int) -> str:
    """A dictionary of dictionaries."""
    return '{"type":"Dict","subspaces":{"a":' * depth + json.dumps(BOX) + "}}" * depth


BOXES: dict[str, Any] = {
    "shape huge": BOX | {"shape": [HUGE]},
    "shape [10**6, 10**6]": BOX | {"shape": [10**6, 10**6], "low": -1.0, "high": 1.0},
    "shape negative": BOX | {"shape": [-1]},
    "shape text": BOX | {"shape": "1"},
    "shape none": BOX | {"shape": None},
    "shape []": BOX | {"shape": [], "low": -1.0, "high": 1.0},
    "shape [0]": BOX | {"shape": [0], "low": [], "high": []},
    "shape 70 axes": BOX | {"shape": [1] * 70},
    "bounds NaN": BOX | {"low": [float("nan")]},
    "bounds reversed": BOX | {"low": [1.0], "high": [-1.0]},
    "bounds equal": BOX | {"low": [1.0]},
    "bounds infinite": BOX | {"low": [-float("inf")]},
    "bounds 1e308": BOX | {"low": [-1e308], "high": [1e308]},
    "bounds text": BOX | {"low": ["a"]},
    "bounds missing": {k: v for k, v in BOX.items() if k != "low"},
    "dtype object": BOX | {"dtype": "O"},
    "dtype text": BOX | {"dtype": "S8"},
    "dtype long": BOX | {"dtype": "S2000000000"},
    "dtype none": BOX | {"dtype": None},
    "dtype complex": BOX | {"dtype": "complex64"},
    "dtype int8": BOX | {"dtype": "int8"},
    "type unknown": BOX | {"type": "os:system"},
    "type list": BOX | {"type": ["Box"]},
    "discrete 0": {"type": "Discrete", "n": 0, "start": 0, "dtype": "int64"},
    "discrete huge": {"type": "Discrete", "n": HUGE, "start": 0, "dtype": "int64"},
    "discrete 10**40": {"type": "Discrete", "n": 10**40, "start": 0, "dtype": "int64"},
    "discrete text": {"type": "Discrete", "n": "3", "start": 0, "dtype": "int64"},
    "binary": {"type": "MultiBinary", "n": [HUGE]},
    "multi": {"type": "MultiDiscrete", "nvec": [0], "start": [0], "dtype": "int64"},
    "text": {"type": "Text", "max_length": HUGE, "min_length": 0, "charset": "ab"},
    "tuple": {"type": "Tuple", "subspaces": [BOX, BOX]},
    "dict of nothing": {"type": "Dict", "subspaces": {}},
    "dict of a list": {"type": "Dict", "subspaces": [BOX]},
    "dict of odd names": {"type": "Dict", "subspaces": {"../../x": BOX, "": BOX, "/": BOX}},
    "graph": {"type": "Graph"},
    "a list": [BOX],
    "nothing": None,
    "a number": 5,
}


def _metadata() -> None:
    for name, content in TEXTS.items():
        case("minari", f"metadata {name}", text(content), REFUSED)
    for key in ("total_steps", "total_episodes"):
        for value in COUNTS:
            case("minari", f"{key} {value!r:.20}", metadata({key: value}), SAME)
        case("minari", f"no {key}", metadata(drop=(key,)), SAME)
    case("minari", "counts huge together", metadata({"total_steps": HUGE, "total_episodes": HUGE}), REFUSED)
    for key in ("data_format", "dataset_id", "minari_version", "env_spec", "jpeg_encoding"):
        for value in ODD:
            case("minari", f"{key} {value!r:.20}", metadata({key: value}), SAME)
    for key in ("ref_min_score", "requirements", "provenance", "description", "algorithm_name", "eval_env_spec"):
        for value in ODD:
            case("minari", f"{key} {value!r:.20}", metadata({key: value, "ref_max_score": 1.0}), SAME)
    for low, high in ((1, 0), (1, 1), (float("nan"), 1), (-1e999, 1e999), (10**400, 10**401), ("0", "1"), (True, 2)):
        changed = metadata({"ref_min_score": low, "ref_max_score": high})
        case("minari", f"reference {low!r:.20}, {high!r:.20}", changed, SAME)
    for which in ("action_space", "observation_space"):
        for name, space in BOXES.items():
            case("minari", f"{which}: {name}", metadata({which: json.dumps(space)}))
            if name in ("a list", "nothing", "a number", "shape huge"):
                case("minari", f"{which} as it is: {name}", metadata({which: space}), REFUSED)
        for depth in (2, 200, 3_000, 50_000):
            case("minari", f"{which} {depth} deep", metadata({which: nested(depth)}), REFUSED)


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
            if (field, name) == ("timeouts", "gone") or (field, name) == ("next_observations", "gone"):
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


_acting()
_metadata()
_arrays()
_files()
_stream()


# -- one case --------------------------------------------------------------------------------------------------


def make(folder: Path) -> Path:
    """Two good Minari datasets and a good D4RL file below `folder/root`, made once for a child."""
    root = folder / "root"
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    for name in (NAME, OTHER):
        minari.export(rows(), name, spaces=SPACES, algorithm_name="test", description="a test", provenance={})
    with h5py.File(root / STREAM, "w") as opened:
        for name, value in stream().items():
            opened[name] = value
    return root


def template() -> Path:
    """The good root, in a folder that is left to the system to clear."""
    if "made" not in _TEMPLATE:
        import tempfile

        _KEEP.append(tempfile.TemporaryDirectory())
        _TEMPLATE["made"] = make(Path(_KEEP[-1].name))
        tracemalloc.start()
    return _TEMPLATE["made"]


_TEMPLATE: dict[str, Path] = {}
_KEEP: list[Any] = []


def attempt(label: str, folder: Path) -> list[Fault]:
    kind, spoil, allowed = CASES[label]
    root = folder / "a" / "root"
    shutil.copytree(template(), root)
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    (folder / f"{MODULE}.py").write_text(f"open({str(folder / 'a' / MARKER)!r}, 'w')\nmake = print\n")
    place = root / NAME / "data" if kind == "minari" else root
    spoil(place)
    name, naming = (NAME, [NAME]) if kind == "minari" else (str(root / STREAM), [STREAM])
    before, faults = bench.contents(folder), []
    for what, call in CALLS.items():
        faults += [Fault(f"{what}: {fault.kind}", fault.detail) for fault in _call(call, kind, name, naming, allowed)]
    marker = folder / "a" / MARKER
    if marker.exists():
        faults.append(Fault("code that the file names is run", ""))
    written = [path for path in bench.changed(before, bench.contents(folder)) if "__pycache__" not in path]
    if written and not marker.exists():
        faults.append(Fault("something is written", ", ".join(written)))
    return faults


def _call(call: Any, kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    tracemalloc.reset_peak()
    held = tracemalloc.get_traced_memory()[0]
    faults = call(kind, name, naming, allowed)
    peak = tracemalloc.get_traced_memory()[1] - held
    if peak > MOST:
        faults.append(Fault(f"takes more than {MOST >> 20} MB", f"{peak:,} bytes"))
    return faults


def _load(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    found, faults, refused = bench.outcome(lambda: o2o.dataset(name), naming)
    if refused or faults:
        return faults
    if allowed == REFUSED:
        return [Fault("accepted", f"{found.rows} rows")]
    good = jax.tree.map(np.asarray, rows())
    data = jax.tree.map(lambda x: np.asarray(x)[:, 0], found.data)
    if allowed == SAME and not all(np.array_equal(a, b) for a, b in zip(data[:6], good[:6], strict=True)):
        return [Fault("other rows", f"{found.rows} rows")]
    spaces = Spaces(Space(data.obs.shape[1:]), Space(data.action.shape[1:]))
    _, faults, refused = bench.outcome(lambda: checks.check_store(found, spaces))
    discrete = data.action.dtype.kind == "i"
    if refused and not discrete:
        return [Fault("rows that its own checks refuse", f"{found.rows} rows")]
    return [Fault("more rows than the file", f"{found.rows} rows")] if found.rows > ROWS else faults


def _describe(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    found, faults, _ = bench.outcome(lambda: datasets.info(name), naming)
    if found is not None and found.reference is not None:
        low, high = found.reference
        if not (np.isfinite([low, high]).all() and low < high):
            faults.append(Fault("a reference that is none", f"{found.reference}"))
    return faults


def _as_task(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    found, faults, _ = bench.outcome(lambda: o2o.task_from_minari(name), naming)
    if found is not None and name == NAME and "xml_file" in (minari.root() / NAME / "data/metadata.json").read_text():
        faults.append(Fault("a path in the metadata is followed", found.env.name))
    return faults


def command(argv: list[str]) -> tuple[int | None, str, str, list[Fault]]:
    """Exit code, both outputs, and what is wrong with how the command ended."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except Exception as error:
            return None, out.getvalue(), err.getvalue(), [bench.crash(error)]
    return code, out.getvalue(), err.getvalue(), []


def _list(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    code, out, _, faults = command(["list", "datasets", "--json"])
    if not faults and (code != 0 or OTHER not in out):
        faults.append(Fault("one damaged dataset hides the others", f"exit code {code}"))
    return faults


def _inspect(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    code, _, err, faults = command(["inspect", name])
    if code == 2 and (len(err.splitlines()) != 1 or len(err) > bench.LONGEST or not any(x in err for x in naming)):
        faults.append(Fault("an error that is not one short line that names it", bench.ends(err)))
    return faults


CALLS = {"dataset": _load, "info": _describe, "task": _as_task, "list": _list, "inspect": _inspect}


def test_hostile_data_give_honest_rows_or_one_line_and_run_nothing(minari_root, tmp_path):
    labels = bench.chosen(CASES, 500)
    assert len(labels) >= 200
    found = bench.failures("test_hostile_data", labels)
    assert not found, bench.listed(found, len(labels))
