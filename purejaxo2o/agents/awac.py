"""Advantage-weighted actor-critic (Nair et al. 2020, arXiv 2006.09359).

    y    = r + gamma (1 - terminated) min_i Qt_i(s',a'),   a' ~ pi(.|s')                      (no entropy)
    L_Q  = sum_i mean_B (Q_i(s,a) - y)^2
    A    = min_i Q_i(s,a) - min_i Q_i(s,b),                b ~ pi(.|s), one sample
    L_pi = -mean_B sg[w] log pi(a|s)

    exponential:  w = min(exp(A / lambda), max_weight)              (CORL; what most comparisons call AWAC)
    softmax:      w = |B| softmax_B(A / lambda)                     (the authors' rlkit; mean weight one)

The two are different methods on a batch with one large advantage: the softmax gives that row everything. One step
in CORL's order: critics, the policy with the new critics, targets. The policy is a Gaussian with an unbounded mean
and one free log-std vector, its density not corrected; samples are clipped to the box. Discrete actions use a
categorical and Q heads of one output per action. At the switch nothing is reset.
"""

from dataclasses import replace
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, polyak_average, rate_or, scan_updates, td_target
from purejaxo2o.loop.agent import Agent
from purejaxo2o.networks import Actor, Distribution, Hidden, action_space_of, apply, ensemble, q_values
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, O2OError, Space, Spaces, Transition, number, pytree, static

CRITICS = 2


def weights(advantage: Array, temperature: Number, form: str, max_weight: Number) -> Array:
    """`[B]` weight of every row's log-likelihood, without gradient."""
    scaled = jax.lax.stop_gradient(advantage) / temperature
    if form == "exponential":
        return jnp.minimum(jnp.exp(scaled), max_weight)
    return scaled.shape[0] * jax.nn.softmax(scaled)


@pytree
class AWACState:
    actor: Any
    critic: Any
    target: Any
    actor_opt: Any
    critic_opt: Any


@pytree
class AWAC(Agent):
    """temperature: lambda > 0, which divides (IQL's multiplies). max_weight: of the exponential form only."""

    learning_rate: Number = number(default=3e-4, low=0.0)
    actor_learning_rate: Number | None = number(default=None, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    polyak: Number = number(default=0.005, low=0.0, high=1.0)
    temperature: Number = number(default=1.0, above=0.0)
    max_weight: Number = number(default=100.0, above=0.0)
    weighting: Literal["exponential", "softmax"] = static(default="exponential")
    log_std_range: tuple[float, float] = static(default=(-20.0, 2.0))
    hidden: Hidden = static(default=(256, 256, 256))
    actor_hidden: Hidden = static(default=(256, 256, 256))

    def check(self) -> None:
        low, high = self.log_std_range
        if low > high:
            raise O2OError(f"agent.log_std_range is {self.log_std_range}; write the lower end first")

    def actor_network(self, space: Space) -> Actor:
        return Actor(space, self.actor_hidden, kind="unbounded", std="global", log_std_range=self.log_std_range)

    def policy(self, actor: Any, obs: Array) -> Distribution:
        return apply(self.actor_network(action_space_of(actor)), actor, obs)

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[2, ...]` values of given actions."""
        return q_values(critic, obs, action, self.hidden)

    def init(self, key: Array, spaces: Spaces) -> AWACState:
        key_actor, key_critic = jax.random.split(key)
        obs, action = spaces.obs.zeros(), spaces.action.zeros()
        actor = self.actor_network(spaces.action).init(key_actor, obs)["params"]
        critic = ensemble(spaces.action, self.hidden, CRITICS).init(key_critic, obs, action)["params"]
        return AWACState(
            actor=actor, critic=critic, target=critic, actor_opt=init_adam(actor), critic_opt=init_adam(critic)
        )

    def act(self, state: AWACState, obs: Array, key: Array, *, explore: bool) -> Array:
        policy = self.policy(state.actor, obs)
        return policy.sample(key) if explore else policy.mode()

    def guidance(self, state: AWACState, batch: Transition, key: Array) -> tuple[Array, Number]:
        """What the policy sees, `[B, ...]`, and the lambda of its weights."""
        return batch.obs, self.temperature

    def update(self, state: AWACState, batches: Transition, key: Array) -> tuple[AWACState, Metrics]:
        return scan_updates(self.step, state, batches, key)

    def step(self, state: AWACState, batch: Transition, key: Array) -> tuple[AWACState, Metrics]:
        """One minibatch `[B, ...]`: critics, policy, targets."""
        key_next, key_value = jax.random.split(key)
        next_action = self.act(state, batch.next_obs, key_next, explore=True)
        next_value = self.q(state.target, batch.next_obs, next_action).min(axis=0)
        y = td_target(batch.reward, batch.terminated, next_value, self.discount)

        def critic_loss(params: Any) -> tuple[Array, Metrics]:
            values = self.q(params, batch.obs, batch.action)  # [2, B]
            loss = jnp.square(residual(values, y)).mean(axis=1).sum()
            return loss, {"critic_loss": loss, "q": values.mean()}

        critic, critic_opt, critic_metrics = descend(critic_loss, state.critic, state.critic_opt, self.learning_rate)
        seen, temperature = self.guidance(state, batch, jax.random.fold_in(key_value, 1))
        own = self.policy(state.actor, seen).sample(key_value)
        value = self.q(critic, batch.obs, own).min(axis=0)
        advantage = residual(self.q(critic, batch.obs, batch.action).min(axis=0), value)
        weight = weights(advantage, temperature, self.weighting, self.max_weight)

        def actor_loss(params: Any) -> tuple[Array, Metrics]:
            log_prob = self.policy(params, seen).log_prob(batch.action)
            chex.assert_equal_shape([weight, log_prob])
            loss = -(weight * log_prob).mean()
            return loss, {"actor_loss": loss, "advantage": advantage.mean()}

        actor_rate = rate_or(self.actor_learning_rate, self.learning_rate)
        actor, actor_opt, actor_metrics = descend(actor_loss, state.actor, state.actor_opt, actor_rate)
        state = replace(
            state,
            actor=actor,
            critic=critic,
            target=polyak_average(state.target, critic, self.polyak),
            actor_opt=actor_opt,
            critic_opt=critic_opt,
        )
        return state, critic_metrics | actor_metrics
