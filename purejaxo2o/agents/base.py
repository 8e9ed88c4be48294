"""The few steps that all agents share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from purejaxo2o.loop.phases import Phase
from purejaxo2o.networks import check_action
from purejaxo2o.shapes import assert_batch, assert_rows
from purejaxo2o.types import Array, Metrics, Number, O2OError, Spaces, Transition

ADAM_EPS = 1e-8
"""Kingma & Ba's (2015)."""


def adam_rule(eps: Number = ADAM_EPS) -> optax.GradientTransformation:
    """Default moments. `eps_root` is far below rounding; without it a parameter that never had a gradient (a dead
    unit) would make the derivative of a whole run NaN, for those who differentiate through `train`."""
    return optax.scale_by_adam(eps=eps, eps_root=1e-30)


def init_adam(params: Any) -> optax.OptState:
    """Adam's moments; the learning rate and epsilon are given at every step, so that they can be traced leaves."""
    return adam_rule().init(params)


def adam_direction(grads: Any, state: optax.OptState, eps: Number = ADAM_EPS) -> tuple[Any, optax.OptState]:
    """What an Adam step at a learning rate of 1 subtracts, and the moments after it."""
    return adam_rule(eps).update(grads, state)


def adam(
    params: Any, grads: Any, state: optax.OptState, learning_rate: Number, eps: Number = ADAM_EPS
) -> tuple[Any, optax.OptState]:
    """One Adam step (Kingma & Ba 2015, default moments); parameters keep their type, whatever the rate's is."""
    updates, state = adam_direction(grads, state, eps)
    return jax.tree.map(lambda p, u: (p - learning_rate * u).astype(p.dtype), params, updates), state


def fresh_moments(state: Any, *parts: str) -> Any:
    """`state` with new Adam moments (`critic_opt`) of the named parts (`"critic"`)."""
    return replace(state, **{f"{part}_opt": init_adam(getattr(state, part)) for part in parts})


def bound_norm(grads: Any, limit: Number) -> tuple[Any, Array]:
    """Gradients shortened to a joint norm of at most `limit`, and the norm that they had."""
    norm = optax.global_norm(grads)
    share = jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-12))
    return jax.tree.map(lambda g: (g * share).astype(g.dtype), grads), norm


def rate_or(own: Number | None, default: Number) -> Number:
    """A learning rate of its own where one is set, else the agent's."""
    return default if own is None else own


def descend(
    loss: Callable[[Any], tuple[Array, Metrics]],
    params: Any,
    opt: optax.OptState,
    learning_rate: Number,
    eps: Number = ADAM_EPS,
) -> tuple[Any, optax.OptState, Metrics]:
    """Differentiate `loss(params) -> (scalar, metrics)` and take one Adam step."""
    grads, metrics = jax.grad(loss, has_aux=True)(params)
    params, opt = adam(params, grads, opt, learning_rate, eps)
    return params, opt, metrics


def td_target(reward: Array, terminated: Array, next_value: Array, discount: Number) -> Array:
    """`[B]` regression target `r + discount * (1 - terminated) * V(s')`, without gradient; `[N, B]` for `[N, B]` next
    values.

    A truncated step bootstraps like any other: only termination stops the sum of rewards."""
    chex.assert_equal_shape([reward, terminated])
    assert_rows(next_value, reward)
    return jax.lax.stop_gradient(reward + discount * jnp.where(terminated, 0.0, next_value))


def advantages(
    reward: Array,
    terminated: Array,
    last: Array,
    value: Array,
    next_value: Array,
    discount: Number,
    gae_lambda: Number,
) -> Array:
    """Generalised advantages (Schulman et al. 2016); every argument `[T, ...]` along time."""
    chex.assert_equal_shape([reward, terminated, last, value, next_value])
    delta = reward + discount * jnp.where(terminated, 0.0, next_value) - value

    def back(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, last = now
        advantage = delta + discount * gae_lambda * jnp.where(last, 0.0, later)
        return advantage, advantage

    return jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, last), reverse=True)[1]


def polyak_average(target: Any, online: Any, rate: Number) -> Any:
    """`(1 - rate) * target + rate * online`."""
    return jax.tree.map(lambda t, o: (1.0 - rate) * t + rate * o, target, online)


def progress(step: Array, span: Array) -> Array:
    """`step / span`: the share of a phase of `span` minibatches that has passed."""
    return step.astype(float) / jnp.maximum(span, 1)  # not a quotient of int32, which is float32 everywhere


def relaxation(step: Array, span: Array, end: Number) -> Array:
    """`max(end, 1 - step / span)`: the share of a constraint left at minibatch `step` of a phase of `span`."""
    return jnp.maximum(end, 1.0 - progress(step, span))


def scan_updates(
    step: Callable[[Any, Transition, Array], tuple[Any, Metrics]], state: Any, batches: Transition, key: Array
) -> tuple[Any, Metrics]:
    """Run `step` over the `U` minibatches; metrics are averaged. Minibatch `u` gets `split(key, U)[u]`."""
    assert_batch(batches)
    count = batches.reward.shape[0]
    keys = jax.random.split(key, count)
    if count == 1:
        return step(state, jax.tree.map(lambda x: x[0], batches), keys[0])
    state, metrics = jax.lax.scan(lambda s, xs: step(s, *xs), state, (batches, keys))
    return state, jax.tree.map(jnp.mean, metrics)


def require_box(agent: Any, spaces: Spaces) -> None:
    """Refuse discrete actions for agents that are defined on boxes only."""
    if spaces.action.discrete:
        raise O2OError(
            f"{type(agent).__name__} needs a box action space, the task has {spaces.action}; "
            "use iql or bc for discrete actions"
        )
    check_action(spaces.action)


def require_fraction(agent: Any, phase: Phase, fraction: float) -> None:
    """Refuse phases whose minibatches are not exactly `fraction` offline rows, which come first."""
    if (phase.mix, phase.offline_fraction) != ("fraction", fraction):
        raise O2OError(
            f"{phase.name}.mix is {phase.mix!r} and {phase.name}.offline_fraction {phase.offline_fraction}, yet "
            f"{type(agent).__name__} takes the first {fraction:g} of every minibatch for offline rows; set "
            f"{phase.name}.mix='fraction' and {phase.name}.offline_fraction={fraction:g}"
        )
