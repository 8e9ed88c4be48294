"""The claims: what a contrast says, that every arm can run, that a claim's command writes what the table reads."""

import json
import pickle
from concurrent.futures import Future
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import shrink, tiny

import purejaxo2o as o2o
from experiments import claims, cores
from experiments.claims import claim, measure, shift, table
from purejaxo2o.figures.stats import Interval
from purejaxo2o.loop import store
from purejaxo2o.loop.prepare import check
from purejaxo2o.loop.seeds import numbers_and_keys, seed_keys

BASELINES = {"bc", "sac", "naive", "ppo", "dqn"}
"""What others are measured against; they claim nothing themselves."""
SECOND = {"hyq_minatar", "moorl_crossing", "ro2o_noisy", "spot_narrow"}
"""A recipe's claim on another task: the name begins with the recipe's."""
TASKS = {"snapshot_rl"}
"""Methods that change the task, for any recipe."""


def test_every_method_has_a_claim():
    assert set(claims.names()) - SECOND - TASKS == set(o2o.recipes()) - BASELINES
    for name in claims.names():
        assert claims.load(name).method == name


@pytest.mark.parametrize("name", claims.names())
def test_arms_differ_and_fit_their_task(name):
    made = claims.load(name)
    task = made.task()
    arms = made.arms(task)
    first = next(iter(arms))
    assert name.startswith(first) if name in SECOND else name == first
    assert {arm for contrast in made.contrasts for arm in (contrast.more, contrast.less)} == set(arms)
    others = made.other_data, made.other_tasks
    assert len({(str(recipe), *(other.get(arm) for other in others)) for arm, recipe in arms.items()}) == len(arms)
    rows = _rows(task)
    for recipe in arms.values():
        check(recipe, task, rows)


def _rows(task):
    """A dataset's shapes."""
    from purejaxo2o.loop.env import spaces
    from purejaxo2o.types import transition_example

    return jax.eval_shape(lambda: store.empty(transition_example(spaces(task.env), ()), rows=8, envs=1))


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(2.0, 1.0, 3.0), "holds"),
        (Interval(0.5, -1.0, 2.0), "not at this scale"),
        (Interval(-2.0, -3.0, -1.0), "fails"),
        (Interval(np.nan, np.nan, np.nan), "not at this scale"),
        (Interval(0.0, 0.0, 0.0), "not at this scale"),
    ],
)
def test_the_verdict_is_where_the_interval_lies(interval, expected):
    assert claim.verdict(interval) == expected


def test_contrasts_are_paired_by_seed():
    """Seeds spread widely, yet every one of them gains 1: the interval is exactly [1, 1]."""
    low = np.random.default_rng(0).normal(0, 100, 8)
    contrast = claim.Contrast("more", "a", "b", lambda values: values)
    assert contrast.measure({"a": low + 1, "b": low}) == pytest.approx((1.0, 1.0, 1.0))


def test_seeds_are_the_same_runs_wherever_they_are_asked_for():
    assert not set(claim.TRIED) & set(claim.CONFIRMED)
    some = numbers_and_keys(range(3, 5))[1]
    np.testing.assert_array_equal(jax.random.key_data(some), jax.random.key_data(seed_keys(5)[3:]))


@pytest.fixture
def small(monkeypatch):
    recipe, task, data = tiny("bc")
    monkeypatch.setattr(o2o, "dataset", lambda task: data)
    arms = {"bc": recipe, "slow": claim.with_agent(recipe, learning_rate=0.0)}
    contrast = claim.Contrast("learns", "bc", "slow", claim.handover("final"))
    return claim.Claim(
        "bc", "nobody", "Learning helps.", lambda: task, lambda task: arms, (contrast,), note="A note."
    )


def test_a_claim_is_measured_and_written(small, tmp_path):
    found = measure.reproduce(small, range(2), tmp_path / "claims")
    written = json.loads((tmp_path / "claims" / "bc.json").read_text())
    assert written == json.loads(json.dumps(found))
    contrast = written["contrasts"][0]
    assert contrast["verdict"] in ("holds", "not at this scale", "fails")
    assert contrast["difference"] == pytest.approx(
        np.mean(contrast["values"]["bc"]) - np.mean(contrast["values"]["slow"]), abs=1e-4
    )
    assert len(contrast["values"]["bc"]) == 2
    assert (tmp_path / "claims" / "bc.png").stat().st_size > 1000
    table.write(measure.load(tmp_path / "claims"), {"bc": small}, tmp_path / "claims.md")
    page = (tmp_path / "claims.md").read_text()
    assert "| bc | learns |" in page
    assert "![bc](claims/bc.png)" in page
    assert "A note." in page


def test_differences_say_how_far_they_move_from_run_to_run(small, monkeypatch):
    """A seed that moves by 4 moves a mean of 8 by the root of 2, and a difference of two means by 2."""
    contrast = small.contrasts[0]
    monkeypatch.setattr(claim, "of_seed", {"final": 4.0}.get)
    assert contrast.from_run_to_run(8) == pytest.approx(2.0)
    assert replace(contrast, figure=claim.handover("dip")).from_run_to_run(8) is None
    assert replace(contrast, figure=lambda result: result.scores).from_run_to_run(8) is None


