"""From what a study's author wrote to the sweeps that it means, each of them checked before any work is done."""

import contextlib
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from purejaxo2o.figures.report import setting_text
from purejaxo2o.loop import settings, store
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.prepare import check, check_settings, offline_needs
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import recipe as build_recipe
from purejaxo2o.spelling import shown
from purejaxo2o.study.study import Study
from purejaxo2o.study.tasks import tasks, within
from purejaxo2o.tasks.datasets import check_available
from purejaxo2o.types import O2OError, nearest, transition_example
from purejaxo2o.values import plain

DEEPEST = 4
"""Parts of a setting's name, `phase.online.agent.learning_rate`."""


@dataclasses.dataclass(frozen=True)
class Member:
    """One sweep of a study.

    recipe: with the settings that the study changes. over: its axes, `{setting: values}`, maybe none.
    data: rows given in Python; None: those of `task.dataset`."""

    task: Task
    recipe: Recipe
    over: Mapping[str, Sequence[Any]]
    data: Store | None = None

    @property
    def label(self) -> str:
        return f"{self.recipe.name} · {self.task.name}"

    @property
    def folder(self) -> str:
        """Where it lives below the study's folder."""
        return f"{folder_name(self.task.name)}/{folder_name(self.recipe.name)}"

    @property
    def uses_data(self) -> bool:
        """Whether any phase learns from offline rows."""
        return self.recipe.uses_offline


def folder_name(name: str) -> str:
    """A task's or recipe's name as one part of a path: ids hold slashes."""
    return name.replace("/", "-")


def plan(study: Study) -> tuple[Member, ...]:
    """Every sweep of the study, tasks first, checked. Raises `O2OError` for whatever cannot run."""
    pairs = tasks(study)
    _distinct("task", [task.name for task, _ in pairs], reserved=("report",))
    members = []
    for task, source in pairs:
        recipes = [_looked_up("recipes", x, lambda name, task=task: _built(name, task, study)) for x in study.recipes]
        _distinct("recipe", [recipe.name for recipe in recipes])
        _check_names(study, recipes)
        given = source if isinstance(source, Store) else None
        for recipe in recipes:
            with within(f"{recipe.name} on {task.name}"):
                members.append(_member(study, task, recipe, given))
        if given is None and any(member.uses_data for member in members if member.task is task):
            with within("tasks" if source is None else "dataset"):
                check_available(task)
    return tuple(members)


def _built(name: str, task: Task, study: Study) -> Recipe:
    return build_recipe(name, task, study.scale)


def _looked_up(key: str, entry: Any, build: Callable[[str], Any]) -> Any:
    with within(key):
        return build(entry) if isinstance(entry, str) else entry


def _distinct(kind: str, names: Sequence[str], reserved: Sequence[str] = ()) -> None:
    """Names become folders: they must differ, also in what is left of them there."""
    for name in names:
        if not name or name.startswith(".") or "\\" in name or name in reserved:
            raise O2OError(f"{kind} name {name!r} cannot be a folder; give it another name")
    name, count = Counter(map(folder_name, names)).most_common(1)[0]
    if count > 1:
        raise O2OError(
            f"{kind} {name!r} is there {count} times; name it once, or give the {kind}s names of their own"
        )


def _check_names(study: Study, recipes: Sequence[Recipe]) -> None:
    """What is for all recipes exists in them, what is for one is for one that is there."""
    known = [recipe.name for recipe in recipes]
    everywhere = set().union(*map(settings.names, recipes))
    for table in ("set", "over"):
        for name in _dotted(table, getattr(study, table)):
            if not any(settings.knows(recipe, name) for recipe in recipes):
                raise O2OError(f"[{table}]: no recipe here has a setting {name!r}; {nearest(name, everywhere)}")
    for name in _dotted("over", study.over):
        have = [recipe.name for recipe in recipes if settings.knows(recipe, name)]
        if len(have) < len(known):
            lacking = ", ".join(recipe for recipe in known if recipe not in have)
            raise O2OError(f"[over]: {name} is no setting of {lacking}; write it under [recipe.{have[0]}.over]")
    for name in study.recipe:
        if name not in known:
            raise O2OError(f"[recipe.{name}]: no recipe {name!r} in this study; {nearest(name, known)}")


