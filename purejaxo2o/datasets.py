"""The offline data of a task."""

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

    name = task if isinstance(task, str) else task.dataset
    if name is None:
        raise O2OError(f"task {task.name!r} has no dataset; collect one (purejaxo2o collect) or pass a Minari id")  # type: ignore[union-attr]
    rows = embedded.load(name) if name in embedded.EMBEDDED else minari.load(name)
    if not isinstance(task, str):
        check_store(rows, spaces(task.env))
    return rows
