"""Eight lanes side by side against one after the other, by how much a lane computes: where `drive/width.py` draws the
border on a CPU.

The online phase of recipes at the small scale, with networks of several sizes. The value is the time of a lane and
iteration alone over that side by side: above 1, side by side is faster.
"""

from typing import Any

import jax

import purejaxo2o as o2o
from experiments.benchmarks.measure import Program, build, race
from experiments.benchmarks.rows import Row, row
from purejaxo2o.drive import width
from purejaxo2o.drive.lanes import recipe_axes
from purejaxo2o.loop.seeds import seed_keys

LANES = 8
ITERATIONS = 64
HIDDEN = {"64": (64, 64), "256": (256, 256)}
RECIPES = ("bc", "iql", "td3_bc", "sac", "cql", "edac")
BATCHES = (32, 256)


def rows(*, quick: bool = False) -> list[Row]:
    """One for each recipe, size of networks and of minibatches, with the operations of an iteration."""
    task = o2o.task("pointmaze-umaze")
    data = o2o.dataset(task)
    found = []
    for name in RECIPES[:1] if quick else RECIPES:
        for hidden in HIDDEN:
            for batch in BATCHES:
                recipe = o2o.recipe(name, task, scale="small")
                last = len(recipe.phases) - 1
                nets = {"*.hidden": HIDDEN[hidden], "*.actor_hidden": HIDDEN[hidden]}
                nets = {key: value for key, value in nets.items() if hasattr(recipe.agent, key[2:])}
                recipe = o2o.replace(recipe, {**nets, f"{recipe.phases[last].name}.batch_size": batch})
                found.append(_measured(f"{name}, {hidden} x 2, rows {batch}", recipe, task, data, last))
    return found


def _measured(name: str, recipe: o2o.Recipe, task: o2o.Task, data: o2o.Store, phase: int) -> Row:
    keys = seed_keys(LANES)
    axes = recipe_axes(recipe, LANES)
    rows = data if recipe.uses_offline else None
    operations = width.operations(keys, recipe, axes, task, rows, phase)
    programs = {count: _program(keys, recipe, axes, task, rows, phase, count) for count in (1, LANES)}
    best = race({str(count): program for count, program in programs.items()})
    alone, together = (best[str(count)] / ITERATIONS for count in programs)
    details = {"operations": operations, "alone_ms": 1e3 * alone, "together_ms": 1e3 * together / LANES}
    return row("widths", name, LANES * alone / together, "alone / side by side", seeds=LANES, **details)


def _program(keys: Any, recipe: Any, axes: Any, task: Any, data: Any, phase: int, count: int) -> Program:
    """Some iterations of `count` lanes side by side."""
    keys, recipe = width.first(keys, recipe, axes, count)
    run = jax.jit(width.start(recipe, axes, task, data, phase, count))(keys, recipe)
    return build(width.stretch(recipe, axes, task, phase, count, ITERATIONS), run, recipe, data)
