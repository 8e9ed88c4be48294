"""Q and V of recorded behaviour, for those that improve on it without acting (`agents/bppo.py`, `agents/uni_o4.py`).

    "sarsa":  L_V = 1/2 mean (R - V(s))^2,   y = r + gamma (1 - ended) min_j Qt_j(s',a')
    "iql":    L_V = mean |tau - 1(u < 0)| u^2, u = min_j Qt_j(s,a) - V(s),   y = r + gamma (1 - ended) V(s')
    both:     L_Q = sum_i mean (Q_i(s,a) - y)^2

R and a' are recorded returns and next actions, V in y has just been stepped. An episode has ended where it
terminated, with `timeouts="end"` also where it was cut off. With `nonnegative` Q and V end in a ReLU: where no reward
is negative, no value is. Such a network can die: its output is then 0 everywhere, and nothing moves it.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, polyak_average, td_target
from purejaxo2o.agents.iql import expectile_loss
from purejaxo2o.networks import Hidden, Value, apply, ensemble, q_values
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, pytree, static

Values = Literal["iql", "sarsa"]
Timeouts = Literal["bootstrap", "end"]


@pytree
class Evaluator:
    """hidden: of V; critic_hidden: of Q. delay: the targets move at every `delay`-th step."""

    learning_rate: Number
    adam_eps: Number
    discount: Number
    polyak: Number
    expectile: Number
    values: Values = static()
    timeouts: Timeouts = static()
    nonnegative: bool = static()
    critics: int = static()
    delay: int = static()
    hidden: Hidden = static()
    critic_hidden: Hidden = static()

    def init(self, key: Array, spaces: Spaces) -> dict[str, Any]:
        """Parameters and moments by name, for a state that has such fields."""
        key_critic, key_value = jax.random.split(key)
        obs, action = spaces.obs.zeros(), spaces.action.zeros()
        critic = ensemble(spaces.action, self.critic_hidden, self.critics).init(key_critic, obs, action)["params"]
        value = Value(self.hidden).init(key_value, obs)["params"]
        moments = {"critic_opt": init_adam(critic), "value_opt": init_adam(value)}
        return {"critic": critic, "target": critic, "value": value, **moments}

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[critics, ...]` values of given actions."""
        return self._ended(q_values(critic, obs, action, self.critic_hidden))

    def v(self, value: Any, obs: Array) -> Array:
        """`[..., O] -> [...]`."""
        return self._ended(apply(Value(self.hidden), value, obs))

    def _ended(self, out: Array) -> Array:
        return jax.nn.relu(out) if self.nonnegative else out

    def step(self, state: Any, batch: Transition, steps: Array) -> tuple[Any, Metrics]:
        """One minibatch `[B, ...]`: V, Q with the new V, targets. steps: how many there were before."""
        recorded = self.values == "sarsa"
        goal = batch.extras["return_to_go"] if recorded else self.q(state.target, batch.obs, batch.action).min(axis=0)
        value, value_opt, metrics = self.value_step(state, batch, goal)
        if recorded:
            following = self.q(state.target, batch.next_obs, batch.extras["next_action"]).min(axis=0)
        else:
            following = self.v(value, batch.next_obs)
        ended = batch.last if self.timeouts == "end" else batch.terminated
        y = td_target(batch.reward, ended, following, self.discount)
        critic, critic_opt, critic_metrics = self.critic_step(state, batch, y)
        moves = (steps + 1) % self.delay == 0
        target = polyak_average(state.target, critic, jnp.where(moves, self.polyak, 0.0))
        state = replace(state, critic=critic, target=target, critic_opt=critic_opt, value=value, value_opt=value_opt)
        return state, metrics | critic_metrics

    def value_step(self, state: Any, batch: Transition, goal: Array) -> tuple[Any, Any, Metrics]:
        """Towards `goal [B]`: parameters, moments, metrics."""
        expectile = self.expectile if self.values == "iql" else 0.5

        def loss(params: Any) -> tuple[Array, Metrics]:
            v = self.v(params, batch.obs)
            loss = expectile_loss(residual(goal, v), expectile).mean()
            return loss, {"value_loss": loss, "value": v.mean()}

        return descend(loss, state.value, state.value_opt, self.learning_rate, self.adam_eps)

    def critic_step(self, state: Any, batch: Transition, y: Array) -> tuple[Any, Any, Metrics]:
        """Of all critics towards `y [B]`: parameters, moments, metrics."""

        def loss(params: Any) -> tuple[Array, Metrics]:
            q = self.q(params, batch.obs, batch.action)  # [critics, B]
            value = jnp.square(residual(q, y)).mean(axis=1).sum()
            return value, {"critic_loss": value, "q": q.mean()}

        return descend(loss, state.critic, state.critic_opt, self.learning_rate, self.adam_eps)
