"""Minari datasets in and out: files on the host, a `Store` in memory.

Minari keeps `T + 1` observations per episode, so the true next observation is known at every step, also where an
episode was cut. Reading checks everything once (`O2OError` names field, episode and step); writing is atomic and
gives back, when read again, the same arrays bit for bit. The folder is `MINARI_DATASETS_PATH`, else Minari's own.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_dataset import MinariDataset
from minari.dataset.minari_storage import MinariStorage
from minari.namespace import NAMESPACE_METADATA_FILENAME

from purejaxo2o.data import scores
from purejaxo2o.data.checks import check_continuous, check_rows
from purejaxo2o.data.episode_files import check_format, open_episodes
from purejaxo2o.data.episodes import buffers_of, rows_of
from purejaxo2o.data.folder import described, files_of, namespace_of, place, root
from purejaxo2o.data.hdf5 import readable
from purejaxo2o.data.metadata import Metadata, read_metadata
from purejaxo2o.data.reading import DatasetInfo, Reading
from purejaxo2o.data.staging import NEW, publish, recover, staging
from purejaxo2o.envs.gym_spaces import action_space, gym_action_space, gym_obs_space, obs_space
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.store import Store
from purejaxo2o.types import O2OError, Spaces, Transition


def info(dataset_id: str | MinariDataset) -> DatasetInfo:
    """Description of a local dataset, from its metadata alone.

    Raises `O2OError` if it is missing, if its metadata are not what they should be, and for unknown spaces."""
    return _Source.of(dataset_id).info()


def check_available(dataset_id: str) -> None:
    """Raise `O2OError` unless a local dataset is there, described as it should be, in a format that can be read."""
    source = _Source.of(dataset_id)
    source.info()
    check_format(source.where, source.metadata)


def spaces_of(dataset_id: str) -> Spaces:
    """Observation and action space of a local dataset, as agents see them after `load`."""
    return info(dataset_id).spaces


def load(dataset_id: str, *, clip: bool = False) -> Store:
    """A local dataset as a full store of `N` rows, episode after episode.

    Images (uint8 `[H, W, C]`) stay, all other observations become one vector, whatever their shape: dictionaries,
    nested ones too, with keys in alphabetical order (`Space.parts`), choices as one-hot vectors. Box actions become a
    vector, scaled from their declared bounds to [-1, 1]; `clip` accepts recordings whose actions leave those bounds
    (the environment clipped them). Discrete actions count from 0. An episode that ends without any flag was cut by
    the end of the recording: its last row is marked truncated. Everything is float32 but uint8 images.
    """
    return read(dataset_id, clip=clip).store()


def read(dataset_id: str | MinariDataset, *, clip: bool = False) -> Reading:
    """What `load` loads, before its values are checked; also of a dataset that Minari has opened, with the episodes
    that its `filter_episodes` left.

    Nothing in the files is run, nothing outside of them is read, and no more memory is taken than `limits` allows."""
    source = _Source.of(dataset_id)
    info = source.info()
    with open_episodes(source.where, source.files, source.metadata, source.indices) as episodes:
        data, ends = rows_of(
            source.where, episodes, source.metadata, info.spaces, clip=clip, whole=isinstance(source.indices, range)
        )

    def where(row: int) -> str:
        episode = int(np.searchsorted(ends, row, side="right"))
        step = row - (ends[episode - 1] if episode else 0)
        return f"dataset {info.id!r}, episode {source.indices[episode]}, step {step}"

    return Reading(info, data, where)


def export(
    rows: Store | Transition,
    dataset_id: str,
    *,
    spaces: Spaces,
    algorithm_name: str,
    description: str,
    provenance: dict[str, Any],
    env_spec: EnvSpec | None = None,
    requirements: tuple[str, ...] = (),
    reference: tuple[float, float] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write rows `[N, ...]` as a Minari dataset, one episode per trajectory, and return its folder.

    Actions are written scaled to [-1, 1]; where the environment's own bounds differ, give `env_spec` with a
    `RescaleAction` wrapper. `env_spec` is stored, never made, so its package need not be installed. `extras` of the
    rows are not written. `provenance` (seed, settings, versions; JSON values) goes into the metadata, `reference`
    becomes Minari's `ref_min_score` and `ref_max_score`. Nothing half-written stays, also when the program is killed:
    the folder appears under its name only when complete, and takes the place of an old one at once. The same rows and
    arguments give the same bytes. Raises `O2OError` for an id that exists (unless `overwrite`), for rows that
    `check_store` refuses, and where a trajectory is not continuous.
    """
    namespace, target = namespace_of(dataset_id), root() / dataset_id
    recover(root())
    if target.exists() and not overwrite:
        raise O2OError(
            f"dataset {dataset_id!r} exists in {root()}",
            python="pick another id or give overwrite=True",
            shell="pick another --id or give --overwrite",
        )
    data: Any = jax.tree.map(np.asarray, stores.flat(rows) if isinstance(rows, Store) else rows)
    check_rows(data, spaces, "row {}".format)
    check_continuous(data)
    metadata = _metadata(dataset_id, algorithm_name, description, provenance, requirements, reference)
    try:
        with staging(root()) as folder:
            _write(folder / NEW, data, spaces, env_spec, metadata)
            _make_namespace(folder, namespace)
            publish(folder, dataset_id, target, overwrite=overwrite)
    except OSError as error:
        raise O2OError(
            f"dataset {dataset_id!r} cannot be written to {root()} ({error}); set MINARI_DATASETS_PATH to a folder "
            "that you may write to"
        ) from error
    return target


