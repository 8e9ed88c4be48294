"""TD3, TD3+BC and ReBRAC by numbers that can be worked out by hand, and where they coincide."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import ACT, KEY, NETS, SPACES, assert_equal, assert_same, batches, cast, constant, run_update
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.agents.base import relaxation
from purejaxo2o.agents.delayed import DelayedState
from purejaxo2o.agents.losses import normalised
from purejaxo2o.agents.rebrac import ReBRAC
from purejaxo2o.agents.td3 import TD3
from purejaxo2o.agents.td3_bc import TD3BC
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.loop.prepare import prepare

DATA = np.array([[0.1, 0.1], [0.3, 0.9]])
POLICY = np.array([[0.2, -0.1], [0.5, 0.4]])
MINIMUM = np.array([2.0, -4.0])


def rows(minibatches: int = 1, **changes: Any) -> Any:
    """Random rows with next actions."""
    made = batches(minibatches, **changes)
    return made._replace(extras={"next_action": np.flip(made.action, axis=1).copy()})


def two_rows(agent: Any) -> tuple[Any, Any]:
    """The sheet's example: actions of a policy at two observations, values of one action-blind critic pair."""

    class Fixed(type(agent)):
        def action(self, actor: Any, obs: Any) -> Any:
            return jnp.asarray(POLICY, jnp.float32) + 0 * obs[..., :ACT]

        def q(self, critic: Any, obs: Any, action: Any) -> Any:
            members = jax.tree.leaves(critic)[0].shape[0]
            return jnp.stack([jnp.asarray(MINIMUM, jnp.float32), jnp.array([2.5, -3.0])])[:members] + 0 * obs[:, 0]

    fixed = Fixed(**{f.name: getattr(agent, f.name) for f in dataclasses.fields(agent)})
    batch = jax.tree.map(lambda x: x[0, :2], rows())._replace(action=jnp.asarray(DATA, jnp.float32))
    return fixed, batch


def test_actor_losses_of_the_sheet() -> None:
    for agent, loss, bc in ((ReBRAC(actor_penalty=0.1, **NETS), 0.350333, 0.17), (TD3BC(**NETS), 0.918333, 0.085)):
        state = agent.init(KEY, SPACES)
        fixed, batch = two_rows(agent)
        value, metrics = fixed.actor_loss(state.actor, state, batch, KEY)
        np.testing.assert_allclose([value, metrics["bc"]], [loss, bc], rtol=1e-5)


@pytest.mark.parametrize(
    ("distance", "weight", "minimum", "target"), [((0.2, -0.1), 0.5, 4.0, 4.93525), ((1, 1), 0.5, 2.0, 1.99)]
)
def test_critic_target_of_the_sheets(distance: Any, weight: float, minimum: float, target: float) -> None:
    """The penalty is inside discount and mask; the end of a truncated trajectory has none."""
    agent = ReBRAC(critic_penalty=weight, smoothing_noise=0.0, **NETS)
    state = agent.init(KEY, SPACES)
    zero = jax.tree.map(jnp.zeros_like, state.actor_target)
    critics = {"critic": constant_critic(state.critic, 0.0), "target": constant_critic(state.target, [minimum, 9.0])}
    state = dataclasses.replace(state, actor_target=zero, **critics)
    for ends, expected in (
        ({}, target),
        ({"terminated": True}, 1.0),
        ({"truncated": True}, 1 + 0.99 * minimum),
    ):
        batch = rows(reward=1.0, **({"terminated": False, "truncated": False} | ends))
        following = np.broadcast_to(np.asarray(distance, np.float32), batch.action.shape)
        batch = batch._replace(extras={"next_action": -following})
        loss = run_update(agent, state, batch, KEY)[1]["critic_loss"]
        np.testing.assert_allclose(np.sqrt(loss / 2), expected, rtol=1e-5)


def constant_critic(params: Any, value: Any) -> Any:
    """As `constant`; LayerNorm of zeros is zeros."""
    return constant(params, value)


