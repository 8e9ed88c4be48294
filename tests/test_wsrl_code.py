"""What WSRL's code does beside its paper: one output layer for all critics, and networks that coast on momentum."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
from test_closed_forms import SPACES
from test_loss_parity import (
    BOX,
    CASES,
    assert_states_match,
    batches_for,
    cast,
    noise_of,
    random_state,
    run_update,
    to_reference,
)
from tiny import arrays, distance, tiny

import purejaxo2o as o2o
from purejaxo2o.agents import CQL, EDAC, H2O, SAC
from purejaxo2o.agents.base import adam, init_adam
from purejaxo2o.networks import pick

CASE = CASES["sac_wsrl_code"]


def several_updates(agent: Any, minibatches: int, count: int = 4) -> tuple[Any, dict[str, Any]]:
    """Ours and the reference's state after `count` updates, each of other rows and draws, in float64."""
    case = dataclasses.replace(CASE, agent=agent, minibatches=minibatches)
    state = random_state(case, jnp.float64)
    expected = to_reference(state)
    for seed in range(count):
        rows, key = batches_for(case, seed), jax.random.key(seed)
        expected, _ = case.update(agent, expected, rows, noise_of(agent, minibatches, key))
        state, _ = run_update(agent, state, cast(rows, jnp.float64), key)
    return state, expected


@pytest.mark.parametrize(("minibatches", "steps"), [(1, 4), (4, 4 * 5)])
def test_several_updates_equal_the_reference(minibatches: int, steps: int) -> None:
    with jax.enable_x64(True):
        state, expected = several_updates(CASE.agent, minibatches)
        assert_states_match(state, expected, 1e-7)
    for opt in (state.actor_opt, state.critic_opt, state.temperature_opt):  # 3 as it starts
        assert int(opt.count) == 3 + steps


def test_with_one_minibatch_nothing_rests() -> None:
    still = dataclasses.replace(CASE.agent, resting="still")
    with jax.enable_x64(True):
        case = dataclasses.replace(CASE, minibatches=1)
        state, rows = random_state(case, jnp.float64), cast(batches_for(case), jnp.float64)
        one, other = (run_update(agent, state, rows, jax.random.key(0))[0] for agent in (CASE.agent, still))
    assert distance(one, other) == 0.0


def test_coasting_critics_move_and_their_targets_do_not() -> None:
    """The targets know the critics before that: they are the same as without it, and the critics are not."""
    still = dataclasses.replace(CASE.agent, resting="still")
    slow = {"actor_learning_rate": 0.0, "temperature_learning_rate": 0.0}  # the policy is the same for both
    agents = [dataclasses.replace(agent, **slow) for agent in (CASE.agent, still)]
    with jax.enable_x64(True):
        state, rows = random_state(CASE, jnp.float64), cast(batches_for(CASE), jnp.float64)
        coasting, resting = (run_update(agent, state, rows, jax.random.key(0))[0] for agent in agents)
    assert distance(coasting.target, resting.target) == 0.0
    assert distance(coasting.critic, resting.critic) > 1e-3


@pytest.mark.parametrize(("gradients", "rests", "gain"), [(1, 4, 5**0.5), (4, 1, 5 / 20**0.5)])
def test_how_much_farther_a_steady_gradient_moves(gradients: int, rests: int, gain: float) -> None:
    """The recipe's 2.24 and 1.12: Adam on the same gradients, with and without rests between them."""

    def path(rests: int) -> Any:
        cycle = jnp.array([1.0] * gradients + [0.0] * rests)

        def step(carry: Any, g: Any) -> Any:
            x, opt = carry
            return adam(x, g, opt, 1.0), None

        start = jnp.float32(0.0)
        before, _ = jax.lax.scan(step, (start, init_adam(start)), jnp.tile(cycle, 4000))
        after, _ = jax.lax.scan(step, before, jnp.tile(cycle, 100))
        return after[0] - before[0]

    assert path(rests) / path(0) == pytest.approx(gain, rel=0.01)


