"""Which width a sweep gets by itself: by the platform, by the work there is, by what a trial measures."""

import pytest
from tiny import distance, tiny

import purejaxo2o as o2o
from purejaxo2o.drive import width as trial
from purejaxo2o.drive.sweep import seed_keys


def choose(lanes=4, platform="cpu"):
    recipe, task, data = tiny("iql")
    return trial.choose(seed_keys(lanes), recipe, task, data, lanes, platform)


def test_no_trial_where_none_is_needed(monkeypatch):
    monkeypatch.setattr(trial, "_seconds", None)  # calling it would fail
    assert choose(lanes=1) == (1, "one lane a device")
    assert choose(platform="gpu").width == 4
    assert choose() == (4, "side by side: too short for a trial")


@pytest.mark.parametrize(("alone", "together", "width"), [(1e-3, 8e-3, 1), (1e-3, 2e-3, 4), (1e-3, 4.2e-3, 4)])
def test_the_faster_way_is_taken(alone, together, width, monkeypatch):
    """Seconds of one lane, and of four side by side; a gain of a few per cent decides nothing."""
    monkeypatch.setattr(trial, "SHORT", 0.0)
    monkeypatch.setattr(trial, "_seconds", lambda *arguments: alone if arguments[-1] == 1 else together)
    found = choose()
    assert found.width == width
    assert f"{1e3 * alone:.2f} ms a lane and step alone, {250 * together:.2f} ms side by side" in found.reason


def test_a_real_trial_changes_rounding_only(monkeypatch):
    recipe, task, data = tiny("iql")
    plain = o2o.sweep(recipe, task, data, seeds=2, progress=False)
    monkeypatch.setattr(trial, "SHORT", 0.0)
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    monkeypatch.setattr(trial, "ITERATIONS", 2)
    found = choose(lanes=2)
    assert found.width in (1, 2)
    assert " ms a lane and step alone, " in found.reason
    tried = o2o.sweep(recipe, task, data, seeds=2, progress=False)
    assert distance((plain.returns, plain.run.agent), (tried.returns, tried.run.agent)) <= 1e-4