def _member(study: Study, task: Task, recipe: Recipe, data: Store | None) -> Member:
    """The recipe with its settings and axes; its own go before those for all."""
    own, place = study.recipe.get(recipe.name, {}), f"recipe.{recipe.name}"
    own_set = _dotted(f"{place}.set", own.get("set", {}))
    own_over = _dotted(f"{place}.over", own.get("over", {}))
    all_set, all_over = _dotted("set", study.set), _dotted("over", study.over)
    for where, one, other in ((place, own_set, own_over), ("study", all_set, all_over)):
        if both := sorted(one.keys() & other.keys()):
            raise O2OError(f"[{where}]: {both[0]} is both set and varied (over); drop one")
    all_set = {name: value for name, value in all_set.items() if settings.knows(recipe, name)}
    with within("[set]"):
        changed = settings.changed(recipe, all_set)
    with within(f"[{place}.set]"):
        changed = settings.changed(changed, own_set)
    over = {}
    for where, axes in (("over", all_over), (f"{place}.over", own_over)):
        for name, values in axes.items():
            if where != "over" or name not in own_set:
                with within(f"[{where}]"):
                    over[name] = _axis(changed, name, values)
    settings.check_shadowed(recipe, [*all_set, *own_set, *over])
    check_combinations(changed, task, over, data)
    return Member(task, changed, over, data)


def _axis(recipe: Recipe, name: str, values: Any) -> tuple[Any, ...]:
    """The values of an axis, each of which the recipe takes."""
    values = plain(values) if getattr(values, "ndim", 0) else values
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise O2OError(f"{name} is {shown(values)}; give a non-empty list of values")
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise O2OError(f"{name} holds {value}; every value must be finite")
        check_settings(settings.changed(recipe, {name: value}))
    found = plain(tuple(values))
    if twice := [value for value in found if found.count(value) > 1]:
        raise O2OError(f"{name} holds {shown(twice[0])} twice; give every value once")
    return found


def _static(recipe: Recipe, over: Mapping[str, Any]) -> list[str]:
    return [name for name in over if settings.is_static(recipe, name)]


def check_combinations(recipe: Recipe, task: Task, over: Mapping[str, Sequence[Any]], data: Store | None) -> None:
    """Raise `O2OError` unless sizes and steps fit together, and the task, in every combination.

    data: None for rows that are not loaded yet. Numbers were checked one by one: no check joins two."""
    static = _static(recipe, over)
    for values in itertools.product(*(over[name] for name in static)):
        chosen = dict(zip(static, values, strict=True))
        variant = settings.changed(recipe, chosen)
        # Rows as the task makes them stand in for a dataset that is not loaded yet.
        example = transition_example(spaces(task.env), offline_needs(variant))
        stand_in = jax.eval_shape(lambda example=example: store.empty(example, rows=1, envs=1))
        with (
            within(", ".join(setting_text(*pair) for pair in chosen.items())) if chosen else contextlib.nullcontext()
        ):
            check(variant, task, stand_in if data is None else data)


def _dotted(where: str, table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by full setting name. `agent.discount = 0.9` is a nested table in TOML, with quotes it is a name."""
    found: dict[str, Any] = {}
    if prefix.count(".") > DEEPEST:
        raise O2OError(f"[{where}]: {prefix[:40]}... is too deep; setting names have at most {DEEPEST} parts")
    for key, value in table.items():
        name = f"{prefix}{key}".removeprefix("phase.")
        more = _dotted(where, value, f"{prefix}{key}.") if isinstance(value, Mapping) else {name: value}
        if twice := sorted(found.keys() & more.keys()):
            raise O2OError(f"[{where}]: {twice[0]} is there twice; give it once")
        found |= more
    return found
