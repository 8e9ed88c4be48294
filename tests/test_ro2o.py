"""RO2O by numbers that can be worked out by hand, where it is SAC-N, what its terms reach."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import ACT, KEY, NETS, SPACES, after_update, assert_equal, assert_same, batches, constant

from purejaxo2o.agents.ro2o import RO2O, RO2OState, divergence, lopsided, spread
from purejaxo2o.agents.sac import SAC, SACState
from purejaxo2o.distributions import TanhNormal

FEW: dict[str, Any] = {"critics": 3, "target_critics": 3, **NETS}
NONE = {"value_weight": 0.0, "pull_weight": 0.0, "policy_weight": 0.0}
SAC_PARTS = [f.name for f in dataclasses.fields(SACState)]


def made(**settings: Any) -> tuple[RO2O, RO2OState]:
    agent = RO2O(**settings, **FEW)
    return agent, agent.init(KEY, SPACES)


def first() -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x[0]), batches())


def test_asymmetric_square_of_the_sheet() -> None:
    np.testing.assert_allclose(lopsided(jnp.array([0.4, -0.2]), 0.2), [0.128, 0.008], rtol=1e-5)


def test_divergence_of_the_sheet() -> None:
    """Standard deviations 0.5 and 0.6, means 0 and 0.1, both directions."""
    one = TanhNormal(jnp.array([0.0]), jnp.log(jnp.array([0.5])))
    other = TanhNormal(jnp.array([0.1]), jnp.log(jnp.array([0.6])))
    np.testing.assert_allclose(divergence(one, other), 0.1011111, rtol=1e-5)
    np.testing.assert_allclose(divergence(one, one), 0.0, atol=1e-7)


def test_lower_bound_of_the_sheet() -> None:
    agent, _ = made(pessimism="bound", lower_bound=4.0)
    np.testing.assert_allclose(agent.policy_value(jnp.array([[1.0], [2.0], [3.0]])), [-2.0], rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda q: spread(q).sum())(jnp.ones((3, 2)))).all()  # where all agree
    least, _ = made()
    np.testing.assert_allclose(least.policy_value(jnp.array([[1.0], [2.0], [3.0]])), [1.0])


def test_neighbourhoods_are_boxes_in_units_of_the_minibatch_and_shared_by_it() -> None:
    agent, _ = made(neighbours=4000)
    obs = first().obs * jnp.array([1.0, 10.0, 0.0])
    near = agent.near(obs, 0.5, KEY)
    step = near - obs
    np.testing.assert_allclose(step, jnp.broadcast_to(step[:, :1], step.shape), atol=1e-5)
    reach = 0.5 * obs.std(axis=0)
    np.testing.assert_allclose(jnp.abs(step).max(axis=(0, 1)), reach, rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(step[:, 0].std(axis=0), reach / 3**0.5, rtol=0.05, atol=1e-6)


def sloped(critic: Any, slopes: Any) -> Any:
    """Critics `slopes[i] * (first entry of the state)` as long as it is above -2."""
    layers = jax.tree.map(jnp.zeros_like, critic)["MLP_0"]
    layers["Dense_0"]["kernel"] = layers["Dense_0"]["kernel"].at[:, 0, 0].set(1.0)
    layers["Dense_0"]["bias"] = layers["Dense_0"]["bias"].at[:, 0].set(2.0)
    layers["Dense_1"]["kernel"] = layers["Dense_1"]["kernel"].at[:, 0, 0].set(jnp.asarray(slopes))
    return {"MLP_0": layers}


def test_the_value_term_takes_the_worst_of_the_neighbours() -> None:
    """Linear critics: the largest step up, which counts 0.8; as large a step down counts 0.2."""
    agent, state = made(neighbours=5000, value_weight=1.0, value_radius=0.1, pull_weight=0.0)
    row = first()
    obs = row.obs.at[:, 0].set(jnp.array([0.5, -0.5, 1.0, -1.0]))
    critic = sloped(state.critic, [1.0, 1.0, 1.0])
    row = row._replace(obs=obs)
    total, metrics = agent.penalty(critic, state, row, agent.q(critic, obs, row.action), KEY)
    expected = 0.8 * (0.1 * float(obs[:, 0].std())) ** 2
    np.testing.assert_allclose(metrics["value_jump"], expected, rtol=1e-2)
    np.testing.assert_allclose(total, expected / 3, rtol=1e-2)


@pytest.mark.parametrize(("steps", "uncertainty"), [(0, 1.0), (1_000_000, 0.5), (1_800_000, 0.1), (5_000_000, 0.1)])
def test_the_pull_lowers_by_the_disagreement_and_less_and_less(steps: int, uncertainty: float) -> None:
    """Constant critics 1, 2, 3 disagree by 1; every one of them is pulled down with the same slope."""
    agent, state = made(pull_weight=1.0, value_weight=0.0, neighbours=4)
    state = dataclasses.replace(state, steps=jnp.int32(steps))
    critic, row = constant(state.critic, [1.0, 2.0, 3.0]), first()

    def pull(critic: Any) -> Any:
        return agent.penalty(critic, state, row, agent.q(critic, row.obs, row.action), KEY)[0]

    np.testing.assert_allclose(pull(critic), uncertainty**2 / 3, rtol=1e-4)
    slope = jax.grad(pull)(critic)["MLP_0"]["Dense_1"]["bias"]
    np.testing.assert_allclose(slope[:, 0], np.full(3, 2 * uncertainty / 9), rtol=1e-4)  # up: a step down


def test_without_weights_it_is_sac_n() -> None:
    rows = batches()
    sac = after_update(SAC(**FEW), rows, dtype=np.float64)
    for other in (RO2O(neighbours=2, **NONE, **FEW), RO2O(stage="online", online_terms=False, **FEW)):
        assert_same(sac, after_update(other, rows, dtype=np.float64), SAC_PARTS)
    full = after_update(RO2O(neighbours=2, **FEW), rows, dtype=np.float64)
    online = after_update(RO2O(neighbours=2, stage="online", **FEW), rows, dtype=np.float64)
    assert_same(full, online, SAC_PARTS)  # the paper: nothing changes at the switch
    assert (full.actor_opt.mu["mean"]["kernel"] != sac.actor_opt.mu["mean"]["kernel"]).any()


def test_each_term_reaches_its_own_networks_only() -> None:
    still: dict[str, Any] = {"learning_rate": 0.0, "neighbours": 2, "value_radius": 0.5, "policy_radius": 0.5, **FEW}
    base = after_update(RO2O(**still, **NONE), batches())
    strong = RO2O(**still, **NONE | {"value_weight": 10.0, "pull_weight": 10.0})
    critics = after_update(strong, batches())
    assert_equal(base, critics, ["actor_opt", "temperature_opt"])
    policy = after_update(RO2O(**still, **NONE | {"policy_weight": 10.0}), batches())
    assert_equal(base, policy, ["critic_opt", "temperature_opt"])
    for one, name in ((critics, "critic_opt"), (policy, "actor_opt")):
        moments = [jax.tree.leaves(getattr(x, name).mu) for x in (base, one)]
        assert any((a != b).any() for a, b in zip(*moments, strict=True))


def test_mazes_give_every_critic_its_own_target_and_imitate() -> None:
    agent, state = made(pessimism="bound", discount=1.0, bc_weight=3.0, stage="online", online_terms=False)
    silent = dataclasses.replace(
        state, target=constant(state.target, [3.0, 2.0, 1.0]), log_temperature=jnp.float32(-jnp.inf)
    )
    value = agent.next_value(silent, first(), KEY, KEY)
    np.testing.assert_allclose(value, [[3.0] * 4, [2.0] * 4, [1.0] * 4])
    action = jnp.full((4, ACT), 0.25)
    penalty, _ = agent.policy_penalty(state.actor, state, first(), action, KEY)
    np.testing.assert_allclose(penalty, 3.0 * jnp.square(0.25 - first().action).mean(), rtol=1e-6)


def test_the_clock_counts_every_minibatch() -> None:
    agent, state = made(neighbours=2)
    assert int(state.steps) == 0
    assert int(after_update(agent, batches(3)).steps) == 3
