"""H2O: the classifiers find the simulator out, what it gets wrong is trusted less and pushed down."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.agents import H2O, SAC
from purejaxo2o.agents.h2o import log_gap
from purejaxo2o.models import discriminator
from purejaxo2o.types import O2OError, Space, Spaces, Transition

SPACES = Spaces(Space(shape=(1,)), Space(shape=(1,)))
AGENT = H2O(hidden=(16, 16), actor_hidden=(16, 16), discriminator_hidden=(32, 32), learning_rate=3e-3, gap_weight=0.5)


def rows(key, count, slip):
    """A point that moves by its action, except that a simulated one right of 0 slips by `slip`; first half real."""
    key_obs, key_action = jax.random.split(key)
    obs = jax.random.uniform(key_obs, (count, 1), minval=-1.0, maxval=1.0)
    action = jax.random.uniform(key_action, (count, 1), minval=-1.0, maxval=1.0)
    sim = (jnp.arange(count) >= count // 2)[:, None]
    next_obs = obs + 0.1 * action + jnp.where(sim & (obs > 0), slip, 0.0)
    zeros = jnp.zeros(count)
    return Transition(obs, action, zeros, next_obs, zeros > 0, zeros > 0, {})


def test_the_papers_numbers():
    np.testing.assert_allclose(np.exp(log_gap(jnp.array([1.0, 3.0]))), [0.25, 0.75], rtol=1e-6)
    pushed = jax.nn.logsumexp(jnp.array([2.0, 1.0]) + log_gap(jnp.array([1.0, 3.0])))
    assert pushed == pytest.approx(1.357374, abs=1e-6)
    likely = np.exp(log_gap(jnp.array([-2.0, 1.0, 50.0])))  # a negative one is taken out, a large one cut at 10
    np.testing.assert_allclose(likely, [0.0, 1 / 11, 10 / 11], atol=1e-6)


def test_one_sided_gaps_leave_a_finite_sum():
    assert np.isfinite(log_gap(jnp.full(3, -1.0))).all()


@pytest.fixture(scope="module")
def taught():
    """The agent after 600 minibatches of a simulator that slips on one side."""

    def body(state, key):
        key_rows, key_update = jax.random.split(key)
        batch = jax.tree.map(lambda x: x[None], rows(key_rows, 128, 0.5))
        return AGENT.update(state, batch, key_update)[0], None

    state = AGENT.init(jax.random.key(0), SPACES)
    return jax.jit(lambda s: jax.lax.scan(body, s, jax.random.split(jax.random.key(1), 600))[0])(state)


def test_slipping_is_found_out_and_trusted_less(taught):
    sim = jax.tree.map(lambda x: x[1000:], rows(jax.random.key(2), 2000, 0.5))
    weight, log_omega = AGENT.trust(taught, sim, jnp.full(1, 0.05), jax.random.key(3))
    slips = np.asarray(sim.obs[:, 0] > 0)
    assert weight[slips].mean() < 0.3 < 0.6 < weight[~slips].mean()
    assert np.exp(log_omega)[slips].sum() > 0.9
    held = rows(jax.random.key(4), 2000, 0.5)
    score = discriminator.log_ratio((32, 32), taught.discriminator, held.obs, held.action, held.next_obs)
    right = np.asarray(held.obs[:, 0] > 0)
    real, fake = score[:1000][right[:1000]], score[1000:][right[1000:]]
    assert (np.asarray(real)[:, None] > np.asarray(fake)[None]).mean() > 0.9  # area under the curve


def test_values_are_pushed_down_where_the_dynamics_differ(taught):
    obs = jnp.array([[0.5], [-0.5]])
    q = AGENT.q(taught.critic, obs, jnp.zeros((2, 1))).mean(axis=0)
    assert q[0] < q[1] - 0.1


def test_without_weights_the_critics_are_those_of_sac_on_both_halves():
    """The same step, since the mean over all rows is half the sum of the halves' means: twice SAC's loss."""
    agent = dataclasses.replace(AGENT, gap_weight=0.0, ratio_power=0.0)
    state = agent.init(jax.random.key(0), SPACES)
    batch = rows(jax.random.key(2), 64, 0.5)
    step = agent.critic_step(state, batch, jax.random.key(5))
    key_target, key_subset, *_ = jax.random.split(jax.random.key(5), 4)
    sac = SAC(hidden=(16, 16), actor_hidden=(16, 16), backup_entropy=False)
    y = agent.discount * sac.next_value(state, batch, key_target, key_subset)
    q = sac.q(state.critic, batch.obs, batch.action)
    assert step[1]["critic_loss"] == pytest.approx(2 * float(jnp.square(q - y).mean()), rel=1e-5)


def test_only_the_classifiers_learn_from_telling_apart():
    """Their loss moves no critic and no policy, and no other loss moves them."""
    state = AGENT.init(jax.random.key(0), SPACES)
    batch = rows(jax.random.key(2), 64, 0.5)

    told = AGENT.discriminate(state, batch, jax.random.key(3))[0]
    for name in ("actor", "critic", "target"):
        jax.tree.map(np.testing.assert_array_equal, getattr(told, name), getattr(state, name))
    still = dataclasses.replace(AGENT, discriminator_learning_rate=0.0)
    after = still.critic_step(state, batch, jax.random.key(5))[0]
    jax.tree.map(np.testing.assert_array_equal, after.discriminator, state.discriminator)


def test_a_phase_that_mixes_otherwise_is_refused():
    recipe, task, data = tiny("h2o")
    with pytest.raises(O2OError, match=r"H2O takes the first 0\.5 of every minibatch for offline rows"):
        jax.eval_shape(o2o.train, jax.random.key(0), o2o.replace(recipe, {"online.mix": "by_size"}), task, data)
