"""The study of all recipes: what it writes from finished sweeps, and that it names those that cannot take part."""

import json

import pytest
from tiny import tiny

import purejaxo2o as o2o
from experiments.studies import family

ALONE = ("--processes", "1")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """One task and two recipes, tiny."""
    _, task, data = tiny("sac")
    made = {name: tiny(name)[0] for name in ("bc", "sac")}  # before `tiny` would find the doubles
    monkeypatch.setattr(family, "TASKS", {"slope": None})
    monkeypatch.setattr(family, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(o2o, "task", lambda name: task)
    monkeypatch.setattr(o2o, "dataset", lambda task: data)
    monkeypatch.setattr(o2o, "recipe", lambda name, task, scale: made[name])
    return tmp_path


def test_trains_what_is_missing_and_reports_what_is_there(small, monkeypatch):
    options = ["--recipes", "bc", "sac", "--tasks", "slope", "--seeds", "2", "--out", str(small / "runs"), *ALONE]
    assert family.main(options) == 0
    monkeypatch.setattr(o2o, "sweep", lambda *_, **__: pytest.fail("trained again"))
    assert family.main(options) == 0
    assert family.main([*options, "--report"]) == 0
    found = json.loads((small / "results" / "figures.json").read_text())
    rows = {row["method"]: row for row in found["rows"]}
    assert set(rows) == {"bc", "sac"}
    assert rows["sac"]["seeds"] == 2
    assert rows["sac"]["tflop"] > 0
    page = (small / "results" / "README.md").read_text()
    assert "## slope" in page
    assert "| sac | 2 of 2 |" in page
    assert (small / "results" / "figure.png").stat().st_size > 1000


def test_a_recipe_that_cannot_take_part_is_named_with_the_reason(small, monkeypatch, capsys):
    def refuse(*_, **__):
        raise o2o.O2OError("needs a box action space")

    monkeypatch.setattr(o2o, "sweep", refuse)
    options = ["--recipes", "sac", "--tasks", "slope", "--out", str(small / "runs"), *ALONE]
    assert family.main(options) == 0
    assert "sac on slope: needs a box action space" in capsys.readouterr().err
