"""The host driver equals the pure function, writes nothing half, resumes bit for bit, and refuses bad input early."""

import dataclasses
import json
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles import Counting
from tiny import arrays, distance, tiny

import purejaxo2o as o2o
from purejaxo2o.disk.results import load_results
from purejaxo2o.drive.programs import compiler_options
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.types import O2OError

KEY = seed_keys(3)[0]


def fit(out=None, changes=None, **settings):
    recipe, task, data = tiny("iql")
    how = {"save_every": 1, "progress": False} | settings
    return o2o.fit(KEY, o2o.replace(recipe, changes or {}), task, data, out=out, **how)


class Rows:
    """A sink that keeps what it is given, and may fail at one row."""

    def __init__(self, fail_at=None):
        self.rows, self.fail_at, self.closed = [], fail_at, False

    def write(self, row):
        if len(self.rows) == self.fail_at:
            raise KeyboardInterrupt
        self.rows.append(row)

    def close(self):
        self.closed = True


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that was never interrupted."""
    out, sink = tmp_path_factory.mktemp("fit") / "run", Rows()
    return fit(out, sinks=[sink]), out, sink


def same(one, other):
    """Bit for bit."""
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.exact
def test_equals_train(finished):
    result, _, _ = finished
    pure = jax.jit(o2o.train)(KEY, *tiny("iql"))
    assert jax.tree.structure(result) == jax.tree.structure(pure)
    assert distance(result.run, pure.run) <= 1e-4  # measured: 0
    for name in ("returns", "metrics", "env_steps", "grad_steps", "phase", "finite"):
        assert distance(getattr(result, name), getattr(pure, name)) <= 1e-4


def test_writes_what_it_returns(finished):
    result, out, sink = finished
    assert sorted(p.name for p in out.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "results.npz",
        "timing.json",
    ]
    loaded = load_results(out)
    for name in ("scores", "returns", "metrics", "env_steps", "grad_steps", "phase", "finite"):
        same(getattr(loaded, name), getattr(result, name))
    assert (loaded.switch, loaded.phase_names) == (result.switch, result.phase_names)
    assert [row["segment"] for row in lines(out)] == list(range(9))
    assert [row["phase"] for row in lines(out)] == ["offline"] * 5 + ["online"] * 4
    np.testing.assert_allclose([row["score"] for row in lines(out)], result.scores, rtol=1e-6)
    assert [row["env_steps"] for row in sink.rows] == result.env_steps.tolist()
    assert sink.closed
    assert len(list((out / "checkpoints").iterdir())) == 2  # the newest two
    config = json.loads((out / "config.json").read_text())
    assert (config["recipe"], config["task"], config["settings"]["online.steps"]) == ("iql", "slope", 40)
    assert not list(out.rglob("*.tmp*"))


@pytest.mark.exact
@pytest.mark.parametrize("fail_at", [0, 2, 6], ids=["before-training", "offline", "online"])
def test_resumes_bit_for_bit(finished, tmp_path, fail_at):
    result, reference, _ = finished
    out, sink = tmp_path / "run", Rows(fail_at)
    with pytest.raises(KeyboardInterrupt):
        fit(out, sinks=[sink])
    assert sink.closed
    assert not (out / "results.npz").exists()
    assert not list(out.rglob("*.tmp*"))
    rest = Rows()
    resumed = fit(out, resume=True, sinks=[rest])
    same(resumed, result)
    assert len(rest.rows) == 9 - max(0, fail_at)
    assert [row["segment"] for row in lines(out)] == list(range(9))
    assert lines(out) == lines(reference)
    same(load_results(out), load_results(reference))


def test_resuming_a_finished_run_gives_it_again(finished):
    result, out, _ = finished
    before = {p: p.stat().st_mtime_ns for p in (out / "checkpoints").iterdir()}
    same(fit(out, resume=True), result)
    assert {p: p.stat().st_mtime_ns for p in (out / "checkpoints").iterdir()} == before
    assert len(lines(out)) == 9


def test_refuses_other_settings_by_name(finished):
    _, out, _ = finished
    before = (out / "config.json").read_text()
    with pytest.raises(O2OError, match=r"holds another run: its agent\.expectile is 0\.9, not 0\.6; choose") as error:
        fit(out, {"agent.expectile": 0.6}, resume=True)
    assert "\n" not in str(error.value)
    recipe, task, data = tiny("iql")
    with pytest.raises(O2OError, match="keys"):
        o2o.fit(jax.random.key(77), recipe, task, data, out=out, resume=True, progress=False)
    changed = dataclasses.replace(data, data=data.data._replace(reward=data.data.reward.at[3, 0].add(0.5)))
    with pytest.raises(O2OError, match=r"its data\.reward is 'float32\[400, 1\] [0-9a-f]{64}', not "):
        o2o.fit(KEY, recipe, task, changed, out=out, resume=True, progress=False)
    assert (out / "config.json").read_text() == before


def test_refuses_a_folder_that_is_taken(finished, tmp_path):
    _, out, _ = finished
    with pytest.raises(O2OError, match=r"already holds a run.*resume"):
        fit(out)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(O2OError, match="not empty and holds no run"):
        fit(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_refuses_a_truncated_checkpoint_by_name(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(out, sinks=[Rows(3)])
    path = next((out / "checkpoints" / "2").rglob("arrays.npz"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(O2OError, match=r"checkpoints/2 cannot be restored.*delete it") as error:
        fit(out, resume=True)
    assert "\n" not in str(error.value)


def test_refuses_the_checkpoint_of_another_run(tmp_path):
    """One of the same shapes, copied in."""
    out, other = tmp_path / "run", tmp_path / "other"
    for path, expectile in ((out, 0.9), (other, 0.6)):
        with pytest.raises(KeyboardInterrupt):
            fit(path, {"agent.expectile": expectile}, sinks=[Rows(3)])
    shutil.rmtree(out / "checkpoints" / "2")
    shutil.copytree(other / "checkpoints" / "2", out / "checkpoints" / "2")
    with pytest.raises(
        O2OError, match=r"checkpoints/2 belongs to another run: its agent\.expectile is 0\.6, not 0\.9"
    ):
        fit(out, resume=True)


def test_goes_on_from_the_checkpoint_before_a_deleted_one(finished, tmp_path):
    """The remedy that the message above names."""
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(out, sinks=[Rows(3)])
    shutil.rmtree(out / "checkpoints" / "2")
    same(fit(out, resume=True), finished[0])


def with_rows(**changes):
    data = tiny("iql")[2]
    return dataclasses.replace(data, data=data.data._replace(**changes))


def spoiled(name, value):
    array = getattr(tiny("iql")[2].data, name)
    return with_rows(**{name: array.at[7].set(value)})


BAD_DATA = {
    "missing": (lambda: None, r"learns from offline data and got none; pass dataset="),
    "nan reward": (lambda: spoiled("reward", jnp.nan), r"row 7.*reward is not finite"),
    "nan observation": (lambda: spoiled("obs", jnp.inf), r"row 7.*obs is not finite"),
    "action out of range": (lambda: spoiled("action", 1.5), r"row 7.*action \[1\.5\].*\[-1, 1\]"),
    "other observations": (lambda: with_rows(obs=jnp.zeros((400, 1, 3))), r"dataset obs has shape \(3,\).*Box\(1,\)"),
    "other actions": (
        lambda: with_rows(action=jnp.zeros((400, 1), int)),
        r"dataset action has shape \(\).*Box\(1,\)",
    ),
    "open end": (lambda: spoiled_end(), r"final row does not end its trajectory"),
}


def spoiled_end():
    data = tiny("iql")[2].data
    return with_rows(terminated=jnp.zeros_like(data.terminated), truncated=jnp.zeros_like(data.truncated))


@pytest.mark.parametrize("case", BAD_DATA)
@pytest.mark.parametrize("driver", ["fit", "sweep"])
def test_refuses_bad_data_before_anything_is_written(case, driver, tmp_path):
    make, message = BAD_DATA[case]
    recipe, task, _ = tiny("iql")
    run = partial(o2o.fit, KEY) if driver == "fit" else partial(o2o.sweep, seeds=2)
    with pytest.raises(O2OError, match=message) as error:
        run(recipe=recipe, task=task, dataset=make(), out=tmp_path / "run", progress=False)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


BAD_SETTINGS = {
    "uneven segments": (
        {"online.steps": 41},
        r"online\.steps=41 does not divide into online\.segments=4; use online\.steps=40",
    ),
    "uneven environments": (
        {"num_envs": 3},
        r"online\.steps=40 .*=4 of num_envs=3 environments; use online\.steps=36",
    ),
    "no steps": ({"offline.steps": 0}, r"offline\.steps is 0; it must be at least 1"),
    "negative steps": ({"online.steps": -40}, r"online\.steps is -40"),
    "no batch": ({"online.batch_size": 0}, r"online\.batch_size is 0"),
    "no network": ({"agent.hidden": (8, 0)}, r"hidden is \(8, 0\); sizes must be at least 1"),
    "no episodes": ({"eval_episodes": 0}, r"eval_episodes is 0"),
    "negative rate": ({"agent.learning_rate": -1e-3}, r"learning_rate is -0\.001; it must be at least 0"),
    "rate without bound": ({"agent.learning_rate": float("inf")}, r"learning_rate is inf; it must be a finite"),
    "discount above one": ({"agent.discount": 1.1}, r"discount is 1\.1; it must lie in \[0, 1\]"),
    "broken row": (
        {"online.mix": "fraction", "online.offline_fraction": 0.3},
        r"online\.offline_fraction=0\.3 of online\.batch_size=8 is not a whole number of rows.*mix='ratio'",
    ),
    "fraction above one": ({"online.offline_fraction": 1.5}, r"offline_fraction is 1\.5; it must lie in \[0, 1\]"),
    "learning from nothing": (
        {"offline.mix": "online"},
        r"offline\.mix='online' learns from the replay store, but",
    ),
    "idle": (
        {"offline.updates": 0},
        r"'offline' neither acts nor learns .*offline\.updates=0",
    ),
    "store of no rows": ({"store_rows": -1}, r"store_rows is -1"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_refuses_settings_that_cannot_run_before_anything_is_written(case, tmp_path):
    changes, message = BAD_SETTINGS[case]
    with pytest.raises(O2OError, match=message) as error:
        fit(tmp_path / "run", changes)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_refuses_recipes_and_tasks_that_do_not_fit(tmp_path):
    recipe, task, data = tiny("wsrl")
    cartpole = o2o.task("cartpole")
    cases = [
        (recipe, cartpole, data, r"needs a box action space, the task has Discrete\(2\); use iql or bc"),
        (tiny("cal_ql")[0], dataclasses.replace(task, eval_env=cartpole.env), data, "trains with spaces"),
        (dataclasses.replace(recipe, phases=()), task, data, "has no phases"),
        (dataclasses.replace(recipe, phases=recipe.phases[:1] * 2), task, data, "two phases of one name"),
    ]
    short = o2o.replace(tiny("cal_ql")[0], {"store_rows": 10})
    cases.append((short, task, data, r"holds 10 rows, fewer than one episode of 20.*store_rows"))
    halves = dataclasses.replace(recipe, phases=(dataclasses.replace(recipe.phases[0], mix="halves"),))
    cases.append((halves, task, data, r"offline\.mix is 'halves'; known: by_size"))
    mistyped = dataclasses.replace(recipe, agent=dataclasses.replace(recipe.agent, std="globl"))
    cases.append((mistyped, task, data, r"agent\.std is 'globl'; did you mean 'global'"))
    for recipe, task, data, message in cases:
        with pytest.raises(O2OError, match=message) as error:
            o2o.fit(KEY, recipe, task, data, out=tmp_path / "run", progress=False)
        assert "\n" not in str(error.value)
        with pytest.raises(O2OError, match=message):  # the same while tracing
            jax.eval_shape(o2o.train, KEY, recipe, task, data)
    assert not list(tmp_path.iterdir())


def test_refuses_extras_that_nobody_has(tmp_path):
    recipe, task, data = tiny("iql")
    needy = dataclasses.replace(recipe, agent=Counting(extras=("weight",)))
    with pytest.raises(O2OError, match=r"needs \['weight'\] of online rows, which the rollout cannot make"):
        o2o.fit(KEY, needy, task, data, out=tmp_path / "run", progress=False)
    offline = dataclasses.replace(needy, phases=needy.phases[:1])
    with pytest.raises(O2OError, match=r"the dataset lacks the extras \['weight'\]"):
        o2o.fit(KEY, offline, task, data, out=tmp_path / "run", progress=False)
    assert not list(tmp_path.iterdir())


def test_cheaper_compiling_is_for_cpus_and_users_flags_go_first(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3 --xla_force_host_platform_device_count=2")
    assert compiler_options("cpu") == {}
    monkeypatch.delenv("XLA_FLAGS")
    options = compiler_options("cpu")
    assert options == {"xla_backend_optimization_level": 1}
    assert int(jax.jit(lambda x: x + 1, compiler_options=options)(1)) == 2  # XLA knows it
    assert compiler_options("gpu") == compiler_options("tpu") == {}