def test_values_are_scaled_to_size_one_by_a_constant() -> None:
    np.testing.assert_allclose(normalised(jnp.array([2.0, -4.0])), [2 / 3, -4 / 3])
    slopes = jax.grad(lambda q: normalised(q).mean())(jnp.array([2.0, -4.0]))
    np.testing.assert_allclose(slopes, [1 / 6, 1 / 6], rtol=1e-6)
    assert jnp.isfinite(normalised(jnp.zeros(2))).all()


@pytest.mark.parametrize("agent", [TD3BC(**NETS), ReBRAC(**NETS)])
def test_scale_of_rewards_does_not_change_the_policys_step(agent: Any) -> None:
    """Linear critics times 7 are the critics of rewards times 7."""
    state = dataclasses.replace(agent.init(KEY, SPACES), steps=jnp.int32(1))
    scaled = jax.tree.map(lambda x: x, state.critic)
    last = scaled["MLP_0"]["Dense_1"]
    scaled["MLP_0"]["Dense_1"] = jax.tree.map(lambda x: 7.0 * x, last)
    frozen = dataclasses.replace(agent, learning_rate=0.0, actor_learning_rate=1e-3)
    one = run_update(frozen, state, rows(), KEY)[0]
    other = run_update(frozen, dataclasses.replace(state, critic=scaled), rows(), KEY)[0]
    for a, b in zip(jax.tree.leaves(one.actor_opt.mu), jax.tree.leaves(other.actor_opt.mu), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_actor_and_targets_move_every_second_step_and_the_lagging_target_one_later() -> None:
    for agent in (TD3(polyak=0.5, **NETS), ReBRAC(polyak=0.5, **NETS)):
        first = agent.init(KEY, SPACES)
        second, metrics = run_update(agent, first, rows(), KEY)
        assert_equal(first, second, ["actor", "actor_target", "target", "actor_opt"])
        assert metrics["actor_loss"] == 0
        third, metrics = run_update(agent, second, rows(), KEY)
        assert metrics["actor_loss"] != 0
        followed = second if agent.lagging_target else third
        for name, source in (("actor_target", followed.actor), ("target", third.critic)):
            halves = jax.tree.map(lambda a, b: 0.5 * (a + b), getattr(second, name), source)
            for a, b in zip(jax.tree.leaves(getattr(third, name)), jax.tree.leaves(halves), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
        assert (first.actor["mean"]["bias"] != third.actor["mean"]["bias"]).any()


def test_metrics_average_to_the_actors_own_mean() -> None:
    """Two minibatches, one actor step: the average is that step's loss."""
    agent = TD3BC(learning_rate=0.0, **NETS)
    state = agent.init(KEY, SPACES)
    pair = jax.tree.map(lambda x: np.concatenate([x, x]), rows())
    loss = agent.actor_loss(state.actor, state, jax.tree.map(lambda x: x[0], rows()), KEY)[0]
    np.testing.assert_allclose(run_update(agent, state, pair, KEY)[1]["actor_loss"], loss, rtol=1e-5)


def test_relaxation_over_a_phase() -> None:
    for end, expected in ((0.2, [1, 0.5, 0.2, 0.2]), (1.0, [1, 1, 1, 1]), (0.0, [1, 0.5, 0.2, 0])):
        got = [relaxation(jnp.int32(k), jnp.int32(1000), end) for k in (0, 500, 800, 1000)]
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    agent = ReBRAC(**NETS)
    used = dataclasses.replace(agent.init(KEY, SPACES), steps=jnp.int32(77))
    entered = agent.enter(used, KEY, Boundary(index=1, updates=300, minibatches=1200))
    assert (entered.steps, entered.span) == (0, 1200)
    assert_equal(used, entered, [f.name for f in dataclasses.fields(DelayedState) if f.name not in ("steps", "span")])


def test_the_weight_of_imitation_falls_by_the_clock() -> None:
    agent = ReBRAC(actor_penalty=2.0, actor_penalty_end=0.5, **NETS)
    state, batch = agent.init(KEY, SPACES), jax.tree.map(lambda x: x[0], rows())

    def loss(step: int) -> Any:
        at = dataclasses.replace(state, steps=jnp.int32(step), span=jnp.int32(100))
        return agent.actor_loss(state.actor, at, batch, KEY)

    bc = loss(0)[1]["bc"]
    for step, weight in ((20, 1.6), (50, 1.0), (90, 1.0)):
        np.testing.assert_allclose(loss(0)[0] - loss(step)[0], (2.0 - weight) * bc, rtol=1e-4)


def test_rebrac_without_its_additions_is_td3_bc() -> None:
    """b2 = 0, no LayerNorm, one critic: b1 = 1 / (2.5 A) gives TD3+BC's gradient divided by 2.5."""
    plain: dict[str, Any] = {"critics": 1, "exploration_noise": 0.1, **NETS}
    bc = TD3BC(**plain)
    rebrac = ReBRAC(
        actor_penalty=1 / (2.5 * ACT), critic_penalty=0.0, layer_norm=False, lagging_target=False, **plain
    )
    names = ["critic", "critic_opt", "target"]
    states = []
    for agent in (bc, rebrac):
        state = dataclasses.replace(agent.init(KEY, SPACES), steps=jnp.int32(1))
        with jax.enable_x64(True):
            states.append(run_update(agent, cast(state, np.float64), cast(rows(), np.float64), KEY)[0])
    assert_same(*states, names)
    for a, b in zip(*(jax.tree.leaves(s.actor_opt.mu) for s in states), strict=True):
        np.testing.assert_allclose(np.asarray(a), 2.5 * np.asarray(b), rtol=1e-10, atol=1e-14)


def test_losses_reach_their_own_networks_only() -> None:
    agent = ReBRAC(delay=1, critic_penalty=1.0, **NETS)
    state = agent.init(KEY, SPACES)
    base = run_update(agent, state, rows(), KEY)[0]
    still = run_update(dataclasses.replace(agent, actor_learning_rate=0.0), state, rows(), KEY)[0]
    assert_equal(base, still, ["critic", "critic_opt", "target"])  # the actor's loss is not in the critics' gradient
    frozen = dataclasses.replace(agent, learning_rate=0.0, actor_learning_rate=1e-2)
    one = run_update(frozen, state, rows(), KEY)[0]
    other = run_update(frozen, state, rows()._replace(reward=rows().reward + 5.0), KEY)[0]
    assert_equal(one, other, ["actor", "actor_opt"])  # nor the TD error in the actor's
    assert (one.critic_opt.mu["MLP_0"]["Dense_1"]["bias"] != other.critic_opt.mu["MLP_0"]["Dense_1"]["bias"]).all()


def test_exploration_is_noise_around_the_policy_inside_the_box() -> None:
    agent = TD3(exploration_noise=0.3, **NETS)
    state, obs = agent.init(KEY, SPACES), jnp.zeros((20_000, 3))
    noise = agent.act(state, obs, KEY, explore=True) - agent.act(state, obs, KEY, explore=False)
    np.testing.assert_allclose(noise.std(axis=0), 0.3, rtol=0.05)
    wild = dataclasses.replace(agent, exploration_noise=9.0).act(state, obs, KEY, explore=True)
    assert jnp.abs(wild).max() == 1.0


def test_the_dataset_is_given_next_actions_of_the_same_trajectory() -> None:
    recipe, task, data = tiny("rebrac")
    ready = prepare(recipe, task, data)
    assert ready is not None
    got, action, last = (np.asarray(x) for x in (ready.data.extras["next_action"], data.data.action, data.data.last))
    inner = ~last[:-1, 0]
    np.testing.assert_array_equal(got[:-1, 0][inner], action[1:, 0][inner])
    assert recipe.agent.needs == {"next_action"}
    assert recipe.agent_in(recipe.phases[-1]).needs == frozenset()


def test_next_actions_of_online_rows_are_refused_before_compiling() -> None:
    recipe, task, data = tiny("rebrac")
    kept = [dataclasses.replace(p, agent={}) for p in recipe.phases]
    with pytest.raises(o2o.O2OError, match="next_action"):
        jax.eval_shape(o2o.train, KEY, dataclasses.replace(recipe, phases=tuple(kept)), task, data)
