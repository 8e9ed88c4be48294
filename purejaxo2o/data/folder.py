"""Where datasets lie: the folder that Minari uses, what is in it, and what one of them says about itself."""

import os
from pathlib import Path

from minari.dataset.minari_dataset import parse_dataset_id

from purejaxo2o.data import places
from purejaxo2o.data.metadata import Metadata, read_metadata
from purejaxo2o.data.staging import recover
from purejaxo2o.types import O2OError, nearest

LONGEST = 255
"""Bytes of a folder's name."""


def root() -> Path:
    """The folder that holds the datasets (it need not exist yet). Raises `O2OError` as `places.datasets`."""
    return places.datasets()


def local_ids() -> list[str]:
    """Ids of the datasets under `root()`, sorted; none for a user who has no such folder."""
    try:
        folder = root()
    except O2OError:
        return []
    recover(folder)
    found = (path.parents[1].relative_to(folder) for path in folder.glob("**/data/metadata.json"))
    return sorted(p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts))


def namespace_of(dataset_id: str) -> str | None:
    """The folders of an id, `a/b` of `a/b/name-v0`. Raises `O2OError` for what is no id."""
    try:
        namespace = parse_dataset_id(dataset_id)[0]
        if max(len(os.fsencode(part)) for part in dataset_id.split("/")) <= LONGEST:
            return namespace
    except (ValueError, TypeError):
        pass
    raise O2OError(f"{dataset_id!r} is no dataset id; write it like 'namespace/environment/name-v0'")


def files_of(dataset_id: str) -> Path:
    """The folder with the files of a local dataset. Raises `O2OError` if there is no such dataset."""
    namespace_of(dataset_id)
    folder = root() / dataset_id / "data"
    if not folder.is_dir():
        recover(root())
    if not folder.is_dir():
        known = local_ids()
        hint = nearest(dataset_id, known) if known else "the folder holds no dataset"
        raise O2OError(
            f"dataset {dataset_id!r} is not in {root()}: {hint}; get it with `minari download {dataset_id}` or "
            "record one with `purejaxo2o collect`"
        )
    return folder


def described(dataset_id: str) -> Metadata:
    """What a local dataset says about itself, checked; nothing else of it is opened. Raises `O2OError`."""
    return read_metadata(place(dataset_id), files_of(dataset_id) / "metadata.json")


def place(dataset_id: str) -> str:
    """How errors name a local dataset."""
    return f"dataset {dataset_id!r} in {root()}"
