"""DQN from scratch, the baseline with discrete actions: no offline data (Mnih et al. 2015).

Phases: uniformly random actions without updates, then one update per environment step.

Defaults: double, 2 x 256, learning rate 3e-4, batch 256, Polyak targets (0.005), 5% random actions.
Small: see `recipes/budget.py`.
"""

from typing import Any

from purejaxo2o.agents import DQN
from purejaxo2o.phases import Recipe, online, warmup
from purejaxo2o.recipes import budget
from purejaxo2o.tasks import Task

SMALL: dict[str, Any] = {"learning_rate": 1e-3, "polyak": 0.02, "hidden": (64, 64)}


def build(task: Task, scale: str) -> Recipe:
    if scale == "small":
        agent = DQN(**SMALL)
        phases = (
            warmup(budget.RANDOM_WARMUP, act="random"),
            online(mix="online", **budget.online(budget.RANDOM_WARMUP)),
        )
    else:
        agent = DQN()
        phases = (warmup(5_000, act="random"), online(500_000, mix="online", segments=50))
    episodes = budget.EVAL_EPISODES if scale == "small" else 20
    return Recipe(name="dqn", agent=agent, phases=phases, eval_episodes=episodes)
