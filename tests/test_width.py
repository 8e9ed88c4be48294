"""Which width a sweep gets by itself: by the platform and by what a lane computes, never by a clock."""

from tiny import distance, tiny

import purejaxo2o as o2o
from purejaxo2o.drive import width
from purejaxo2o.loop.seeds import seed_keys


def choose(name="iql", lanes=4, platform="cpu", **changes):
    recipe, task, data = tiny(name)
    return width.choose(seed_keys(lanes), o2o.replace(recipe, changes), task, data, lanes, platform)


def test_small_lanes_go_side_by_side_and_large_ones_alone():
    assert choose(lanes=1) == (1, "one lane a device")
    wide = {"*.hidden": (512, 512), "*.actor_hidden": (512, 512), "online.batch_size": 512}
    small, large = choose(), choose(**wide)
    assert small.width == 4
    assert small.reason.startswith("side by side: ")
    assert large.width == 1
    assert large.reason.startswith("one after the other: ")
    assert choose(platform="gpu", **{"*.hidden": (512, 512)}).width == 4


def test_equal_calls_choose_alike(monkeypatch):
    monkeypatch.setattr("time.perf_counter", None)  # calling it would fail
    assert choose() == choose()


def test_either_width_changes_rounding_only(monkeypatch):
    recipe, task, data = tiny("iql")
    wide = o2o.sweep(recipe, task, data, seeds=2, progress=False)
    monkeypatch.setattr(width, "LARGE", 0.0)
    alone = o2o.sweep(recipe, task, data, seeds=2, progress=False)
    assert distance((wide.returns, wide.run.agent), (alone.returns, alone.run.agent)) <= 1e-4
