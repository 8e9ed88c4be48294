"""FamO2O by numbers that can be worked out by hand, where it is IQL, and what reaches what."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import ACT, KEY, NETS, OBS, SPACES, assert_equal, batches, cast, constant, run_update

from purejaxo2o.agents.awac import AWAC
from purejaxo2o.agents.famo2o import FamAWAC, FamO2O, FamO2OState, encoding
from purejaxo2o.agents.iql import IQL, IQLState
from purejaxo2o.types import O2OError, Space, Spaces

BALANCE = ["balance", "balance_opt", "log_temperature", "temperature_opt"]
IQL_PARTS = [f.name for f in dataclasses.fields(IQLState)]


def made(**settings: Any) -> tuple[FamO2O, FamO2OState]:
    agent = FamO2O(**settings, **NETS)
    return agent, agent.init(KEY, SPACES)


def first(actor: Any, rows: Any) -> Any:
    """The policy with its first kernel cut or changed by `rows`."""
    layers = actor["MLP_0"]
    layer = layers["Dense_0"] | {"kernel": rows(layers["Dense_0"]["kernel"])}
    return actor | {"MLP_0": layers | {"Dense_0": layer}}


def test_encoding_of_the_sheet() -> None:
    expected = [-0.544021, -0.839072, 0.447671, 0.894198, 0.021543, 0.999768]
    np.testing.assert_allclose(encoding(jnp.float32(10.0)), expected, atol=1e-5)
    many = encoding(jnp.full((2, 3), 10.0))
    np.testing.assert_allclose(many, np.broadcast_to(expected, (2, 3, 6)), atol=1e-5)


@pytest.mark.parametrize(("unit", "weight"), [(-1.0, 11.0232), (1.0, 66.6863)])
def test_weights_of_the_sheet_at_both_ends_of_the_range(unit: float, weight: float) -> None:
    """Balances 8 and 14 at an advantage of 0.3."""
    agent, _ = made()
    np.testing.assert_allclose(jnp.exp(agent.stretched(jnp.full((1,), unit)) * 0.3), weight, rtol=1e-5)


def test_every_row_has_a_balance_of_its_own_within_the_range() -> None:
    agent, state = made()
    row = jax.tree.map(lambda x: jnp.broadcast_to(x[0, 0], (2000, *x.shape[2:])), batches())
    seen, balance = agent.guidance(state, row, KEY)
    assert (balance >= 8.0).all()
    assert (balance <= 14.0).all()
    assert np.unique(balance).size > 1900
    np.testing.assert_allclose([balance.mean(), balance.std()], [11.0, 6.0 / 12**0.5], rtol=0.05)
    np.testing.assert_array_equal(seen[:, :OBS], row.obs)
    np.testing.assert_array_equal(seen[:, OBS:], encoding(balance))


def test_shared_balances_weigh_every_row_alike() -> None:
    """Rows of advantages 0 and 1 at balances 1 and 2: the released code's mean of e and e^2 for both rows."""
    own, shared = (FamO2O(balancing=kind, **NETS) for kind in ("own", "shared"))
    advantage, balance = jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0])
    np.testing.assert_allclose(own.weights(advantage, balance), [1.0, np.exp(2)], rtol=1e-6)
    for order in (balance, balance[::-1]):
        np.testing.assert_allclose(shared.weights(advantage, order), [1.0, (np.e + np.exp(2)) / 2], rtol=1e-6)


def pointing(state: FamO2OState, mean: float) -> FamO2OState:
    """A balance policy at `tanh(mean)` everywhere, almost without noise."""
    balance = jax.tree.map(jnp.zeros_like, state.balance)
    balance["mean"]["bias"] = jnp.full(1, mean)
    return dataclasses.replace(state, balance=balance | {"log_std": jnp.full(1, -10.0)})


