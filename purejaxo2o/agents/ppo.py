"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

On-policy: one update learns from a fresh rollout `[T, E]` of the policy, in `epochs` passes over it, each cut into
`minibatches`.

    delta_t = r_t + gamma (1 - terminated_t) V(s_{t+1}) - V(s_t)
    A_t     = delta_t + gamma lambda (1 - ended_t) A_{t+1},    R_t = A_t + V(s_t)                     (GAE)
    L       = -mean min(rho A, clip(rho, 1 - eps, 1 + eps) A) + c_v L_V - c_e H,   rho = pi(a|s) / pi_old(a|s)
    L_V     = 1/2 mean (V - R)^2, or with `clip_values` the larger of that and the same for V kept within eps of V_old

A truncated step bootstraps from the observation that it led to, before any reset; only a termination does not.
Advantages are standardised within each minibatch, or over the whole rollout (`standardise`); their variance divides
by B, torch code's by B - 1. Policy and value have networks of their own and one Adam (with two rates if
`value_learning_rate` is set), whose gradient's joint norm is cut at `max_grad_norm`, or each network's own norm
(`bounds`); its rates may fall linearly to 0 over the phase, but not below a share of `learning_rate_end`. Boxes have
a Gaussian with one free log-std vector, clipped to the box; a ratio is that of the probabilities after clipping, the
entropy, estimated by fresh samples, that of the Gaussian before. Discrete actions have a categorical.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import ADAM_EPS, adam_direction, advantages, bound_norm, init_adam, rate_or, relaxation
from purejaxo2o.distributions import Categorical
from purejaxo2o.loop.agent import Agent
from purejaxo2o.loop.phases import Boundary, Phase
from purejaxo2o.networks import Activation, Actor, Distribution, Hidden, Value, action_space_of, apply
from purejaxo2o.shapes import assert_batch, residual
from purejaxo2o.types import Array, Metrics, Number, O2OError, Space, Spaces, Transition, number, pytree, static


