"""PROTO by numbers that can be worked out by hand, its schedule, what the switch keeps, what reaches what."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import (
    ACT,
    KEY,
    NETS,
    SPACES,
    after_update,
    assert_equal,
    assert_same,
    batches,
    constant,
    field_names,
    run_update,
)

from purejaxo2o.agents.iql import IQL, IQLState
from purejaxo2o.agents.proto import PROTO, PROTOState, gumbel_loss
from purejaxo2o.loop.phases import Boundary

ONLINE = Boundary(index=1, updates=500, minibatches=1000)


def made(**settings: Any) -> tuple[PROTO, PROTOState]:
    agent = PROTO(**settings, **NETS)
    return agent, agent.init(KEY, SPACES)


def test_gumbel_loss_of_the_sheet() -> None:
    """z = -2, 0, 1: 0.617872 as it is, 0.227303 divided by the largest exponential."""
    z = jnp.array([-2.0, 0.0, 1.0])
    np.testing.assert_allclose((jnp.exp(z) - z - 1).mean(), 0.617872, rtol=1e-5)
    np.testing.assert_allclose(gumbel_loss(z).mean(), 0.227303, rtol=1e-5)
    slope = jax.grad(lambda z: gumbel_loss(z).sum())(z)
    np.testing.assert_allclose(slope, (jnp.exp(z) - 1) / np.e, rtol=1e-5)  # the divisor is a constant
    far = jnp.array([-5.0, -9.0])
    np.testing.assert_allclose(gumbel_loss(far), np.e * (jnp.exp(far) - far - 1), rtol=1e-5)


@pytest.mark.parametrize(("beta", "value"), [(0.5, 1.522160), (1.0, 1.308994), (2.0, 1.163315)])
def test_the_gumbel_minimiser_is_the_soft_maximum(beta: float, value: float) -> None:
    agent, _ = made(temperature=1 / beta)
    slope = jax.grad(lambda v: agent.value_loss(jnp.arange(3.0) - v))
    np.testing.assert_allclose(slope(value), 0.0, atol=1e-5)
    assert slope(value - 0.01) < -1e-4 < 1e-4 < slope(value + 0.01)


def test_exponents_are_clipped_and_clipped_ones_teach_nothing() -> None:
    agent, _ = made(temperature=1.0, max_exponent=2.0)
    slope = jax.grad(lambda error: agent.value_loss(error))(jnp.array([5.0, 1.0]))
    assert slope[0] == 0
    assert slope[1] != 0


def test_offline_with_expectiles_it_is_iql() -> None:
    settings: dict[str, Any] = {"temperature": 3.0, "layer_norm": False, "expectile": 0.8, **NETS}
    iql, proto = IQL(**settings), PROTO(value_form="expectile", **settings)
    one, other = (after_update(agent, batches(2), dtype=np.float64) for agent in (iql, proto))
    assert_same(one, other, field_names(one))


def test_weight_falls_to_a_tenth_over_the_phase_and_never_below_zero() -> None:
    """Authors' scripts: decay 0.9. Their default argument, 10, is through after a tenth of the steps."""
    agent, state = made(stage="online")
    state = agent.enter(state, KEY, ONLINE)
    assert isinstance(state, PROTOState)
    assert int(state.span) == 1000

    def trust(agent: PROTO, step: int) -> float:
        return float(agent.trust(dataclasses.replace(state, steps=jnp.int32(step))))

    for step, expected in ((0, 0.5), (500, 0.275), (1000, 0.05)):
        assert trust(agent, step) == pytest.approx(expected, rel=1e-5)
    fast = dataclasses.replace(agent, trust_decay=10.0)
    assert [trust(fast, step) for step in (50, 100, 1000)] == pytest.approx([0.25, 0.0, 0.0], abs=1e-6)


