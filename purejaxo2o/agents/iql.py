"""Implicit Q-learning (Kostrikov, Nair & Levine 2022, arXiv 2110.06169).

V learns an upper expectile of the target critics over recorded actions, Q regresses on V, and the policy is
extracted by advantage-weighted regression; no action outside the data is ever evaluated.

    L_V  = mean |tau - 1(u < 0)| u^2,       u = min_i Qt_i(s,a) - V(s)                       (eq. 5)
    L_Q  = sum_i mean (Q_i(s,a) - y)^2,     y = r + gamma (1 - terminated) V(s')             (eq. 6)
    L_pi = -mean min(exp(beta (min_i Qt_i(s,a) - V(s))), 100) log pi(a|s)                    (eq. 7)

One step in the order of the authors' code: V, then the policy and Q with the new V, then the targets. The
policy is a Gaussian around a tanh mean with one free log-std vector, its density not squashed. Discrete actions
use a categorical and Q heads of one output per action. At the switch nothing is reset.
"""

from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, polyak_average, rate_or, scan_updates, td_target
from purejaxo2o.loop.agent import Agent
from purejaxo2o.networks import Actor, Distribution, Hidden, Value, action_space_of, apply, ensemble, q_values
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Space, Spaces, Transition, number, pytree, static

CRITICS = 2


def expectile_loss(diff: Array, expectile: Number) -> Array:
    """Elementwise asymmetric square `|tau - 1(diff < 0)| diff^2`."""
    return jnp.where(diff < 0, 1.0 - expectile, expectile) * jnp.square(diff)


@pytree
class IQLState:
    actor: Any
    critic: Any
    target: Any
    value: Any
    actor_opt: Any
    critic_opt: Any
    value_opt: Any


@pytree
class IQL(Agent):
    """expectile: tau in (0, 1); 0.5 regresses the mean. temperature: beta >= 0; 0 clones behaviour.

    layer_norm: in Q and V; not in IQL's own code."""

    learning_rate: Number = number(default=3e-4, low=0.0)
    actor_learning_rate: Number | None = number(default=None, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    polyak: Number = number(default=0.005, low=0.0, high=1.0)
    expectile: Number = number(default=0.7, above=0.0, below=1.0)
    temperature: Number = number(default=3.0, low=0.0)
    max_weight: Number = number(default=100.0, above=0.0)
    layer_norm: bool = static(default=False)
    hidden: Hidden = static(default=(256, 256))
    actor_hidden: Hidden = static(default=(256, 256))

    def actor_network(self, space: Space) -> Actor:
        return Actor(space, self.actor_hidden, kind="clipped", std="global", log_std_range=(-5.0, 2.0))

    def policy(self, actor: Any, obs: Array) -> Distribution:
        return apply(self.actor_network(action_space_of(actor)), actor, obs)

    def value(self, value: Any, obs: Array) -> Array:
        """`V(s)`, `[..., O] -> [...]`."""
        return apply(Value(self.hidden, self.layer_norm), value, obs)

    def init(self, key: Array, spaces: Spaces) -> IQLState:
        key_actor, key_critic, key_value = jax.random.split(key, 3)
        obs, action = spaces.obs.zeros(), spaces.action.zeros()
        actor = self.actor_network(spaces.action).init(key_actor, obs)["params"]
        network = ensemble(spaces.action, self.hidden, CRITICS, self.layer_norm)
        critic = network.init(key_critic, obs, action)["params"]
        value = Value(self.hidden, self.layer_norm).init(key_value, obs)["params"]
        return IQLState(
            actor=actor,
            critic=critic,
            target=critic,
            value=value,
            actor_opt=init_adam(actor),
            critic_opt=init_adam(critic),
            value_opt=init_adam(value),
        )

    def act(self, state: IQLState, obs: Array, key: Array, *, explore: bool) -> Array:
        policy = self.policy(state.actor, obs)
        return policy.sample(key) if explore else policy.mode()

    def update(self, state: IQLState, batches: Transition, key: Array) -> tuple[IQLState, Metrics]:
        return scan_updates(self.step, state, batches, key)

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[2, ...]` values of given actions."""
        return q_values(critic, obs, action, self.hidden, self.layer_norm)

    def value_loss(self, error: Array) -> Array:
        """What V minimises, given `q - V(s)`, `[B]`."""
        return expectile_loss(error, self.expectile).mean()

    def guidance(self, state: IQLState, batch: Transition, key: Array) -> tuple[Array, Number]:
        """What the policy sees, `[B, ...]`, and how strongly it prefers better actions."""
        return batch.obs, self.temperature

    def imitated(self, state: IQLState, batch: Transition, q_target: Array, key: Array) -> tuple[Array, Array]:
        """The actions whose likelihood the policy raises, and their target values `[B]`: here the recorded ones."""
        return batch.action, q_target

    def weights(self, advantage: Array, temperature: Number) -> Array:
        """How much the likelihood of each row's action counts, `[B]`."""
        return jnp.minimum(jnp.exp(temperature * advantage), self.max_weight)

    def step(self, state: IQLState, batch: Transition, key: Array) -> tuple[IQLState, Metrics]:
        """One minibatch `[B, ...]`: V, policy, Q, targets. Nothing is random in IQL itself."""
        q_target = self.q(state.target, batch.obs, batch.action).min(axis=0)
        value, value_opt, value_metrics = self.value_step(state, batch, q_target)
        action, q_action = self.imitated(state, batch, q_target, key)
        advantage = residual(q_action, self.value(value, batch.obs))
        seen, temperature = self.guidance(state, batch, key)
        weight = self.weights(advantage, temperature)

        def actor_loss(params: Any) -> tuple[Array, Metrics]:
            log_prob = self.policy(params, seen).log_prob(action)
            chex.assert_equal_shape([weight, log_prob])
            loss = -(weight * log_prob).mean()
            return loss, {"actor_loss": loss, "advantage": advantage.mean()}

        actor_rate = rate_or(self.actor_learning_rate, self.learning_rate)
        actor, actor_opt, actor_metrics = descend(actor_loss, state.actor, state.actor_opt, actor_rate)
        y = td_target(batch.reward, batch.terminated, self.value(value, batch.next_obs), self.discount)

        critic, critic_opt, critic_metrics = self.critic_step(state, batch, y)
        state = replace(
            state,
            actor=actor,
            critic=critic,
            target=polyak_average(state.target, critic, self.polyak),
            value=value,
            actor_opt=actor_opt,
            critic_opt=critic_opt,
            value_opt=value_opt,
        )
        return state, value_metrics | actor_metrics | critic_metrics

    def value_step(self, state: Any, batch: Transition, q_target: Array) -> tuple[Any, Any, Metrics]:
        """One step of V towards `q_target [B]`: parameters, moments, metrics. state: anything with both of V's."""

        def loss(params: Any) -> tuple[Array, Metrics]:
            v = self.value(params, batch.obs)
            loss = self.value_loss(residual(q_target, v))
            return loss, {"value_loss": loss, "value": v.mean()}

        return descend(loss, state.value, state.value_opt, self.learning_rate)

    def critic_step(self, state: Any, batch: Transition, y: Array) -> tuple[Any, Any, Metrics]:
        """One step of both critics towards `y [B]`: parameters, moments, metrics. state: anything with theirs."""

        def loss(params: Any) -> tuple[Array, Metrics]:
            q = self.q(params, batch.obs, batch.action)  # [2, B]
            value = jnp.square(residual(q, y)).mean(axis=1).sum()
            return value, {"critic_loss": value, "q": q.mean()}

        return descend(loss, state.critic, state.critic_opt, self.learning_rate)
