"""FQL: the sheet's numbers, which loss reaches which network, and where the mass of a bimodal behaviour goes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import KEY, NETS, SPACES, assert_equal, batches, constant, field_names, run_update
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.agents.fql import FQL
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.types import Space, Spaces, Transition

AGENT = FQL(flow_steps=3, learning_rate=1e-2, **NETS)


def test_values_in_the_actor_loss_of_the_sheet() -> None:
    """Critics of 1 and 3: the loss is -2, and -1 where it is normalised."""
    state = AGENT.init(KEY, SPACES)
    state = dataclasses.replace(state, critic=constant(state.critic, jnp.array([1.0, 3.0])))
    batch = jax.tree.map(lambda x: x[0], batches())
    for normalise, expected in ((False, -2.0), (True, -1.0)):
        agent = dataclasses.replace(AGENT, alpha=0.0, normalise_q=normalise)
        loss, _ = agent.actor_loss(state.actor, state, batch, KEY)
        np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize(("reduction", "value"), [("mean", 2.0), ("min", 1.0)])
def test_targets_of_two_critics(reduction: Any, value: float) -> None:
    """Bootstrapped through truncation, not through termination: errors of critics that say 0 everywhere."""
    agent = dataclasses.replace(AGENT, target_reduction=reduction, learning_rate=0.0, discount=0.5)
    state = agent.init(KEY, SPACES)
    state = dataclasses.replace(
        state,
        critic=constant(state.critic, jnp.zeros(2)),
        target=constant(state.critic, jnp.array([1.0, 3.0])),
    )
    for ends, y in (({}, 1 + 0.5 * value), ({"truncated": True}, 1 + 0.5 * value), ({"terminated": True}, 1.0)):
        rows = batches(reward=1.0, **({"terminated": False, "truncated": False} | ends))
        _, metrics = run_update(agent, state, rows, KEY)
        np.testing.assert_allclose(metrics["critic_loss"], y**2, rtol=1e-6)


def moved(one: Any, other: Any) -> set[str]:
    """Which networks two states differ in."""

    def differ(name: str) -> bool:
        pairs = zip(jax.tree.leaves(getattr(one, name)), jax.tree.leaves(getattr(other, name)), strict=True)
        return any((a != b).any() for a, b in pairs)

    return {name for name in ("flow", "actor", "critic", "target") if differ(name)}


def test_every_loss_reaches_its_own_network_alone() -> None:
    """One step with one thing changed; whatever it has no gradient to ends at the same bits."""
    state, rows = AGENT.init(KEY, SPACES), batches()
    after = run_update(AGENT, state, rows, KEY)[0]
    assert moved(state, after) >= {"flow", "actor", "critic"}
    for changes in ({"reward": rows.reward + 7.0}, {"next_obs": 2.0 * rows.next_obs}):  # the target alone sees them
        assert moved(after, run_update(AGENT, state, rows._replace(**changes), KEY)[0]) == {"critic"}
    heavier = dataclasses.replace(AGENT, alpha=500.0)
    assert moved(after, run_update(heavier, state, rows, KEY)[0]) == {"actor"}
    other = jax.tree.map(lambda x: -x, state.flow)  # the distillation reads the flow, L_Q does not
    assert moved(after, run_update(AGENT, dataclasses.replace(state, flow=other), rows, KEY)[0]) == {"flow", "actor"}


def test_the_targets_move_towards_the_critics_before_the_step() -> None:
    state = AGENT.init(KEY, SPACES)
    state = dataclasses.replace(state, target=jax.tree.map(jnp.zeros_like, state.target))
    after = run_update(dataclasses.replace(AGENT, polyak=0.25), state, batches(), KEY)[0]
    for target, critic in zip(jax.tree.leaves(after.target), jax.tree.leaves(state.critic), strict=True):
        np.testing.assert_allclose(target, 0.25 * critic, rtol=1e-6)


def test_values_pull_no_action_that_is_outside_the_box() -> None:
    """Only the distillation does."""
    state, batch = AGENT.init(KEY, SPACES), jax.tree.map(lambda x: x[0], batches())
    outside = constant(state.actor, 1.5)
    for alpha, pulled in ((0.0, False), (1.0, True)):
        agent = dataclasses.replace(AGENT, alpha=alpha)
        grads = jax.grad(lambda actor, agent=agent: agent.actor_loss(actor, state, batch, KEY)[0])(outside)
        assert any((g != 0).any() for g in jax.tree.leaves(grads)) == pulled


def test_nothing_happens_at_the_switch() -> None:
    state = AGENT.init(KEY, SPACES)
    assert_equal(state, AGENT.enter(state, KEY, Boundary(index=1)), field_names(state))


def test_defaults_of_the_paper_by_domain() -> None:
    task = tiny("fql")[1]
    for domain, alpha, reduction in (
        ("maze", 10.0, "mean"),
        ("adroit", 1000.0, "min"),
        ("adroit-binary", 10.0, "mean"),
    ):
        agent = o2o.recipe("fql", dataclasses.replace(task, domain=domain)).agent
        assert (agent.alpha, agent.target_reduction) == (alpha, reduction)


def bandit(agent: FQL, updates: int = 1500) -> tuple[jax.Array, jax.Array]:
    """Samples of flow and policy where behaviour takes -0.6 and 0.6 alike and is paid 1 for the latter alone."""
    spaces = Spaces(Space(shape=(1,)), Space(shape=(1,)))

    @jax.jit
    def learn(agent: FQL, key: jax.Array) -> Any:
        def body(state: Any, key: jax.Array) -> tuple[Any, None]:
            key_rows, key_update = jax.random.split(key)
            good = jax.random.bernoulli(key_rows, shape=(1, 128))
            action = jnp.where(good, 0.6, -0.6)[..., None]
            obs, ends = jnp.zeros_like(action), jnp.ones_like(good)
            rows = Transition(obs, action, good.astype(jnp.float32), obs, ends, ~ends)
            return agent.update(state, rows, key_update)[0], None

        state = jax.lax.scan(body, agent.init(key, spaces), jax.random.split(key, updates))[0]
        obs = jnp.zeros((1000, 1))
        noise = agent.noise(state, key, (1000,))
        return agent.carried(state.flow, obs, noise), agent.act(state, obs, key, explore=True)

    return learn(agent, KEY)


@pytest.mark.parametrize(("alpha", "low", "high"), [(100.0, 0.3, 0.7), (0.1, 0.97, 1.0)])
def test_mass_moves_to_the_mode_of_high_value_as_alpha_falls(alpha: float, low: float, high: float) -> None:
    sizes: dict[str, Any] = {"hidden": (32, 32), "actor_hidden": (32, 32)}
    flow, policy = bandit(FQL(alpha=alpha, learning_rate=3e-3, polyak=0.05, layer_norm=False, **sizes))
    assert float((flow > 0).mean()) == pytest.approx(0.5, abs=0.15)  # the flow clones, whatever alpha
    assert float((jnp.abs(jnp.abs(flow) - 0.6) < 0.2).mean()) > 0.8
    assert low <= float((policy > 0).mean()) <= high
