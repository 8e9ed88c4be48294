"""Episodes that start from states of the dataset."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.data.collect import collect, random_policy
from purejaxo2o.loop import rollout
from purejaxo2o.tasks.snapshots import clusters, snapshots
from purejaxo2o.types import O2OError

KEY = jax.random.key(0)
REACH = o2o.task("reach")
DATA = collect(REACH.env, random_policy(REACH.env.action_space), KEY, steps=200, num_envs=4)


def starts(task, count=2_000):
    """Observations `[count]` of fresh episodes on `reach`."""
    return np.asarray(rollout.reset(task.env, KEY, count)[1])[:, 0]


def test_a_maze_goes_on_from_an_observation_as_it_would_have():
    env = envs.make("maze/PointMaze_UMaze-v3", continuing_task=False)
    state, _ = env.reset(KEY)
    actions = jax.random.uniform(KEY, (60, 2), minval=-1.0, maxval=1.0)
    for action in actions[:50]:
        state, step = env.step(state, action, KEY)
    again = env.restore(step.obs)
    for action in actions[50:]:
        (state, step), (again, other) = env.step(state, action, KEY), env.step(again, action, KEY)
        np.testing.assert_array_equal(step.obs, other.obs)


def test_episodes_start_where_the_data_have_been_and_are_judged_as_ever():
    task = snapshots(REACH, DATA, every=1)
    recorded = np.asarray(DATA.data.obs).ravel()
    found = starts(task)
    assert np.isin(found, recorded).all()
    assert np.abs(found).max() > 0.5  # where no episode of the task itself starts
    assert task.eval_env is REACH.env
    np.testing.assert_allclose(found.mean(), recorded.mean(), atol=0.05)


def test_the_share_of_such_episodes():
    assert np.isin(starts(snapshots(REACH, DATA, share=0.0)), np.asarray(DATA.data.obs)).sum() == 0
    half = np.isin(starts(snapshots(REACH, DATA, share=0.5)), np.asarray(DATA.data.obs)).mean()
    assert 0.45 < half < 0.55


def test_an_episode_from_a_snapshot_is_cut_and_an_ordinary_one_is_not():
    for share, length in ((1.0, 3), (0.0, REACH.env.horizon)):
        env = snapshots(REACH, DATA, share=share, limit=3).env
        state, _ = env.reset(KEY)
        for time in range(1, length + 1):
            state, step = env.step(state, jnp.array([-1.0]), KEY)  # away from the goal
            assert bool(step.truncated) == (time == length)
            assert not step.terminated


def test_clusters_are_as_likely_whatever_their_size():
    worth = jnp.where(jnp.arange(1000) < 900, 0.0, jnp.where(jnp.arange(1000) < 990, 5.0, 10.0))
    group = np.asarray(clusters(worth, 3))
    assert len({int(group[i]) for i in (0, 950, 995)}) == 3
    rows = DATA.data.obs.shape[0] * DATA.data.obs.shape[1]
    good = jnp.arange(rows) >= rows - 10
    task = snapshots(REACH, DATA, worth=good.astype(float), groups=2, every=1)
    flat = np.asarray(jnp.swapaxes(DATA.data.obs, 0, 1).reshape(-1))
    share = np.isin(starts(task), flat[-10:]).mean()
    assert 0.45 < share < 0.6


@pytest.mark.slow
def test_recipes_train_on_it_and_seeds_share_the_snapshots():
    recipe, task, data = tiny("iql")
    task = snapshots(task, data, limit=4)
    keys = jax.random.split(KEY, 2)
    both = jax.jit(jax.vmap(o2o.train, in_axes=(0, None, None, None)))(keys, recipe, task, data)
    assert both.finite.all()
    rows = both.run.store.data
    assert (rows.truncated & ~rows.terminated).any()
    alone = jax.jit(o2o.train)(keys[1], recipe, task, data)
    np.testing.assert_allclose(alone.scores, both.scores[1], rtol=1e-3, atol=1e-3)


def test_what_cannot_be_is_refused():
    with pytest.raises(O2OError, match="gymnax/Pendulum-v1 cannot start from an observation"):
        snapshots(o2o.task("pendulum"), DATA)
    with pytest.raises(O2OError, match="limit is 0"):
        snapshots(REACH, DATA, limit=0)
    with pytest.raises(O2OError, match="worth has shape"):
        snapshots(REACH, DATA, worth=jnp.ones(3))