def test_the_switch_copies_the_policy_and_starts_its_moments_anew() -> None:
    agent = PROTO(learning_rate=1e-2, **NETS)
    trained = run_update(agent, agent.init(KEY, SPACES), batches(3), KEY)[0]
    assert_equal(trained, agent.enter(trained, KEY, ONLINE), field_names(trained))  # offline nothing happens
    online = dataclasses.replace(agent, stage="online")
    entered = online.enter(trained, KEY, ONLINE)
    changed = ["anchor", "actor_opt", "steps", "span"]
    assert_equal(trained, entered, [name for name in field_names(trained) if name not in changed])
    for a, b in zip(jax.tree.leaves(entered.anchor), jax.tree.leaves(trained.actor), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all((x == 0).all() for x in jax.tree.leaves(entered.actor_opt))
    later = run_update(online, entered, batches(2), KEY)[0]
    assert int(later.steps) == 2
    assert_equal(entered, later, ["value", "value_opt"])


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_of_zero_is_a_fixed_constraint_and_one_holds_to_the_last_policy(rate: float) -> None:
    agent, state = made(stage="online", anchor_polyak=rate, learning_rate=1e-2)
    after = run_update(agent, state, batches(2), KEY)[0]
    expected = state.anchor if rate == 0 else after.actor
    for a, b in zip(jax.tree.leaves(after.anchor), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        (a != b).any() for a, b in zip(jax.tree.leaves(after.actor), jax.tree.leaves(state.actor), strict=True)
    )


def split(state: PROTOState, distance: float) -> PROTOState:
    """Policy at `tanh(distance)`, slow copy at 0, both with unit variance; critics 3 everywhere, targets 1 and 2."""
    flat = jax.tree.map(jnp.zeros_like, state.actor)
    actor = flat | {"mean": flat["mean"] | {"bias": jnp.full(ACT, distance)}}
    return dataclasses.replace(
        state,
        actor=actor,
        anchor=flat,
        critic=constant(state.critic, [3.0, 3.0]),
        target=constant(state.target, [1.0, 2.0]),
        log_temperature=jnp.float32(-jnp.inf),
    )


def test_the_cost_is_the_log_ratio_and_its_mean_the_divergence() -> None:
    """Gaussians a distance m apart in each of two dimensions: KL = A m^2 / 2."""
    agent, state = made(stage="online", trust_weight=2.0)
    state = split(state, 0.5)
    policy = agent.gaussian(state.actor, jnp.zeros((20_000, 3)))
    action, log_prob = policy.sample_and_log_prob(KEY)
    cost = agent.cost(state, jnp.zeros((20_000, 3)), action, log_prob)
    m = np.tanh(0.5)
    np.testing.assert_allclose(cost, 2.0 * ((action - 0.5 * m) * m).sum(-1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(cost.mean(), 2.0 * ACT * m**2 / 2, rtol=0.05)
    assert jnp.abs(action).max() > 1  # the losses see actions before they are clipped


def test_the_policy_is_pulled_to_the_slow_copy_by_the_exact_gradient() -> None:
    """Flat critics leave the divergence alone: d KL / d mean = w m, and through the tanh times 1 - m^2."""
    agent, state = made(stage="online", trust_weight=2.0, learning_rate=0.0, layer_norm=False)
    state = split(state, 0.5)
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x[:, :1], (1, 20_000, *x.shape[2:])), batches())
    after, metrics = run_update(agent, state, wide, KEY)
    m = np.tanh(0.5)
    np.testing.assert_allclose(after.actor_opt.mu["mean"]["bias"] / 0.1, 2.0 * m * (1 - m**2), rtol=0.05)
    np.testing.assert_allclose(metrics["actor_loss"], 2.0 * ACT * m**2 / 2 - 3.0, rtol=0.02)


@pytest.mark.parametrize(("critics", "backup"), [(2, False), (1, False), (2, True)])
def test_targets_take_the_lower_or_one_critic_with_or_without_the_cost(critics: int, backup: bool) -> None:
    agent, state = made(stage="online", target_critics=critics, backup_entropy=backup, layer_norm=False, discount=1.0)
    state, row = split(state, 0.5), jax.tree.map(lambda x: x[0], batches())
    value = jax.jit(jax.vmap(lambda key: agent.next_value(state, row, key)))(jax.random.split(KEY, 2000))
    if critics == 1:
        assert set(np.unique(value)) == {1.0, 2.0}
        assert (value == 1.0).mean() == pytest.approx(0.5, abs=0.05)
    else:
        expected = 1.0 - backup * 0.5 * ACT * np.tanh(0.5) ** 2 / 2
        np.testing.assert_allclose(value.mean(), expected, atol=0.02)
        assert backup or (value == 1.0).all()


def test_without_weight_the_slow_copy_changes_nothing() -> None:
    agent, state = made(stage="online", trust_weight=0.0, learning_rate=1e-2)
    other = dataclasses.replace(state, anchor=jax.tree.map(lambda x: x + 0.3, state.anchor))
    one, two = (run_update(agent, s, batches(2), KEY)[0] for s in (state, other))
    assert_equal(one, two, [name for name in field_names(one) if name != "anchor"])


def test_losses_reach_their_own_networks_only() -> None:
    agent, state = made(stage="online")
    base = run_update(agent, state, batches(), KEY)[0]
    resting = run_update(dataclasses.replace(agent, actor_learning_rate=0.0), state, batches(), KEY)[0]
    assert_equal(base, resting, ["critic", "critic_opt", "target"])
    frozen = dataclasses.replace(agent, learning_rate=0.0, actor_learning_rate=1e-2)
    one = run_update(frozen, state, batches(), KEY)[0]
    other = run_update(frozen, state, batches()._replace(reward=batches().reward + 5.0), KEY)[0]
    assert_equal(one, other, ["actor", "actor_opt", "log_temperature", "temperature_opt"])
    still = dataclasses.replace(agent, anchor_polyak=0.0)
    assert_equal(state, run_update(still, state, batches(2), KEY)[0], ["anchor"])  # no gradient, only the average


def test_offline_the_online_parts_rest() -> None:
    agent, state = made()
    after = run_update(agent, state, batches(2), KEY)[0]
    rest = set(field_names(after)) - {f.name for f in dataclasses.fields(IQLState)}
    assert_equal(state, after, sorted(rest))


def test_online_the_policy_finds_the_best_action() -> None:
    """Rewards -(a - 0.3)^2 of single steps: critics, policy and T learn from nothing but these rows."""
    agent = PROTO(
        stage="online", layer_norm=False, learning_rate=5e-3, polyak=0.1, hidden=(16, 16), actor_hidden=(16,)
    )
    state = agent.init(KEY, SPACES)
    action = jax.random.uniform(KEY, (1000, 64, ACT), minval=-1.0, maxval=1.0)
    rows = jax.tree.map(lambda x: jnp.broadcast_to(x[:, :1], (1000, 64, *x.shape[2:])), batches(terminated=True))
    rows = rows._replace(action=action, reward=-jnp.square(action - 0.3).sum(-1))
    after = jax.jit(agent.update)(state, rows, KEY)[0]
    np.testing.assert_allclose(agent.act(after, rows.obs[0, :1], KEY, explore=False), [[0.3, 0.3]], atol=0.15)
    assert 0.0 < float(jnp.exp(after.actor["log_std"]).max()) < 0.6  # it started at 1
