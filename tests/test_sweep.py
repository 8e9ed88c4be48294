"""Settings x seeds: the order of the axes, lanes that equal solo runs, lanes that fail alone, what is refused."""

import json

import jax
import numpy as np
import pytest
from tiny import arrays, distance, tiny

import purejaxo2o as o2o
from purejaxo2o.disk.results import load_results
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.types import O2OError

RATES = [3e-4, 3e-3]
TAUS = [0.6, 0.9]
OVER = {"*.learning_rate": RATES, "agent.expectile": TAUS}
LANES = 1e-4
"""What we promise of a lane against its solo fit; measured here: 3e-7."""


def sweep(over=None, seeds=2, **settings):
    return o2o.sweep(*tiny("iql"), seeds=seeds, over=over, progress=False, **settings)


def solo(rate, tau, key):
    recipe, task, data = tiny("iql")
    changed = o2o.replace(recipe, {"*.learning_rate": rate, "agent.expectile": tau})
    return o2o.fit(key, changed, task, data, progress=False)


def lane(result, index):
    """The arrays of one lane, the run's state included."""
    fields = (result.scores, result.returns, result.metrics, result.finite, result.run.agent, result.run.store.data)
    return jax.tree.map(lambda x: x[index], fields)


def alone(result):
    return (result.scores, result.returns, result.metrics, result.finite, result.run.agent, result.run.store.data)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "run"
    return sweep(OVER, out=out), out


def test_axes_follow_the_order_of_over_then_the_seed(grid):
    result, _ = grid
    assert result.scores.shape == (2, 2, 2, 9)
    assert result.returns.shape == (2, 2, 2, 9, 2)
    assert result.env_steps.shape == (2, 2, 2, 9)
    expected_rates = np.broadcast_to(np.float32(RATES)[:, None, None], (2, 2, 2))
    np.testing.assert_array_equal(result.agent.learning_rate, expected_rates)
    np.testing.assert_array_equal(result.agent.expectile, np.broadcast_to(np.float32(TAUS)[:, None], (2, 2, 2)))
    keys = jax.random.key_data(result.run.key)
    np.testing.assert_array_equal(keys, np.broadcast_to(jax.random.key_data(seed_keys(2)), keys.shape))


@pytest.mark.exact
@pytest.mark.parametrize("index", [(0, 1, 0), (1, 0, 1)])
def test_every_lane_equals_its_solo_fit(grid, index):
    rate, tau, seed = RATES[index[0]], TAUS[index[1]], seed_keys(2)[index[2]]
    expected = solo(rate, tau, seed)
    assert distance(lane(grid[0], index)[1:], alone(expected)[1:]) <= LANES
    assert distance(lane(grid[0], index)[0], expected.scores) <= 100 * LANES  # per cent


def test_lanes_differ(grid):
    finals = np.asarray(grid[0].metrics["q"])[..., -1].ravel()
    assert len(set(finals.tolist())) == 8


def test_policy_of_a_lane(grid):
    obs = np.array([[0.2]], np.float32)
    chosen = grid[0].policy(seed=(1, 0, 1))(obs, seed_keys(1)[0])
    agent, state = jax.tree.map(lambda x: x[1, 0, 1], (grid[0].agent, grid[0].run.agent))
    np.testing.assert_allclose(chosen, agent.act(state, obs, None, explore=False), rtol=1e-6)
    with pytest.raises(O2OError, match=r"leading axes \(2, 2, 2\)"):
        grid[0].policy()


def test_what_is_written(grid):
    result, out = grid
    config = json.loads((out / "config.json").read_text())
    assert config["over"] == OVER
    assert (config["seeds"], len(config["keys"]), config["lanes"]) == ([0, 1], 2, list(range(8)))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([row["score"] for row in rows], np.asarray(result.scores).reshape(8, 9).T, rtol=1e-6)
    loaded = load_results(out)
    assert np.size(loaded.scores) == 72
    np.testing.assert_array_equal(np.ravel(loaded.scores), np.ravel(result.scores))


class Stop:
    """Interrupts at the sixth row, in the online phase."""

    count = 0

    def write(self, row):
        self.count += 1
        if self.count == 6:
            raise KeyboardInterrupt

    def close(self):
        pass


