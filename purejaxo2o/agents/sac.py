"""Soft actor-critic with a critic ensemble (Haarnoja et al. 2018; REDQ, Chen et al. 2021).

    y    = r + gamma (1 - terminated) (min_{i in M} Qt_i(s',a') - [backup_entropy] alpha log pi(a'|s'))
    L_Q  = mean_{N,B} (Q_i(s,a) - y)^2
    L_pi = mean_B (alpha log pi(a|s) - reduce_{i<=N} Q_i(s,a)),   a ~ pi(.|s) reparameterised
    L_al = alpha (H - H_target)   (or linear in log alpha),       H = -mean log pi,  H_target = -c A

`U` minibatches per update give `U` critic and target steps, then one actor and one temperature step
(high update-to-data ratio). With 2 critics, both in the target, it is plain SAC; RLPD and WSRL are other
settings of the same losses (see their recipes). The losses' order and what each sees are the settings below.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import (
    adam,
    descend,
    init_adam,
    polyak_average,
    rate_or,
    require_box,
    scan_updates,
    td_target,
)
from purejaxo2o.distributions import TanhNormal
from purejaxo2o.loop.agent import Agent
from purejaxo2o.networks import Actor, Hidden, Std, action_space_of, apply, ensemble, pick, q_values
from purejaxo2o.shapes import assert_rows, residual
from purejaxo2o.types import Array, Metrics, Number, Space, Spaces, Transition, number, pytree, static


@pytree
class SACState:
    actor: Any
    critic: Any
    target: Any
    log_temperature: Array
    actor_opt: Any
    critic_opt: Any
    temperature_opt: Any


@pytree
class SAC(Agent):
    """Settings; the defaults are plain SAC.

    learning_rate: critics, and whatever has no rate of its own. discount in [0, 1), polyak in (0, 1].
    target_entropy_scale: c above (1: -A; RLPD uses 1/2).
    critics N, target_critics M: ensemble size and the random subset in the target, drawn with or without
        replacement. target_samples K > 1: the target takes the best of K next actions (CQL's max-target
        backup). backup_entropy: whether the target carries the entropy bonus.
    actor_reduction: the actor maximises the minimum (WSRL, SAC) or the mean (RLPD) over all N critics.
    temperature_form: alpha = exp(l) with loss alpha (H - H_t) (RLPD) or l (H - H_t) ("linear", CQL's code);
        "softplus" (WSRL).
    temperature_on: entropy measured at the actor step's own actions, or at `next_obs` (WSRL).
    actor_batch: the actor sees the last of the U minibatches (RLPD) or all rows (WSRL).
    resting: what networks do in a step that trains others, where U > 1: policy and temperature in a critic step, the
        critics (not their targets) in the policy's. "still": nothing. "coast": they take an Adam step on zero
        gradients, which moves them by what momentum is left (WSRL's code).
    shared_head: the critics have hidden layers of their own and one output layer (WSRL's code).
    layer_norm, actor_layer_norm: in critics and policy. std: log-std from the state, plain or with a trained scale
        and offset, or one free vector (`networks.Actor`).

    Metrics: critic_loss (the temporal-difference part alone), q, actor_loss, entropy (of the policy before its
    step, at `obs`), temperature.
    """

    learning_rate: Number = number(default=3e-4, low=0.0)
    actor_learning_rate: Number | None = number(default=None, low=0.0)
    temperature_learning_rate: Number | None = number(default=None, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    polyak: Number = number(default=0.005, low=0.0, high=1.0)
    target_entropy_scale: Number = 1.0
    initial_temperature: float = static(default=1.0, above=0.0)
    critics: int = static(default=2)
    target_critics: int = static(default=2)
    subset_with_replacement: bool = static(default=False)
    target_samples: int = static(default=1)
    backup_entropy: bool = static(default=True)
    actor_reduction: Literal["min", "mean"] = static(default="min")
    temperature_form: Literal["exp", "linear", "softplus"] = static(default="exp")
    temperature_on: Literal["obs", "next_obs"] = static(default="obs")
    actor_batch: Literal["last", "all"] = static(default="last")
    resting: Literal["still", "coast"] = static(default="still")
    shared_head: bool = static(default=False)
    layer_norm: bool = static(default=False)
    actor_layer_norm: bool = static(default=False)
    std: Std = static(default="state")
    hidden: Hidden = static(default=(256, 256))
    actor_hidden: Hidden = static(default=(256, 256))

    # -- networks ----------------------------------------------------------------------------------------

    def actor_network(self, space: Space) -> Actor:
        return Actor(space, self.actor_hidden, std=self.std, layer_norm=self.actor_layer_norm)

    def policy(self, actor: Any, obs: Array) -> TanhNormal:
        return apply(self.actor_network(action_space_of(actor)), actor, obs)

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[n, ...]` values of the `n` members whose parameters are given."""
        return q_values(critic, obs, action, self.hidden, self.layer_norm)

    def temperature(self, state: SACState) -> Array:
        if self.temperature_form == "softplus":
            return jax.nn.softplus(state.log_temperature)
        return jnp.exp(state.log_temperature)

    def init(self, key: Array, spaces: Spaces) -> SACState:
        require_box(self, spaces)
        key_actor, key_critic = jax.random.split(key)
        obs, action = spaces.obs.zeros(), spaces.action.zeros()
        actor = self.actor_network(spaces.action).init(key_actor, obs)["params"]
        network = ensemble(spaces.action, self.hidden, self.critics, self.layer_norm, shared_head=self.shared_head)
        critic = network.init(key_critic, obs, action)["params"]
        alpha = jnp.float32(self.initial_temperature)
        log_temperature = jnp.log(jnp.expm1(alpha)) if self.temperature_form == "softplus" else jnp.log(alpha)
        return SACState(
            actor=actor,
            critic=critic,
            target=critic,
            log_temperature=log_temperature,
            actor_opt=init_adam(actor),
            critic_opt=init_adam(critic),
            temperature_opt=init_adam(log_temperature),
        )

    def act(self, state: SACState, obs: Array, key: Array, *, explore: bool) -> Array:
        policy = self.policy(state.actor, obs)
        return policy.sample(key) if explore else policy.mode()

    # -- losses ------------------------------------------------------------------------------------------

    def update(self, state: SACState, batches: Transition, key: Array) -> tuple[SACState, Metrics]:
        """`U` critic steps, one actor step, one temperature step; `batches` leaves are `[U, B, ...]`."""
        key_critic, key_actor, key_temperature = jax.random.split(key, 3)
        coasting = self.resting == "coast" and batches.reward.shape[0] > 1

        def step(state: SACState, batch: Transition, key: Array) -> tuple[SACState, Metrics]:
            state, metrics = self.critic_step(state, batch, key)
            return self.coast(state, "actor", "temperature") if coasting else state, metrics

        state, metrics = scan_updates(step, state, batches, key_critic)
        if self.actor_batch == "all":
            batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batches)
        else:
            batch = jax.tree.map(lambda x: x[-1], batches)
        state, actor_metrics = self.actor_step(state, batch, key_actor, key_temperature)
        return self.coast(state, "critic") if coasting else state, metrics | actor_metrics

    def coast(self, state: SACState, *names: Literal["actor", "critic", "temperature"]) -> SACState:
        """An Adam step on zero gradients."""
        for name in names:
            params, opt = ("log_temperature" if name == "temperature" else name), f"{name}_opt"
            rate = rate_or(getattr(self, f"{name}_learning_rate", None), self.learning_rate)
            zeros = jax.tree.map(jnp.zeros_like, getattr(state, params))
            moved, moments = adam(getattr(state, params), zeros, getattr(state, opt), rate)
            state = replace(state, **{params: moved, opt: moments})
        return state

    def next_value(self, state: SACState, batch: Transition, key: Array, key_subset: Array) -> Array:
        """`[B]` soft value of `next_obs`: best of K actions under the minimum of a random subset."""
        policy = self.policy(state.actor, batch.next_obs)
        action, log_prob = policy.sample_and_log_prob(key, (self.target_samples,))  # [K, B, A], [K, B]
        target = state.target
        if self.subset_with_replacement:
            subset = jax.random.randint(key_subset, (self.target_critics,), 0, self.critics)
            target = pick(target, subset)
        elif self.target_critics < self.critics:
            subset = jax.random.permutation(key_subset, self.critics)[: self.target_critics]
            target = pick(target, subset)
        assert_rows(action[..., 0], batch.reward)
        obs = jnp.broadcast_to(batch.next_obs, (*action.shape[:-1], batch.next_obs.shape[-1]))
        q = self.q(target, obs, action).min(axis=0)  # [K, B]
        best = jnp.argmax(q, axis=0)[None]
        value = jnp.take_along_axis(q, best, axis=0)[0]
        if self.backup_entropy:
            value = residual(value, self.temperature(state) * jnp.take_along_axis(log_prob, best, axis=0)[0])
        return value

    def penalty(
        self, critic: Any, state: SACState, batch: Transition, q: Array, key: Array
    ) -> tuple[Number, Metrics]:
        """What a conservative method adds to the critic loss (`q [N, B]` at recorded actions); zero here."""
        return 0.0, {}

    def policy_value(self, q: Array) -> Array:
        """What the policy maximises, `[B]`, of the critics' values `[N, B]`."""
        return q.min(axis=0) if self.actor_reduction == "min" else q.mean(axis=0)

    def policy_penalty(
        self, actor: Any, state: SACState, batch: Transition, action: Array, key: Array
    ) -> tuple[Number, Metrics]:
        """What a constrained method adds to the policy's loss (`action [B, A]` its own); zero here."""
        return 0.0, {}

    def critic_step(self, state: SACState, batch: Transition, key: Array) -> tuple[SACState, Metrics]:
        """One step of all critics on one minibatch `[B, ...]`, then of their targets."""
        key_target, key_subset, key_penalty = jax.random.split(key, 3)
        value = self.next_value(state, batch, key_target, key_subset)
        y = td_target(batch.reward, batch.terminated, value, self.discount)

        def loss(critic: Any) -> tuple[Array, Metrics]:
            q = self.q(critic, batch.obs, batch.action)  # [N, B]
            td = jnp.square(residual(q, y)).mean()
            penalty, metrics = self.penalty(critic, state, batch, q, key_penalty)
            return td + penalty, {"critic_loss": td, "q": q.mean(), **metrics}

        critic, opt, metrics = descend(loss, state.critic, state.critic_opt, self.learning_rate)
        target = polyak_average(state.target, critic, self.polyak)
        return replace(state, critic=critic, target=target, critic_opt=opt), metrics

    def actor_step(
        self, state: SACState, batch: Transition, key_actor: Array, key_temperature: Array
    ) -> tuple[SACState, Metrics]:
        """One policy step, then one temperature step with the entropy of the policy before it."""
        alpha = self.temperature(state)

        def loss(actor: Any) -> tuple[Array, Metrics]:
            action, log_prob = self.policy(actor, batch.obs).sample_and_log_prob(key_actor)
            q = self.policy_value(self.q(state.critic, batch.obs, action))
            penalty, metrics = self.policy_penalty(actor, state, batch, action, key_actor)
            value = residual(alpha * log_prob, q).mean() + penalty
            return value, {"actor_loss": value, "entropy": -log_prob.mean(), **metrics}

        rate = rate_or(self.actor_learning_rate, self.learning_rate)
        actor, actor_opt, metrics = descend(loss, state.actor, state.actor_opt, rate)
        entropy = metrics["entropy"]
        if self.temperature_on == "next_obs":
            policy = self.policy(state.actor, batch.next_obs)
            entropy = -policy.sample_and_log_prob(key_temperature)[1].mean()
        surplus = entropy + self.target_entropy_scale * batch.action.shape[-1]

        def temperature_loss(log_temperature: Array) -> tuple[Array, Metrics]:
            linear = self.temperature_form == "linear"
            weight = log_temperature if linear else self.temperature(replace(state, log_temperature=log_temperature))
            return weight * surplus, {}

        rate = rate_or(self.temperature_learning_rate, self.learning_rate)
        log_temperature, temperature_opt, _ = descend(
            temperature_loss, state.log_temperature, state.temperature_opt, rate
        )
        state = replace(
            state,
            actor=actor,
            actor_opt=actor_opt,
            log_temperature=log_temperature,
            temperature_opt=temperature_opt,
        )
        return state, metrics | {"temperature": alpha}
