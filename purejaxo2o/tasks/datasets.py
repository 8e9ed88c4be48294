"""The offline data of a task."""

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from purejaxo2o.data.d4rl_names import is_file
from purejaxo2o.data.sources import Name, read
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.store import Store, from_transitions
from purejaxo2o.loop.task import Task
from purejaxo2o.tasks import TASKS, as_task
from purejaxo2o.types import O2OError, Transition

if TYPE_CHECKING:
    from minari import MinariDataset

    from purejaxo2o.data.reading import DatasetInfo, Reading


def dataset(
    task: "Task | Name | MinariDataset | Transition", *, limit: int | None = None, clip: bool | None = None
) -> Store:
    """The rows of `task.dataset`, checked against the task's environment; also takes the name of a task, a Minari
    id, the path of a file in D4RL's layout (`.hdf5`, `.h5`), a dataset that Minari has opened (what its
    `filter_episodes` returns), or rows of one's own: `o2o.Transition(obs=..., action=..., ...)` of arrays `[N, ...]`,
    trajectory by trajectory in time order.

    limit, clip: as `read`; by default the task's.
    Ids of our own (`purejaxo2o/...`) are made on first use and kept in the Minari folder
    (`MINARI_DATASETS_PATH`, by default `~/.minari/datasets`); all others are loaded from there. Warns where the
    dataset says that it was recorded in another environment than the task's, and where an Adroit task's domain does
    not go with its rewards. Raises `O2OError` for a dataset that is missing, damaged, or of other spaces than the
    task's.
    """
    if isinstance(task, Transition):
        return from_transitions(task)
    if not isinstance(task, Task) and not (isinstance(task, str | os.PathLike) and os.fspath(task) in TASKS):
        return read(task, limit=limit, clip=bool(clip)).store()
    task = as_task(task)
    if task.dataset is None:
        raise _none(task)
    reading = read(task.dataset, limit=limit or task.limit, clip=task.clip if clip is None else clip)
    _check_spaces(reading.info, task)
    _check_origin(reading.info, task)
    _check_rewards(reading, task)
    return reading.store()


def check_available(task: Task) -> None:
    """Raise `O2OError` if `dataset(task)` would find nothing to load or make; makes nothing itself."""
    from purejaxo2o.data import d4rl_hdf5, embedded, minari

    if task.dataset is None:
        raise _none(task)
    if is_file(task.dataset):
        d4rl_hdf5.check_exists(task.dataset)
    elif task.dataset not in embedded.EMBEDDED:
        minari.check_available(task.dataset)


def _none(task: Task) -> O2OError:
    return O2OError(
        f"task {task.name!r} has no dataset",
        python="collect one (purejaxo2o collect) or give it a Minari id: dataclasses.replace(task, dataset=...)",
        shell="collect one (purejaxo2o collect) or name one (--dataset ID)",
    )


def _check_spaces(info: "DatasetInfo", task: Task) -> None:
    """Raise `O2OError` unless the rows are of the task's environment, as far as their form tells."""
    have, need = info.spaces, spaces(task.env)
    for what, one, other in (("observations", have.obs, need.obs), ("actions", have.action, need.action)):
        same = (one.shape, one.n, one.dtype) == (other.shape, other.n, other.dtype)
        if not same or (one.parts and other.parts and one.parts != other.parts):
            where = info.env_id or info.provenance.get("environment")
            origin = f"it was recorded in {where}" if where else "it does not say where it was recorded"
            raise O2OError(
                f"dataset {info.id!r} has {what} {one}, {task.env.name} has {other}: another environment, version or "
                f"option of it ({origin})",
                python=f"train in its own: task_from_minari({info.id!r})",
                shell=f"train in its own: give {info.id} instead of the task, without --dataset",
            )


def _check_origin(info: "DatasetInfo", task: Task) -> None:
    """Warn where the rows say that they are of another environment than the task's."""
    from purejaxo2o.tasks.origins import contradictions, origin

    found = []
    if info.env_spec is not None:
        found = list(contradictions(origin(info, info.env_spec), task.env))
    elif info.provenance.get("environment", task.env.name) != task.env.name:
        found = [f"{info.provenance['environment']} there, {task.env.name} here"]
    if found:
        warnings.warn(
            f"dataset {info.id!r} was recorded in another environment than task {task.name!r} trains in: "
            f"{'; '.join(found)}; if that is not meant, train in its own: give {info.id} as the task",
            stacklevel=3,
        )


def _check_rewards(reading: "Reading", task: Task) -> None:
    """Warn where the rows of an Adroit task have the rewards of Adroit's other domain."""
    if task.domain not in ("adroit", "adroit-binary"):
        return
    binary = bool(np.isin(reading.data.reward, (-1.0, 0.0)).all())
    found = "only the rewards -1 and 0" if binary else "other rewards than -1 and 0"
    domain, fail = ("adroit-binary", -1.0) if binary else ("adroit", None)
    if domain != task.domain:
        warnings.warn(
            f"dataset {reading.info.id!r} has {found}, yet task {task.name!r} is of the domain {task.domain!r}: its "
            f"recipes are for the other kind; make them for dataclasses.replace(task, domain={domain!r}, "
            f"fail_reward={fail})",
            stacklevel=3,
        )
