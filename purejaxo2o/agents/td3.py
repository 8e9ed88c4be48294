"""Twin delayed deterministic policy gradient (Fujimoto, van Hoof & Meger 2018, arXiv 1802.09477).

    L_pi = -mean_B Q_1(s, pi(s))

Critics, targets and the order of steps are in `agents/delayed.py`.
"""

from typing import Any

from purejaxo2o.agents.delayed import Delayed, DelayedState
from purejaxo2o.agents.losses import value_loss
from purejaxo2o.types import Array, Metrics, Transition, pytree


@pytree
class TD3(Delayed):
    """The settings of `Delayed`; the defaults are the paper's."""

    def actor_loss(self, actor: Any, state: DelayedState, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        return value_loss(self, actor, state, batch)
