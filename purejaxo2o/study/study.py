"""A study: recipes x tasks x settings x seeds, written down in one file and run as one sweep per recipe and task.

    recipes = ["iql", "wsrl"]
    tasks = ["pointmaze-umaze"]
    scale = "small"
    seeds = 8
    [set]                                # for every recipe that has the setting
    offline.steps = 2_000
    [recipe.iql.over]                    # an axis of one recipe
    agent.expectile = [0.7, 0.9]

A TOML file holds the arguments of `Study`; a Python file makes one and calls it `study`. `load` reads either and
checks every combination; `run` trains them, member by member, and survives the failure of any.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from purejaxo2o.data import places
from purejaxo2o.drive import trackers
from purejaxo2o.drive.fit import PathLike
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.seeds import LAST
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import Scale
from purejaxo2o.spelling import shown
from purejaxo2o.types import O2OError, nearest, whole

Names = Mapping[str, Any]
"""Values by dotted setting name, as in `o2o.replace`; nested tables count as dots."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Every recipe on every task, for every combination of its settings' values and every seed.

    recipes: names, or `Recipe` objects with names of their own.
    tasks: names, or `Task` objects with names of their own.
    scale: of the recipes given by name, "paper" or "small".
    seeds, seed0: seeds `seed0` to `seed0 + seeds - 1`.
    dataset: instead of the tasks' own: a Minari id or a `Store` if there is one task, else such by task name.
    reference, limit: of tasks given by name, as in `o2o.task`; several tasks take them by task name.
    clip: accept recorded actions beyond their declared bounds, in all of these.
    set: settings changed in every recipe that has them.
    over: axes, `{setting: values}`, of every recipe.
    recipe: what is special to one recipe, `{name: {"set": {...}, "over": {...}}}`. It goes before `set` and `over`.
    out: where the runs go, by default the file's name under `runs/`.
    log: trackers that get a run for each seed of each setting, of "wandb", "tensorboard", "csv".
    Raises `O2OError` for fields of the wrong type; `members.plan` for everything that does not fit together.
    """

    recipes: Sequence[str | Recipe]
    tasks: Sequence[str | Task]
    scale: Scale = "paper"
    seeds: int = 8
    seed0: int = 0
    dataset: str | Store | Mapping[str, str | Store] | None = None
    reference: Sequence[float] | Mapping[str, Sequence[float]] | None = None
    limit: int | Mapping[str, int] | None = None
    clip: bool = False
    set: Names = dataclasses.field(default_factory=dict)
    over: Names = dataclasses.field(default_factory=dict)
    recipe: Mapping[str, Mapping[str, Names]] = dataclasses.field(default_factory=dict)
    out: PathLike | None = None
    log: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_fields(self)


def _check_fields(study: Study) -> None:
    """Raise `O2OError` for the first field of the wrong type or range."""
    for name, kind in (("recipes", Recipe), ("tasks", Task)):
        value = getattr(study, name)
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise O2OError(f"{name} is {shown(value)}; give a non-empty list of names")
        for entry in value:
            if not isinstance(entry, str | kind):
                raise O2OError(f"{name} holds {shown(entry)}; give names (or, in Python, {kind.__name__} objects)")
    for name, low in (("seeds", 1), ("seed0", 0)):
        number = whole(name, getattr(study, name), f"it must be a whole number of at least {low}", low=low, high=LAST)
        object.__setattr__(study, name, number)  # Python's own, be it NumPy's or JAX's
    if study.seed0 + study.seeds - 1 > LAST:
        raise O2OError(f"seed0 is {study.seed0}; the last of {study.seeds} seeds must be at most {LAST}")
    if study.scale not in ("small", "paper"):
        raise O2OError(f"scale is {shown(study.scale)}; {nearest(study.scale, ('small', 'paper'))}")
    if not isinstance(study.clip, bool):
        raise O2OError(f"clip is {shown(study.clip)}; give true or false")
    if not isinstance(study.out, str | os.PathLike | None):
        raise O2OError(f"out is {shown(study.out)}; give the path of a folder")
    if study.out is not None:
        places.check_folder(study.out, "out")
    if isinstance(study.log, str) or not isinstance(study.log, Sequence):
        raise O2OError(f"log is {shown(study.log)}; give a list of {', '.join(trackers.KINDS)}")
    for name in study.log:
        if name not in trackers.KINDS:
            raise O2OError(f"log holds {shown(name)}; {nearest(name, trackers.KINDS)}")
    for name in ("set", "over", "recipe"):
        _check_table(name, getattr(study, name))
    for name, own in study.recipe.items():
        _check_table(f"recipe.{name}", own)
        for key, table in own.items():
            if key not in ("set", "over"):
                raise O2OError(f"[recipe.{name}]: unknown key {key!r}; {nearest(key, ('set', 'over'))}")
            _check_table(f"recipe.{name}.{key}", table)


def _check_table(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise O2OError(f"{name} is {shown(value)}; it must be a table, [{name}]")
