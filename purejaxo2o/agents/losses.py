"""Losses that several papers share, as functions."""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import relaxation
from purejaxo2o.agents.delayed import Delayed, DelayedState
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Transition


def normalised(q: Array) -> Array:
    """`q / mean|q|` with a constant denominator: the policy's gradient no longer depends on the scale of rewards."""
    return q / jnp.maximum(jax.lax.stop_gradient(jnp.abs(q).mean()), 1e-8)


def value_loss(agent: Delayed, actor: Any, state: DelayedState, batch: Transition) -> tuple[Array, Metrics]:
    """TD3's: `-mean_B Q_1(s, pi(s))`."""
    loss = -agent.first_q(state.critic, batch.obs, agent.action(actor, batch.obs)).mean()
    return loss, {"actor_loss": loss}


def imitation_loss(
    agent: Delayed, actor: Any, state: DelayedState, batch: Transition, *, alpha: Number, weight: Number, end: Number
) -> tuple[Array, Metrics]:
    """TD3+BC's: `-alpha mean_B Q_1(s, pi(s)) / sg[mean_B |Q_1(s, pi(s))|] + w mean_{B,A} (pi(s) - a)^2`.

    weight: w at the start of a phase, over which it falls linearly, not below the share `end`."""
    action = agent.action(actor, batch.obs)
    bc = jnp.square(residual(action, batch.action)).mean()
    weight = weight * relaxation(state.steps, state.span, end)
    loss = weight * bc - alpha * normalised(agent.first_q(state.critic, batch.obs, action)).mean()
    return loss, {"actor_loss": loss, "bc": bc}
