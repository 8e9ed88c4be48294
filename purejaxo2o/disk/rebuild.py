"""The recipe and the task of a run folder: as given, or rebuilt from what the folder says, and never others.

A folder says what classes it needs and cannot make this process import them (`restore`)."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from purejaxo2o.disk import folder as runs
from purejaxo2o.disk.restore import restore
from purejaxo2o.loop import identity
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.tasks import TASKS
from purejaxo2o.tasks import task as build_task
from purejaxo2o.types import O2OError

T = TypeVar("T")


def rebuild(
    folder: Path, config: Mapping[str, Any], *, task: Task | None = None, recipe: Recipe | None = None
) -> tuple[Recipe, Task]:
    """Recipe and task of a run folder's configuration; those given are compared with it.

    Raises `O2OError` naming what differs, or what cannot be rebuilt and is to be given."""
    described = config["described"]
    if not isinstance(described.get("recipe"), dict) or not isinstance(described.get("task"), dict):
        raise O2OError(f"{folder / 'config.json'} is damaged: it describes no recipe and task; {runs.GIVE}")
    known = (lambda: build_task(config["task"])) if config["task"] in TASKS else None
    task = _one(folder, "task", Task, task, described["task"], known)
    recipe = _one(folder, "recipe", Recipe, recipe, described["recipe"], None)
    found = {name: part for name, part in described.items() if name.endswith("env")}
    with sound(folder):
        own = runs.described(recipe, task)
    _compare(folder, "task", found, {name: own.get(name) for name in found})
    return recipe, task


@contextlib.contextmanager
def sound(folder: Path) -> Iterator[None]:
    """One `O2OError` for whatever is wrong inside with a recipe and a task that a folder describes."""
    try:
        yield
    except Exception as error:  # a description may hold any value in any place
        if isinstance(error, O2OError) and str(folder) in str(error):
            raise
        kind = "" if isinstance(error, O2OError) else f"{type(error).__name__}: "
        line = f"{kind}{' '.join(str(error).split())[:200]}"
        raise O2OError(f"what {folder / 'config.json'} describes does not run ({line}); {runs.GIVE}") from error


def _one(folder: Path, name: str, kind: type[T], given: T | None, described: Any, known: Callable[[], T] | None) -> T:
    if given is not None:
        if not isinstance(given, kind):
            raise O2OError(f"{name} is {given!r}; give a {kind.__name__}")
        _compare(folder, name, described, identity.describe(given))
        return given
    remedy = f"in Python, pass it: load_policy({str(folder)!r}, {name}=...)"
    try:
        found = restore(described)
    except Exception as error:  # as in `sound`
        if known is not None and identity.text_of(identity.describe(known())) == identity.text_of(described):
            return known()
        line = " ".join(str(error).split())[:300]
        raise O2OError(f"the {name} of {folder} cannot be rebuilt ({line}); {remedy}") from error
    if not isinstance(found, kind):
        raise O2OError(f"the {name} of {folder} is a {type(found).__name__}; {remedy}")
    _compare(folder, name, described, identity.describe(found))
    return found


def _compare(folder: Path, name: str, described: Any, given: Any) -> None:
    one, other = (
        identity.recipe_names(part) if name == "recipe" else identity.flat(part, name)
        for part in (described, runs.as_read(given))
    )
    difference = identity.differing(one, other)
    if difference:
        raise O2OError(f"the {name} of {folder} is another: {difference}; pass the one that it was trained with")