def standardised(advantage: Array) -> Array:
    """Mean 0 and variance 1 over all entries."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def surrogate(ratio: Array, advantage: Array, clip: Number) -> Array:
    """Elementwise `min rho A, clip(rho, 1 - eps, 1 + eps) A`: nothing is gained farther than eps from 1."""
    chex.assert_equal_shape([ratio, advantage])
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)


def check_division(phase: Phase, num_envs: int, name: str, minibatches: int) -> None:
    """Raise `O2OError` unless the rows that a phase feeds divide into so many minibatches, the setting `name`."""
    rows = (phase.history + phase.rollout) * num_envs
    if phase.feed != "sampled" and rows % minibatches:
        raise O2OError(
            f"{phase.name}.rollout={phase.rollout}: a rollout of {rows} rows does not divide into {minibatches} "
            f"minibatches (agent.{name}); change one"
        )


def passes(
    step: Callable[[Any, Any, Array], tuple[Any, Metrics]],
    state: Any,
    fed: Any,
    key: Array,
    epochs: int,
    minibatches: int,
) -> tuple[Any, Metrics]:
    """`step(state, minibatch, key)` for every minibatch of `fed` (leaves `[N, ...]`), which is shuffled anew in each
    of the `epochs`; metrics are averaged."""
    rows = jax.tree.leaves(fed)[0].shape[0]
    if rows % minibatches:
        raise O2OError(f"a rollout of {rows} rows does not divide into {minibatches} minibatches; change one")

    def epoch(state: Any, key: Array) -> tuple[Any, Metrics]:
        key_order, key_steps = jax.random.split(key)
        order = jax.random.permutation(key_order, rows).reshape(minibatches, -1)
        shuffled = jax.tree.map(lambda x: x[order], fed)
        keys = jax.random.split(key_steps, minibatches)
        return jax.lax.scan(lambda state, xs: step(state, *xs), state, (shuffled, keys))

    state, metrics = jax.lax.scan(epoch, state, jax.random.split(key, epochs))
    return state, jax.tree.map(jnp.mean, metrics)


@pytree
class PPOState:
    params: Any  # {"actor": ..., "value": ...}
    opt: Any
    steps: Array  # int32: rollouts of all environments in the phase so far
    span: Array  # int32: those of the whole phase

    @property
    def actor(self) -> Any:
        return self.params["actor"]


@pytree
class PPO(Agent):
    """clip: eps. value_weight c_v, entropy_weight c_e >= 0. learning_rate_end: 1 for constant rates, 0 for rates that
    fall to nothing. adam_eps: what Adam adds to the root of the second moment; where gradients are not far larger, it
    shortens the steps. rollout rows must divide into `minibatches`."""

    learning_rate: Number = number(default=2.5e-4, low=0.0)
    value_learning_rate: Number | None = number(default=None, low=0.0)
    learning_rate_end: Number = number(default=1.0, low=0.0, high=1.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    gae_lambda: Number = number(default=0.95, low=0.0, high=1.0)
    clip: Number = number(default=0.2, low=0.0)
    value_weight: Number = number(default=0.5, low=0.0)
    entropy_weight: Number = number(default=0.01, low=0.0)
    max_grad_norm: Number = number(default=0.5, above=0.0)
    adam_eps: Number = number(default=ADAM_EPS, low=0.0)
    clip_values: bool = static(default=False)
    standardise: Literal["minibatch", "rollout"] = static(default="minibatch")
    bounds: Literal["joint", "apart"] = static(default="joint")
    epochs: int = static(default=4)
    minibatches: int = static(default=4)
    hidden: Hidden = static(default=(64, 64))
    actor_hidden: Hidden = static(default=(64, 64))
    activation: Activation = static(default="tanh")

    def actor_network(self, space: Space) -> Actor:
        return Actor(
            space,
            self.actor_hidden,
            kind="censored",
            std="global",
            log_std_range=(-5.0, 2.0),
            activation=self.activation,
        )

    @property
    def value_network(self) -> Value:
        return Value(self.hidden, activation=self.activation)

    def policy(self, actor: Any, obs: Array) -> Distribution:
        return apply(self.actor_network(action_space_of(actor)), actor, obs)

    def value(self, value: Any, obs: Array) -> Array:
        """`V(s)`, `[..., O] -> [...]`."""
        return apply(self.value_network, value, obs)

    def init(self, key: Array, spaces: Spaces) -> PPOState:
        key_actor, key_value = jax.random.split(key)
        obs = spaces.obs.zeros()
        actor = self.actor_network(spaces.action).init(key_actor, obs)["params"]
        params = {"actor": actor, "value": self.value_network.init(key_value, obs)["params"]}
        return PPOState(params=params, opt=init_adam(params), steps=jnp.int32(0), span=jnp.int32(1))

    def act(self, state: PPOState, obs: Array, key: Array, *, explore: bool) -> Array:
        policy = self.policy(state.actor, obs)
        return policy.sample(key) if explore else policy.mode()

    def update(self, state: PPOState, rollout: Transition, key: Array) -> tuple[PPOState, Metrics]:
        """Learn from a rollout `[T, E, ...]` that the policy of `state` has just made."""
        assert_batch(rollout)
        value, following = (self.value(state.params["value"], x) for x in (rollout.obs, rollout.next_obs))
        advantage = advantages(
            rollout.reward, rollout.terminated, rollout.last, value, following, self.discount, self.gae_lambda
        )
        known = {
            "advantage": standardised(advantage) if self.standardise == "rollout" else advantage,
            "target": advantage + value,
            "value": value,
            "log_prob": self.policy(state.actor, rollout.obs).log_prob(rollout.action),
        }
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (rollout._replace(extras={}), known))

        def step(state: PPOState, fed: tuple[Transition, dict[str, Array]], key: Array) -> tuple[PPOState, Metrics]:
            return self.step(state, *fed, key)

        state, metrics = passes(step, state, flat, key, self.epochs, self.minibatches)
        return replace(state, steps=state.steps + 1), metrics

    def step(
        self, state: PPOState, batch: Transition, known: dict[str, Array], key: Array
    ) -> tuple[PPOState, Metrics]:
        """One minibatch `[B, ...]`; known: advantage, target, the old value and the old policy's log-probability."""
        grads, metrics = jax.grad(self.loss, has_aux=True)(state.params, batch, known, key)
        grads, norm = self.bounded(grads)
        updates, opt = adam_direction(grads, state.opt, self.adam_eps)
        rates = {"actor": self.learning_rate, "value": rate_or(self.value_learning_rate, self.learning_rate)}
        left = relaxation(state.steps, state.span, self.learning_rate_end)
        params = {
            name: jax.tree.map(
                lambda p, u, rate=rate: (p - left * rate * u).astype(p.dtype), state.params[name], updates[name]
            )
            for name, rate in rates.items()
        }
        return replace(state, params=params, opt=opt), metrics | {"grad_norm": norm}

    def bounded(self, grads: Any) -> tuple[Any, Array]:
        """Gradients `{"actor": ..., "value": ...}` cut at `max_grad_norm`, and the joint norm that they had."""
        joint, norm = bound_norm(grads, self.max_grad_norm)
        if self.bounds == "joint":
            return joint, norm
        return {name: bound_norm(part, self.max_grad_norm)[0] for name, part in grads.items()}, norm

    def loss(self, params: Any, batch: Transition, known: dict[str, Array], key: Array) -> tuple[Array, Metrics]:
        """The paper's equation 9, to be minimised."""
        policy, value = self.policy(params["actor"], batch.obs), self.value(params["value"], batch.obs)
        ratio = jnp.exp(residual(policy.log_prob(batch.action), known["log_prob"]))
        advantage = known["advantage"]
        advantage = standardised(advantage) if self.standardise == "minibatch" else advantage
        gain = surrogate(ratio, advantage, self.clip)
        error = jnp.square(residual(value, known["target"]))
        if self.clip_values:
            near = known["value"] + jnp.clip(residual(value, known["value"]), -self.clip, self.clip)
            error = jnp.maximum(error, jnp.square(near - known["target"]))
        actor_loss, value_loss = -gain.mean(), 0.5 * error.mean()
        entropy = self.entropy(policy, key)
        total = actor_loss + self.value_weight * value_loss - self.entropy_weight * entropy
        clipped = (jnp.abs(ratio - 1.0) > self.clip).astype(jnp.float32).mean()
        return total, {
            "actor_loss": actor_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "clipped": clipped,
            "value": value.mean(),
        }

    def entropy(self, policy: Distribution, key: Array) -> Array:
        """Mean over the batch: exact for a categorical, else one sample a row, through which gradients flow."""
        if isinstance(policy, Categorical):
            log_p = jax.nn.log_softmax(policy.logits)
            return -(jnp.exp(log_p) * log_p).sum(-1).mean()
        return -policy.sample_and_log_prob(key)[1].mean()  # type: ignore[union-attr]

    def check_phase(self, phase: Phase, num_envs: int) -> None:
        check_division(phase, num_envs, "minibatches", self.minibatches)

    def enter(self, state: PPOState, key: Array, at: Boundary) -> PPOState:
        return replace(state, steps=jnp.int32(0), span=jnp.int32(at.updates))
