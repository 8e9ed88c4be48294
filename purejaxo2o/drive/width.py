"""Side by side or one after the other? On a CPU that depends on the networks: a short measured trial decides.

Batching many lanes makes operations larger. An accelerator gains from that until it is full; a CPU is full with
one lane, and a wide ensemble times many lanes leaves its caches.
"""

import time
from typing import Any, NamedTuple

import jax

from purejaxo2o.drive.lanes import Lanes, first_lanes, recipe_axes, run_axes
from purejaxo2o.drive.programs import compiler_options
from purejaxo2o.loop.prepare import prepare, rows_of
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.train import advance, enter, init
from purejaxo2o.types import Array

SHORT = 2e12
"""Floating-point operations below which a sweep is over before a trial pays (half a minute on two cores)."""
ITERATIONS = 16
SECONDS = 0.4
GAIN = 0.9
"""One after the other must take less than this share of the time, else lanes go side by side."""


class Choice(NamedTuple):
    """How many lanes go side by side on each device, and why."""

    width: int
    reason: str


def choose(
    keys: Array,
    recipe: Recipe,
    task: Task,
    dataset: Store | None,
    per_device: int,
    platform: str,
    limit: int | None = None,
) -> Choice:
    """Decide for `per_device` lanes on each device; `keys` and batched leaves of `recipe` are `[lanes]`.

    limit: bytes that a trial may take; None: whatever it needs."""
    if per_device == 1:
        return Choice(1, "one lane a device")
    if platform != "cpu":
        return Choice(per_device, "side by side: many lanes fill an accelerator")
    axes = recipe_axes(recipe, keys.shape[0])
    keys, recipe = _first(keys, recipe, axes, per_device)
    last = len(recipe.phases) - 1
    learning = [index for index, phase in enumerate(recipe.phases) if phase.updates] or [last]
    work = [_operations(keys, recipe, axes, task, dataset, phase) * _iterations(recipe, phase) for phase in learning]
    if sum(work) * per_device < SHORT:
        return Choice(per_device, "side by side: too short for a trial")
    phase = learning[work.index(max(work))]  # the trial is of the phase that does most
    alone = _seconds(*_first(keys, recipe, axes, 1), axes, task, dataset, phase, limit, 1)
    if alone is None:
        return Choice(1, "one after the other: not even one fits a trial")
    together = _seconds(keys, recipe, axes, task, dataset, phase, limit, per_device)
    if together is None:
        return Choice(1, "one after the other: side by side they do not fit")
    together /= per_device
    figures = f"{1e3 * alone:.2f} ms a lane and step alone, {1e3 * together:.2f} ms side by side"
    if alone < GAIN * together:
        return Choice(1, f"one after the other: {figures}")
    return Choice(per_device, f"side by side: {figures}")


def _iterations(recipe: Recipe, phase: int) -> int:
    return recipe.phases[phase].iterations(recipe.num_envs) * recipe.phases[phase].segments


def _first(keys: Array, recipe: Recipe, axes: Any, count: int) -> tuple[Array, Recipe]:
    return keys[:count], first_lanes(recipe, axes, count)


def _stretch(recipe: Recipe, axes: Any, task: Task, phase: int, count: int, iterations: int) -> Any:
    """`(run, recipe, dataset) -> run` after some iterations of the phase, for `count` lanes side by side."""

    def one(run: Any, recipe: Recipe, dataset: Store | None) -> Any:
        data = prepare(recipe, task, dataset)
        return advance(run, recipe, task, data, phase=phase, count=iterations)[0]

    runs = run_axes(recipe)
    return Lanes(count, count).spread(one, (runs, axes, None), runs)


def _start(recipe: Recipe, axes: Any, task: Task, dataset: Store | None, phase: int, count: int) -> Any:
    def start(key: Array, recipe: Recipe) -> Any:
        run = init(key, recipe, task, rows_of(dataset))
        for index in range(phase + 1):
            run = enter(run, recipe, phase=index)
        return run

    return Lanes(count, count).spread(start, (0, axes), run_axes(recipe))


def _operations(keys: Array, recipe: Recipe, axes: Any, task: Task, dataset: Store | None, phase: int) -> float:
    """Floating-point operations of one iteration of one lane, as XLA counts them without compiling."""
    keys, recipe = _first(keys, recipe, axes, 1)
    run = jax.eval_shape(_start(recipe, axes, task, dataset, phase, 1), keys, recipe)
    lowered = jax.jit(_stretch(recipe, axes, task, phase, 1, 1)).lower(run, recipe, dataset)
    return float((lowered.cost_analysis() or {}).get("flops", 0.0))


def _seconds(
    keys: Array,
    recipe: Recipe,
    axes: Any,
    task: Task,
    dataset: Store | None,
    phase: int,
    limit: int | None,
    count: int,
) -> float | None:
    """The shortest measured time of one iteration of `count` lanes side by side; None where they do not fit."""
    start = jax.jit(_start(recipe, axes, task, dataset, phase, count))
    stretch = jax.jit(_stretch(recipe, axes, task, phase, count, ITERATIONS), donate_argnums=0)
    lowered = stretch.lower(jax.eval_shape(start, keys, recipe), recipe, dataset)
    options: Any = compiler_options("cpu")
    stretch = lowered.compile(options)
    found = stretch.memory_analysis()
    if limit is not None and found is not None and found.temp_size_in_bytes + found.argument_size_in_bytes > limit:
        return None
    run = start(keys, recipe)
    run = jax.block_until_ready(stretch(run, recipe, dataset))
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        once = time.perf_counter()
        run = jax.block_until_ready(stretch(run, recipe, dataset))
        best = min(best, time.perf_counter() - once)
    return best / ITERATIONS
