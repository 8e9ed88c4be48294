"""Run folders that were damaged: what is read is what was written, or one line that names the file.

Two runs and a sweep in parts are trained once, as small as they can be. A case damages a copy of one of them; then
results and policies are loaded, the folder is reported on and resumed, and some are evaluated and rendered. Numbers
that come out must be those of the undamaged folder.
"""

import contextlib
import functools
import io
import json
import os
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import bench
import jax
import numpy as np
import pytest
from bench import Fault
from tiny import shrink

import purejaxo2o as o2o
from purejaxo2o import archive, policies, programs
from purejaxo2o.cli import main
from purejaxo2o.data import collect

pytestmark = pytest.mark.slow

RUNS = "PUREJAXO2O_FUZZ_RUNS"
"""The environment variable that names the trained folders for the child."""
RUN, OTHER, SWEEP = "run", "other", "sweep"
SECONDARY = 12
"""Every so many cases are evaluated and rendered, too: that compiles."""

CASES: dict[str, tuple[str, Any]] = {}
"""Label: the folder that is damaged, and how."""


def case(folder: str, label: str, spoil: Any) -> None:
    label = f"{folder}: {label}"
    assert label not in CASES, label
    CASES[label] = (folder, spoil)


# -- the good folders ------------------------------------------------------------------------------------------


@functools.cache
def material() -> tuple[Any, Any, Any]:
    """Behaviour cloning in a maze: every command takes it."""
    task = o2o.task("pointmaze-umaze")
    recipe = o2o.replace(shrink(o2o.recipe("bc", task, "small")), {"eval_episodes": 1, "offline.segments": 2})
    actions = collect.random_policy(task.env.action_space)
    return recipe, task, collect.collect(task.env, actions, jax.random.key(1), steps=400, num_envs=10)


def train(root: Path) -> None:
    recipe, task, data = material()
    how: Any = {"progress": False, "save_every": 1}
    for seed, name in enumerate((RUN, OTHER)):
        o2o.fit(jax.random.key(seed), recipe, task, data, out=root / name, **how)
    over = {"agent.learning_rate": [1e-3, 1e-2]}
    o2o.sweep(recipe, task, data, seeds=1, over=over, chunk=1, width=1, out=root / SWEEP, **how)


def resumed(folder: Path) -> Any:
    recipe, task, data = material()
    if folder.name.startswith(SWEEP):
        over = {"agent.learning_rate": [1e-3, 1e-2]}
        how: Any = {"seeds": 1, "over": over, "chunk": 1, "width": 1}
        return o2o.sweep(recipe, task, data, out=folder, resume=True, progress=False, **how)
    return o2o.fit(jax.random.key(0), recipe, task, data, out=folder, resume=True, progress=False)


# -- damage ----------------------------------------------------------------------------------------------------


