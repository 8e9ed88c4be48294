"""Deep Q-learning, double by default (Mnih et al. 2015; van Hasselt et al. 2016, arXiv 1509.06461).

    y = r + gamma (1 - terminated) Qt(s', argmax_a Q(s', a))       (`double=False`: max_a Qt(s', a))
    L = mean (Q(s, a) - y)^2

The targets follow by Polyak averaging. It explores epsilon-greedily. With offline rows in every minibatch it is Hy-Q
(`recipes/hyq.py`). Discrete actions only.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, polyak_average, scan_updates, td_target
from purejaxo2o.loop.agent import Agent
from purejaxo2o.networks import MLP, Hidden, apply
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, O2OError, Spaces, Transition, number, pytree, static


@pytree
class DQNState:
    critic: Any
    target: Any
    critic_opt: Any


@pytree
class DQN(Agent):
    """epsilon in [0, 1]: share of uniformly random actions when exploring."""

    learning_rate: Number = number(default=3e-4, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    polyak: Number = number(default=0.005, low=0.0, high=1.0)
    epsilon: Number = number(default=0.05, low=0.0, high=1.0)
    double: bool = static(default=True)
    hidden: Hidden = static(default=(256, 256))

    def network(self, actions: int) -> MLP:
        return MLP(self.hidden, actions)

    def values(self, critic: Any, obs: Array) -> Array:
        """`Q(s, .)`, `[..., O] -> [..., n]`."""
        return apply(self.network(critic[f"Dense_{len(self.hidden)}"]["bias"].shape[-1]), critic, obs)

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`Q(s, a)`, `[1, ...]`: one member, as the ensembles of the other agents."""
        return jnp.take_along_axis(self.values(critic, obs), action[..., None], axis=-1)[None, ..., 0]

    def init(self, key: Array, spaces: Spaces) -> DQNState:
        if spaces.action.n is None:
            raise O2OError(f"DQN needs discrete actions, the task has {spaces.action}; use sac or iql for boxes")
        critic = self.network(spaces.action.n).init(key, spaces.obs.zeros())["params"]
        return DQNState(critic=critic, target=critic, critic_opt=init_adam(critic))

    def act(self, state: DQNState, obs: Array, key: Array, *, explore: bool) -> Array:
        values = self.values(state.critic, obs)
        greedy = values.argmax(axis=-1).astype(jnp.int32)
        if not explore:
            return greedy
        key_pick, key_random = jax.random.split(key)
        random = jax.random.randint(key_random, greedy.shape, 0, values.shape[-1])
        return jnp.where(jax.random.bernoulli(key_pick, self.epsilon, greedy.shape), random, greedy)

    def update(self, state: DQNState, batches: Transition, key: Array) -> tuple[DQNState, Metrics]:
        return scan_updates(self.step, state, batches, key)

    def step(self, state: DQNState, batch: Transition, key: Array) -> tuple[DQNState, Metrics]:
        """One minibatch `[B, ...]`. Nothing is random in it."""
        known = self.values(state.target, batch.next_obs)
        choosing = self.values(state.critic, batch.next_obs) if self.double else known
        value = jnp.take_along_axis(known, choosing.argmax(axis=-1)[:, None], axis=-1)[:, 0]
        y = td_target(batch.reward, batch.terminated, value, self.discount)

        def loss(critic: Any) -> tuple[Array, Metrics]:
            q = self.q(critic, batch.obs, batch.action)[0]
            value = jnp.square(residual(q, y)).mean()
            return value, {"critic_loss": value, "q": q.mean()}

        critic, opt, metrics = descend(loss, state.critic, state.critic_opt, self.learning_rate)
        target = polyak_average(state.target, critic, self.polyak)
        return replace(state, critic=critic, target=target, critic_opt=opt), metrics
