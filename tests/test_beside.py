"""The study beside independent implementations: what it maps, decides and writes, without training anything."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.studies import beside, beside_cases, beside_episodes, beside_page
from experiments.studies.beside_settings import CASES, UNUSED
from purejaxo2o import agents
from purejaxo2o.figures.stats import Interval


@pytest.mark.parametrize("name", CASES)
def test_every_setting_of_ours_is_named_or_said_to_be_unused(name):
    case = CASES[name]
    known = {field.name for field in dataclasses.fields(getattr(agents, case.agent))}
    named = beside_cases.ours(case)
    assert set(named) <= known
    assert known - set(named) <= set(UNUSED), "give it in the case, or say why it plays no part"
    getattr(agents, case.agent)(**named)  # values are allowed


@pytest.mark.parametrize("name", CASES)
def test_no_name_is_given_twice(name):
    for side in ("theirs", "ours"):
        names = [one for same in CASES[name].settings for one in getattr(same, side)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ((0, -9, 9), "equivalent"),
        ((0, -10, 10), "equivalent"),
        ((0, -11, 9), "undecided"),
        ((12, 9, 15), "undecided"),
        ((12, 10.5, 15), "outside"),
        ((-12, -15, -10.5), "outside"),
        ((5, -11, 20), "undecided"),
        ((0, np.nan, np.nan), "undecided"),
    ],
)
def test_verdicts_follow_the_margin(difference, expected):
    assert beside_page.verdict(Interval(*difference)) == expected


def test_what_asks_for_a_reason():
    def row(verdict, point):
        return {"verdict": verdict, "difference": [point, 0, 0]}

    assert beside_page.explain(row("outside", 30))
    assert beside_page.explain(row("undecided", -11))
    assert not beside_page.explain(row("undecided", 9))
    assert not beside_page.explain(row("equivalent", 9))


def write_runs(folder, place, name, scores, waves=(1.0, 2.0)):
    """Files as either side writes them: the scores of seeds 0, 1, ... by side."""
    recording = beside_cases.RECORDINGS[place]
    for side, values in scores.items():
        (folder / place / name / side).mkdir(parents=True)
        for seed, score in enumerate(values):
            mean = recording.low + (recording.high - recording.low) * score / 100
            figures = {
                "returns": [[mean - 1, mean + 1], [mean - 5, mean + 5]],
                "train_seconds": 1.0,
                "versions": {"d3rlpy": "2.8.1"},
                "engine": {"versions": {"mujoco": "3.17.0"}, "waves": list(waves)},
            }
            (folder / place / name / side / f"{seed}.json").write_text(json.dumps(figures))
        (folder / place / name / side / "job-abc.json").write_text("{}")


def test_the_page_tells_equal_runs_from_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(beside_cases, "SEEDS", 3)
    out, page = tmp_path / "runs", tmp_path / "page"
    runs = beside.runs(out)
    write_runs(runs, "hopper-medium", "iql", {"theirs": [50, 52, 54], "ours": [51, 53, 52]})
    write_runs(runs, "hopper-medium", "bc", {"theirs": [10, 12, 11], "ours": [50, 52, 51]})
    write_runs(runs, "hopper-medium", "awac", {"theirs": [10, 12], "ours": [50, 52, 51]})
    write_runs(runs, "pendulum", "iql", {"theirs": [10, 12], "ours": [50]})  # no interval
    (runs / "steps" / "bc").mkdir(parents=True)
    (runs / "steps" / "bc" / "gaps.json").write_text(json.dumps({"10": {"action": 1e-6}, "100": {"action": 2e-4}}))
    assert beside.main(["--report", "--out", str(out), "--page", str(page)]) == 1  # one is outside
    figures = json.loads((page / "figures.json").read_text())
    rows = {row["method"]: row for row in figures["rows"]}
    assert set(rows) == {"iql", "bc", "awac"}
    assert rows["awac"]["verdict"] == "unfinished"
    assert rows["iql"]["difference"][0] == pytest.approx(0, abs=1e-9)
    assert rows["iql"]["verdict"] == "equivalent"
    assert rows["bc"]["difference"][0] == pytest.approx(40)
    assert rows["bc"]["verdict"] == "outside"
    text = (page / "beside.md").read_text()
    assert "| iql, d3rlpy | hopper-medium | 3/3 |" in text
    assert "- **bc on hopper-medium** (outside): " in text
    assert "10 points" in text
    assert "| bc | 1e-06 | 2e-04 |" in text
    assert text.splitlines()[-1].startswith("Measured on ")
    assert (page / "clouds.png").stat().st_size > 0
    assert "beside.md" in capsys.readouterr().out


def test_engines_that_differ_are_not_compared(tmp_path):
    write_runs(tmp_path, "hopper-medium", "bc", {"theirs": [1, 2]}, waves=(1.0, 2.0))
    write_runs(tmp_path, "hopper-medium", "bc", {"ours": [1, 2]}, waves=(1.0, 2.1))
    with pytest.raises(SystemExit, match="engines that differ"):
        beside_page.compare("bc", "hopper-medium", tmp_path)


def test_runs_of_other_settings_are_not_gone_on_with(tmp_path):
    folder = beside.runs(tmp_path) / "hopper-medium" / "bc" / "ours"
    folder.mkdir(parents=True)
    (folder / "job-of-others.json").write_text("{}")
    with pytest.raises(SystemExit, match="other settings"):
        beside.train("bc", "hopper-medium", "ours", tmp_path)


def test_only_the_seeds_that_are_missing_run(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(beside.subprocess, "run", lambda command, **_: asked.append(command))
    folder = beside.runs(tmp_path) / "pendulum" / "iql" / "ours"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text("{}")
    beside.train("iql", "pendulum", "ours", tmp_path)
    ((*_, task),) = asked
    job = json.loads(Path(task).read_text())
    assert job["seeds"] == [0, 2, 3, 4, 5]
    assert job["checkpoints"] == [24_000, 27_000, 30_000]
    assert job["settings"]["expectile"] == 0.7
    for seed in job["seeds"]:
        (folder / f"{seed}.json").write_text("{}")
    beside.train("iql", "pendulum", "ours", tmp_path)
    assert len(asked) == 1


def test_names_of_methods_and_of_places_narrow_each_other():
    assert beside.pairs(["iql", "pendulum"]) == [("iql", "pendulum")]
    assert beside.pairs(["sac", "ppo"]) == [("sac", "online"), ("ppo", "online")]
    assert {name for name, _ in beside.pairs([])} == set(CASES)


def test_both_sides_are_judged_alike():
    """Actions are stretched to the environment's box, and the starts are the same at every call."""
    seen = []

    def still(obs):
        seen.append(obs.copy())
        return np.zeros((len(obs), 1))

    first = beside_episodes.greedy_returns(still, "Pendulum-v1", 2)
    assert first == beside_episodes.greedy_returns(still, "Pendulum-v1", 2)
    assert len(seen) == 400
    assert first[0] != first[1]
    pushed = beside_episodes.greedy_returns(lambda obs: np.full((len(obs), 1), 5.0), "Pendulum-v1", 2)
    full = beside_episodes.greedy_returns(lambda obs: np.ones((len(obs), 1)), "Pendulum-v1", 2)
    assert pushed == full != first
