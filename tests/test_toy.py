"""The probes do what their docstrings promise: dynamics, rewards and flags."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o.envs import make

KEY = jax.random.key(0)


def play(name, actions, key=KEY):
    """Observations (the first included), rewards and flags of one episode, as lists of Python numbers."""
    env = make(name)
    state, obs = env.reset(key)
    seen, steps = [obs.item()], []
    for action in actions:
        state, step = env.step(state, jnp.asarray(action), KEY)
        seen.append(step.obs.item())
        steps.append((step.reward.item(), step.terminated.item(), step.truncated.item()))
    return seen, steps


@pytest.mark.parametrize("action", [-1.0, 0.3])
def test_constant_value(action):
    assert play("toy/constant-value", [[action]]) == ([0, 0], [(1, True, False)])


def test_obs_value():
    starts = set()
    for seed in range(8):
        (obs, final), steps = play("toy/obs-value", [[0.0]], jax.random.key(seed))
        assert steps == [(obs, True, False)]
        assert final == obs
        starts.add(obs)
    assert starts == {-1.0, 1.0}


def test_discount():
    assert play("toy/discount", [[0.0], [0.0]]) == ([0, 1, 1], [(0, False, False), (1, True, False)])


@pytest.mark.parametrize(("action", "reward"), [(0.5, 1.0), (0.0, 0.75), (-1.0, -1.25), (1.0, 0.75), (7.0, 0.75)])
def test_action_reward(action, reward):
    assert play("toy/action-reward", [[action]])[1] == [(reward, True, False)]


def test_action_reward_discrete():
    assert [play("toy/action-reward-discrete", [a])[1][0] for a in range(3)] == [
        (0, True, False),
        (1, True, False),
        (0.5, True, False),
    ]


def test_truncation():
    starts = set()
    for seed in range(8):
        (obs, final), steps = play("toy/truncation", [[0.0]], jax.random.key(seed))
        assert steps == [(1, obs == 0, obs == 1)]
        assert final == obs
        starts.add(obs)
    assert starts == {0.0, 1.0}


def test_reach_takes_the_stated_number_of_steps():
    """Always 1 arrives after n(x) steps; nothing bounded by 0.2 a step can arrive earlier."""
    env = make("toy/reach")
    keys = jax.random.split(KEY, 500)

    @jax.jit
    @jax.vmap
    def full_speed(key):
        state, obs = env.reset(key)
        return obs[0], jax.lax.scan(lambda s, _: env.step(s, jnp.ones(1), key), state, length=env.horizon)[1]

    start, steps = jax.tree.map(np.asarray, full_speed(keys))
    assert -0.5 <= start.min() < -0.45
    assert 0.45 < start.max() <= 0.5
    arrived = steps.terminated.argmax(axis=1) + 1
    np.testing.assert_array_equal(arrived, np.floor((0.7 - start) / 0.2) + 1)
    assert (arrived.min(), arrived.max()) == (2, 6)
    np.testing.assert_array_equal(steps.reward, steps.terminated)
    np.testing.assert_array_equal(steps.info["success"], steps.terminated)


def test_reach_is_truncated_at_its_horizon_and_clips():
    seen, steps = play("toy/reach", [[-9.0]] * 20)
    np.testing.assert_allclose(seen[:3], seen[0] - 0.2 * np.arange(3), atol=1e-6)
    assert seen[-1] == -1
    assert steps == [(0, False, t == 19) for t in range(20)]


@pytest.mark.parametrize(("turned", "reached"), [(1.0, 1.5), (-1.0, 0.0)])
def test_crossing_turns_its_steering_in_the_middle(turned, reached):
    """What goes right on the left (-1) and on the right (+1) arrives in reality; the simulator sends it back."""
    env = make("toy/crossing", turned=turned, low=-1.0, high=-1.0)
    state, obs = env.reset(KEY)
    np.testing.assert_array_equal(obs, [-1.0, -1.0])
    step, seen = jax.jit(env.step), []
    for _ in range(env.horizon):
        action = jnp.array([-1.0 if obs[1] < 0 else np.clip((1.5 - obs[0]) / 0.25, -1.0, 1.0)])
        state, out = step(state, action, KEY)
        obs = out.obs
        seen.append(out)
    assert abs(float(obs[0]) - reached) <= (0.0 if turned > 0 else 0.25)
    assert not any(bool(out.terminated) for out in seen)
    assert [bool(out.truncated) for out in seen] == [False] * 49 + [True]
    total = sum(float(out.reward) for out in seen)
    assert total == pytest.approx(42.5 if turned > 0 else 0.0)
