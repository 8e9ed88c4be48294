"""Naive fine-tuning: WSRL without its warm-up (the failure that arXiv 2412.07762 starts from; sheets 1 and 3).

Phases: offline Cal-QL; then SAC from the first online step on, on a store that holds only what was just
collected, with neither offline data nor warm-up. Everything else is `recipes/wsrl.py`, so that the two differ
in one phase: the control group.
"""

from dataclasses import replace

from purejaxo2o.phases import Recipe
from purejaxo2o.recipes import wsrl
from purejaxo2o.tasks import Task


def build(task: Task, scale: str) -> Recipe:
    recipe = wsrl.build(task, scale)
    phases = tuple(phase for phase in recipe.phases if phase.name != "warmup")
    return replace(recipe, name="naive", phases=phases)