@pytest.mark.exact
def test_resumes_bit_for_bit(grid, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        sweep(OVER, out=tmp_path / "run", sinks=[Stop()])
    resumed = sweep(OVER, out=tmp_path / "run", resume=True)
    for a, b in zip(arrays(resumed), arrays(grid[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_refuses_to_resume_other_values(grid):
    with pytest.raises(O2OError, match=r"holds another run: its (over|agent\.expectile) is"):
        sweep(OVER | {"agent.expectile": [0.6, 0.8]}, out=grid[1], resume=True)
    with pytest.raises(O2OError, match="already holds a run"):
        sweep(OVER, out=grid[1])


def test_a_lane_that_diverges_leaves_the_others_alone(grid):
    good = grid[0]
    bad = sweep(OVER | {"*.learning_rate": [RATES[0], 1e30]})
    assert np.asarray(good.finite).all()
    assert np.asarray(bad.finite)[0].all()
    assert not np.asarray(bad.finite)[1, ..., -1].any()
    assert np.asarray(bad.finite)[..., 0].all()  # before training
    for a, b in zip(arrays(lane(bad, 0)), arrays(lane(good, 0)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_alone_and_own_keys():
    """No `over`: one axis; a lane depends on its key and not on its place."""
    keys = seed_keys(2)
    straight, turned = (o2o.sweep(*tiny("bc"), seeds=seeds, progress=False) for seeds in (2, keys[::-1]))
    assert straight.scores.shape == (2, 5)
    for a, b in zip(arrays(straight.returns), arrays(turned.returns), strict=True):
        np.testing.assert_array_equal(a, b[::-1])
    assert distance(straight.run.agent, jax.tree.map(lambda x: x[::-1], turned.run.agent)) == 0


BAD = {
    "static": (
        {"agent.hidden": [8, 16]},
        r"takes a tuple like \(8, 8\), got 8 \(agent\.hidden is static: each value",
    ),
    "lengths": (
        {"online.segments": [2, 4]},
        r"call sweep once for each with o2o\.replace\(recipe, \{'online\.segments",
    ),
    "twice": ({"agent.expectile": [0.7, 0.7]}, r"give each value once"),
    "mistyped": (
        {"agent.learning_rat": [1e-4]},
        r"no setting 'agent\.learning_rat'; did you mean 'agent\.learning_rate'",
    ),
    "empty": ({"agent.expectile": []}, r"over\['agent\.expectile'\] is \[\]; give a non-empty list"),
    "text": ({"agent.expectile": "0.7"}, r"is '0\.7'; give a non-empty list of numbers"),
    "not finite": ({"agent.expectile": [0.7, float("nan")]}, r"every value must be a finite number"),
    "not a number": ({"agent.expectile": [0.7, "high"]}, r"every value must be a finite number"),
    "out of range": ({"agent.discount": [0.9, 1.5]}, r"discount is 1\.5; it must lie in \[0, 1\]"),
    "negative": ({"*.learning_rate": [-1e-3]}, r"learning_rate is -0\.001; it must be at least 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_bad_axes_before_anything_is_written(case, tmp_path):
    over, message = BAD[case]
    with pytest.raises(O2OError, match=message) as error:
        sweep(over, out=tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_refuses_bad_numbers_of_lanes(tmp_path):
    bad = {"seeds": "seeds is 0; it must be at least 1", "width": "width is 0; give", "chunk": "chunk is 0; give"}
    for name, message in bad.items():
        with pytest.raises(O2OError, match=message):
            sweep(out=tmp_path / "run", **{name: 0})
    assert not list(tmp_path.iterdir())


def test_static_settings_get_a_program_each(tmp_path):
    """Axes in the order given, static or not; every lane is that of a sweep under its static value."""
    recipe, task, data = tiny("bc")
    sizes, name = ((8, 8), (4,)), "agent.actor_hidden"

    def swept(over, recipe=recipe, **settings):
        return o2o.sweep(recipe, task, data, seeds=2, over=over, progress=False, **settings)

    both = swept({name: sizes, "*.learning_rate": RATES}, out=tmp_path / "run")
    assert both.axes == ((name, sizes), ("*.learning_rate", tuple(RATES)), ("seed", (0, 1)))
    assert both.scores.shape == (2, 2, 2, 5)
    alone = swept({"*.learning_rate": RATES}, o2o.replace(recipe, {name: (4,)}))
    np.testing.assert_array_equal(both.scores[1], alone.scores)
    obs, key = np.array([[0.2]], np.float32), seed_keys(1)[0]
    np.testing.assert_array_equal(both.policy((1, 0, 1))(obs, key), alone.policy((0, 1))(obs, key))
    turned = swept({"*.learning_rate": RATES, name: sizes})
    np.testing.assert_array_equal(np.swapaxes(turned.scores, 0, 1), both.scores)
    np.testing.assert_array_equal(turned.policy((0, 1, 1))(obs, key), alone.policy((0, 1))(obs, key))
    loaded = load_results(tmp_path / "run")
    assert loaded.axes == both.axes
    np.testing.assert_array_equal(loaded.scores, both.scores)
    np.testing.assert_array_equal(loaded.select({name: (4,)}).scores, alone.scores)


def test_parts_one_after_the_other(tmp_path):
    """Cut into parts, the sweep gives what it gives whole; folders join to the same result; resuming repeats it."""
    whole, out = sweep(seeds=5, width=1), tmp_path / "run"
    parts = sweep(seeds=5, width=1, chunk=2, out=out)
    np.testing.assert_array_equal(parts.scores, whole.scores)
    for a, b in zip(arrays(parts.run.agent), arrays(whole.run.agent), strict=True):
        np.testing.assert_array_equal(a, b)
    assert parts.run.store is None
    assert sorted(path.parent.name for path in out.glob("*/results.npz")) == ["part-0", "part-1", "part-2"]
    np.testing.assert_array_equal(load_results(out).scores, whole.scores)
    np.testing.assert_array_equal(sweep(seeds=5, chunk=2, out=out, resume=True).scores, whole.scores)
    with pytest.raises(O2OError, match="its chunk is 2, not 3"):
        sweep(seeds=5, chunk=3, out=out, resume=True)
    (out / "part-1" / "results.npz").unlink()
    with pytest.raises(O2OError, match="part-1 holds no finished run"):
        load_results(out)


@pytest.mark.exact
def test_width_changes_rounding_only():
    wide, one = (sweep(seeds=4, width=width) for width in (4, 1))
    assert distance(alone(wide)[1:], alone(one)[1:]) <= LANES
    recipe, task, data = tiny("iql")  # the program of a lane is that of a run alone
    solo = o2o.fit(seed_keys(4)[3], recipe, task, data, progress=False)
    assert distance(lane(one, 3), alone(solo)) <= LANES


def test_what_is_wrong_with_a_lane_is_told():
    bad = sweep({"*.learning_rate": [RATES[0], 1e30]})
    found = bad.failures()
    assert [failure.lane for failure in found] == [(1, 0), (1, 1)]
    assert [failure.where for failure in found] == [f"*.learning_rate=1e+30, seed {seed}" for seed in (0, 1)]
    for failure in found:
        assert (failure.segment, failure.phase) == (1, "offline")
        assert failure.step == 0
        assert failure.metric in ("advantage", "actor_loss")  # the first to see the new value network
        assert "not finite at step 0" in str(failure)
    assert np.isnan(np.asarray(bad.scores)[1, :, 1:]).all()
    # Frozen as they were before the segment: still finite, and never trained.
    assert all(np.isfinite(x[1]).all() for x in arrays(bad.run.agent))
    assert int(bad.run.agent.actor_opt.count[1, 0]) == 0
    assert int(bad.run.agent.actor_opt.count[0, 0]) > 0


def test_selecting():
    result = sweep({"agent.expectile": TAUS})
    np.testing.assert_array_equal(result.select({"agent.expectile": 0.9}).scores, result.scores[1])
    np.testing.assert_array_equal(result.select({"seed": 1, "agent.expectile": 0.6}).scores, result.scores[0, 1])
    assert result.select({"seed": 1}).axes == (("agent.expectile", tuple(TAUS)),)
    with pytest.raises(O2OError, match=r"no axis 'agent.expectil'; did you mean 'agent.expectile'"):
        result.select({"agent.expectil": 0.9})
    with pytest.raises(O2OError, match=r"has no value 0.8; it has 0.6, 0.9"):
        result.select({"agent.expectile": 0.8})
