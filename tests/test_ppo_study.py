"""The study of PPO alone: both implementations train, and what is written says how they did."""

import json

import pytest
from tiny import shrink

import purejaxo2o as o2o
from experiments.studies import ppo


@pytest.mark.slow
def test_both_are_trained_timed_and_written(monkeypatch, tmp_path):
    build = o2o.recipe
    monkeypatch.setattr(ppo, "SOLVED", {"toy/reach": -1e9, "gymnax/CartPole-v1": 1e9})
    monkeypatch.setattr(o2o, "recipe", lambda *arguments: shrink(build(*arguments)))
    assert ppo.main(["--tasks", "toy/reach", "gymnax/CartPole-v1", "--seeds", "2", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "figures.json").read_text())
    reach, cartpole = found["rows"]
    assert reach["solved_after_steps"] == 0  # before any training
    assert cartpole["solved_after_steps"] is None
    for row in (reach, cartpole):
        assert len(row["ours_by_seed"]) == len(row["theirs_by_seed"]) == 2
        assert min(row["ours_by_seed"]) <= row["ours"]["point"] <= max(row["ours_by_seed"])
    page = (tmp_path / "README.md").read_text()
    assert "| gymnax/CartPole-v1 | 40 |" in page
    assert "| not |" in page
    assert (tmp_path / "curves.png").stat().st_size > 1000
