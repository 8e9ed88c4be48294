"""The offline data of a task."""

from typing import Any

from purejaxo2o.data.checks import check_store
from purejaxo2o.envs.base import spaces
from purejaxo2o.store import Store
from purejaxo2o.tasks import Task
from purejaxo2o.types import O2OError


def dataset(task: Task | str) -> Store:
    """The rows of `task.dataset`, checked against the task's spaces; also takes a Minari id.

    Ids of our own (`purejaxo2o/...`) are made on first use and kept in the Minari folder
    (`MINARI_DATASETS_PATH`, by default `~/.minari/datasets`); all others are loaded from there.
    """
    # Minari pulls in Gymnasium and h5py; only those who load data wait for them.
    from purejaxo2o.data import embedded, minari

    if not isinstance(task, str) and task.dataset is None:
        raise O2OError(_none(task))
    name: Any = task if isinstance(task, str) else task.dataset
    rows = embedded.load(name) if name in embedded.EMBEDDED else minari.load(name)
    if not isinstance(task, str):
        check_store(rows, spaces(task.env))
    return rows


def check_available(task: Task) -> None:
    """Raise `O2OError` if `dataset(task)` would find nothing to load or make; makes nothing itself."""
    from purejaxo2o.data import embedded, folder

    if task.dataset is None:
        raise O2OError(_none(task))
    if task.dataset not in embedded.EMBEDDED:
        folder.open_dataset(task.dataset)


def _none(task: Task) -> str:
    return f"task {task.name!r} has no dataset; collect one (purejaxo2o collect) or pass a Minari id"
