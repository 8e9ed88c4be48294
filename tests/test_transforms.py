"""Return to go, next actions and scores against plain Python loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o.data import scores
from purejaxo2o.loop.extras import next_action, return_to_go, trajectory_returns
from purejaxo2o.types import O2OError


def loop_return_to_go(reward, last, discount, fail_reward=None):
    result, start = np.zeros(len(reward)), 0
    for end in np.flatnonzero(last):
        following = 0.0
        for t in range(end, start - 1, -1):
            following = result[t] = reward[t] + discount * following
        if fail_reward is not None and all(reward[start : end + 1] == fail_reward):
            result[start : end + 1] = fail_reward / (1 - discount)
        start = end + 1
    return result


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    n = 500
    last = rng.random(n) < 0.1
    last[[0, 1, n - 1]] = True  # trajectories of one row, and an ended stream
    terminated = last & (rng.random(n) < 0.5)
    reward = np.where(rng.random(n) < 0.05, 5.0, -5.0).astype(np.float32)
    return reward, terminated, last


@pytest.mark.parametrize("fail_reward", [None, -5.0])
@pytest.mark.parametrize("discount", [0.99, 0.0])
def test_return_to_go_equals_a_backward_loop(rows, discount, fail_reward):
    reward, terminated, last = rows
    got = jax.jit(return_to_go)(reward, terminated, last, discount=discount, fail_reward=fail_reward)
    expected = loop_return_to_go(reward, last, discount, fail_reward)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-4)


def test_return_to_go_reference_values_of_cal_ql():
    last = jnp.array([False, False, True, False, True])
    terminated = jnp.array([False, False, True, False, False])
    reward = jnp.array([-5.0, -5.0, 5.0, -5.0, -5.0])
    got = return_to_go(reward, terminated, last, discount=0.99, fail_reward=-5.0)
    np.testing.assert_allclose(got, [-5.0495, -0.05, 5.0, -500.0, -500.0], rtol=1e-5, atol=1e-6)


def test_return_to_go_maps_over_discounts(rows):
    reward, terminated, last = rows
    discounts = jnp.array([0.9, 0.99])
    got = jax.vmap(lambda d: return_to_go(reward, terminated, last, discount=d))(discounts)
    for g, d in zip(got, (0.9, 0.99), strict=True):
        np.testing.assert_allclose(g, loop_return_to_go(reward, last, d), rtol=1e-5, atol=1e-4)


def test_return_to_go_stays_exact_over_a_million_rows():
    n, length = 1_000_000, 1000
    last = jnp.arange(n) % length == length - 1
    got = jax.jit(return_to_go)(jnp.ones(n), jnp.zeros(n, bool), last, discount=0.99)
    left = length - np.arange(n) % length
    np.testing.assert_allclose(got, (1 - 0.99**left) / 0.01, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_next_action_is_the_following_row_of_the_trajectory(rows, shape):
    last = rows[2].copy()
    last[-1] = False  # an open end has no following row either
    action = np.random.default_rng(1).normal(size=(len(last), *shape)).astype(np.float32)
    got, valid = next_action(jnp.asarray(action), jnp.asarray(last))
    for t in range(len(last)):
        follows = t + 1 < len(last) and not last[t]
        assert bool(valid[t]) == follows
        np.testing.assert_array_equal(got[t], action[t + 1] if follows else action[t])


def test_trajectory_returns_equal_a_loop(rows):
    reward, _, last = rows
    returns, lengths = trajectory_returns(reward, last)
    start = 0
    for k, end in enumerate(np.flatnonzero(last)):
        assert returns[k] == reward[start : end + 1].sum(dtype=np.float64)
        assert lengths[k] == end + 1 - start
        start = end + 1
    assert len(returns) == last.sum()
    assert lengths.sum() == len(reward)


def test_trajectory_returns_refuse_an_open_end():
    with pytest.raises(O2OError, match=r"row 2 .* mark it truncated"):
        trajectory_returns(np.ones(3), np.array([False, True, False]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hopper-medium-v2", (0.6229, 31.3489, 92.8009)),
        ("halfcheetah-medium-replay-v2", (2.2567, 10.3114, 26.4207)),
        ("walker2d-full-replay-v1", (-0.0355, 21.7478, 65.3144)),
        ("ant-random-v0", (7.7426, 31.5221, 79.0812)),
    ],
)
def test_d4rl_scores(name, expected):
    reference = scores.reference(name)
    assert reference is not None
    np.testing.assert_allclose(scores.normalise(np.array([0.0, 1000.0, 3000.0]), *reference), expected, atol=5e-5)


def test_every_d4rl_domain_is_found_by_id():
    assert scores.reference("mujoco/hopper/medium-v0") == scores.DOMAINS["hopper"]
    assert scores.reference("D4RL/door/human-v2") == scores.DOMAINS["door"]
    assert scores.reference("antmaze-large-diverse-v2") == (0, 1)
    assert scores.reference("kitchen-partial-v0") == (0, 4)
    assert scores.reference("minigrid-fourrooms-random-v0") == scores.DOMAINS["minigrid-fourrooms"]
    assert scores.reference("flow-merge-controller-v0") == scores.DOMAINS["flow-merge"]
    assert scores.reference("bullet-hopper-medium-expert-v0") == scores.DOMAINS["bullet-hopper"]
    assert scores.reference("maze2d-large-dense-v1") == (30.569041, 303.4857382709002)
    assert scores.reference("hopper") == scores.DOMAINS["hopper"]
    for unknown in ("D4RL/pointmaze/umaze-v2", "maze2d-umaze-v9", "my/set-v0", "hopper2-medium-v2"):
        assert scores.reference(unknown) is None
    assert scores.of_environment("mjx/Hopper-v4") == scores.DOMAINS["hopper"]
    assert scores.of_environment("gymnax/CartPole-v1") == (20, 500)
    assert scores.of_environment("mjx/Swimmer-v5") is None
    assert scores.of_environment("brax/hopper") is None  # another body


def test_normalise_refuses_reversed_references():
    with pytest.raises(O2OError, match="low < high"):
        scores.normalise(1.0, 2.0, 1.0)
