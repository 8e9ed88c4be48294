"""A run: everything that changes while training, in one pytree, saved and restored whole."""

from typing import Any

from purejaxo2o.loop.priorities import Priorities
from purejaxo2o.loop.result import Fault
from purejaxo2o.loop.rollout import Episodes
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, pytree


@pytree
class Run:
    """Everything that changes while training. The four counters (and the store's) are the same for all seeds
    and stay unbatched; `env`, `obs`, `memory`, `episodes` and `store` are None in a run that never acts. A run with
    a fault is frozen: its learner and environment stay as they were before the segment in which it occurred."""

    key: Array  # root, never changes
    agent: Any
    env: Any  # [E, ...] environment states
    obs: Any  # [E, ...] observations to act on
    memory: Any  # [E, ...] what the agent keeps in mind from step to step of an episode; None for most
    episodes: Episodes | None
    store: Store | None
    priorities: Priorities | None  # of dataset's and store's rows, where a phase draws by them
    iteration: Array  # int32
    env_steps: Array  # int32
    grad_steps: Array  # int32: minibatches consumed
    segment: Array  # int32
    fault: Fault
