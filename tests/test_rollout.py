"""Acting: true successors, resets, episode bookkeeping, returns-to-go; evaluation with a fixed budget."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles import HORIZON, Clock, Counting

import purejaxo2o as o2o
from purejaxo2o.data import collect as collecting
from purejaxo2o.envs import make
from purejaxo2o.loop import rollout
from purejaxo2o.loop.evaluate import STRETCH
from purejaxo2o.loop.extras import return_to_go
from purejaxo2o.loop.phases import online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.tasks import make as make_task
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.train import collect, init
from purejaxo2o.types import Space, Step, pytree

KEY = jax.random.key(0)
ENVS, STEPS = 3, 60


@pytest.fixture(scope="module", params=[False, True], ids=["fresh", "pooled"])
def played(request):
    """What 60 random steps in three environments went through: rows and bookkeeping, `[T, E, ...]`."""
    env = Clock(pooled_resets=request.param)

    @jax.jit
    def play(key):
        starts = rollout.pool(env, key)
        state, obs = rollout.reset(env, key, ENVS)

        def body(carry, key):
            state, obs, episodes = carry
            action = rollout.random_action(env.action_space, key, (ENVS,))
            state, obs, row, _ = rollout.step(env, state, obs, action, key, starts, length=episodes.length)
            after = rollout.advance(episodes, row, 0.0)
            return (state, obs, after), (row, obs, episodes)

        carry = (state, obs, rollout.begin(ENVS))
        return starts, jax.lax.scan(body, carry, jax.random.split(key, STEPS))[1]

    starts, (rows, following, episodes) = jax.tree.map(np.asarray, play(KEY))
    return env, starts, rows, following, episodes


def test_rows_hold_the_true_next_obs_and_resets_come_after(played):
    _, _, rows, following, _ = played
    last = rows.terminated | rows.truncated
    np.testing.assert_array_equal(rows.obs[1:], following[:-1])
    np.testing.assert_array_equal(rows.next_obs[..., 0], rows.obs[..., 0] + 1)  # also where the episode ended
    np.testing.assert_array_equal(rows.next_obs[..., 1:], rows.obs[..., 1:])
    np.testing.assert_array_equal(following[~last], rows.next_obs[~last])
    assert (following[last][:, 0] == 0).all()
    assert (following[last][:, 2] != rows.obs[last][:, 2]).mean() > 0.9  # a pool may give the same start again
    assert rows.terminated.any()
    assert rows.truncated.any()
    np.testing.assert_array_equal(rows.truncated, (rows.next_obs[..., 0] == HORIZON) & ~rows.terminated)


def test_start_states_are_many(played):
    env, starts, rows, following, _ = played
    last = rows.terminated | rows.truncated
    begun = following[last][:, 2]
    if not env.pooled_resets:
        assert starts is None
        assert len(set(begun.tolist())) == len(begun)  # each one fresh
        return
    pool = starts[1][:, 2]
    assert len(pool) == rollout.POOL_SIZE
    assert len(set(pool.tolist())) > rollout.POOL_SIZE - 5  # two 23-bit numbers may be equal
    assert set(begun.tolist()) <= set(pool.tolist())
    assert len(set(begun.tolist())) > 0.8 * len(begun)


def test_bookkeeping_of_the_unfinished_episode(played):
    _, _, rows, _, episodes = played
    for env in range(ENVS):
        length, total, failed = 0, 0.0, True
        for t in range(STEPS):
            found = (episodes.length[t, env], episodes.total[t, env], episodes.failed[t, env])
            assert found == (length, total, failed)
            length, total, failed = length + 1, total + rows.reward[t, env], failed and rows.reward[t, env] == 0
            if rows.terminated[t, env] or rows.truncated[t, env]:
                length, total, failed = 0, 0.0, True


def test_random_actions_fill_the_space():
    box = np.asarray(rollout.random_action(Space((2,)), KEY, (1000,)))
    assert box.shape == (1000, 2)
    assert (np.abs(box) <= 1).all()
    assert box.min() < -0.99 < 0.99 < box.max()
    discrete = np.asarray(rollout.random_action(Space(n=3), KEY, (1000,)))
    assert set(discrete.tolist()) == {0, 1, 2}


SCALE, BIAS, DISCOUNT, LENGTH = 2.0, -0.5, 0.9, 50


@pytest.mark.parametrize("envs", [1, 2])
@pytest.mark.parametrize("fail_reward", [None, 0.0])
def test_return_to_go_filled_online_equals_the_one_computed_afterwards(envs, fail_reward):
    task = dataclasses.replace(make_task("clock", Clock()), fail_reward=fail_reward)
    recipe = Recipe(
        name="test",
        agent=Counting(discount=DISCOUNT, extras=("return_to_go",)),
        phases=(online(LENGTH * envs, mix="online", segments=1),),
        reward_scale=SCALE,
        reward_bias=BIAS,
        num_envs=envs,
        store_rows=23,  # the ring goes round twice, and episodes lie across its seam
    )

    @jax.jit
    def play(key):
        def body(run, key):
            run, _ = collect(run, recipe, task, recipe.phases[0], jax.random.split(key), None)
            newest = (run.store.head - 1) % run.store.rows
            return run, jax.tree.map(lambda x: x[newest], run.store.data._replace(extras={}))

        return jax.lax.scan(body, init(key, recipe, task), jax.random.split(key, LENGTH))

    run, rows = play(KEY)
    store, rows = jax.tree.map(np.asarray, (run.store, rows))
    last = rows.last
    assert rows.terminated.any()
    assert rows.truncated.any()
    compared = 0
    for env in range(envs):
        done = int(np.flatnonzero(last[:, env])[-1]) + 1  # rows of finished episodes
        assert int(run.episodes.length[env]) == LENGTH - done
        fail = None if fail_reward is None else SCALE * fail_reward + BIAS
        reward = SCALE * rows.reward[:done, env] + BIAS
        expected = return_to_go(
            reward, rows.terminated[:done, env], rows.last[:done, env], discount=DISCOUNT, fail_reward=fail
        )
        for t in range(LENGTH - 23, done):
            at = t % 23
            np.testing.assert_array_equal(store.data.obs[at, env], rows.obs[t, env])
            found = store.data.extras["return_to_go"][at, env]
            np.testing.assert_allclose(found, expected[t], rtol=2e-6, err_msg=f"row {t} of environment {env}")
            compared += 1
    assert compared > 15 * envs


def test_evaluation_of_a_known_policy_is_exact():
    """The action 1 in `toy/reach` needs floor((0.7 - x) / 0.2) + 1 steps; the action -1 never arrives."""
    env = make("toy/reach")
    key_reset, _ = jax.random.split(KEY)  # as `evaluate` does
    starts = np.asarray(rollout.reset(env, key_reset, 64)[1][:, 0])
    steps = np.floor((0.7 - starts) / 0.2) + 1

    @jax.jit
    def play(action):
        return evaluate(lambda obs, key: jnp.full((64, 1), action), env, KEY, episodes=64)

    good, bad = play(1.0), play(-1.0)
    np.testing.assert_array_equal(good.returns, np.ones(64))
    np.testing.assert_array_equal(good.lengths, steps)
    np.testing.assert_array_equal(bad.returns, np.zeros(64))
    np.testing.assert_array_equal(bad.lengths, np.full(64, env.horizon))
    assert good.lengths.dtype == jnp.int32


@pytree
class Endless(Clock):
    """A `Clock` that promises a horizon and forgets it. Observes the steps since its reset."""

    def reset(self, key):
        return jnp.zeros(3), jnp.zeros(3)

    def step(self, state, action, key):
        state = state.at[0].add(1)
        return state, Step(state, jnp.float32(1), jnp.bool_(False), jnp.bool_(False), {"success": state[0] == 2})


def test_an_environment_that_forgets_its_horizon_is_cut_there():
    recipe = Recipe(name="test", agent=Counting(), phases=(online(32, mix="online", segments=1),), num_envs=2)
    result = jax.jit(o2o.train)(KEY, recipe, make_task("endless", Endless()))
    assert result.metrics["train_episodes"][-1] == 2 * (16 // HORIZON)
    assert result.metrics["train_return"][-1] == HORIZON
    rows = jax.tree.map(np.asarray, result.run.store.data)
    np.testing.assert_array_equal(rows.truncated[:16], rows.next_obs[:16, :, 0] == HORIZON)
    np.testing.assert_array_equal(rows.obs[:16, 0, 0], np.arange(16) % HORIZON)
    assert not rows.terminated.any()
    assert (result.returns == HORIZON).all()


@pytest.mark.parametrize("continuing", [False, True])
def test_a_recording_is_cut_at_the_horizon(continuing):
    class Seen(Endless):
        observe = staticmethod(lambda state: state)

    env = pytree(Seen)()
    behaviour = collecting.Memoryless(collecting.random_policy(env.action_space))
    rows = collecting.collect_with(env, behaviour, KEY, steps=24, num_envs=2, continuing=continuing)
    rows = jax.tree.map(lambda x: np.asarray(x).reshape(2, 12, *x.shape[2:]), rows.data)
    since = rows.next_obs[..., 0]
    np.testing.assert_array_equal(since, np.tile(np.arange(12) % HORIZON + 1, (2, 1)))  # reset at the horizon alone
    cut = (since == HORIZON) | (continuing & (since == 2))
    cut[:, -1] = True
    np.testing.assert_array_equal(rows.truncated, cut)


@pytest.mark.parametrize("many", [jax.vmap, lambda run: partial(jax.lax.map, run)], ids=["vmap", "map"])
def test_evaluation_stops_when_all_episodes_are_over(many):
    steps = []

    def act(obs, key):
        jax.debug.callback(lambda: steps.append(1))
        return jnp.zeros((2, 1))

    env = dataclasses.replace(Clock(), horizon=1000)
    run = partial(evaluate, act, env, episodes=2)
    outcome = jax.jit(many(run))(jax.random.split(KEY, 3))
    jax.effects_barrier()
    assert (outcome.lengths <= 7).all()
    assert 7 < len(steps) <= 3 * STRETCH < 1000


@pytest.mark.parametrize("horizon", [1, 7, 50, 53, 101])
def test_evaluation_ends_at_any_horizon(horizon):
    env = dataclasses.replace(Endless(), horizon=horizon)
    outcome = jax.jit(lambda: evaluate(lambda obs, key: jnp.zeros((2, 1)), env, KEY, episodes=2))()
    np.testing.assert_array_equal(outcome.lengths, [horizon] * 2)
    np.testing.assert_array_equal(outcome.returns, [horizon] * 2)


@pytree
class Drift(Endless):
    """Pays for being near zero, and moves by the action."""

    def step(self, state, action, key):
        state, out = super().step(state.at[1].add(action[0] - 0.1), action, key)
        return state, out._replace(reward=-(state[1] ** 2))


def test_evaluation_can_be_differentiated():
    def mean_return(gain):
        run = partial(evaluate, lambda obs, key: gain - obs[:, 1:2], Drift(horizon=60), episodes=2)
        return jax.vmap(run)(jax.random.split(KEY, 2)).returns.mean()

    slope = jax.jit(jax.grad(mean_return))(0.3)
    near = jax.jit(mean_return)
    np.testing.assert_allclose(slope, (near(0.31) - near(0.29)) / 0.02, rtol=1e-3)
    assert slope < -1


def test_evaluation_counts_nothing_after_the_end():
    """`Clock` pays 1 for ending by itself, and would again and again if it went on."""
    outcome = evaluate(lambda obs, key: jnp.zeros((50, 1)), Clock(), KEY, episodes=50)
    ends = np.asarray(rollout.reset(Clock(), jax.random.split(KEY)[0], 50)[1][:, 1])
    np.testing.assert_array_equal(outcome.returns, ends <= HORIZON)
    np.testing.assert_array_equal(outcome.lengths, np.minimum(ends, HORIZON))
