"""The axes of a sweep: which settings are batched in one program, which need a program each, and how lanes join.

Lanes are counted setting by setting, the last axis (the seeds) fastest.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o import settings
from purejaxo2o.archive import with_axes
from purejaxo2o.phases import Recipe
from purejaxo2o.prepare import check_settings
from purejaxo2o.result import SEED, Result
from purejaxo2o.types import Array, O2OError

Axes = tuple[tuple[str, tuple[Any, ...]], ...]


@dataclass(frozen=True)
class Grid:
    """Settings x seeds. `over`: values by name, numbers to be batched and static settings alike."""

    recipe: Recipe
    keys: Array  # [seeds]
    over: dict[str, tuple[Any, ...]]
    seeds: tuple[int, ...] = ()  # the numbers of the keys; none: 0, 1, ...

    @cached_property
    def axes(self) -> Axes:
        """Names and values of the leading axes of the result, seeds last."""
        return (*self.over.items(), (SEED, self.seeds or tuple(range(len(self.keys)))))

    @cached_property
    def static(self) -> tuple[str, ...]:
        return tuple(name for name in self.over if settings.is_static(self.recipe, name))

    @property
    def program_axes(self) -> tuple[int, ...]:
        """Positions among the axes of those that need a program for each value."""
        return tuple(i for i, (name, _) in enumerate(self.axes) if name in self.static)

    def programs(self) -> list[Recipe]:
        """The recipe under every combination of static settings."""
        combinations = itertools.product(*(self.over[name] for name in self.static))
        return [settings.replace(self.recipe, dict(zip(self.static, values, strict=True))) for values in combinations]

    @cached_property
    def lanes(self) -> int:
        """Lanes of each program."""
        return math.prod(len(values) for name, values in self.axes if name not in self.static)

    def batch(self, program: Recipe, lanes: Sequence[int]) -> tuple[Array, Recipe]:
        """Keys `[n]` and the recipe with batched numbers `[n]` of some lanes of a program."""
        batched = {name: values for name, values in self.over.items() if name not in self.static}
        sizes = [*map(len, batched.values()), len(self.keys)]
        *at, seed = np.unravel_index(np.asarray(lanes), sizes)
        columns = {
            name: jnp.asarray(np.asarray(values, np.float32)[index])
            for (name, values), index in zip(batched.items(), at, strict=True)
        }
        return self.keys[jnp.asarray(seed)], settings.replace(program, columns)

    def join(self, results: list[list[Result]]) -> Result:
        """The whole result from those of the parts, in order of lanes, of every program."""
        programs = [chain(parts) for parts in results]
        inner = [len(values) for i, (_, values) in enumerate(self.axes) if i not in self.program_axes]
        states = [
            jax.tree.map(lambda x: x.reshape(*inner, *x.shape[1:]), (program.run, program.agent))
            for program in programs
        ]
        run, agent = states[0] if not self.program_axes else zip(*states, strict=True)
        measured = [replace(program, run=None, agent=None) for program in programs]
        joined = jax.tree.map(lambda *xs: xs[0] if len(xs) == 1 else np.concatenate(xs), *measured)
        return replace(with_axes(joined, self.axes, self.program_axes), run=run, agent=agent)


def make(recipe: Recipe, keys: Array, over: Mapping[str, Sequence[Any]] | None, seeds: tuple[int, ...] = ()) -> Grid:
    """Raises `O2OError` for unknown names, values that do not fit, and static settings whose results cannot lie in
    one array."""
    over = dict(over or {})
    for name, values in over.items():
        _check_axis(recipe, name, values)
    grid = Grid(recipe, keys, {name: tuple(values) for name, values in over.items()}, seeds)
    shapes = {name: _shape(settings.replace(recipe, {name: v})) for name in grid.static for v in grid.over[name]}
    for name, shape in shapes.items():
        if shape != _shape(recipe) or any(_shape(settings.replace(recipe, {name: v})) != shape for v in over[name]):
            raise O2OError(
                f"{name} changes how many evaluations or episodes there are, so that its values cannot share "
                f"the arrays of one sweep; call sweep once for each with o2o.replace(recipe, {{{name!r}: value}})"
            )
    return grid


def _shape(recipe: Recipe) -> tuple[Any, ...]:
    """What decides the shape of a result."""
    return tuple(phase.segments for phase in recipe.phases), recipe.switch, recipe.eval_episodes


def _check_axis(recipe: Recipe, name: str, values: Any) -> None:
    static = settings.is_static(recipe, name)
    kind = "values" if static else "numbers"
    if isinstance(values, str | Mapping) or not hasattr(values, "__len__") or not len(values):
        raise O2OError(f"over[{name!r}] is {values!r}; give a non-empty list of {kind}")
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if not static and not numeric:
        raise O2OError(f"over[{name!r}] is {list(values)!r}; every value must be a finite number")
    if len(set(map(repr, values))) < len(values):
        raise O2OError(f"over[{name!r}] is {list(values)!r}; give each value once")
    for value in values:  # once batched, they are arrays that no check looks into
        try:
            check_settings(settings.replace(recipe, {name: value}))
        except O2OError as error:
            if not static:
                raise
            hint = f"{name} is static: each value is a program of its own"
            raise O2OError(f"over[{name!r}]: {error} ({hint})") from None


def chain(parts: list[Result]) -> Result:
    """Results one after the other along their leading axis."""
    if len(parts) == 1:
        return parts[0]
    whole = [jax.tree.map(np.asarray, replace(part, run=None, agent=None)) for part in parts]
    states = [(part.run, part.agent) for part in parts]
    run, agent = jax.tree.map(lambda *xs: jnp.concatenate(xs), *states)
    return replace(jax.tree.map(lambda *xs: np.concatenate(xs), *whole), run=run, agent=agent)