def test_one_output_layer_serves_all_members_and_every_subset() -> None:
    agent = SAC(critics=5, shared_head=True, hidden=(8, 8), actor_hidden=(8,))
    critic = agent.init(jax.random.key(0), SPACES).critic
    assert jax.tree.map(jnp.shape, critic["head"]) == {"bias": (1,), "kernel": (8, 1)}
    assert {x.shape[0] for x in jax.tree.leaves(critic["MLP_0"])} == {5}
    obs, action = jnp.ones((3, *SPACES.obs.shape)), jnp.full((3, *SPACES.action.shape), 0.3)
    values = agent.q(critic, obs, action)
    assert values.shape == (5, 3)
    assert len(np.unique(np.asarray(values[:, 0]))) == 5  # hidden layers differ
    for members in (jnp.array([4, 0]), jnp.array([2, 2, 2]), slice(1, 3)):
        np.testing.assert_allclose(agent.q(pick(critic, members), obs, action), values[members], rtol=1e-6)


def test_without_it_a_subset_is_that_of_every_parameter() -> None:
    critic = SAC(critics=3).init(jax.random.key(0), SPACES).critic
    assert distance(pick(critic, jnp.array([2, 0])), jax.tree.map(lambda x: x[jnp.array([2, 0])], critic)) == 0.0


@pytest.mark.parametrize("agent", [CQL(penalty_critics=2, critics=3), EDAC(critics=3, target_critics=3), H2O()])
def test_every_learner_of_the_family_takes_it(agent: Any) -> None:
    agent = dataclasses.replace(agent, shared_head=True, resting="coast", hidden=(8,), actor_hidden=(8,))
    case = dataclasses.replace(CASE, agent=agent, minibatches=2)
    state = agent.init(jax.random.key(0), BOX)
    after, metrics = run_update(agent, state, cast(batches_for(case), jnp.float32), jax.random.key(1))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert all(np.isfinite(x).all() for x in arrays((after, metrics)))
    assert distance(after.critic["head"], state.critic["head"]) > 0.0


def test_the_log_std_starts_where_cal_qls_does() -> None:
    agent = SAC(std="scaled")
    actor = agent.init(jax.random.key(0), SPACES).actor
    assert (float(actor["log_std_scale"]), float(actor["log_std_offset"])) == (1.0, -1.0)
    obs = jax.random.normal(jax.random.key(1), (100, *SPACES.obs.shape))
    np.testing.assert_allclose(jnp.exp(agent.policy(actor, obs).log_std), np.exp(-1.0), rtol=0.05)
    other = actor | {"log_std_scale": jnp.float32(2.0), "log_std_offset": jnp.float32(0.5)}
    before, after = (agent.policy(a, obs).log_std for a in (actor, other))
    np.testing.assert_allclose(after, 2.0 * (before + 1.0) + 0.5, rtol=1e-4, atol=1e-5)


def test_recipes_have_what_their_authors_have() -> None:
    wsrl, cql, cal_ql, naive, h2o = (tiny(name)[0].agent for name in ("wsrl", "cql", "cal_ql", "naive", "h2o"))
    assert (wsrl.shared_head, wsrl.resting, wsrl.std) == (True, "coast", "global")
    assert {agent.std for agent in (cql, cal_ql, naive, h2o)} == {"scaled"}
    for name in ("sac", "rlpd", "edac", "off2on"):
        agent: Any = o2o.recipe(name, tiny(name)[1]).agent
        assert (agent.shared_head, agent.resting, agent.std) == (False, "still", "state"), name


def test_the_parity_above_can_fail() -> None:
    """The reference's networks go elsewhere where they do not coast."""
    with jax.enable_x64(True):
        agent = CASE.agent
        state, rows = random_state(CASE, jnp.float64), batches_for(CASE)
        noise = noise_of(agent, CASE.minibatches, jax.random.key(7))
        coasting, _ = ref.sac_update(agent, to_reference(state), rows, noise)
        still, _ = ref.sac_update(dataclasses.replace(agent, resting="still"), to_reference(state), rows, noise)
    for name in ("actor", "critic", "log_temperature"):
        assert distance(coasting[name], still[name]) > 1e-4
