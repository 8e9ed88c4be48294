"""Side by side or one after the other? On a CPU that depends on how much one lane computes.

Batching many lanes makes operations larger. An accelerator gains from that until it is full. A CPU gains while most
of the time goes into starting operations; with more to compute it is full with one lane, and a wide ensemble times
many lanes leaves its caches. The choice follows from sizes alone, so that equal sweeps have equal bits; where the
border lies was measured (`experiments/benchmarks/widths.py`).
"""

from typing import Any, NamedTuple

import jax

from purejaxo2o.drive.lanes import Lanes, first_lanes, recipe_axes, run_axes
from purejaxo2o.loop.prepare import prepare, rows_of
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.train import advance, enter, init
from purejaxo2o.types import Array

LARGE = 3e7
"""Floating-point operations of one iteration of one lane from which on a CPU runs lanes one after the other."""


class Choice(NamedTuple):
    """How many lanes go side by side on each device, and why."""

    width: int
    reason: str


def choose(keys: Array, recipe: Recipe, task: Task, dataset: Store | None, per_device: int, platform: str) -> Choice:
    """Decide for `per_device` lanes on each device; `keys` and batched leaves of `recipe` are `[lanes]`."""
    if per_device == 1:
        return Choice(1, "one lane a device")
    if platform != "cpu":
        return Choice(per_device, "side by side: many lanes fill an accelerator")
    axes = recipe_axes(recipe, keys.shape[0])
    last = len(recipe.phases) - 1
    learning = [index for index, phase in enumerate(recipe.phases) if phase.updates] or [last]
    work = {index: operations(keys, recipe, axes, task, dataset, index) for index in learning}
    phase = max(learning, key=lambda index: work[index] * _iterations(recipe, index))  # that does most
    name, each = recipe.phases[phase].name, work[phase]
    if each >= LARGE:
        return Choice(1, f"one after the other: {each:.1e} operations an iteration in {name}")
    return Choice(per_device, f"side by side: {each:.1e} operations an iteration in {name}")


def _iterations(recipe: Recipe, phase: int) -> int:
    return recipe.phases[phase].iterations(recipe.num_envs) * recipe.phases[phase].segments


def first(keys: Array, recipe: Recipe, axes: Any, count: int) -> tuple[Array, Recipe]:
    return keys[:count], first_lanes(recipe, axes, count)


def stretch(recipe: Recipe, axes: Any, task: Task, phase: int, count: int, iterations: int) -> Any:
    """`(run, recipe, dataset) -> run` after some iterations of the phase, for `count` lanes side by side."""

    def one(run: Any, recipe: Recipe, dataset: Store | None) -> Any:
        data = prepare(recipe, task, dataset)
        return advance(run, recipe, task, data, phase=phase, count=iterations)[0]

    runs = run_axes(recipe)
    return Lanes(count, count).spread(one, (runs, axes, None), runs)


def start(recipe: Recipe, axes: Any, task: Task, dataset: Store | None, phase: int, count: int) -> Any:
    def begin(key: Array, recipe: Recipe) -> Any:
        run = init(key, recipe, task, rows_of(dataset))
        for index in range(phase + 1):
            run = enter(run, recipe, phase=index)
        return run

    return Lanes(count, count).spread(begin, (0, axes), run_axes(recipe))


def operations(keys: Array, recipe: Recipe, axes: Any, task: Task, dataset: Store | None, phase: int) -> float:
    """Floating-point operations of one iteration of one lane, as XLA counts them without compiling."""
    keys, recipe = first(keys, recipe, axes, 1)
    run = jax.eval_shape(start(recipe, axes, task, dataset, phase, 1), keys, recipe)
    lowered = jax.jit(stretch(recipe, axes, task, phase, 1, 1)).lower(run, recipe, dataset)
    return float((lowered.cost_analysis() or {}).get("flops", 0.0))
