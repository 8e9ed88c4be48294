"""What entering a phase changes, and one update after it, against the NumPy reference in float64."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import reference as ref
import reference_td3
import reference_weighted
from test_loss_parity import (
    SOFT,
    TWIN,
    Case,
    assert_states_match,
    batches_for,
    cast,
    noise_of,
    random_state,
    run_update,
    to_reference,
)

from purejaxo2o.agents.boorl import BOORL
from purejaxo2o.agents.so2 import SO2
from purejaxo2o.agents.td3 import TD3
from purejaxo2o.loop.phases import Boundary

ONLINE = Boundary(index=1, updates=40, minibatches=80)


def new_moments(params: Any) -> ref.Adam:
    zeros = jax.tree.map(np.zeros_like, params)
    return ref.Adam(0, zeros, zeros)


def test_so2_goes_on_with_a_fixed_temperature_and_new_moments() -> None:
    """The authors' fine-tuning: networks and targets are loaded, alpha is a constant, the optimisers are new."""
    rule: dict[str, Any] = {"stage": "perturbed", "reset_optimisers": True, "perturbed_temperature": 0.2}
    settings: dict[str, Any] = SOFT | rule | {"temperature_learning_rate": 0.0, "temperature_form": "linear"}
    case = Case(SO2(critics=4, target_critics=4, **settings), reference_weighted.so2_update, 2)
    with jax.enable_x64(True):
        state, key = random_state(case, jnp.float64), jax.random.key(7)
        batches, noise = batches_for(case), noise_of(case.agent, case.minibatches, key)
        before = to_reference(state) | {"log_temperature": np.log(0.2)}
        before |= {f"{name}_opt": new_moments(before[name]) for name in ("actor", "critic")}
        before["temperature_opt"] = new_moments(before["log_temperature"])
        expected, losses = case.update(case.agent, before, batches, noise)
        entered = case.agent.enter(state, key, ONLINE)
        got, metrics = run_update(case.agent, entered, cast(batches, jnp.float64), key)
        again = run_update(case.agent, got, cast(batches, jnp.float64), key)[1]
    assert_states_match(got, expected, 1e-8)
    np.testing.assert_allclose(
        [metrics["critic_loss"], metrics["actor_loss"]], [losses["critic_loss"], losses["actor_loss"]]
    )
    np.testing.assert_allclose([metrics["temperature"], again["temperature"]], 0.2)


def test_so2_carries_what_it_is_not_told_to_reset() -> None:
    case = Case(SO2(stage="perturbed", **SOFT), reference_weighted.so2_update)
    state = random_state(case, jnp.float32)
    entered = case.agent.enter(state, jax.random.key(0), ONLINE)
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(entered), jax.tree.leaves(state), strict=True))
    offline = dataclasses.replace(case.agent, stage="diverse", perturbed_temperature=0.2)
    assert offline.enter(state, jax.random.key(0), ONLINE) is state


def test_boorl_goes_on_with_new_targets_and_old_moments() -> None:
    """The authors' `load`: networks and optimisers from the file, every target a copy of its network."""
    rule: dict[str, Any] = {"delay": 2, "prompt_targets": True}
    agent = BOORL(members=3, stage="free", reset_targets=True, **TWIN, **rule)
    alone, case = TD3(**TWIN, **rule), Case(agent, reference_td3.td3_update, 2)
    with jax.enable_x64(True):
        state, key = random_state(case, jnp.float64), jax.random.key(7)
        batches = batches_for(case)
        entered = agent.enter(state, key, ONLINE)
        got, _ = run_update(agent, entered, cast(batches, jnp.float64), key)
        clock = {"steps": np.int32(0), "span": np.int32(80)}
        for index, own in enumerate(jax.random.split(key, 3)):
            member = to_reference(one_of(state.members, index)) | clock
            member |= {"target": member["critic"], "actor_target": member["actor"]}
            noise = noise_of(alone, case.minibatches, jax.random.split(own)[1])
            expected, _ = case.update(alone, member, batches, noise)
            assert_states_match(one_of(got.members, index), expected, 1e-8)
    kept = dataclasses.replace(agent, reset_targets=False).enter(state, key, ONLINE).members
    assert all(
        (a == b).all() for a, b in zip(*map(jax.tree.leaves, (kept.target, state.members.target)), strict=True)
    )


def one_of(members: Any, index: int) -> Any:
    """One member's state, with the clock that all share."""
    clock = {"steps": members.steps, "span": members.span}
    bare = dataclasses.replace(members, steps=None, span=None)
    return dataclasses.replace(jax.tree.map(lambda x: x[index], bare), **clock)
