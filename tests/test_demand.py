"""What is far too large is refused by name before anything is compiled, tried or claimed."""

from functools import partial

import pytest
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.drive import demand, width
from purejaxo2o.drive.programs import Programs
from purejaxo2o.drive.sweep import seed_keys

LIMIT = 1e9
LARGE = {
    "a batch": ({"offline.batch_size": 10**8}, r"the largest offline\.batch_size that fits is about [\d,]+$"),
    "an online batch": ({"online.batch_size": 10**9}, r"the largest online\.batch_size that fits is about [\d,]+$"),
    "many updates": ({"offline.updates": 10**7}, r"the largest offline\.updates that fits is about [\d,]+$"),
    "a policy": (
        {"agent.actor_hidden": (10**9, 10**9)},
        r"make agent\.actor_hidden smaller, which is \(1000000000, 1000000000\)$",
    ),
    "critics": ({"agent.hidden": (10**6, 10**6)}, r"make agent\.hidden smaller, which is \(1000000, 1000000\)$"),
    "environments": ({"num_envs": 10**8, "online.steps": 4 * 10**8}, r"the largest num_envs that fits is about"),
    "a store": ({"online.steps": 10**9}, r"the largest store_rows that fits is about [\d,]+$"),
    "an evaluation": ({"eval_episodes": 2 * 10**9}, r"the largest eval_episodes that fits is about [\d,]+$"),
}


def refuse_to_compile(*_):
    raise AssertionError("compiled or tried")


@pytest.mark.parametrize("case", LARGE)
@pytest.mark.parametrize("driver", ["fit", "sweep"])
def test_the_setting_in_the_way_is_named_before_any_work(case, driver, tmp_path, monkeypatch):
    changes, message = LARGE[case]
    recipe, task, data = tiny("iql")
    recipe = o2o.replace(recipe, changes)
    monkeypatch.setattr(Programs, "compile", refuse_to_compile)
    monkeypatch.setattr(width, "choose", refuse_to_compile)
    how = {"out": tmp_path / "run", "progress": False, "memory_limit": LIMIT}
    run = partial(o2o.fit, seed_keys(1)[0]) if driver == "fit" else partial(o2o.sweep, seeds=3)
    with pytest.raises(o2o.O2OError, match=message) as error:
        run(recipe=recipe, task=task, dataset=data, **how)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("memory of at least ")
    assert not list(tmp_path.iterdir())


def test_what_fits_passes_and_nothing_is_refused_without_a_limit():
    recipe, task, data = tiny("iql")
    demand.refuse(Programs(seed_keys(1)[0], recipe, task, data), int(LIMIT), saving=True)
    large = o2o.replace(recipe, {"offline.batch_size": 10**9})
    demand.refuse(Programs(seed_keys(1)[0], large, task, data), None, saving=True)


def test_a_run_that_is_refused_once_compiled_leaves_no_folder(tmp_path):
    recipe, task, data = tiny("bc")
    recipe = o2o.replace(recipe, {"offline.steps": 8, "offline.batch_size": 4000})
    with pytest.raises(o2o.O2OError, match=r"the largest offline\.batch_size that fits is about"):
        o2o.fit(seed_keys(1)[0], recipe, task, data, out=tmp_path / "run", progress=False, memory_limit=400_000)
    assert not list(tmp_path.iterdir())
