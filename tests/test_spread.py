"""The study of how far runs of the same seeds lie apart: what it trains, what it says of it."""

import json

import numpy as np
import pytest
import tiny

import purejaxo2o as o2o
from experiments.studies import spread


def test_figures_tell_the_seeds_from_the_runs():
    """Two seeds ten points apart, each of which moves by two from run to run."""
    found = spread.summary(np.array([[50.0, 60.0], [52.0, 62.0], [48.0, 58.0]]))
    assert found["over_seeds"] == [55, 50, 60]
    assert (found["lowest"], found["highest"]) == (53, 57)
    assert found["of_mean"] == pytest.approx(2)
    assert found["of_seed"] == pytest.approx(2)
    opposed = spread.summary(np.array([[50.0, 60.0], [52.0, 58.0], [48.0, 62.0]]))
    assert opposed["of_mean"] == 0  # seeds go their own ways
    assert opposed["of_seed"] == pytest.approx(2)


def test_a_sentence_says_how_far_means_move(tmp_path):
    assert spread.sentence(4, tmp_path) == ""
    assert spread.of_seed("dip", tmp_path) is None
    rows = {name: {figure: {"of_seed": of} for figure in spread.FIGURES} for name, of in (("a", 6.0), ("b", 8.0))}
    (tmp_path / "figures.json").write_text(json.dumps({"rows": rows}))
    assert spread.of_seed("final", tmp_path) == pytest.approx(50**0.5)
    assert spread.of_seed("score_at_switch", tmp_path) is None
    assert "3.5 (dip), 3.5 (final), 3.5 (online AUC) points" in spread.sentence(4, tmp_path)


@pytest.mark.slow
def test_the_same_seeds_are_trained_under_every_setting(monkeypatch, tmp_path):
    build = o2o.recipe
    monkeypatch.setattr(o2o, "recipe", lambda *arguments, **more: tiny.shrink(build(*arguments, **more)))
    settings = {"one": spread.Setting(width=1), "wider, 3": spread.Setting(width=3, extra=1)}
    monkeypatch.setattr(spread, "SETTINGS", settings)
    monkeypatch.setattr(spread, "SEEDS", 2)
    monkeypatch.setattr(spread, "train_all", lambda *a: [spread.train(name, *a) for name in settings])
    monkeypatch.setattr(o2o, "task", lambda name: tiny.task())
    monkeypatch.setattr(o2o, "dataset", lambda task: tiny.dataset())
    arguments = ["--methods", "rlpd", "--task", "slope", "--out", str(tmp_path / "runs")]
    assert spread.main([*arguments, "--page", str(tmp_path / "page")]) == 0
    figures = json.loads((tmp_path / "page" / "figures.json").read_text())
    assert figures["about"]["commit"]
    values = np.array(figures["rows"]["rlpd"]["final"]["values"])
    assert values.shape == (2, 2)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-2)  # the same seeds, another width
    page = (tmp_path / "page" / "README.md").read_text()
    assert "| rlpd | dip |" in page
    assert page.splitlines()[-1].startswith("Measured on ")
