"""Offline data by name: a Minari id, a file in D4RL's layout, or one of our own, which is made on first use."""

import os
from typing import TYPE_CHECKING

from purejaxo2o.data.d4rl_names import is_file
from purejaxo2o.loop.task import checked_limit
from purejaxo2o.types import O2OError

if TYPE_CHECKING:
    from minari import MinariDataset

    from purejaxo2o.data.reading import DatasetInfo, Reading

Name = str | os.PathLike[str]
"""What names a dataset: an id, or the path of a file."""


def read(name: "Name | MinariDataset", *, limit: int | None = None, clip: bool = False) -> "Reading":
    """The rows of the dataset `name` on the host, with its description, before their values are checked.

    limit: time limit of an episode in steps, for a D4RL file whose ends are not marked and are not known.
    clip: accept actions beyond their declared bounds."""
    # Minari pulls in Gymnasium and h5py; only those who load data wait for them.
    from purejaxo2o.data import d4rl_hdf5, embedded, minari

    limit = checked_limit(limit)
    if not isinstance(name, str | os.PathLike):
        if not hasattr(name, "storage"):
            raise O2OError(f"{name!r:.80} is no dataset; give a Minari id, a D4RL file's path, or a MinariDataset")
        return minari.read(name, clip=clip)
    name = os.fspath(name)
    if is_file(name):
        return d4rl_hdf5.read(name, limit=limit, clip=clip)
    return (embedded if name in embedded.EMBEDDED else minari).read(name, clip=clip)


def info(name: Name, *, limit: int | None = None) -> "DatasetInfo":
    """What the dataset `name` says about itself, as `read`; one of our own is made first."""
    from purejaxo2o.data import embedded, folder, minari

    name = os.fspath(name)
    if is_file(name) or (name in embedded.EMBEDDED and name not in folder.local_ids()):
        return read(name, limit=limit).info
    return minari.info(name)
