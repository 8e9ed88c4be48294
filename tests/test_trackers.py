"""Trackers get a run for each seed of each setting, with its settings, over environment steps."""

import csv
import json
import sys

import numpy as np
import pytest
from tiny import dataset, task, tiny

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.drive import trackers
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.types import O2OError

ABOUT = {
    "recipe": "iql",
    "task": "slope",
    "dataset": "a/b-v0",
    "settings": {"agent.expectile": [0.7, 0.9], "agent.hidden": [8, 8], "num_envs": 1},
    "over": {"agent.hidden": [(8, 8), (16, 16)], "agent.expectile": [0.7, 0.9]},
    "axes": ["agent.hidden", "agent.expectile"],
    "static": ["agent.hidden"],
    "seeds": [10, 11, 12],
    "program": 1,
    "lanes": [2, 3],  # the last seed of the first expectile, the first seed of the second
}


class FakeRun:
    def __init__(self, settings):
        self.settings, self.rows, self.metrics, self.finished = settings, [], [], False

    def define_metric(self, name, step_metric=None):
        self.metrics.append((name, step_metric))

    def log(self, row, step):
        assert not self.finished
        self.rows.append((step, row))

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    """A module `wandb` that keeps what it is told; its runs in `runs`."""

    class Wandb:
        runs: list[FakeRun] = []  # noqa: RUF012

        @staticmethod
        def init(**settings):
            Wandb.runs.append(FakeRun(settings))
            return Wandb.runs[-1]

    Wandb.runs = []
    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return Wandb


def test_lanes_are_told_apart():
    lanes = trackers.lanes_of(ABOUT)
    assert [lane.seed for lane in lanes] == [12, 10]
    assert [lane.varied["agent.expectile"] for lane in lanes] == [0.7, 0.9]
    assert {lane.varied["agent.hidden"] for lane in lanes} == {(16, 16)}
    assert lanes[1].label == "agent.hidden=(16, 16), agent.expectile=0.9, seed 10"
    assert lanes[1].group == "iql/slope"
    assert (lanes[1].config["agent.expectile"], lanes[1].config["num_envs"], lanes[1].config["seed"]) == (0.9, 1, 10)
    assert [lane.seed for lane in trackers.lanes_of({**ABOUT, "seeds": [4, 6, 9]})] == [9, 4]
    [alone] = trackers.lanes_of({"recipe": "iql", "task": "slope", "settings": {"num_envs": 1}})
    assert (alone.label, alone.config["num_envs"]) == ("seed 0", 1)


def small():
    recipe, where, data = tiny("bc")
    return o2o.replace(recipe, {"offline.segments": 2}), where, data


def test_a_run_for_each_seed_of_each_setting_also_in_parts(wandb, tmp_path):
    sinks = [trackers.WandB(mode="offline"), trackers.CsvTable()]
    recipe, where, data = small()
    how = {"seeds": [5, 6], "over": {"agent.learning_rate": [1e-3, 1e-2]}, "out": tmp_path / "run", "progress": False}
    result = o2o.sweep(recipe, where, data, **how, width=1, chunk=2, sinks=sinks)
    assert len(wandb.runs) == 4
    assert [run.settings["name"] for run in wandb.runs] == [
        f"agent.learning_rate={rate}, seed {seed}" for rate in ("0.001", "0.01") for seed in (5, 6)
    ]
    for run, scores in zip(wandb.runs, result.scores.reshape(4, 3), strict=True):
        assert run.settings["group"] == "bc/slope"
        assert (run.settings["project"], run.settings["mode"]) == ("purejaxo2o", "offline")
        assert run.settings["config"]["offline.segments"] == 2
        assert run.settings["config"]["agent.learning_rate"] in (1e-3, 1e-2)
        assert ("*", "env_steps") in run.metrics
        assert [step for step, _ in run.rows] == [0, 1, 2]
        np.testing.assert_allclose([row["score"] for _, row in run.rows], scores, rtol=1e-6)
        assert all(np.ndim(value) == 0 for _, row in run.rows for value in row.values())
        assert run.finished
    assert len({run.settings["id"] for run in wandb.runs}) == 4
    rows = table(tmp_path / "run" / "part-1")
    assert [(row["seed"], row["agent.learning_rate"], row["segment"]) for row in rows[:3]] == [
        ("5", "0.01", "0"), ("6", "0.01", "0"), ("5", "0.01", "1"),
    ]  # fmt: skip
    scores = np.array([float(row["score"]) for row in rows]).reshape(3, 2)
    np.testing.assert_allclose(scores.T, result.scores[1], rtol=1e-6)


