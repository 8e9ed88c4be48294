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

from purejaxo2o.disk.results import with_axes
from purejaxo2o.loop import settings
from purejaxo2o.loop.agent import Agent
from purejaxo2o.loop.prepare import check_agents, check_settings
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import SEED, Result
from purejaxo2o.spelling import shown
from purejaxo2o.types import Array, O2OError, whole
from purejaxo2o.values import plain

MOST_LANES, MOST_PROGRAMS = 100_000, 1_000
"""Of a sweep: each lane is a run, each program minutes of compiling."""
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
        return [settings.changed(self.recipe, dict(zip(self.static, values, strict=True))) for values in combinations]

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
        return self.keys[jnp.asarray(seed)], settings.changed(program, columns)

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


def lane_count(name: str, value: Any) -> int | None:
    """How many lanes, or None for as many as is good. Raises `O2OError` for what is no whole number."""
    return None if value is None else whole(name, value, "give a whole number of lanes, at least 1, or leave it out")


def make(recipe: Recipe, keys: Array, over: Mapping[str, Sequence[Any]] | None, seeds: tuple[int, ...] = ()) -> Grid:
    """seeds: the numbers of the keys.

    Raises `O2OError` for unknown names, values that do not fit, static settings whose results cannot lie in one
    array, and more lanes or programs than anybody can train."""
    found: dict[str, Any] = {}
    if not isinstance(over, Mapping | None):
        raise O2OError(f"over is {shown(over)}; give a dictionary of lists, e.g. {{'agent.discount': [0.9, 0.99]}}")
    for name, values in (over or {}).items():
        known = settings.canonical(recipe, name)
        if known in found:
            raise O2OError(f"over has {known} twice, also as {name!r}; give each name once")
        found[known] = _listed(recipe, known, values)
    settings.check_shadowed(recipe, settings.spelled_out(recipe, found))
    _check_size(recipe, {**found, SEED: keys})
    found = {name: plain(tuple(values)) for name, values in found.items()}
    grid = Grid(recipe, keys, found, seeds)
    for name, values in found.items():
        _check_axis(recipe, name, values)
    _check_together(grid)
    shapes = {name: [_shape(settings.changed(recipe, {name: v})) for v in found[name]] for name in grid.static}
    for name, every in shapes.items():
        if any(shape != _shape(recipe) for shape in every):
            raise O2OError(
                f"{name} changes how many evaluations or episodes there are, so that its values cannot share "
                "the arrays of one sweep",
                python=f"call sweep once for each with o2o.replace(recipe, {{{name!r}: value}})",
                shell=f"run one for each with --set {name}=VALUE",
            )
    return grid


def _listed(recipe: Recipe, name: str, values: Any) -> Any:
    """The values of an axis as they are given: a list, or something like one."""
    kind = "values" if settings.is_static(recipe, name) else "numbers"
    listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    if not (listed or getattr(values, "ndim", 0)) or not len(values):
        raise O2OError(f"over[{name!r}] is {shown(values)}; give a non-empty list of {kind}")
    return values


def _check_size(recipe: Recipe, axes: Mapping[str, Any]) -> None:
    """Before anything is made of the values."""
    sizes = {name: len(values) for name, values in axes.items()}
    programs = math.prod(size for name, size in sizes.items() if name != SEED and settings.is_static(recipe, name))
    for what, count, most in (
        ("lanes", math.prod(sizes.values()), MOST_LANES),
        ("programs", programs, MOST_PROGRAMS),
    ):
        if count > most:
            product = " x ".join(f"{size:,} {name}" for name, size in sizes.items())
            raise O2OError(f"over makes {count:,} {what} ({product}), at most {most:,} will do; give fewer values")


def _shape(recipe: Recipe) -> tuple[Any, ...]:
    """What decides the shape of a result."""
    return tuple(phase.segments for phase in recipe.phases), recipe.switch, recipe.eval_episodes


def _check_axis(recipe: Recipe, name: str, values: tuple[Any, ...]) -> None:
    """Every value is one that the recipe takes, and none is there twice."""
    if not (static := settings.is_static(recipe, name)):
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if not numeric or any(isinstance(v, float) and not math.isfinite(v) for v in values):
            raise O2OError(f"over[{name!r}] is {shown(list(values))}; every value must be a finite number")
    for value in values:  # once batched, they are arrays that no check looks into
        try:
            check_settings(settings.changed(recipe, {name: value}))
        except O2OError as error:
            if not static:
                raise
            hint = f"{name} is static: each value is a program of its own"
            raise O2OError(f"over[{name!r}]: {error} ({hint})") from None
    same = set(values) if static else set(np.asarray(values, np.float32).tolist())  # lanes are float32
    if len(same) < len(values):
        raise O2OError(f"over[{name!r}] is {shown(list(values))}; give each value once")


def _check_together(grid: Grid) -> None:
    """The agent's numbers go together in every lane, where they will be arrays that no check looks into."""
    names = [name for name in grid.over if name not in grid.static]
    if names and type(grid.recipe.agent).check is not Agent.check:
        for program in grid.programs():
            for values in itertools.product(*(grid.over[name] for name in names)):
                check_agents(settings.changed(program, dict(zip(names, values, strict=True))))


def chain(parts: list[Result]) -> Result:
    """Results one after the other along their leading axis."""
    if len(parts) == 1:
        return parts[0]
    whole = [jax.tree.map(np.asarray, replace(part, run=None, agent=None)) for part in parts]
    states = [(part.run, part.agent) for part in parts]
    run, agent = jax.tree.map(lambda *xs: jnp.concatenate(xs), *states)
    return replace(jax.tree.map(lambda *xs: np.concatenate(xs), *whole), run=run, agent=agent)
