"""The offline data of a task."""

from typing import TYPE_CHECKING

from purejaxo2o.envs.base import spaces
from purejaxo2o.store import Store
from purejaxo2o.tasks import Task
from purejaxo2o.types import O2OError

FILE_SUFFIX = ".hdf5"
"""Names that end so are files in D4RL's layout, all others are Minari ids."""

if TYPE_CHECKING:
    from purejaxo2o.data.reading import DatasetInfo, Reading


def dataset(task: Task | str) -> Store:
    """The rows of `task.dataset`, checked against the task's spaces; also takes a Minari id or a D4RL `.hdf5` file.

    Ids of our own (`purejaxo2o/...`) are made on first use and kept in the Minari folder
    (`MINARI_DATASETS_PATH`, by default `~/.minari/datasets`); all others are loaded from there.
    """
    if isinstance(task, str):
        return read(task).store()
    if task.dataset is None:
        raise _none(task)
    reading = read(task.dataset)
    _check_spaces(reading.info, task)
    return reading.store()


def read(name: str, *, clip: bool = False) -> "Reading":
    """The rows of the dataset `name` on the host, with its description, before their values are checked.

    clip: accept actions beyond their declared bounds."""
    # Minari pulls in Gymnasium and h5py; only those who load data wait for them.
    from purejaxo2o.data import d4rl_hdf5, embedded, minari

    if name.endswith(FILE_SUFFIX):
        return d4rl_hdf5.read(name, clip=clip)
    return (embedded if name in embedded.EMBEDDED else minari).read(name, clip=clip)


def info(name: str) -> "DatasetInfo":
    """What the dataset `name` says about itself, as `read`; one of our own is made first."""
    from purejaxo2o.data import embedded, folder, minari

    if name.endswith(FILE_SUFFIX) or (name in embedded.EMBEDDED and name not in folder.local_ids()):
        return read(name).info
    return minari.info(name)


def check_available(task: Task) -> None:
    """Raise `O2OError` if `dataset(task)` would find nothing to load or make; makes nothing itself."""
    from purejaxo2o.data import d4rl_hdf5, embedded, folder

    if task.dataset is None:
        raise _none(task)
    if task.dataset.endswith(FILE_SUFFIX):
        d4rl_hdf5.check_exists(task.dataset)
    elif task.dataset not in embedded.EMBEDDED:
        folder.open_dataset(task.dataset)


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
            origin = f"it was recorded in {info.env_id}" if info.env_id else "it does not say where it was recorded"
            raise O2OError(
                f"dataset {info.id!r} has {what} {one}, {task.env.name} has {other}: another environment, version or "
                f"option of it ({origin})",
                python=f"train in its own: task_from_minari({info.id!r})",
                shell=f"train in its own: give {info.id} instead of the task, without --dataset",
            )
