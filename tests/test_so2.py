"""SO2: independent targets at a perturbed action, and EDAC before the switch."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from test_closed_forms import KEY, NETS, SPACES, after_update, assert_same, batches, constant, field_names, run_update

from purejaxo2o.agents.edac import EDAC
from purejaxo2o.agents.sac import SAC
from purejaxo2o.agents.so2 import SO2

FEW: dict[str, Any] = {"critics": 2, "target_critics": 2, **NETS}


def test_every_critic_has_its_own_target() -> None:
    """The sheet: values 3 and 2 without reward or entropy give the targets 3 and 2, not 2 and 2."""
    agent = SO2(stage="perturbed", discount=1.0, learning_rate=0.0, **FEW)
    state = agent.init(KEY, SPACES)
    state = dataclasses.replace(
        state,
        critic=constant(state.critic, [3.0, 2.0]),
        target=constant(state.target, [3.0, 2.0]),
        log_temperature=jnp.float32(-jnp.inf),
    )
    rows = batches(reward=0.0, terminated=False)
    value = agent.next_value(state, jax.tree.map(lambda x: x[0], rows), KEY, KEY)
    np.testing.assert_allclose(value, [[3.0] * 4, [2.0] * 4])
    step = jax.jit(agent.critic_step)
    assert step(state, jax.tree.map(lambda x: x[0], rows), KEY)[1]["critic_loss"] == 0
    still = dataclasses.replace(agent, stage="diverse", diversity_weight=0.0)
    assert jax.jit(still.critic_step)(state, jax.tree.map(lambda x: x[0], rows), KEY)[1]["critic_loss"] == 0.5


def test_before_the_switch_it_is_edac_and_without_additions_sac() -> None:
    rows = batches()
    edac, so2 = (after_update(a, rows, dtype=np.float64) for a in (EDAC(**FEW), SO2(**FEW)))
    assert_same(edac, so2, field_names(edac))
    one: dict[str, Any] = {"critics": 1, "target_critics": 1, **NETS}
    sac = SAC(target_samples=1, **one)
    free = SO2(stage="perturbed", target_noise=0.0, **one)
    state = sac.init(KEY, SPACES)
    silent = dataclasses.replace(state, log_temperature=jnp.float32(-50.0))
    got, expected = (run_update(a, silent, batches(terminated=True), KEY)[0] for a in (free, sac))
    for a, b in zip(jax.tree.leaves(got.critic_opt.mu), jax.tree.leaves(expected.critic_opt.mu), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_the_perturbation_is_clipped_and_stays_in_the_box() -> None:
    """A critic that is the first action entry shows where the target looks."""
    agent = SO2(stage="perturbed", target_noise=100.0, noise_clip=0.2, initial_temperature=1e-9, **FEW)
    state = agent.init(KEY, SPACES)
    actor = jax.tree.map(jnp.zeros_like, state.actor)
    actor["log_std"]["bias"] = jnp.full(2, -20.0)
    target = jax.tree.map(jnp.zeros_like, state.target)
    layers = target["MLP_0"]
    layers["Dense_0"]["kernel"] = layers["Dense_0"]["kernel"].at[:, 3, 0].set(1.0)
    layers["Dense_0"]["bias"] = layers["Dense_0"]["bias"].at[:, 0].set(2.0)
    layers["Dense_1"]["kernel"] = layers["Dense_1"]["kernel"].at[:, 0, 0].set(1.0)
    state = dataclasses.replace(state, actor=actor, target=target)
    seen = agent.next_value(state, jax.tree.map(lambda x: x[0], batches()), KEY, KEY) - 2.0
    np.testing.assert_allclose(jnp.abs(seen), 0.2, rtol=1e-3)