def table(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_resumed_runs_go_on_in_their_own(wandb, tmp_path):
    row = {"env_steps": 0, "grad_steps": 0, "score": np.array([1.0, 3.0])}
    sinks = [trackers.WandB(), trackers.CsvTable()]
    for done in (0, 1):  # the second process continues from the checkpoint after segment 1
        for sink in sinks:
            sink.begin(ABOUT, tmp_path, done)
            for segment in range(done + 1 if done else 0, 3):
                sink.write({**row, "segment": segment})
            sink.close()
    first, second = wandb.runs[:2], wandb.runs[2:]
    assert [run.settings["id"] for run in first] == [run.settings["id"] for run in second]
    assert {run.settings["resume"] for run in wandb.runs} == {"allow"}
    assert [len(run.rows) for run in wandb.runs] == [3, 3, 1, 1]
    assert [(row["segment"], row["seed"]) for row in table(tmp_path)] == [(s, x) for s in "012" for x in ("12", "10")]
    (tmp_path / "another").mkdir()
    trackers.WandB().begin(ABOUT, tmp_path / "another", 0)
    assert wandb.runs[-1].settings["id"] not in {run.settings["id"] for run in first}


def test_a_tracker_that_does_not_start_is_one_line(wandb, monkeypatch):
    def refuse(**_):
        raise RuntimeError("api_key not configured\n(no-tty)")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(
        O2OError, match=r"W&B does not start \(RuntimeError: api_key not configured \(no-tty\)\); log in"
    ):
        trackers.WandB().begin(ABOUT, None, 0)


def test_tensorboard_lies_over_environment_steps(tmp_path, monkeypatch):
    tensorboardx = pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    written = []
    monkeypatch.setattr(
        tensorboardx.SummaryWriter, "add_scalar", lambda self, *args: written.append((self.logdir, *args))
    )
    tracker = trackers.TensorBoard()
    tracker.begin(ABOUT, tmp_path, 0)
    both = {"phase": "offline", "score": np.array([1.0, 3.0]), "metrics": {"loss": np.array([0.5, 0.6])}}
    tracker.write({"env_steps": 0, "grad_steps": 0, **both})
    tracker.write({"env_steps": 0, "grad_steps": 100, **both})
    tracker.write({"env_steps": 500, "grad_steps": 900, **both, "phase": "online"})
    tracker.close()
    folder = tmp_path / "tensorboard" / "iql-slope"
    assert {path.name for path in folder.iterdir()} == {
        "agent.hidden=(16, 16), agent.expectile=0.7, seed 12",
        "agent.hidden=(16, 16), agent.expectile=0.9, seed 10",
    }
    second = [args[1:] for args in written if "seed 10" in args[0]]
    assert [args for args in second if "score" in args[0]] == [
        ("score", 3.0, 0), ("before acting/score", 3.0, 100), ("score", 3.0, 500),
    ]  # fmt: skip
    assert ("metrics/loss", 0.6, 500) in second
    assert all(any(path.iterdir()) for path in folder.iterdir())


@pytest.mark.parametrize(("module", "kind"), [("tensorboardX", "tensorboard"), ("wandb", "wandb")])
def test_a_missing_tracker_says_how_to_get_it_before_anything_runs(module, kind, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(O2OError, match=f"pip install {module}"):
        trackers.make([kind])
    (tmp_path / "study.toml").write_text(f'recipes = ["sac"]\ntasks = ["reach"]\nlog = ["{kind}"]')
    for command in (f"train sac reach --log csv --log {kind}", "study study.toml"):
        assert main(command.split()) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert f"pip install {module}" in line
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.slow
def test_the_command_line_and_a_study_log_alike(wandb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            [
                "collect",
                "reach",
                "--id",
                "test/trackers/random-v0",
                "--steps",
                "200",
                "--num-envs",
                "5",
                "--overwrite",
            ]
        )
        == 0
    )
    sizes = {"agent.actor_hidden": [8, 8], "offline.steps": 40, "offline.segments": 2, "eval_episodes": 2}
    given = [f"{name}={tuple(x) if isinstance(x, list) else x}" for name, x in sizes.items()]
    one = "train bc reach --dataset test/trackers/random-v0 --seeds 2 --seed0 3 --log wandb --log csv --out one --set"
    assert main([*one.split(), *given]) == 0
    lines = ["recipes = ['bc']", "tasks = ['reach']", "seeds = 2", "seed0 = 3", "log = ['wandb', 'csv']"]
    lines += ["dataset = 'test/trackers/random-v0'", "[set]"] + [f"{k} = {json.dumps(v)}" for k, v in sizes.items()]
    (tmp_path / "two.toml").write_text("\n".join(lines))
    assert main(["study", "two.toml", "--out", "two"]) == 0
    names = [run.settings["name"] for run in wandb.runs]
    assert names == ["seed 3", "seed 4"] * 2
    assert wandb.runs[0].rows == wandb.runs[2].rows
    tables = [(tmp_path / "one" / "metrics.csv"), (tmp_path / "two" / "reach" / "bc" / "metrics.csv")]
    assert tables[0].read_text() == tables[1].read_text()


def test_rows_of_a_dataset_given_in_python_are_no_obstacle(wandb):
    """Trackers need no folder."""
    recipe, where, _ = small()
    o2o.fit(seed_keys(1)[0], recipe, where, dataset(), progress=False, sinks=[trackers.WandB()])
    assert "id" not in wandb.runs[0].settings
    assert len(wandb.runs[0].rows) == 3
    with pytest.raises(O2OError, match="give out="):
        trackers.CsvTable().begin(ABOUT, None, 0)
    assert task().name == "slope"