def test_online_the_balance_policy_says_which_one_trains() -> None:
    agent, state = made(stage="adaptive")
    state = pointing(state, 1.0)
    balance = agent.guidance(state, jax.tree.map(lambda x: x[0], batches()), KEY)[1]
    np.testing.assert_allclose(balance, 11.0 + 3.0 * np.tanh(1.0), rtol=1e-4)


@pytest.mark.parametrize("explore", [True, False])
def test_acting_takes_the_mode_of_the_balance_and_samples_only_the_action(explore: bool) -> None:
    agent, state = made()
    state = dataclasses.replace(
        state, balance=state.balance | {"log_std": jnp.full(1, 2.0)}
    )  # noisy, if it were drawn
    obs = jax.random.normal(KEY, (50, OBS))
    mode = agent.stretched(agent.balance_policy(state.balance, obs).mode())
    seen = jnp.concatenate([obs, encoding(mode)], axis=1)
    expected = IQL(**NETS).act(state, seen, KEY, explore=explore)
    np.testing.assert_array_equal(agent.act(state, obs, KEY, explore=explore), expected)


def test_one_balance_that_the_policy_cannot_see_is_iql() -> None:
    """Without a range, and with no weight on the encoding: the same step, moments included."""
    iql, agent = IQL(temperature=5.0, **NETS), FamO2O(temperature=5.0, spread=0.0, **NETS)
    state = agent.init(KEY, SPACES)

    state = dataclasses.replace(state, actor=first(state.actor, lambda kernel: kernel.at[OBS:].set(0.0)))
    parts = {name: getattr(state, name) for name in IQL_PARTS}
    plain = iql.init(KEY, SPACES)
    plain = IQLState(**parts | {"actor": first(state.actor, lambda k: k[:OBS]), "actor_opt": plain.actor_opt})
    with jax.enable_x64(True):
        rows = cast(batches(), np.float64)
        got = run_update(agent, cast(state, np.float64), rows, KEY)[0]
        expected = run_update(iql, cast(plain, np.float64), rows, KEY)[0]
    cut = dataclasses.replace(
        got,
        actor=first(got.actor, lambda k: k[:OBS]),
        actor_opt=got.actor_opt._replace(mu=first(got.actor_opt.mu, lambda k: k[:OBS]), nu=None),
    )
    expected = dataclasses.replace(expected, actor_opt=expected.actor_opt._replace(nu=None))
    for name in IQL_PARTS:
        for a, b in zip(jax.tree.leaves(getattr(cut, name)), jax.tree.leaves(getattr(expected, name)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=name)


def test_the_balance_policy_reaches_nothing_else_and_sees_frozen_parameters() -> None:
    agent, state = made(learning_rate=1e-2)
    base = run_update(agent, state, batches(), KEY)[0]
    moved = dataclasses.replace(state, log_temperature=jnp.float32(2.0))
    other = run_update(agent, moved, batches(), KEY)[0]
    assert_equal(base, other, IQL_PARTS)  # the balance policy's loss is in nobody else's
    assert any(
        (a != b).any()
        for a, b in zip(jax.tree.leaves(base.balance_opt), jax.tree.leaves(other.balance_opt), strict=True)
    )
    # Nor does it see anything that this very minibatch has changed.
    other = run_update(agent, state, batches(reward=100.0, terminated=True), KEY)[0]
    assert_equal(base, other, BALANCE)


def test_the_balance_climbs_the_target_critics_through_the_action() -> None:
    """Actions that grow with the first wave of the encoding, critics that are the first action entry."""
    agent, state = made(temperature=0.5, spread=0.4)  # sin is increasing here
    state = pointing(state, 0.0)
    actor = jax.tree.map(jnp.zeros_like, state.actor) | {"log_std": jnp.full(ACT, -5.0)}
    actor["MLP_0"]["Dense_0"]["kernel"] = actor["MLP_0"]["Dense_0"]["kernel"].at[OBS, 0].set(1.0)
    actor["mean"]["kernel"] = actor["mean"]["kernel"].at[0, 0].set(1.0)
    target = jax.tree.map(jnp.zeros_like, state.target)
    layers = target["MLP_0"]
    layers["Dense_0"]["kernel"] = layers["Dense_0"]["kernel"].at[:, OBS, 0].set(1.0)
    layers["Dense_0"]["bias"] = layers["Dense_0"]["bias"].at[:, 0].set(2.0)  # above the kink
    layers["Dense_1"]["kernel"] = layers["Dense_1"]["kernel"].at[:, 0, 0].set(1.0)
    state = dataclasses.replace(state, actor=actor, target=target, log_temperature=jnp.float32(-50.0))
    row = jax.tree.map(lambda x: x[0], batches())
    after, _ = agent.balance_step(state, state.actor, state.target, row, KEY)
    mean = np.tanh(np.sin(0.5))
    slope = -0.4 * np.cos(0.5) * (1 - mean**2)  # dQ/da da/dsin dsin/db db/dtanh, and tanh' = 1 at 0
    np.testing.assert_allclose(after.balance_opt.mu["mean"]["bias"] / 0.1, slope, rtol=1e-3)
    flat = dataclasses.replace(state, target=constant(state.target, 3.0))
    still, metrics = agent.balance_step(flat, flat.actor, flat.target, row, KEY)
    np.testing.assert_allclose(still.balance_opt.mu["mean"]["bias"], 0.0, atol=1e-9)
    np.testing.assert_allclose(metrics["balance_loss"], -3.0, rtol=1e-6)


def test_discrete_actions_are_refused() -> None:
    with pytest.raises(O2OError, match="FamO2O needs a box action space"):
        FamO2O(**NETS).init(KEY, Spaces(Space(shape=(OBS,)), Space(n=3, dtype="int32")))


def test_around_awac_the_balance_is_one_over_lambda() -> None:
    """Without a range, and with no weight on the encoding: AWAC's step, moments included."""
    awac, agent = AWAC(temperature=0.2, **NETS), FamAWAC(temperature=5.0, spread=0.0, **NETS)
    state = agent.init(KEY, SPACES)

    state = dataclasses.replace(state, actor=first(state.actor, lambda kernel: kernel.at[OBS:].set(0.0)))
    plain = awac.init(KEY, SPACES)
    plain = dataclasses.replace(
        plain, actor=first(state.actor, lambda k: k[:OBS]), critic=state.critic, target=state.target
    )
    with jax.enable_x64(True):
        rows = cast(batches(), np.float64)
        got = run_update(agent, cast(state, np.float64), rows, KEY)[0]
        # The family's minibatch gets its key after one split, AWAC's own after `scan_updates`'.
        family = jax.random.split(jax.random.split(KEY, 1)[0])[0]
        expected = awac.step(cast(plain, np.float64), jax.tree.map(lambda x: x[0], rows), family)[0]
    cut = dataclasses.replace(got, actor=first(got.actor, lambda k: k[:OBS]))
    for name in ("actor", "critic", "target", "critic_opt"):
        for a, b in zip(jax.tree.leaves(getattr(cut, name)), jax.tree.leaves(getattr(expected, name)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10, err_msg=name)


def test_around_awac_every_row_learns_its_own_balance_and_the_mode_acts() -> None:
    agent = FamAWAC(temperature=10.0, spread=5.0, **NETS)
    state = agent.init(KEY, SPACES)
    row = jax.tree.map(lambda x: x[0], batches())
    seen, temperature = agent.guidance(state, row, KEY)
    np.testing.assert_allclose(seen[:, OBS:], encoding(1.0 / temperature), rtol=1e-5, atol=1e-6)
    assert (1.0 / temperature >= 5.0).all()
    assert (1.0 / temperature <= 15.0).all()
    mode = agent.stretched(agent.balance_policy(state.balance, row.obs).mode())
    expected = AWAC(**NETS).act(state, jnp.concatenate([row.obs, encoding(mode)], axis=1), KEY, explore=True)
    np.testing.assert_array_equal(agent.act(state, row.obs, KEY, explore=True), expected)
