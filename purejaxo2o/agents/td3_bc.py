"""TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose actor also imitates, values scaled to size one.

    L_pi = -alpha mean_B Q_1(s, pi(s)) / sg[mean_B |Q_1(s, pi(s))|] + w mean_{B,A} (pi(s) - a)^2

The imitation term is a mean over the batch and the action's entries (ReBRAC sums over the entries). `w` is 1 in the
paper; `bc_weight_end` below 1 lets it fall linearly over a phase, not below that share.
"""

from typing import Any

import jax.numpy as jnp

from purejaxo2o.agents.base import relaxation
from purejaxo2o.agents.td3 import TD3, TD3State, normalised
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Transition, pytree


@pytree
class TD3BC(TD3):
    """alpha: weight of the values (0: cloning). bc_weight w; bc_weight_end: its share left at the end of a phase."""

    alpha: Number = 2.5
    bc_weight: Number = 1.0
    bc_weight_end: Number = 1.0

    def actor_loss(self, actor: Any, state: TD3State, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        action = self.action(actor, batch.obs)
        bc = jnp.square(residual(action, batch.action)).mean()
        weight = self.bc_weight * relaxation(state.steps, state.span, self.bc_weight_end)
        q = self.first_q(state.critic, batch.obs, action)
        loss = weight * bc - self.alpha * normalised(q).mean()
        return loss, {"actor_loss": loss, "bc": bc}
