"""The agent protocol, and the few steps that all agents share.

An agent is a frozen pytree of settings with pure functions; its state is a pytree of arrays and nothing else.
It knows batches, never environments, buffers or phases, and can be used alone on arrays.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
import optax

from purejaxo2o.networks import check_action
from purejaxo2o.phases import Phase
from purejaxo2o.shapes import assert_batch, assert_rows
from purejaxo2o.types import Array, Metrics, Number, O2OError, Spaces, Transition

AgentState = Any
"""Whatever pytree of arrays `init` returns."""


@runtime_checkable
class Agent(Protocol):
    """An update rule.

    It may have besides: `chunk`, a memory for acting, `begin` with `follow`, and `pace` with `adapt`, asked
    for below; `priorities(state, batches) -> [U, B]` of the rows that a phase with `mix="prioritised"` drew; and
    `check()`, which raises `O2OError` for settings that do not go together (each alone is checked as its field is
    declared, see `types.number` and `types.static`; numbers may be traced), and `check_phase(phase, num_envs)`, which
    raises it for a phase that the agent cannot learn in.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Extras that every batch must carry, e.g. {"return_to_go"}."""
        ...

    @property
    def discount(self) -> Number: ...

    def init(self, key: Array, spaces: Spaces) -> AgentState:
        """Fresh parameters, targets and optimiser states. Raises `O2OError` for spaces it cannot handle."""
        ...

    def act(self, state: AgentState, obs: Array, key: Array, *, explore: bool) -> Array:
        """Actions for a batch of observations `[..., O]`; `explore=False` is the greedy policy."""
        ...

    def update(self, state: AgentState, batches: Transition, key: Array) -> tuple[AgentState, Metrics]:
        """Learn from `U` minibatches, leaves `[U, B, ...]`, rewards already transformed.

        Metrics are scalars, the same names at every call."""
        ...

    def enter(self, state: AgentState, key: Array, phase: Phase) -> AgentState:
        """Called once on entering each phase: the one place for resetting, freezing, widening."""
        ...


def chunk_of(agent: Any) -> int | None:
    """How many consecutive steps the agent wants for each row, as leaves `[U, B, chunk, ...]` with `extras["valid"]`
    (`store.sample_chunks`); None: rows are single steps."""
    return getattr(agent, "chunk", None)


def pace_of(agent: Any) -> int | None:
    """After how many steps of a rollout in each environment the agent wants to see its newest rows again, as
    `agent.adapt(state, rows [T, E, ...], key) -> state` before it goes on; None: not until the rollout is whole. Rows
    that are there twice have `extras["valid"]` False, before the first step all of them."""
    return getattr(agent, "pace", None)


def begin(agent: Any, state: AgentState, count: int) -> Any:
    """What the agent keeps in mind at the start of an episode, in `count` environments: `agent.begin(state, count)`,
    a pytree with leaves `[count, ...]`. None for agents that decide by the observation alone."""
    return agent.begin(state, count) if hasattr(agent, "begin") else None


def follow(agent: Any, state: AgentState, obs: Array, key: Array, memory: Any, *, explore: bool) -> tuple[Array, Any]:
    """Actions for `obs [E, O]`, and what to keep in mind for the next: `agent.follow(...)`, or plain `agent.act`."""
    if memory is None:
        return agent.act(state, obs, key, explore=explore), None
    return agent.follow(state, obs, key, memory, explore=explore)


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


def check_phase(agent: Any, phase: Phase, num_envs: int) -> None:
    """Raise `O2OError` for a phase that the agent, as it is there, cannot learn in."""
    if phase.updates and hasattr(agent, "check_phase"):
        agent.check_phase(phase, num_envs)


def require_fraction(agent: Any, phase: Phase, fraction: float) -> None:
    """Refuse phases whose minibatches are not exactly `fraction` offline rows, which come first."""
    if (phase.mix, phase.offline_fraction) != ("fraction", fraction):
        raise O2OError(
            f"{phase.name}.mix is {phase.mix!r} and {phase.name}.offline_fraction {phase.offline_fraction}, yet "
            f"{type(agent).__name__} takes the first {fraction:g} of every minibatch for offline rows; set "
            f"{phase.name}.mix='fraction' and {phase.name}.offline_fraction={fraction:g}"
        )