def _metadata(
    dataset_id: str,
    algorithm_name: str,
    description: str,
    provenance: dict[str, Any],
    requirements: tuple[str, ...],
    reference: tuple[float, float] | None,
) -> dict[str, Any]:
    try:
        json.dumps(provenance)
    except (TypeError, ValueError) as error:
        raise O2OError(f"provenance is no JSON ({error}); convert its values to numbers, text, lists") from None
    metadata: dict[str, Any] = {
        "dataset_id": dataset_id,
        "minari_version": minari.__version__,
        "author": {"purejaxo2o"},
        "algorithm_name": algorithm_name,
        "description": description,
        "provenance": provenance,
    }
    if requirements:
        metadata["requirements"] = list(requirements)
    if reference:
        metadata["ref_min_score"], metadata["ref_max_score"] = scores.checked(reference)
    return metadata


def _write(folder: Path, data: Any, spaces: Spaces, env_spec: EnvSpec | None, metadata: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    observation_space, action_space = gym_obs_space(spaces.obs), gym_action_space(spaces.action)
    # Not create_dataset_from_buffers: it would make the environment, and drop reference scores without one.
    storage = MinariStorage.new(
        folder / "data", observation_space, action_space, env_spec, data_format="hdf5", jpeg_encoding=False
    )
    storage.update_metadata(metadata)
    storage.update_episodes(buffers_of(data, spaces.obs))


def _make_namespace(folder: Path, namespace: str | None) -> None:
    """The folders of an id, each with the file by which Minari knows it. `folder` is to write it in first."""
    place = root()
    for name in namespace.split("/") if namespace else ():
        place = place / name
        place.mkdir(exist_ok=True)
        if not (place / NAMESPACE_METADATA_FILENAME).exists():
            (folder / NAMESPACE_METADATA_FILENAME).write_text("{}")
            os.replace(folder / NAMESPACE_METADATA_FILENAME, place / NAMESPACE_METADATA_FILENAME)


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where a dataset's episodes are. indices: which of them, a range for all; steps: how many they have, as told."""

    id: str
    where: str
    files: Path
    metadata: Metadata
    indices: Sequence[int]
    steps: int

    @staticmethod
    def of(dataset: str | MinariDataset) -> "_Source":
        """A local dataset by its id, or one that Minari has opened."""
        if not isinstance(dataset, MinariDataset):
            metadata = described(dataset)
            everything = range(metadata.episodes)
            return _Source(dataset, place(dataset), files_of(dataset), metadata, everything, metadata.steps)
        files = Path(dataset.storage.data_path)
        where = f"dataset {dataset.id!r} in {files.parent}"
        metadata, chosen = read_metadata(where, files / "metadata.json"), dataset.episode_indices.tolist()
        everything = range(metadata.episodes)
        if len(chosen) == len(everything) and chosen == list(everything):
            return _Source(dataset.id, where, files, metadata, everything, metadata.steps)
        with readable(where):
            return _Source(dataset.id, where, files, metadata, chosen, dataset.total_steps)

    def info(self) -> DatasetInfo:
        metadata = self.metadata
        try:
            spaces = Spaces(obs_space(metadata.observation_space), action_space(metadata.action_space))
        except O2OError as error:
            raise O2OError(f"{self.where}: {error}") from None
        return DatasetInfo(
            id=self.id,
            path=self.files.parent,
            spaces=spaces,
            episodes=len(self.indices),
            steps=self.steps,
            env_id=metadata.env_spec.id if metadata.env_spec else None,
            env_spec=metadata.env_spec,
            reference=scores.of_dataset(self.id, metadata.fields, metadata.env_spec, metadata.reference),
            metadata=metadata.fields,
            eval_env_spec=metadata.eval_env_spec,
        )
