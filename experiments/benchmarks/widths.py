"""Eight lanes side by side against one after the other, by how much a lane computes: where `drive/width.py` draws the
border on a CPU.

The online phase of recipes at the small scale, with networks of several sizes. The value is the time of a lane and
iteration alone over that side by side: above 1, side by side is faster.
"""

import time
from typing import Any

import jax

import purejaxo2o as o2o
from experiments.benchmarks.rows import Row, row
from purejaxo2o.drive import width
from purejaxo2o.drive.lanes import recipe_axes
from purejaxo2o.drive.programs import compiler_options
from purejaxo2o.loop.seeds import seed_keys

LANES = 8
ITERATIONS, SECONDS = 16, 1.0
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
    alone, together = (_seconds(keys, recipe, axes, task, rows, phase, count) for count in (1, LANES))
    details = {"operations": operations, "alone_ms": 1e3 * alone, "together_ms": 1e3 * together / LANES}
    return row("widths", name, LANES * alone / together, "alone / side by side", seeds=LANES, **details)


def _seconds(keys: Any, recipe: Any, axes: Any, task: Any, data: Any, phase: int, count: int) -> float:
    """The shortest measured time of one iteration of `count` lanes side by side."""
    keys, recipe = width.first(keys, recipe, axes, count)
    start = jax.jit(width.start(recipe, axes, task, data, phase, count))
    stretch = jax.jit(width.stretch(recipe, axes, task, phase, count, ITERATIONS), donate_argnums=0)
    options: Any = compiler_options("cpu")
    compiled = stretch.lower(jax.eval_shape(start, keys, recipe), recipe, data).compile(options)
    run = jax.block_until_ready(compiled(start(keys, recipe), recipe, data))
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        once = time.perf_counter()
        run = jax.block_until_ready(compiled(run, recipe, data))
        best = min(best, time.perf_counter() - once)
    return best / ITERATIONS
