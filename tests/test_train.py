"""`train` is one pure function: under jit, vmap, scan and leak checking, and what may not change its results."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import arrays, distance, lane, tiny

import purejaxo2o as o2o
from purejaxo2o.drive.sweep import seed_keys

TRAIN = jax.jit(o2o.train)
KEYS = seed_keys(3)
LANES = 1e-4
"""What we promise of a lane against its solo run; measured here: 6e-8."""


@pytest.fixture(scope="module")
def solos():
    return [TRAIN(key, *tiny("iql")) for key in KEYS]


def test_result_counts_and_names(solos):
    result = solos[0]
    np.testing.assert_array_equal(result.phase, [0] * 5 + [1] * 4)
    np.testing.assert_array_equal(result.env_steps, [0] * 5 + [10, 20, 30, 40])
    np.testing.assert_array_equal(result.grad_steps, [*range(0, 50, 10), 50, 60, 70, 80])
    assert result.phase_names == ("offline", "online")
    assert result.switch == 4
    assert result.returns.shape == (9, 2)
    assert bool(result.finite.all())
    assert int(result.run.store.size) == int(result.run.iteration) - 40 == 40
    assert np.isnan(result.metrics["train_episodes"][:5]).all()  # nobody acts offline
    assert np.isfinite(result.metrics["train_episodes"][5:]).all()
    assert np.isnan(result.metrics["q"][0])  # before any training
    assert np.isfinite(result.metrics["q"][1:]).all()


def test_scores_normalise_returns(solos):
    _, task, _ = tiny("iql")
    changed = dataclasses.replace(task, score_low=-1.0, score_high=3.0)
    np.testing.assert_allclose(changed.score(jnp.array([-1.0, 1.0, 3.0])), [0, 50, 100])
    np.testing.assert_allclose(solos[0].scores, 100 * solos[0].returns.mean(-1), rtol=1e-5)


@pytest.mark.exact
def test_lanes_over_seeds_equal_solo_runs(solos):
    batch = jax.jit(jax.vmap(o2o.train, in_axes=(0, None, None, None)))(KEYS, *tiny("iql"))
    assert batch.scores.shape == (3, 9)
    for index, solo in enumerate(solos):
        assert distance(lane(batch, index), solo) <= LANES


@pytest.mark.exact
def test_same_key_same_bits_and_other_keys_other_runs(solos):
    again = TRAIN(KEYS[0], *tiny("iql"))
    assert all((a == b).all() or np.isnan(a).any() for a, b in zip(arrays(again), arrays(solos[0]), strict=True))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert distance(solos[one].run.agent.actor, solos[other].run.agent.actor) > 0.1
        # The very first evaluation already starts elsewhere.
        assert (np.asarray(solos[one].returns[0]) != np.asarray(solos[other].returns[0])).all()
        assert (solos[one].run.store.data.obs != solos[other].run.store.data.obs).all()


@pytest.mark.exact
def test_lanes_over_a_number_equal_solo_runs():
    recipe, task, data = tiny("bc")
    rates = jnp.array([1e-4, 3e-2])
    recipes = o2o.replace(recipe, {"agent.learning_rate": rates})
    axes = jax.tree.map(lambda x: 0 if np.shape(x) == (2,) else None, recipes)
    batch = jax.jit(jax.vmap(o2o.train, in_axes=(None, axes, None, None)))(KEYS[0], recipes, task, data)
    for index, rate in enumerate(rates):
        solo = TRAIN(KEYS[0], o2o.replace(recipe, {"agent.learning_rate": rate}), task, data)
        assert distance(lane(batch.run.agent, index), solo.run.agent) <= LANES
        assert distance(lane(batch.returns, index), solo.returns) <= LANES
    assert distance(lane(batch.run.agent.actor, 0), lane(batch.run.agent.actor, 1)) > 0.1


def test_inside_the_callers_own_scan(solos):
    @jax.jit
    def several(keys, recipe, task, data):
        def one(best, key):
            result = o2o.train(key, recipe, task, data)
            return jnp.maximum(best, result.scores[-1]), (result.scores, result.run.agent.actor)

        return jax.lax.scan(one, -jnp.inf, keys)

    best, (scores, actors) = several(KEYS[:2], *tiny("iql"))
    for index in range(2):
        assert distance(scores[index], solos[index].scores) <= LANES * 100  # scores are per cent
        assert distance(lane(actors, index), solos[index].run.agent.actor) <= LANES
    assert float(best) == float(scores[:, -1].max())


@pytest.mark.exact
def test_evaluating_more_often_changes_no_training(solos):
    recipe, task, data = tiny("iql")
    once = TRAIN(KEYS[0], o2o.replace(recipe, {"offline.segments": 1, "online.segments": 1}), task, data)
    assert once.scores.shape == (3,)
    assert distance(once.run.agent, solos[0].run.agent) <= 1e-5  # measured: 0
    assert distance(once.run.store, solos[0].run.store) <= 1e-5
    # Evaluations are numbered, and so are their keys: the first is the same one.
    assert distance(once.returns[0], solos[0].returns[0]) <= 1e-5


def test_leaks_no_tracer():
    recipe, task, data = tiny("iql")
    smaller = o2o.replace(recipe, {"offline.steps": 4, "online.steps": 4})
    with jax.checking_leaks():
        jax.jit(o2o.train).trace(KEYS[0], smaller, task, data)


@pytest.mark.parametrize("name", ["iql"])
def test_policy_of_a_result_acts(name, solos):
    recipe, task, _ = tiny(name)
    act = solos[0].policy()
    obs = jnp.array([[0.1], [0.2]])
    action = act(obs, KEYS[0])
    assert action.shape == (2, *task.env.action_space.shape)
    expected = recipe.agent.act(solos[0].run.agent, obs, KEYS[0], explore=False)
    np.testing.assert_array_equal(action, expected)
    with pytest.raises(o2o.O2OError, match="one index per axis"):
        solos[0].policy(seed=0)


def test_a_run_can_be_differentiated():
    recipe, task, dataset = tiny("bc")

    def last_loss(rate):
        changed = o2o.replace(recipe, {"agent.learning_rate": rate, "offline.steps": 8, "offline.segments": 1})
        return o2o.train(KEYS[0], changed, task, dataset).metrics["actor_loss"][-1]

    rate, change = jnp.float32(1e-3), 1e-4
    slope = jax.jit(jax.grad(last_loss))(rate)
    above, below = jax.jit(jax.vmap(last_loss))(jnp.stack([rate + change, rate - change]))
    assert slope < 0  # learning a little faster leaves a smaller mean loss over the first steps
    np.testing.assert_allclose(slope, (above - below) / (2 * change), rtol=0.1)