def test_an_arm_in_a_process_of_its_own_is_the_same(small, monkeypatch):
    class Here:
        """Stands in for the processes, which would not find the fixture's claim."""

        def __init__(self, processes):
            assert processes == 2

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, work, *arguments):
            future = Future()
            future.set_result(pickle.loads(pickle.dumps(work(*arguments))))
            return future

    monkeypatch.setattr(claims, "load", {"bc": small}.__getitem__)
    monkeypatch.setattr(cores, "pool", Here)
    apart = measure.run(small, range(2), progress=False, processes=2)
    together = measure.run(small, range(2), progress=False)
    assert list(apart) == list(together)
    for arm, result in together.items():
        np.testing.assert_array_equal(apart[arm].returns, result.returns)
        assert small.contrasts[0].values(apart)[arm].tolist() == small.contrasts[0].values(together)[arm].tolist()


def test_an_arm_can_learn_from_other_data(small):
    recipe, _, data = tiny("bc")
    mirrored = replace(data, data=data.data._replace(action=-data.data.action))
    arms = {"bc": recipe, "mirrored": recipe, "again": recipe}
    made = replace(small, arms=lambda task: arms, other_data={"mirrored": lambda task: mirrored})
    results = measure.run(made, range(2), progress=False)
    np.testing.assert_array_equal(results["bc"].returns, results["again"].returns)
    assert (results["bc"].returns[:, -1] != results["mirrored"].returns[:, -1]).any()


def test_only_offline_ends_at_the_switch():
    recipe = claim.only_offline(shrink(o2o.recipe("cql", tiny("cql")[1])))
    assert [phase.name for phase in recipe.phases] == ["offline"]


def _room(**settings):
    return shift.Room(routes=shift.AROUND, **settings)


@pytest.mark.parametrize(
    ("start", "action", "end"),
    [
        ((-0.5, -0.1), (0.0, 1.0), (-0.5, -0.1)),  # into the wall
        ((-0.5, -0.1), (1.0, 1.0), (-0.35, -0.1)),  # along it
        ((0.45, -0.1), (0.0, 1.0), (0.45, 0.05)),  # past its end
        ((0.35, -0.1), (1.0, 1.0), (0.5, 0.05)),  # past its end, on a slant that crosses it at 0.45
        ((-0.95, 0.5), (-1.0, 0.2), (-1.0, 0.53)),  # at the border
        ((0.0, 0.5), (3.0, -2.0), (0.15, 0.35)),  # no faster than at full stride
    ],
)
def test_the_room_stops_at_its_wall(start, action, end):
    state = shift.RoomState(jnp.array(start), jnp.array([-0.9, 0.9]), jnp.int32(0))
    state, step = _room().step(state, jnp.array(action), jax.random.key(0))
    np.testing.assert_allclose(step.obs, [*end, -0.9, 0.9], atol=1e-6)
    assert (float(step.reward), bool(step.terminated), bool(step.truncated)) == (0.0, False, False)


def test_the_room_ends_at_the_goal_or_too_late():
    env = _room()
    for start, time, expected in (((-0.6, 0.9), 39, (1.0, True, False)), ((-0.4, 0.9), 39, (0.0, False, True))):
        state = shift.RoomState(jnp.array(start), jnp.array([-0.9, 0.9]), jnp.int32(time))
        _, step = env.step(state, jnp.array([-1.0, 0.0]), jax.random.key(0))
        assert (float(step.reward), bool(step.terminated), bool(step.truncated)) == expected


def test_moved_joints_shorten_the_step():
    state = shift.RoomState(jnp.array([0.0, 0.5]), jnp.array([-0.9, 0.9]), jnp.int32(0))
    _, step = _room(joints=2).step(state, jnp.array([1.0, 0.0, 0.5, -2.0]), jax.random.key(0))
    np.testing.assert_allclose(step.obs[0], 0.15 * np.exp(-1.25), rtol=1e-6)


def test_episodes_of_the_room_keep_to_their_routes_and_the_driver_gets_there():
    rows = store.flat(shift.recorded(3_000, *shift.AROUND, joints=1, sigma=0.0))
    assert rows.action.shape == (3_000, 3)
    began = np.roll(np.asarray(rows.last), 1)
    x, y, goal_x, goal_y = np.asarray(rows.obs)[began].T
    assert (y * goal_y < 0).all()
    assert 0.3 < (y > 0).mean() < 0.7
    assert max(x.max(), goal_x.max()) <= 0.2
    ended = np.asarray(rows.last)
    assert np.asarray(rows.terminated)[ended].mean() > 0.85  # the others were cut where the recording stopped
    assert not np.asarray(rows.action)[:, 2].any()


def test_joined_rows_keep_their_ends():
    parts = [shift.recorded(100, route, sigma=0.1) for route in shift.AROUND]
    flat = store.flat(shift.joined(*parts))
    np.testing.assert_array_equal(flat.last, np.concatenate([store.flat(part).last for part in parts]))
    assert flat.reward.shape == (200,)
