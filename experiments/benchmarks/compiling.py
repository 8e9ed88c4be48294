"""Compile seconds and memory of every recipe at small scale: the whole run as one program, nothing executed.

Memory is the compiled program's own account (arguments, outputs and temporaries, less what they share) at one seed
and at four; the slope is what one more seed takes, the dataset being shared.
"""

import sys
from typing import Any

import jax

import purejaxo2o as o2o
from experiments.benchmarks.measure import build
from experiments.benchmarks.rows import Row, missing, row
from purejaxo2o.recipes import names
from purejaxo2o.sweep import seed_keys
from purejaxo2o.types import O2OError

TASK = "pointmaze-umaze"
SEEDS = 4


def rows(*, quick: bool = False, wanted: list[str] | None = None) -> list[Row]:
    """Three rows per recipe: compile seconds (tracing and lowering included) of one and of several seeds, and bytes
    per seed. wanted: names of recipes, None for all."""
    task = o2o.task("reach" if quick else TASK)
    data = None if quick else o2o.dataset(task)
    found = []
    for name in ("sac",) if quick else wanted or names():
        print(f"compile: {name}", file=sys.stderr, flush=True)
        try:
            found += _recipe(name, task, data)
        except O2OError as error:
            found.append(missing("compile", name, "s", str(error)))
    return found


def _recipe(name: str, task: o2o.Task, data: Any) -> list[Row]:
    recipe = o2o.recipe(name, task, scale="small")
    keys = seed_keys(SEEDS)
    one = build(o2o.train, keys[0], recipe, task, data)
    several = build(jax.vmap(o2o.train, in_axes=(0, None, None, None)), keys, recipe, task, data)
    seconds = [
        row("compile", f"{name}: {task.name}", program.compile_seconds, "s", seeds=seeds)
        for seeds, program in ((1, one), (SEEDS, several))
    ]
    label = f"{name}: memory of one more seed"
    if one.memory is None or several.memory is None:
        return [*seconds, missing("compile", label, "MB", "the backend gives no memory analysis")]
    per_seed = (several.memory - one.memory) / (SEEDS - 1)
    more = {"one_seed_mb": one.memory / 1e6, f"{SEEDS}_seeds_mb": several.memory / 1e6}
    return [*seconds, row("compile", label, per_seed / 1e6, "MB", **more)]
