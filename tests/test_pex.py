"""PEX: the choice between two proposals, and what the expansion keeps and makes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import KEY, NETS, SPACES, assert_equal, assert_same, batches, cast, field_names, run_update

from purejaxo2o.agents.iql import IQL, IQLState
from purejaxo2o.agents.pex import PEX
from purejaxo2o.loop.phases import Boundary

ONLINE = Boundary(index=1, before=PEX(**NETS), updates=10, minibatches=10)
OBS = jnp.zeros((4000, 3))


def pointing(actor: Any, mean: float) -> Any:
    """A policy whose mean is `tanh(mean)` everywhere, almost without noise."""
    actor = jax.tree.map(jnp.zeros_like, actor)
    actor["mean"]["bias"] = jnp.full(2, mean)
    return actor | {"log_std": jnp.full(2, -5.0)}


def critic_of(state: Any, difference: float) -> Any:
    """Critics equal to `difference` times the first action entry, in units of the two policies' distance."""
    critic = jax.tree.map(jnp.zeros_like, state.critic)
    layers = critic["MLP_0"]
    layers["Dense_0"]["kernel"] = layers["Dense_0"]["kernel"].at[:, 3, 0].set(1.0)
    layers["Dense_0"]["bias"] = layers["Dense_0"]["bias"].at[:, 0].set(2.0)  # above the kink
    layers["Dense_1"]["kernel"] = layers["Dense_1"]["kernel"].at[:, 0, 0].set(difference / (2 * float(np.tanh(0.5))))
    return critic


def expanded(difference: float = 0.1, **settings: Any) -> tuple[PEX, Any]:
    """The frozen policy at -tanh(0.5), the new one at +tanh(0.5), whose value is `difference` higher."""
    agent = PEX(stage="expanded", **settings, **NETS)
    state = agent.init(KEY, SPACES)
    policies = {"frozen": pointing(state.actor, -0.5), "actor": pointing(state.actor, 0.5)}
    return agent, dataclasses.replace(state, critic=critic_of(state, difference), **policies)


def share_of_new(agent: PEX, state: Any, explore: bool) -> float:
    return float((agent.act(state, OBS, KEY, explore=explore)[:, 0] > 0).mean())


def test_choice_of_the_sheet() -> None:
    """Values 1.0 and 1.1 at kappa 10: probabilities 0.268941 and 0.731059."""
    agent, state = expanded(0.1, selection_temperature=10.0)
    low, high = (jnp.full((1, 2), x) for x in (-np.tanh(0.5), np.tanh(0.5)))
    logits = agent.preferences(state, OBS[:1], low, high)
    np.testing.assert_allclose(jax.nn.softmax(logits), [[0.268941, 0.731059]], rtol=1e-4)
    assert share_of_new(agent, state, explore=True) == pytest.approx(0.731, abs=0.03)


@pytest.mark.parametrize(("difference", "share"), [(0.1, 1.0), (-0.1, 0.0)])
def test_a_large_kappa_is_the_argmax(difference: float, share: float) -> None:
    agent, state = expanded(difference, selection_temperature=1e4)
    assert share_of_new(agent, state, explore=True) == share
    greedy = dataclasses.replace(agent, selection_temperature=1.0, evaluation_noise=0.0)
    assert share_of_new(greedy, state, explore=False) == share


def test_evaluation_samples_policy_and_choice_a_tenth_of_the_time() -> None:
    agent, state = expanded(0.1, selection_temperature=10.0, evaluation_noise=0.1)
    assert share_of_new(agent, state, explore=False) == pytest.approx(1 - 0.1 * 0.269, abs=0.01)
    actions = agent.act(state, OBS, KEY, explore=False)
    new = actions[actions[:, 0] > 0]
    assert jnp.isclose(new[:, 0], jnp.tanh(0.5), rtol=1e-6).mean() == pytest.approx(0.9, abs=0.02)


def test_before_the_expansion_it_is_iql() -> None:
    iql, pex = IQL(**NETS), PEX(**NETS)
    state = pex.init(KEY, SPACES)
    plain = IQLState(**{name: getattr(state, name) for name in field_names(iql.init(KEY, SPACES))})
    with jax.enable_x64(True):
        rows = cast(batches(2), np.float64)
        one = run_update(iql, cast(plain, np.float64), rows, KEY)[0]
        other = run_update(pex, cast(state, np.float64), rows, KEY)[0]
    assert_same(one, other, field_names(plain))
    obs = OBS[:3]
    np.testing.assert_array_equal(iql.act(plain, obs, KEY, explore=True), pex.act(state, obs, KEY, explore=True))
    assert_equal(state, pex.enter(state, KEY, ONLINE), field_names(state))


def test_the_expansion_is_made_once_and_keeps_values() -> None:
    agent = PEX(learning_rate=1e-2, **NETS)
    trained = run_update(agent, agent.init(KEY, SPACES), batches(3), KEY)[0]
    online = dataclasses.replace(agent, stage="expanded")
    grown = online.enter(trained, KEY, ONLINE)
    assert_equal(trained, grown, ["critic", "target", "value"])
    for a, b in zip(jax.tree.leaves(grown.frozen), jax.tree.leaves(trained.actor), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        (a != b).any() for a, b in zip(jax.tree.leaves(grown.actor), jax.tree.leaves(trained.actor), strict=True)
    )
    for name in ("actor_opt", "critic_opt", "value_opt"):
        assert all((x == 0).all() for x in jax.tree.leaves(getattr(grown, name)))
    later = run_update(online, grown, batches(2), KEY)[0]
    assert_equal(grown, later, ["frozen"])  # nothing reaches the frozen policy
    again = online.enter(later, jax.random.key(9), dataclasses.replace(ONLINE, before=online))
    assert_equal(later, again, field_names(later))


def test_wide_policies_imitate_what_they_drew_and_act_within_the_box() -> None:
    agent, state = expanded(0.1, selection_temperature=1e4)  # always the new policy
    wide = dataclasses.replace(state, actor=state.actor | {"log_std": jnp.zeros(2)})
    batch = jax.tree.map(lambda x: x[0], batches())
    drawn, value = agent.imitated(wide, batch, jnp.zeros(len(batch.reward)), KEY)
    clipped, same = dataclasses.replace(agent, imitates="clipped").imitated(wide, batch, value, KEY)
    assert (jnp.abs(drawn) > 1).any()
    np.testing.assert_array_equal(clipped, jnp.clip(drawn, -1, 1))
    np.testing.assert_array_equal(clipped, agent.act(wide, batch.obs, KEY, explore=True))
    np.testing.assert_array_equal(value, same)


def test_right_after_the_switch_it_acts_as_well_as_the_frozen_policy() -> None:
    """The fresh policy sits at zero; where the critics prefer what was learned, that is what is done."""
    agent, state = expanded(-2.0, selection_temperature=10.0)
    actions = agent.act(state, OBS, KEY, explore=True)
    np.testing.assert_allclose(actions.mean(axis=0), -np.tanh(0.5), atol=0.01)
