"""ReBRAC (Tarasov et al. 2023, arXiv 2305.09836): TD3 held to the data in the actor and in the critics' target.

    y    = r + gamma (1 - terminated) (min_i Qt_i(s',a') - b2 |a' - a'_data|^2)
    L_pi = mean_B (b1 |pi(s) - a|^2 - min_i Q_i(s, pi(s)) / sg[mean_B |min_i Q_i(s, pi(s))|])

Squares are sums over the action's entries. a'_data is the recorded action of the next step of the trajectory; the
last step of a truncated one has none, and no penalty. LayerNorm in the critics, after the ReLU. The actor's target
follows the actor before its step. `stage="relaxed"` drops the critics' penalty (online: b2 = 0) and with it the
need for next actions; `actor_penalty_end` below 1 lets b1 fall linearly over a phase, not below that share.
"""

from typing import Any, Literal

import jax.numpy as jnp

from purejaxo2o.agents.base import relaxation
from purejaxo2o.agents.delayed import Delayed, DelayedState
from purejaxo2o.agents.losses import normalised
from purejaxo2o.networks import NormPlace
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Transition, number, pytree, static


@pytree
class ReBRAC(Delayed):
    """actor_penalty b1, critic_penalty b2 >= 0; actor_penalty_end: the share of b1 left at the end of a phase."""

    actor_penalty: Number = number(default=0.01, low=0.0)
    critic_penalty: Number = number(default=0.01, low=0.0)
    actor_penalty_end: Number = number(default=1.0, low=0.0, high=1.0)
    exploration_noise: Number = number(default=0.0, low=0.0)
    stage: Literal["conservative", "relaxed"] = static(default="conservative")
    lagging_target: bool = static(default=True)
    layer_norm: bool = static(default=True)
    norm_place: NormPlace = static(default="after")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"next_action"}) if self.stage == "conservative" else frozenset()

    def next_value(self, state: DelayedState, batch: Transition, action: Array) -> Array:
        value = super().next_value(state, batch, action)
        if self.stage == "relaxed":
            return value
        distance = jnp.square(residual(action, batch.extras["next_action"])).sum(axis=-1)
        return value - self.critic_penalty * jnp.where(batch.last, 0.0, distance)

    def actor_loss(self, actor: Any, state: DelayedState, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        action = self.action(actor, batch.obs)
        bc = jnp.square(residual(action, batch.action)).sum(axis=-1).mean()
        weight = self.actor_penalty * relaxation(state.steps, state.span, self.actor_penalty_end)
        q = self.q(state.critic, batch.obs, action).min(axis=0)
        loss = weight * bc - normalised(q).mean()
        return loss, {"actor_loss": loss, "bc": bc}