def put(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def gone(name: str):
    def spoil(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def instead(name: str, make: Any):
    def spoil(folder: Path) -> None:
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


def entry(path: tuple[str, ...], value: Any, name: str = "config.json"):
    """One entry of a JSON file changed; `...` drops it."""

    def spoil(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        inner = document
        for part in path[:-1]:
            inner = inner[part]
        if value is ...:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        (folder / name).write_text(json.dumps(document))

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
        key = sorted(found)[which % len(found)]
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


def foreign_arrays(newest: Path, folder: Path) -> None:
    """Another run's arrays under one's own seal."""
    other = folder.parent / f"good-{OTHER}" / "checkpoints" / newest.name
    for path in newest.rglob("arrays.npz"):
        shutil.copy(other / path.relative_to(newest), path)


DOCUMENTS: dict[str, bytes] = {
    **{text: text.encode() for text in ("[]", "null", '""', "0", "{}", "true", "NaN", "[{}]", '{"recipe": "bc"}')},
    **{"empty": b"", "binary": b"\x80\xff\x00", "deep": b"[" * 100_000, "digits": b'{"a": ' + b"9" * 5_000 + b"}"},
}
ODD = (None, 5, -1, 1e999, True, "x", "line\nbreak", "x" * 2_000, [], [[]], {}, {"a": [1]}, 10**400)
OWN = ("recipe", "task", "keys", "key_impl", "settings", "data", "dataset")
SWEPT = ("axes", "over", "static", "seeds", "processes", "parts")
PART = ("width", "chunk", "program", "lanes")
NUMBERS = (0, -1, 999, 10**12, 1.5, True, None, "2", [], [99], [0, 0], {})
SWAPS: dict[str, Any] = {
    "a FIFO": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/null": lambda path: path.symlink_to("/dev/null"),
}
HEADERS = {
    "declares 10**12": b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n",
    "declares -1": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n",
    "declares objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n",
    "is code": b"__import__('os').system('touch marker')\n",
    "is deep": b"(" * 9_000 + b"\n",
}


def _configs() -> None:
    for folder in (RUN, SWEEP):
        for name, content in DOCUMENTS.items():
            case(folder, f"config.json {name}", put("config.json", content))
        for name, make in SWAPS.items():
            case(folder, f"config.json {name}", instead("config.json", make))
        for share in (0.1, 0.9, 0.99):
            case(folder, f"config.json cut to {share:.0%}", cut("config.json", share))
        case(folder, "no config.json", gone("config.json"))
    for key in OWN:
        case(RUN, f"no {key}", entry((key,), ...))
        for value in ODD:
            case(RUN, f"{key} {value!r:.20}", entry((key,), value))
    for key in (
        "agent.hidden",
        "agent.learning_rate",
        "offline.steps",
        "offline.segments",
        "eval_episodes",
        "num_envs",
    ):
        case(RUN, f"no setting {key}", entry(("settings", key), ...))
        for value in (*ODD[::2], [0], 10**9):
            case(RUN, f"setting {key} {value!r:.20}", entry(("settings", key), value))
    case(RUN, "an unknown setting", entry(("settings", "agent.nothing"), 1))
    case(RUN, "another seed's key", entry(("keys",), [0, 1]))
    case(RUN, "another task", entry(("task",), "pointmaze-medium"))
    case(RUN, "another recipe", entry(("recipe",), "iql"))
    for key in ("versions", "commit", "platform"):
        case(RUN, f"{key} null", entry((key,), None))
    for key in SWEPT:
        case(SWEEP, f"no {key}", entry((key,), ...))
        for value in NUMBERS:
            case(SWEEP, f"{key} {value!r:.20}", entry((key,), value))
    for key in PART:
        case(SWEEP, f"part, no {key}", entry((key,), ..., "part-0/config.json"))
        for value in NUMBERS:
            case(SWEEP, f"part, {key} {value!r:.20}", entry((key,), value, "part-0/config.json"))


def _archives() -> None:
    for name in ("results.npz", "records.npz"):
        _archive(name, lambda spoil_named, name=name: spoil_named(name), flips=12)
    _archive("arrays.npz", lambda spoil_named: inside("arrays.npz", spoil_named), flips=12)
    for name in ("results.npz", "records.npz"):
        case(RUN, f"{name} of another run", foreign(name))
    case(RUN, "arrays.npz of another run", checkpoint(foreign_arrays))
    case(RUN, "the checkpoint of another run", checkpoint(both_foreign))
    for name in ("part-0/results.npz", "part-0/records.npz"):
        case(SWEEP, f"no {name}", gone(name))
        case(SWEEP, f"{name} cut", cut(name, 0.5))
        case(SWEEP, f"{name} edited", arrays(name, lambda found: {k: edited(v) for k, v in found.items()}))
        other = name.replace("part-0", "part-1")
        case(SWEEP, f"{name} of the other part", lambda d, name=name, other=other: shutil.copy(d / other, d / name))
    case(SWEEP, "no part", lambda d: [shutil.rmtree(d / f"part-{i}") for i in range(2)])
    case(SWEEP, "one part lacks", gone("part-1"))
    case(SWEEP, "a part is a file", instead("part-1", lambda path: path.write_text("x")))
    case(SWEEP, "a part twice", lambda d: shutil.copytree(d / "part-0", d / "part-2"))
    case(
        SWEEP,
        "a part is the other",
        lambda d: (shutil.rmtree(d / "part-1"), shutil.copytree(d / "part-0", d / "part-1")),
    )


def _archive(name: str, at: Any, flips: int) -> None:
    """Every damage of a file of arrays; `at(spoil_named)` says where it lies."""
    case(RUN, f"no {name}", at(gone))
    for kind, make in SWAPS.items():
        case(RUN, f"{name} {kind}", at(lambda n, make=make: instead(n, make)))
    case(RUN, f"{name} text", at(lambda n: put(n, b"no zip" * 100)))
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        case(RUN, f"{name} cut to {share:.1%}", at(lambda n, share=share: cut(n, share)))
    for seed in range(flips):
        case(RUN, f"{name} changed bytes, seed {seed}", at(lambda n, seed=seed: flip(n, seed)))
    for kind, function in CHANGES.items():
        for which in (0, 3, 7):
            change = one(function, which)
            case(RUN, f"{name} array {which} {kind}", at(lambda n, change=change: arrays(n, change)))
    for which in range(0, 12, 2):

        def drop(found: dict[str, Any], which: int = which) -> dict[str, Any]:
            return {key: x for key, x in found.items() if key != sorted(found)[which % len(found)]}

        def rename(found: dict[str, Any], which: int = which) -> dict[str, Any]:
            return {f"{key}x" if i == which % len(found) else key: found[key] for i, key in enumerate(sorted(found))}

        case(RUN, f"{name} lacks array {which}", at(lambda n, drop=drop: arrays(n, drop)))
        case(RUN, f"{name} array {which} renamed", at(lambda n, rename=rename: arrays(n, rename)))
    case(RUN, f"{name} all edited", at(lambda n: arrays(n, lambda found: {k: edited(v) for k, v in found.items()})))
    case(RUN, f"{name} one more", at(lambda n: arrays(n, lambda found: found | {"more": np.zeros(3)})))
    case(RUN, f"{name} no arrays", at(lambda n: arrays(n, lambda found: {})))
    case(RUN, f"{name} compressed", at(lambda n: arrays(n, lambda found: found, np.savez_compressed)))
    case(RUN, f"{name} encrypted", at(encrypted))
    case(RUN, f"{name} every name twice", at(twice))
    for kind, text in HEADERS.items():
        case(RUN, f"{name} a header {kind}", at(lambda n, text=text: header(n, text)))


def _checkpoints() -> None:
    for name, content in DOCUMENTS.items():
        case(RUN, f"seal.json {name}", inside("seal.json", lambda n, content=content: put(n, content)))
    for key in ("identity", "segment", "arrays"):
        case(RUN, f"seal.json, no {key}", inside("seal.json", lambda n, key=key: entry((key,), ..., n)))
        for value in ODD:
            spoil = inside("seal.json", lambda n, key=key, value=value: entry((key,), value, n))
            case(RUN, f"seal.json, {key} {value!r:.20}", spoil)
    case(RUN, "no seal.json", inside("seal.json", gone))
    case(RUN, "seal.json a FIFO", inside("seal.json", lambda n: instead(n, os.mkfifo)))
    case(RUN, "checkpoints a file", instead("checkpoints", lambda path: path.write_text("x")))
    case(RUN, "checkpoints a link to itself", instead("checkpoints", lambda path: path.symlink_to(path.name)))
    case(RUN, "checkpoints empty", lambda d: (shutil.rmtree(d / "checkpoints"), (d / "checkpoints").mkdir()))
    case(RUN, "no checkpoints", gone("checkpoints"))
    case(RUN, "no newest checkpoint", checkpoint(lambda newest, d: shutil.rmtree(newest)))
    case(RUN, "newest checkpoint empty", checkpoint(lambda newest, d: (shutil.rmtree(newest), newest.mkdir())))
    case(
        RUN, "newest checkpoint a file", checkpoint(lambda newest, d: (shutil.rmtree(newest), newest.write_text("x")))
    )
    case(RUN, "newest checkpoint without run", checkpoint(lambda newest, d: shutil.rmtree(newest / "run")))
    for name in ("99", "0", "-1", "abc", "9" * 200, "1e3", "٣", ".hidden", "3.orbax-checkpoint-tmp"):
        case(
            RUN,
            f"checkpoints/{name:.10} copied",
            checkpoint(lambda n, d, name=name: shutil.copytree(n, n.parent / name)),
        )
        case(RUN, f"checkpoints/{name:.10} empty", lambda d, name=name: (d / "checkpoints" / name).mkdir())
    case(RUN, "the older checkpoint as the newest", checkpoint(_older))


def _older(newest: Path, folder: Path) -> None:
    shutil.rmtree(newest)
    shutil.copytree(next((folder / "checkpoints").iterdir()), newest)


def _others() -> None:
    for name in ("metrics.jsonl", "timing.json"):
        for kind, content in {"empty": b"", "binary": b"\xff\x00" * 50, "one long line": b"x" * 10**6}.items():
            case(RUN, f"{name} {kind}", put(name, content))
        for kind, make in SWAPS.items():
            case(RUN, f"{name} {kind}", instead(name, make))
        case(RUN, f"no {name}", gone(name))
    case(RUN, "the folder is a file", lambda d: (shutil.rmtree(d), d.write_text("x")))
    case(RUN, "the folder is a link to itself", lambda d: (shutil.rmtree(d), d.symlink_to(d.name)))
    case(RUN, "the folder is empty", lambda d: (shutil.rmtree(d), d.mkdir()))
    case(RUN, "the folder is gone", shutil.rmtree)
    case(RUN, "a stranger's file beside", put("notes.txt", b"x"))
    case(RUN, "a temporary file beside", put("results.npz.tmp", b"x"))
    case(RUN, "a temporary folder beside", lambda d: (d / "results.npz.tmp").mkdir())


ASKED: dict[str, list[str]] = {
    "10**12 episodes": ["evaluate", "RUN", "--episodes", "1000000000000"],
    "10**400 episodes": ["evaluate", "RUN", "--episodes", "9" * 400],
    "seed 10**400": ["evaluate", "RUN", "--episodes", "1", "--seed", "9" * 400],
    "10**12 episodes drawn": ["render", "RUN", "--episodes", "1000000000000"],
    "lane 99": ["render", "RUN", "--lane", "99"],
    "a picture on a file": ["render", "RUN", "--episodes", "1", "--out", "RUN/config.json/x.png"],
    "a picture of no kind": ["render", "RUN", "--episodes", "1", "--out", "x.nothing"],
    "a report on a file": ["report", "RUN", "--out", "RUN/config.json"],
    "a report below a file": ["report", "RUN", "--out", "RUN/config.json/x"],
    "a report on a full device": ["report", "RUN", "--out", "/dev/full"],
    "a report twice": ["report", "RUN", "RUN", "--out", "RUN/config.json"],
}
"""Of an undamaged folder, what cannot be."""


def nothing(folder: Path) -> None:
    """No damage."""


_configs()
_archives()
_checkpoints()
_others()
for asked in ASKED:
    case(RUN, f"undamaged, {asked}", nothing)
case(RUN, "undamaged", nothing)
case(SWEEP, "undamaged", nothing)


# -- one case --------------------------------------------------------------------------------------------------


class Trains(BaseException):
    """The folder was taken, and what it lacks would be trained."""


def _trains(*_: Any, **__: Any) -> Any:
    raise Trains


@functools.cache
def good() -> dict[str, Any]:
    """What the undamaged folders give, by folder; policies also by segment. From now on nothing is compiled."""
    root, found = Path(os.environ[RUNS]), {}
    for name in (RUN, SWEEP):
        found[name, "results"] = _measured(archive.load_results(root / name))
    newest = policies.load_policies(root / RUN)
    found[newest.segment] = jax.tree.map(np.asarray, newest.state)
    work = Path(tempfile.mkdtemp(prefix="older-", dir=root)) / RUN
    shutil.copytree(root / RUN, work)
    shutil.rmtree(work / "checkpoints" / str(newest.segment))
    older = policies.load_policies(work)
    found[older.segment] = jax.tree.map(np.asarray, older.state)
    found["texts"] = {name: _said(argv, root / RUN) for name, argv in COMMANDS.items()}
    programs.Programs.compile = lambda self, indices, watch: _trains() if list(indices) else None
    jax.stages.Lowered.compile = _trains  # pyright: ignore[reportAttributeAccessIssue]
    return found


def _measured(result: Any) -> dict[str, np.ndarray]:
    """Every array that was measured, by name."""
    named = {name: getattr(result, name) for name in archive.RESULT_ARRAYS}
    named |= {f"metrics/{name}": value for name, value in result.metrics.items()}
    named |= {f"fault/{name}": value for name, value in vars(result.fault).items()}
    named["switch"] = result.switch
    return {name: np.asarray(value) for name, value in named.items()}


def _same(one: Any, other: Any) -> bool:
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    pairs = list(zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
    try:
        return all(np.shape(a) == np.shape(b) and np.array_equal(a, b, equal_nan=True) for a, b in pairs)
    except TypeError:  # of text, say
        return False


COMMANDS = {
    "evaluate": ["evaluate", "RUN", "--episodes", "2"],
    "render": ["render", "RUN", "--out", "x.png", "--episodes", "1"],
}


def _said(argv: list[str], folder: Path) -> tuple[Any, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([word.replace("RUN", str(folder)) for word in argv])
    return code, out.getvalue(), err.getvalue()


def attempt(label: str, folder: Path) -> list[Fault]:
    name, spoil = CASES[label]
    expected, root = good(), Path(os.environ[RUNS])
    run = folder / f"{name}-damaged"
    shutil.copytree(root / name, run)
    shutil.copytree(root / OTHER, folder / f"good-{OTHER}")
    spoil(run)
    before, faults = bench.contents(run), []
    if asked := ASKED.get(label.partition("undamaged, ")[2]):
        return _named("asked", _refused(asked, run)) + _unchanged(before, run)
    faults += _named("load_results", _results(run, expected[name, "results"]))
    if name == RUN:
        faults += _named("load_policies", _policies(run, expected))
    faults += _named("report", _command(["report", "RUN", "--out", "report"], run, None))
    if list(CASES).index(label) % SECONDARY == 0 and name == RUN:
        for what, argv in COMMANDS.items():
            faults += _named(what, _command(argv, run, expected["texts"][what]))
    faults += _unchanged(before, run)
    faults += _named("resume", _resumed(run, expected[name, "results"]))
    if (folder / "marker").exists():
        faults.append(Fault("code in the file is run", ""))
    return faults


def _unchanged(before: dict[str, Any], run: Path) -> list[Fault]:
    written = bench.changed(before, bench.contents(run))
    return [Fault("reading writes", ", ".join(written))] if written else []


def _refused(argv: list[str], run: Path) -> list[Fault]:
    """What is wrong with the refusal of a command that cannot be done."""
    try:
        code, _, err = _said(argv, run)
    except Exception as error:
        return [bench.crash(error)]
    right = code == 2 and len(err.splitlines()) == 1 and len(err) < bench.LONGEST + sum(map(len, argv))
    return [] if right else [Fault(f"exit code {code}, not one line", bench.ends(err))]


def _named(what: str, faults: list[Fault]) -> list[Fault]:
    return [Fault(f"{what}: {fault.kind}", fault.detail) for fault in faults]


def _results(run: Path, expected: Any) -> list[Fault]:
    found, faults, refused = bench.outcome(lambda: _measured(archive.load_results(run)), [run.name])
    return (
        faults
        if refused or faults or _same(found, expected)
        else [Fault("other numbers", _difference(found, expected))]
    )


def _difference(found: Any, expected: Any) -> str:
    wrong = [name for name in expected if name not in found or not _same(found[name], expected[name])]
    wrong += [name for name in found if name not in expected]
    return ", ".join(wrong)


def _policies(run: Path, expected: Any) -> list[Fault]:
    found, faults, refused = bench.outcome(lambda: policies.load_policies(run), [run.name])
    if refused or faults:
        return faults
    state = jax.tree.map(np.asarray, found.state)
    if found.segment not in expected:
        return [Fault("a segment that was never saved", f"{found.segment}")]
    return [] if _same(state, expected[found.segment]) else [Fault("other parameters", f"segment {found.segment}")]


def _resumed(run: Path, expected: Any) -> list[Fault]:
    try:
        found, faults, refused = bench.outcome(lambda: _measured(resumed(run)), [run.name])
    except Trains:
        return []
    return (
        faults
        if refused or faults or _same(found, expected)
        else [Fault("other numbers", _difference(found, expected))]
    )


def _command(argv: list[str], run: Path, expected: Any) -> list[Fault]:
    try:
        code, out, err = _said(argv, run)
    except Exception as error:
        return [bench.crash(error)]
    if code == 0:
        differs = expected is not None and out.replace(run.name, RUN) != expected[1]
        return [Fault("other numbers", bench.ends(out))] if differs else []
    lines = err.splitlines()
    if code != 2 or not lines or len(lines[-1]) > bench.LONGEST or run.name not in lines[-1] or len(lines) > 1:
        return [Fault(f"exit code {code}, not one line that names the folder", bench.ends(err))]
    return []


def test_damaged_folders_give_what_was_written_or_one_line(tmp_path):
    labels = bench.chosen(CASES, 300)
    assert len(labels) >= 200
    train(tmp_path)
    found = bench.failures("test_damaged_folders", labels, **{RUNS: str(tmp_path)})
    assert not found, bench.listed(found, len(labels))
