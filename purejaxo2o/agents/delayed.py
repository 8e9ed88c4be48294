"""What TD3 (Fujimoto, van Hoof & Meger 2018, arXiv 1802.09477) and its offline descendants have in common.

    a'   = clip(pi_t(s') + clip(eps, -c, c), -1, 1),   eps ~ N(0, sigma^2)
    y    = r + gamma (1 - terminated) min_i Qt_i(s',a')
    L_Q  = sum_i mean_B (Q_i(s,a) - y)^2

The policy and all targets move at every `delay`-th critic step only. What the policy learns from is each paper's own
(`actor_loss`); some change the next value, too.
"""

import abc
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, polyak_average, rate_or, require_box, scan_updates, td_target
from purejaxo2o.loop.agent import Agent
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.networks import DeterministicActor, Hidden, NormPlace, action_space_of, apply, ensemble, q_values
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static, vary_like


@pytree
class DelayedState:
    actor: Any
    actor_target: Any
    critic: Any
    target: Any
    actor_opt: Any
    critic_opt: Any
    steps: Array  # int32: minibatches since the phase was entered
    span: Array  # int32: minibatches of the phase, for what is relaxed over it


@pytree
class Delayed(Agent):
    """smoothing_noise, noise_clip: sigma and c above. exploration_noise: standard deviation when acting.

    lagging_target: the actor's target follows the actor before its step (ReBRAC's code), not after it.
    prompt_targets: the critics' targets move at every critic step (BOORL's code), not only with the actor.

    Metrics of the actor are zero at the critic steps between two of its own and `delay` times as large at those, so
    that averages are right.
    """

    learning_rate: Number = number(default=3e-4, low=0.0)
    actor_learning_rate: Number | None = number(default=None, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    polyak: Number = number(default=0.005, low=0.0, high=1.0)
    smoothing_noise: Number = number(default=0.2, low=0.0)
    noise_clip: Number = number(default=0.5, low=0.0)
    exploration_noise: Number = number(default=0.1, low=0.0)
    delay: int = static(default=2)
    critics: int = static(default=2)
    lagging_target: bool = static(default=False)
    prompt_targets: bool = static(default=False)
    layer_norm: bool = static(default=False)
    norm_place: NormPlace = static(default="before")
    hidden: Hidden = static(default=(256, 256))
    actor_hidden: Hidden = static(default=(256, 256))

    def action(self, actor: Any, obs: Array) -> Array:
        """`pi(s)`, `[..., O] -> [..., A]`."""
        return apply(DeterministicActor(action_space_of(actor).size, self.actor_hidden), actor, obs)

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[n, ...]` values of the `n` members whose parameters are given."""
        return q_values(critic, obs, action, self.hidden, self.layer_norm, self.norm_place)

    def first_q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`Q_1(s, a)`."""
        return self.q(jax.tree.map(lambda x: x[:1], critic), obs, action)[0]

    def init(self, key: Array, spaces: Spaces) -> DelayedState:
        require_box(self, spaces)
        key_actor, key_critic = jax.random.split(key)
        obs, action = spaces.obs.zeros(), spaces.action.zeros()
        actor = DeterministicActor(spaces.action.size, self.actor_hidden).init(key_actor, obs)["params"]
        network = ensemble(spaces.action, self.hidden, self.critics, self.layer_norm, self.norm_place)
        critic = network.init(key_critic, obs, action)["params"]
        return DelayedState(
            actor=actor,
            actor_target=actor,
            critic=critic,
            target=critic,
            actor_opt=init_adam(actor),
            critic_opt=init_adam(critic),
            steps=jnp.int32(0),
            span=jnp.int32(1),
        )

    def act(self, state: DelayedState, obs: Array, key: Array, *, explore: bool) -> Array:
        action = self.action(state.actor, obs)
        if not explore:
            return action
        return jnp.clip(action + self.exploration_noise * jax.random.normal(key, action.shape), -1.0, 1.0)

    def update(self, state: DelayedState, batches: Transition, key: Array) -> tuple[DelayedState, Metrics]:
        return scan_updates(self.step, state, batches, key)

    def step(self, state: DelayedState, batch: Transition, key: Array) -> tuple[DelayedState, Metrics]:
        """One minibatch `[B, ...]`: the critics; the actor and all targets when it is their turn."""
        key_target, key_actor = jax.random.split(key)
        state, metrics = self.critic_step(state, batch, key_target)
        names = jax.eval_shape(self.actor_step, state, batch, key_actor)[1]

        def move(state: DelayedState) -> tuple[DelayedState, Metrics]:
            state, metrics = self.actor_step(state, batch, key_actor)
            return state, jax.tree.map(lambda x: x * self.delay, metrics)

        def rest(state: DelayedState) -> tuple[DelayedState, Metrics]:
            return state, vary_like(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), names), state)

        state, actor_metrics = jax.lax.cond((state.steps + 1) % self.delay == 0, move, rest, state)
        return replace(state, steps=state.steps + 1), metrics | actor_metrics

    def next_value(self, state: DelayedState, batch: Transition, action: Array) -> Array:
        """`[B]` value of `next_obs` under the smoothed target action."""
        return self.q(state.target, batch.next_obs, action).min(axis=0)

    def critic_step(self, state: DelayedState, batch: Transition, key: Array) -> tuple[DelayedState, Metrics]:
        noise = self.smoothing_noise * jax.random.normal(key, batch.action.shape)
        action = self.action(state.actor_target, batch.next_obs) + jnp.clip(noise, -self.noise_clip, self.noise_clip)
        value = self.next_value(state, batch, jnp.clip(action, -1.0, 1.0))
        y = td_target(batch.reward, batch.terminated, value, self.discount)

        def loss(critic: Any) -> tuple[Array, Metrics]:
            q = self.q(critic, batch.obs, batch.action)  # [N, B]
            value = jnp.square(residual(q, y)).mean(axis=1).sum()
            return value, {"critic_loss": value, "q": q.mean()}

        critic, opt, metrics = descend(loss, state.critic, state.critic_opt, self.learning_rate)
        target = polyak_average(state.target, critic, self.polyak) if self.prompt_targets else state.target
        return replace(state, critic=critic, target=target, critic_opt=opt), metrics

    @abc.abstractmethod
    def actor_loss(self, actor: Any, state: Any, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        """What the policy minimises on a minibatch `[B, ...]`, and its metrics, `actor_loss` among them."""

    def actor_step(self, state: DelayedState, batch: Transition, key: Array) -> tuple[DelayedState, Metrics]:
        """One actor step, then one of every target (that has not moved yet)."""
        rate = rate_or(self.actor_learning_rate, self.learning_rate)
        actor, opt, metrics = descend(
            lambda actor: self.actor_loss(actor, state, batch, key), state.actor, state.actor_opt, rate
        )
        followed = state.actor if self.lagging_target else actor
        target = state.target if self.prompt_targets else polyak_average(state.target, state.critic, self.polyak)
        state = replace(
            state,
            actor=actor,
            actor_target=polyak_average(state.actor_target, followed, self.polyak),
            target=target,
            actor_opt=opt,
        )
        return state, metrics

    def enter(self, state: DelayedState, key: Array, at: Boundary) -> DelayedState:
        """Nothing is reset but the clock of the phase."""
        return replace(state, steps=jnp.int32(0), span=jnp.int32(at.minibatches))
