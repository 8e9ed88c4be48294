"""Compile seconds and memory of every recipe at small scale: the whole run as one program, nothing executed.

Memory is what the program takes beside its arguments, of which the dataset, which seeds share, is nearly all.
"""

import sys

import jax

import purejaxo2o as o2o
from experiments.benchmarks.measure import build
from experiments.benchmarks.rows import Row, missing, row
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.recipes import names
from purejaxo2o.types import O2OError

TASK = "pointmaze-umaze"
CHOICES, DISCRETE = "combination-lock", ("dqn", "hyq")
"""The task of recipes that take discrete actions alone, and which those are."""


def rows(*, quick: bool = False, wanted: list[str] | None = None) -> list[Row]:
    """Two rows per recipe: compile seconds (tracing and lowering included), memory beside the dataset. wanted: names
    of recipes, None for all."""
    found = []
    for name in ("sac",) if quick else wanted or names():
        print(f"compile: {name}", file=sys.stderr, flush=True)
        task = o2o.task("reach" if quick else CHOICES if name in DISCRETE else TASK)
        recipe = o2o.recipe(name, task, scale="small")
        try:
            found += _recipe(recipe, task, o2o.dataset(task) if recipe.uses_offline else None)
        except O2OError as error:
            found.append(missing("compile", name, "s", str(error)))
        jax.clear_caches()  # the programs of 35 recipes are more memory maps than Linux gives a process
    return found


def _recipe(recipe: o2o.Recipe, task: o2o.Task, data: o2o.Store | None) -> list[Row]:
    program = build(o2o.train, seed_keys(1)[0], recipe, task, data)
    seconds = row("compile", f"{recipe.name}: {task.name}", program.compile_seconds, "s")
    label = f"{recipe.name}: memory of a seed"
    if program.memory is None:
        return [seconds, missing("compile", label, "MB", "the backend gives no memory analysis")]
    return [seconds, row("compile", label, program.memory / 1e6, "MB")]
