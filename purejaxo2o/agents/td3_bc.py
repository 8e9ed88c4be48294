"""TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose actor also imitates, values scaled to size one.

    L_pi = -alpha mean_B Q_1(s, pi(s)) / sg[mean_B |Q_1(s, pi(s))|] + w mean_{B,A} (pi(s) - a)^2

The imitation term is a mean over the batch and the action's entries (ReBRAC sums over the entries). `w` is 1 in the
paper; `bc_weight_end` below 1 lets it fall linearly over a phase, not below that share. Critics, targets and the
order of steps are in `agents/delayed.py`.
"""

from typing import Any

from purejaxo2o.agents.delayed import Delayed, DelayedState
from purejaxo2o.agents.losses import imitation_loss
from purejaxo2o.types import Array, Metrics, Number, Transition, number, pytree


@pytree
class TD3BC(Delayed):
    """alpha: weight of the values (0: cloning). bc_weight w; bc_weight_end: its share left at the end of a phase."""

    alpha: Number = number(default=2.5, low=0.0)
    bc_weight: Number = number(default=1.0, low=0.0)
    bc_weight_end: Number = number(default=1.0, low=0.0, high=1.0)

    def actor_loss(self, actor: Any, state: DelayedState, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        weights = {"alpha": self.alpha, "weight": self.bc_weight, "end": self.bc_weight_end}
        return imitation_loss(self, actor, state, batch, **weights)
