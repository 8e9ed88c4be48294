"""Behaviour cloning, then acting without improvement. The floor for offline methods.

Phases: offline only. Defaults: 2 x 256, learning rate 3e-4, batch 256, 1M steps (CORL).
Deviations: states are not normalised (theirs are), weights start Xavier-uniform with the head near zero (theirs:
PyTorch's own). Small: see `recipes/budget.py`. Cost per update relative to IQL, counted in network passes: 0.2.
"""

from purejaxo2o.agents import BC
from purejaxo2o.loop.phases import offline
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget


def build(task: Task, scale: str) -> Recipe:
    if scale == "small":
        agent = BC(**budget.ACTOR)
        phase = offline(**budget.offline())
        return Recipe(name="bc", agent=agent, phases=(phase,), eval_episodes=budget.EVAL_EPISODES)
    return Recipe(name="bc", agent=BC(), phases=(offline(1_000_000, segments=20),))
