"""RIQL's corruptions: how many rows, how far, nothing else, and an adversary that does harm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o.data import corrupt
from purejaxo2o.loop import store as stores
from purejaxo2o.types import O2OError, Transition

N = 10_000
RATE, SCALE = 0.3, 0.5
FIELDS = ("obs", "action", "reward", "next_obs")
KEY = jax.random.key(7)
WEIGHTS = jnp.array([1.0, -2.0, 0.5])


@pytest.fixture(scope="module")
def rows():
    keys = jax.random.split(jax.random.key(0), 4)
    obs = jax.random.normal(keys[0], (N + 1, 3)) * jnp.array([0.1, 1.0, 20.0]) + 3.0
    action = jax.random.uniform(keys[1], (N, 2), minval=-0.4, maxval=0.4)
    last = jnp.arange(N) % 100 == 99
    reward = jax.random.normal(keys[2], (N,))
    return stores.from_transitions(Transition(obs[:-1], action, reward, obs[1:], last & False, last))


def q(obs, action):
    """Of other slopes everywhere, monotonous in observations only."""
    return jax.nn.softplus(obs @ WEIGHTS / 10) - jnp.square(action - 0.1).sum(-1) * obs[..., 1]


def policy(obs):
    return jnp.tanh(obs[..., :2])


def changed(before, after, field):
    """Which rows differ in `field`; all others, and all other fields, must be the same bits."""
    for name, old, new in zip(before.data._fields, before.data, after.data, strict=True):
        if name not in (field, "extras"):
            assert new is old
    old, new = (np.asarray(getattr(x.data, field))[:, 0] for x in (before, after))
    assert new.dtype == old.dtype
    return (old != new).reshape(N, -1).any(axis=1), old, new


@pytest.mark.parametrize("attack", [corrupt.random, corrupt.adversarial])
@pytest.mark.parametrize("field", FIELDS)
def test_the_share_of_touched_rows_is_the_rate_and_the_rest_is_untouched(rows, field, attack):
    functions = () if attack is corrupt.random else (q, policy)
    touched, _, _ = changed(rows, attack(KEY, rows, field, *functions, rate=RATE, scale=SCALE), field)
    assert abs(touched.mean() - RATE) < 4 * np.sqrt(RATE * (1 - RATE) / N)
    # One key touches the same rows whatever the field or the kind.
    other, _, _ = changed(rows, corrupt.random(KEY, rows, "reward", rate=RATE), "reward")
    np.testing.assert_array_equal(touched, other)


@pytest.mark.parametrize("field", ["obs", "action", "next_obs"])
def test_random_noise_is_uniform_within_the_standard_deviation_of_each_dimension(rows, field):
    touched, old, new = changed(rows, corrupt.random(KEY, rows, field, rate=RATE, scale=SCALE), field)
    noise = (new - old)[touched] / old.std(axis=0)
    assert np.abs(noise).max() <= SCALE * (1 + 1e-4)
    assert (np.abs(noise).max(axis=0) > 0.99 * SCALE).all()
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=4 * SCALE / np.sqrt(3 * touched.sum()))
    np.testing.assert_allclose(noise.std(axis=0), SCALE / np.sqrt(3), rtol=0.03)
    correlation = np.corrcoef(noise.T) - np.eye(noise.shape[1])
    assert np.abs(correlation).max() < 0.06  # drawn anew for each dimension


def test_rewards_become_noise_or_their_opposite(rows):
    touched, _, new = changed(rows, corrupt.random(KEY, rows, "reward", rate=RATE, scale=SCALE), "reward")
    assert 14.9 < np.abs(new[touched]).max() <= 15.0
    np.testing.assert_allclose(new[touched].std(), 15 / np.sqrt(3), rtol=0.03)
    touched, old, new = changed(rows, corrupt.adversarial(KEY, rows, "reward", rate=RATE, scale=SCALE), "reward")
    np.testing.assert_array_equal(new[touched], -SCALE * old[touched])


@pytest.mark.parametrize("field", ["obs", "action", "next_obs"])
def test_an_adversary_stays_within_bounds_and_lowers_the_value(rows, field):
    after = corrupt.adversarial(KEY, rows, field, q, policy, rate=RATE, scale=SCALE, batch=1000)
    touched, old, new = changed(rows, after, field)
    assert (np.abs(new - old) <= SCALE * old.std(axis=0) * (1 + 1e-4) + 1e-5).all()

    def value(data):
        inputs = (data.next_obs, policy(data.next_obs)) if field == "next_obs" else (data.obs, data.action)
        return np.asarray(q(*inputs))[:, 0][touched]

    noise = corrupt.random(KEY, rows, field, rate=RATE, scale=SCALE)
    clean, attacked, noisy = value(rows.data), value(after.data), value(noise.data)
    assert attacked.mean() < clean.mean() - 0.005
    assert attacked.mean() < noisy.mean() - 0.005  # worse than noise of the same size
    assert (attacked <= clean + 1e-4).mean() > 0.95


def test_a_linear_value_is_lowered_as_far_as_the_steps_reach(rows):
    def linear(obs, action):
        return obs @ WEIGHTS + action.sum(-1)

    still = corrupt.adversarial(KEY, rows, "obs", linear, rate=RATE, scale=SCALE, steps=0)
    after = corrupt.adversarial(KEY, rows, "obs", linear, rate=RATE, scale=SCALE, steps=30, step_size=0.02)
    touched, old, new = changed(rows, after, "obs")
    std = old.std(axis=0)
    start = (np.asarray(still.data.obs)[:, 0] - old) / std  # as drawn: already times std, as the authors have it
    assert (np.abs(start) <= SCALE * std * (1 + 1e-4) + 1e-4).all()
    p = start
    for _ in range(30):
        p = np.clip(p - 0.02 * SCALE * np.sign(WEIGHTS), -SCALE, SCALE)
    expected = old + p * std
    np.testing.assert_allclose(new[touched], expected[touched], atol=1e-3)


def test_actions_stay_in_the_box_unless_told_otherwise(rows):
    wide = stores.Store(data=rows.data._replace(action=rows.data.action * 2.5), size=rows.size, head=rows.head)
    assert np.abs(corrupt.random(KEY, wide, "action").data.action).max() == 1.0
    assert np.abs(corrupt.random(KEY, wide, "action", clip=False).data.action).max() > 1.2


def test_rates_can_be_batched_and_the_whole_compiled(rows):
    rates = jnp.array([0.0, 0.2, 1.0])

    @jax.jit
    @jax.vmap
    def attack(rate):
        return corrupt.adversarial(KEY, rows, "action", q, rate=rate, steps=3, batch=3000).data.action

    touched = (attack(rates) != rows.data.action).any(-1)[..., 0]
    np.testing.assert_allclose(touched.mean(axis=1), rates, atol=0.02)
    assert (touched[1] <= touched[2]).all()  # a higher rate touches the same rows and more
    alone = corrupt.adversarial(KEY, rows, "action", q, rate=0.2, steps=3, batch=N).data.action
    np.testing.assert_allclose(attack(rates)[1], alone, atol=1e-6)  # batching changes nothing


def test_what_cannot_be_corrupted_is_said(rows):
    with pytest.raises(O2OError, match="field is 'next_ob'; did you mean 'next_obs'"):
        corrupt.random(KEY, rows, "next_ob")
    with pytest.raises(O2OError, match="adversary of obs needs q="):
        corrupt.adversarial(KEY, rows, "obs")
    with pytest.raises(O2OError, match="adversary of next_obs needs policy="):
        corrupt.adversarial(KEY, rows, "next_obs", q)
    choices = rows.data._replace(action=jnp.zeros((N, 1), jnp.int32))
    with pytest.raises(O2OError, match="action is int32"):
        corrupt.random(KEY, stores.Store(data=choices, size=rows.size, head=rows.head), "action")
