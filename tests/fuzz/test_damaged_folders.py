"""Run folders that were damaged: what is read is what was written, or one line that names the file.

Two runs and a sweep in parts are trained once, as small as they can be. A case damages a copy of one of them; then
results and policies are loaded, the folder is reported on and resumed, and some are evaluated and rendered. Numbers
that come out must be those of the undamaged folder, unless everything that is sealed was sealed again; nothing is
written beside the folder.
"""

import contextlib
import functools
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import bench
import jax
import numpy as np
import pytest
from bench import Fault
from damage import OTHER, RUN, SWEEP
from damaged_folders import ASKED, CASES
from tiny import shrink

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.data import collect
from purejaxo2o.disk.results import RESULT_ARRAYS, load_results
from purejaxo2o.drive import policies, programs

pytestmark = pytest.mark.slow
RUNS = "PUREJAXO2O_FUZZ_RUNS"
"""The environment variable that names the trained folders for the child."""
SECONDARY = 12
"""Every so many cases are evaluated and rendered, too: that compiles."""


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


# -- one case --------------------------------------------------------------------------------------------------


class Trains(BaseException):
    """The folder was taken, and what it lacks would be trained."""


def _trains(*_: Any, **__: Any) -> Any:
    raise Trains


@functools.cache
def good() -> dict[Any, Any]:
    """What the undamaged folders give, by folder; policies also by segment. From now on nothing is compiled."""
    root, found = Path(os.environ[RUNS]), {}
    for name in (RUN, SWEEP):
        found[name, "results"] = _measured(load_results(root / name))
    found[SWEEP, "policies"] = jax.tree.map(np.asarray, policies.load_policies(root / SWEEP / "part-0").state)
    newest = policies.load_policies(root / RUN)
    found[newest.segment] = jax.tree.map(np.asarray, newest.state)
    work = Path(tempfile.mkdtemp(prefix="older-", dir=root)) / RUN
    shutil.copytree(root / RUN, work)
    shutil.rmtree(work / "checkpoints" / str(newest.segment))
    older = policies.load_policies(work)
    found[older.segment] = jax.tree.map(np.asarray, older.state)
    folders = (root / RUN, work)
    found["texts"] = {name: [_said(argv, folder)[1] for folder in folders] for name, argv in COMMANDS.items()}
    programs.Programs.compile = lambda self, indices, watch: _trains() if list(indices) else None
    jax.stages.Lowered.compile = _trains  # pyright: ignore[reportAttributeAccessIssue]
    return found


def prepare() -> None:
    good()


def _measured(result: Any) -> dict[str, np.ndarray]:
    """Every array that was measured, by name."""
    named = {name: getattr(result, name) for name in RESULT_ARRAYS}
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
    name, spoil, other = CASES[label]
    expected, root = good(), Path(os.environ[RUNS])
    run = folder / f"{name}-damaged"
    shutil.copytree(root / name, run)
    shutil.copytree(root / OTHER, folder / f"good-{OTHER}")
    outside = _outside(folder, run)
    spoil(run)
    before, faults = bench.contents(run), []
    if asked := ASKED.get(label.partition("undamaged, ")[2]):
        return _named("asked", _refused(asked, run)) + _unchanged(before, run)
    faults += _named("load_results", _results(run, expected[name, "results"]))
    if name == RUN:
        faults += _named("load_policies", _policies(run, expected))
    else:
        faults += _named("load_policies", _swept(run, expected[SWEEP, "policies"]))
    faults += _named("report", _command(["report", "RUN", "--out", "report"], run, None))
    if list(CASES).index(label) % SECONDARY == 0 and name == RUN:
        for what, argv in COMMANDS.items():
            faults += _named(what, _command(argv, run, expected["texts"][what]))
    faults += _unchanged(before, run)
    faults += _named("resume", _resumed(run, expected[name, "results"]))
    if written := bench.changed(outside, _outside(folder, run)):
        faults.append(Fault("something is written beside the folder, or run", ", ".join(written)))
    return [fault for fault in faults if not (other and "other" in fault.kind)]


def _outside(folder: Path, run: Path) -> dict[str, Any]:
    """What lies beside the damaged folder; reports are drawn there."""
    own = (run.name, "report", "x.png")
    return {name: x for name, x in bench.contents(folder).items() if Path(name).parts[0] not in own}


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
    found, faults, refused = bench.outcome(lambda: _measured(load_results(run)), [run.name])
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


def _swept(run: Path, expected: Any) -> list[Fault]:
    found, faults, refused = bench.outcome(lambda: policies.load_policies(run / "part-0"), [run.name])
    if refused or faults or _same(jax.tree.map(np.asarray, found.state), expected):
        return faults
    return [Fault("other parameters", "part-0")]


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
        differs = expected is not None and out.replace(run.name, RUN) not in expected
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
