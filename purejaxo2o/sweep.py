"""Settings x seeds in one program: the axes of a sweep, flattened to lanes and driven like a single run."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o import settings
from purejaxo2o.fit import PathLike, Timing, drive, recipe_axes
from purejaxo2o.phases import Recipe
from purejaxo2o.prepare import check_settings
from purejaxo2o.progress import Meter
from purejaxo2o.result import Result
from purejaxo2o.sinks import Sink
from purejaxo2o.store import Store
from purejaxo2o.tasks import Task
from purejaxo2o.types import Array, O2OError


def sweep(
    recipe: Recipe,
    task: Task,
    dataset: Store | None = None,
    *,
    seeds: int | Array = 8,
    over: Mapping[str, Sequence[float]] | None = None,
    out: PathLike | None = None,
    resume: bool = False,
    sinks: Sequence[Sink] = (),
    progress: bool | Meter = True,
    timing: Timing | None = None,
) -> Result:
    """Train every combination of the numeric settings in `over` with every seed, batched in one program.

    seeds: how many (keys `split(key(0), seeds)`), or an array of keys `[n]`.
    over: `{"agent.learning_rate": [1e-4, 3e-4], "online.offline_ratio": [...]}`; numbers only.
    Returns a `Result` with leading axes `[*settings in the order of over, seed]`; every lane equals the solo
    `fit` with the same key and settings up to XLA's rounding. The dataset is shared by all lanes.
    Raises `O2OError` for unknown names, and for static settings (sizes, step counts), which need a program each.
    """
    keys = seeds if isinstance(seeds, jax.Array) else seed_keys(seeds)
    over = dict(over or {})
    shape = (*(len(values) for values in over.values()), len(keys))
    for name, values in over.items():
        _check_axis(recipe, name, values)
    combinations = list(itertools.product(*over.values(), range(len(keys))))
    columns = {
        name: jnp.array([combination[i] for combination in combinations], jnp.float32) for i, name in enumerate(over)
    }
    batched = settings.replace(recipe, columns)
    lane_keys = keys[jnp.array([combination[-1] for combination in combinations])]
    result = drive(
        lane_keys,
        batched,
        task,
        dataset,
        recipe_axes(batched, math.prod(shape)),
        out=out,
        resume=resume,
        sinks=sinks,
        progress=progress,
        timing=timing,
        extra_config={"over": {name: list(map(float, values)) for name, values in over.items()}},
    )
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), result)


def seed_keys(count: int, seed: int = 0) -> Array:
    """The keys of seeds 0 to `count - 1`: `split(key(seed), count)`."""
    if count < 1:
        raise O2OError(f"seeds is {count}; it must be at least 1")
    return jax.random.split(jax.random.key(seed), count)


def _check_axis(recipe: Recipe, name: str, values: Any) -> None:
    if settings.is_static(recipe, name):
        raise O2OError(
            f"{name} is static (it decides shapes or structure) and cannot be batched; call sweep once for each of "
            f"its values with o2o.replace(recipe, {{{name!r}: value}})"
        )
    if isinstance(values, str) or not len(values):
        raise O2OError(f"over[{name!r}] is {values!r}; give a non-empty list of numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        raise O2OError(f"over[{name!r}] is {list(values)!r}; every value must be a finite number")
    for value in values:  # once batched, they are arrays that no check looks into
        check_settings(settings.replace(recipe, {name: value}))
