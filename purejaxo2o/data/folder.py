"""Where datasets lie: the folder that Minari uses, what is in it, and opening one of them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import minari
from minari.dataset._storages import get_storage_keys
from minari.dataset.minari_dataset import MinariDataset, parse_dataset_id
from minari.dataset.minari_storage import MinariStorage

from purejaxo2o import places
from purejaxo2o.types import O2OError, nearest


def root() -> Path:
    """The folder that holds the datasets (it need not exist yet). Raises `O2OError` as `places.datasets`."""
    return places.datasets()


def local_ids() -> list[str]:
    """Ids of the datasets under `root()`, sorted; none for a user who has no such folder."""
    try:
        folder = root()
    except O2OError:
        return []
    found = (path.parents[1].relative_to(folder) for path in folder.glob("**/data/metadata.json"))
    return sorted(p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts))


def namespace_of(dataset_id: str) -> str | None:
    """The folders of an id, `a/b` of `a/b/name-v0`. Raises `O2OError` for what is no id."""
    try:
        return parse_dataset_id(dataset_id)[0]
    except (ValueError, TypeError):
        raise O2OError(f"{dataset_id!r} is no dataset id; write it like 'namespace/environment/name-v0'") from None


def open_dataset(dataset_id: str) -> MinariDataset:
    """Open a local dataset, never the network. Raises `O2OError` if it is missing or unreadable."""
    namespace_of(dataset_id)
    folder = root() / dataset_id / "data"
    if not folder.is_dir():
        known = local_ids()
        hint = nearest(dataset_id, known) if known else "the folder holds no dataset"
        raise O2OError(
            f"dataset {dataset_id!r} is not in {root()}: {hint}; get it with `minari download {dataset_id}` or "
            "record one with `purejaxo2o collect`"
        )
    with readable(dataset_id):
        stored_as, known = MinariStorage.read_raw_metadata(folder)["data_format"], get_storage_keys()
        if stored_as not in known:
            raise O2OError(
                f"dataset {dataset_id!r} is stored as {stored_as!r}, this Minari reads {', '.join(known)}; update "
                "Minari, or convert the dataset with the one that wrote it"
            )
        try:
            return minari.load_dataset(dataset_id)
        except ImportError as error:
            raise O2OError(
                f"dataset {dataset_id!r} is stored as {stored_as!r}, which needs pyarrow; pip install 'minari[arrow]'"
            ) from error


@contextlib.contextmanager
def readable(dataset_id: str) -> Iterator[None]:
    """Turn whatever a damaged or foreign file makes Minari raise into one clear error."""
    try:
        yield
    except O2OError:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        OSError,
        AssertionError,
        AttributeError,
        IndexError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
        gym.error.Error,
    ) as error:
        line = " ".join(str(error).split())
        raise O2OError(
            f"dataset {dataset_id!r} in {root()} cannot be read ({type(error).__name__}: {line}); delete it and "
            "download or make it again"
        ) from error
