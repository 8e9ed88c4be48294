"""PROTO: fine-tuning within a trust region that follows the policy (Li et al. 2023, arXiv 2305.15669).

Offline extreme Q-learning (XQL, Garg et al. 2023): IQL with a Gumbel regression, whose V is beta log E exp(Q / beta)
over the data's actions, and the same beta in the policy's weights. With 1 / beta = `temperature`:

    z   = min(temperature (min_i Qt_i(s,a) - V(s)), max_exponent),   m = sg[max(max_B z, -1)]
    L_V = mean e^-m (e^z - z - 1)

Online (`stage="online"`) SAC whose policy pays for leaving pi_k, a slow copy of itself:

    c(s,a) = T log pi(a|s) + w (log pi(a|s) - log pi_k(a|s)),   a ~ pi(.|s)
    y      = r + gamma (1 - terminated) (min_{i in M} Qt_i(s',a') - [backup_entropy] c(s',a'))
    L_Q    = sum_i mean (Q_i(s,a) - y)^2
    L_pi   = mean (c(s,a) - mean_i Q_i(s,a))
    L_T    = T (H - H_target),   H = -mean log pi,   H_target = -C A
    pi_k <- (1 - anchor_polyak) pi_k + anchor_polyak pi,   w = trust_weight max(0, 1 - trust_decay k / N)

at minibatch k of N. pi_k stands still at rate 0, a fixed constraint to the offline policy; at rate 1 it is the last
policy, which only bounds the step. The policy is IQL's Gaussian: its density and the values are those of actions that
are not clipped yet. One step: critics, their targets, policy, T, pi_k (authors' code).

On entering a phase of fine-tuning pi_k is the policy, the policy's Adam moments start anew and so does the clock;
critics, targets and their moments are carried. V rests from then on.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import (
    descend,
    init_adam,
    polyak_average,
    rate_or,
    relaxation,
    require_box,
    scan_updates,
    td_target,
)
from purejaxo2o.agents.iql import CRITICS, IQL, IQLState
from purejaxo2o.distributions import ClippedNormal
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static


def gumbel_loss(z: Array) -> Array:
    """`[B]`: `e^z - z - 1` over the largest `e^z` of the batch, a constant, so that outliers do not explode."""
    largest = jax.lax.stop_gradient(jnp.maximum(z.max(), -1.0))
    return jnp.exp(z - largest) - (z + 1.0) * jnp.exp(-largest)


@pytree
class PROTOState(IQLState):
    anchor: Any  # pi_k
    log_temperature: Array  # of T
    temperature_opt: Any
    steps: Array  # int32: minibatches since the phase was entered
    span: Array  # int32: minibatches of the phase (with one environment)


@pytree
class PROTO(IQL):
    """value_form: "gumbel", or IQL's "expectile" (authors' `vanilla`). temperature: 1 / beta.

    trust_weight w at the start, trust_decay: the share of it that goes over a phase. target_critics M: both, or one
    drawn at every minibatch. target_entropy_scale C, initial_temperature: of T, which is learned."""

    temperature: Number = number(default=2.0, low=0.0)
    max_exponent: Number = number(default=7.0, low=0.0)
    trust_weight: Number = number(default=0.5, low=0.0)
    trust_decay: Number = number(default=0.9, low=0.0, high=1.0)
    anchor_polyak: Number = number(default=5e-5, low=0.0, high=1.0)
    target_entropy_scale: Number = 0.5
    initial_temperature: float = static(default=0.01, above=0.0)
    value_form: Literal["gumbel", "expectile"] = static(default="gumbel")
    target_critics: int = static(default=CRITICS, low=1, high=CRITICS)
    backup_entropy: bool = static(default=True)
    layer_norm: bool = static(default=True)
    stage: Literal["offline", "online"] = static(default="offline")

    def init(self, key: Array, spaces: Spaces) -> PROTOState:
        require_box(self, spaces)
        state = super().init(key, spaces)
        log_temperature = jnp.log(jnp.float32(self.initial_temperature))
        return PROTOState(
            **vars(state),
            anchor=state.actor,
            log_temperature=log_temperature,
            temperature_opt=init_adam(log_temperature),
            steps=jnp.int32(0),
            span=jnp.int32(1),
        )

    def value_loss(self, error: Array) -> Array:
        if self.value_form == "expectile":
            return super().value_loss(error)
        return gumbel_loss(jnp.minimum(self.temperature * error, self.max_exponent)).mean()

    def update(self, state: IQLState, batches: Transition, key: Array) -> tuple[IQLState, Metrics]:
        return scan_updates(self.finetune if self.stage == "online" else self.step, state, batches, key)

    def gaussian(self, actor: Any, obs: Array) -> ClippedNormal:
        policy = self.policy(actor, obs)
        assert isinstance(policy, ClippedNormal)
        return policy

    def trust(self, state: PROTOState) -> Array:
        """w now."""
        return self.trust_weight * relaxation(self.trust_decay * state.steps, state.span, 0.0)

    def cost(self, state: PROTOState, obs: Array, action: Array, log_prob: Array) -> Array:
        """`c(s, a)` `[B]` of the policy's own actions."""
        anchor = self.gaussian(state.anchor, obs).log_prob(action)
        return jnp.exp(state.log_temperature) * log_prob + self.trust(state) * residual(log_prob, anchor)

    def next_value(self, state: PROTOState, batch: Transition, key: Array) -> Array:
        """`[B]` value of `next_obs`."""
        key_action, key_member = jax.random.split(key)
        action, log_prob = self.gaussian(state.actor, batch.next_obs).sample_and_log_prob(key_action)
        target = state.target
        if self.target_critics < CRITICS:
            member = jax.random.randint(key_member, (1,), 0, CRITICS)
            target = jax.tree.map(lambda x: x[member], target)
        value = self.q(target, batch.next_obs, action).min(axis=0)
        return residual(value, self.cost(state, batch.next_obs, action, log_prob)) if self.backup_entropy else value

    def finetune(self, state: PROTOState, batch: Transition, key: Array) -> tuple[PROTOState, Metrics]:
        """One minibatch online: critics, their targets, policy, T, pi_k."""
        key_next, key_actor = jax.random.split(key)
        y = td_target(batch.reward, batch.terminated, self.next_value(state, batch, key_next), self.discount)
        critic, critic_opt, metrics = self.critic_step(state, batch, y)
        state = replace(
            state, critic=critic, critic_opt=critic_opt, target=polyak_average(state.target, critic, self.polyak)
        )
        state, actor_metrics = self.actor_step(state, batch, key_actor)
        return replace(state, steps=state.steps + 1), metrics | actor_metrics

    def actor_step(self, state: PROTOState, batch: Transition, key: Array) -> tuple[PROTOState, Metrics]:
        """One step of the policy, then one of T with the entropy of the policy before it, then one of pi_k."""

        def actor_loss(params: Any) -> tuple[Array, Metrics]:
            action, log_prob = self.gaussian(params, batch.obs).sample_and_log_prob(key)
            q = self.q(state.critic, batch.obs, action).mean(axis=0)
            loss = residual(self.cost(state, batch.obs, action, log_prob), q).mean()
            return loss, {"actor_loss": loss, "entropy": -log_prob.mean()}

        rate = rate_or(self.actor_learning_rate, self.learning_rate)
        actor, actor_opt, metrics = descend(actor_loss, state.actor, state.actor_opt, rate)
        surplus = metrics["entropy"] + self.target_entropy_scale * batch.action.shape[-1]
        log_temperature, temperature_opt, _ = descend(
            lambda raw: (jnp.exp(raw) * surplus, {}), state.log_temperature, state.temperature_opt, rate
        )
        metrics |= {"temperature": jnp.exp(state.log_temperature), "trust": self.trust(state)}
        state = replace(
            state,
            actor=actor,
            actor_opt=actor_opt,
            anchor=polyak_average(state.anchor, actor, self.anchor_polyak),
            log_temperature=log_temperature,
            temperature_opt=temperature_opt,
        )
        return state, metrics

    def enter(self, state: IQLState, key: Array, at: Boundary) -> IQLState:
        assert isinstance(state, PROTOState)
        if self.stage == "offline":
            return state
        return replace(
            state,
            anchor=state.actor,
            actor_opt=init_adam(state.actor),
            steps=jnp.int32(0),
            span=jnp.int32(at.minibatches),
        )
