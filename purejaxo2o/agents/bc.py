"""Behaviour cloning: regress the recorded actions (as in CORL, `any_percent_bc.py`).

    mse:  L = mean_{B,A} (tanh(mu(s)) - a)^2            (deterministic; the usual baseline)
    nll:  L = -mean_B log pi(a|s)                       (squashed Gaussian)

Discrete actions always use the negative log-likelihood of a categorical. BC ignores rewards: after the
hand-over only the rows that a phase feeds it change it. Cost per update: about a quarter of IQL's.
"""

from typing import Any, Literal

import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, scan_updates
from purejaxo2o.loop.agent import Agent
from purejaxo2o.networks import Actor, Distribution, Hidden, action_space_of, apply
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Space, Spaces, Transition, number, pytree, static


@pytree
class BCState:
    actor: Any
    actor_opt: Any


@pytree
class BC(Agent):
    """Behaviour cloning. `discount` is not used by the loss; returns elsewhere are discounted with it."""

    learning_rate: Number = number(default=3e-4, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    loss: Literal["mse", "nll"] = static(default="mse")
    actor_hidden: Hidden = static(default=(256, 256))

    def network(self, space: Space) -> Actor:
        return Actor(space, self.actor_hidden, log_std_range=(-5.0, 2.0))

    def policy(self, actor: Any, obs: Array) -> Distribution:
        """The action distribution at `obs [..., O]`."""
        return apply(self.network(action_space_of(actor)), actor, obs)

    def init(self, key: Array, spaces: Spaces) -> BCState:
        actor = self.network(spaces.action).init(key, spaces.obs.zeros())["params"]
        return BCState(actor=actor, actor_opt=init_adam(actor))

    def deterministic(self, actor: Any) -> bool:
        return self.loss == "mse" and not action_space_of(actor).discrete

    def act(self, state: BCState, obs: Array, key: Array, *, explore: bool) -> Array:
        policy = self.policy(state.actor, obs)
        return policy.sample(key) if explore and not self.deterministic(state.actor) else policy.mode()

    def update(self, state: BCState, batches: Transition, key: Array) -> tuple[BCState, Metrics]:
        return scan_updates(self.step, state, batches, key)

    def step(self, state: BCState, batch: Transition, key: Array) -> tuple[BCState, Metrics]:
        """One minibatch `[B, ...]`; nothing is random."""

        def loss(actor: Any) -> tuple[Array, Metrics]:
            policy = self.policy(actor, batch.obs)
            if self.deterministic(actor):
                value = jnp.square(residual(policy.mode(), batch.action)).mean()
            else:
                value = -policy.log_prob(batch.action).mean()
            return value, {"actor_loss": value}

        actor, opt, metrics = descend(loss, state.actor, state.actor_opt, self.learning_rate)
        return BCState(actor=actor, actor_opt=opt), metrics
