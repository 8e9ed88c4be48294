"""The tasks of a study, with what it says of their datasets, reference scores and limits."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.spelling import shown
from purejaxo2o.study.study import Study
from purejaxo2o.tasks import task as build_task
from purejaxo2o.types import O2OError, nearest, whole

BY_NAME = ("reference", "limit", "clip")
"""What the author of a `Task` object says in it."""


@contextlib.contextmanager
def within(where: str) -> Iterator[None]:
    """Put the place of a mistake in front of what is wrong."""
    try:
        yield
    except O2OError as error:
        raise error.within(where) from error.__cause__


def tasks(study: Study) -> list[tuple[Task, str | Store | None]]:
    """Every task, with the dataset that the study gives it instead of its own: an id, rows, or None.

    Raises `O2OError` for unknown tasks, and for datasets, references and limits that fit no task."""
    names = [entry if isinstance(entry, str) else entry.name for entry in study.tasks]
    datasets, references, limits = (_by_task(study, key, names) for key in ("dataset", "reference", "limit"))
    for name, source in datasets.items():
        if not isinstance(source, str | Store):
            raise O2OError(f"dataset of {name} is {shown(source)}; give a Minari id (or, in Python, a Store)")
    limits = {name: whole(f"limit of {name}", x, "give a number of steps, at least 1") for name, x in limits.items()}
    found = []
    for name, entry in zip(names, study.tasks, strict=True):
        source, limit = datasets.get(name), limits.get(name)
        own = limit if source is None else None  # else it is the other dataset's
        told = {"reference": references.get(name), "limit": own, "clip": study.clip or None}
        with within("tasks"):
            task = _task(entry, told)
        if isinstance(source, str):
            task = dataclasses.replace(task, dataset=source, limit=limit)
        found.append((task, source))
    return found


def _task(entry: str | Task, told: dict[str, Any]) -> Task:
    if isinstance(entry, str):
        return build_task(entry, **told)
    if given := [name for name in BY_NAME if told[name] is not None]:
        raise O2OError(f"{given[0]} is for tasks by name, {entry.name!r} is a Task; make it with its {given[0]}")
    return entry


def _by_task(study: Study, key: str, names: Sequence[str]) -> Mapping[str, Any]:
    """A field of the study by task name; where there is one task, it needs no name."""
    found = getattr(study, key)
    if found is None:
        return {}
    if isinstance(found, Mapping):
        for name in found:
            if name not in names:
                raise O2OError(f"{key}: no task {shown(name)} in this study; {nearest(name, names)}")
        return found
    if len(names) > 1:
        raise O2OError(f"{key} is one for {len(names)} tasks; write a table [{key}] with a line per task name")
    return {names[0]: found}
