"""Minari datasets in and out: files on the host, a `Store` in memory.

Minari keeps `T + 1` observations per episode, so the true next observation is known at every step, also where an
episode was cut. Reading checks everything once (`O2OError` names field, episode and step); writing is atomic and
gives back, when read again, the same arrays bit for bit. The folder is `MINARI_DATASETS_PATH`, else Minari's own.
"""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import jax
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_dataset import MinariDataset
from minari.dataset.minari_storage import MinariStorage
from minari.namespace import create_namespace, list_local_namespaces

from purejaxo2o import store as stores
from purejaxo2o.data import scores
from purejaxo2o.data.checks import check_continuous, check_rows
from purejaxo2o.data.episodes import buffers_of, rows_of
from purejaxo2o.data.folder import namespace_of, open_dataset, readable, root
from purejaxo2o.data.gym_spaces import action_space, gym_action_space, gym_obs_space, obs_space
from purejaxo2o.data.reading import DatasetInfo, Reading
from purejaxo2o.store import Store
from purejaxo2o.types import O2OError, Spaces, Transition


def info(dataset_id: str) -> DatasetInfo:
    """Description of a local dataset. Raises `O2OError` if it is missing, unreadable or of unknown spaces."""
    dataset = open_dataset(dataset_id)
    with readable(dataset_id):
        return _info(dataset_id, dataset)


def spaces_of(dataset_id: str) -> Spaces:
    """Observation and action space of a local dataset, as agents see them after `load`."""
    return info(dataset_id).spaces


def load(dataset_id: str, *, clip: bool = False) -> Store:
    """A local dataset as a full store of `N` rows, episode after episode.

    Flat dictionaries of observations become one vector, keys in alphabetical order (`Space.parts`). Box actions are
    scaled from their declared bounds to [-1, 1]; `clip` accepts recordings whose actions leave those bounds (the
    environment clipped them). Discrete actions count from 0. An episode that ends without any flag was cut by
    the end of the recording: its last row is marked truncated. Everything is float32 but uint8 images.
    """
    return read(dataset_id, clip=clip).store()


def read(dataset_id: str, *, clip: bool = False) -> Reading:
    """What `load` loads, before its values are checked."""
    dataset = open_dataset(dataset_id)
    with readable(dataset_id):
        described = _info(dataset_id, dataset)
        data, ends = rows_of(dataset_id, dataset, described.spaces, clip)

    def where(row: int) -> str:
        episode = int(np.searchsorted(ends, row, side="right"))
        step = row - (ends[episode - 1] if episode else 0)
        return f"dataset {dataset_id!r}, episode {dataset.episode_indices[episode]}, step {step}"

    return Reading(described, data, where)


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
    becomes Minari's `ref_min_score` and `ref_max_score`. Nothing half-written stays: the folder appears under its
    name only when complete. The same rows and arguments give the same bytes. Raises `O2OError` for an id that exists
    (unless `overwrite`), for rows that `check_store` refuses, and where a trajectory is not continuous.
    """
    namespace, target = namespace_of(dataset_id), root() / dataset_id
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
    staging = root() / f".staging-{uuid.uuid4().hex}"
    try:
        _write(staging / "new", data, spaces, env_spec, metadata)
        if namespace and namespace not in list_local_namespaces():
            create_namespace(namespace)
        _publish(staging, target, overwrite)
    except OSError as error:
        raise O2OError(
            f"dataset {dataset_id!r} cannot be written to {root()} ({error}); set MINARI_DATASETS_PATH to a folder "
            "that you may write to"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
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


def _publish(staging: Path, target: Path, overwrite: bool) -> None:
    """Put the finished folder under its name in one rename; keep what was there if that fails."""
    if overwrite and target.exists():
        target.rename(staging / "old")
    try:
        (staging / "new").rename(target)
    except OSError:
        if (staging / "old").exists():
            (staging / "old").rename(target)
        raise


def _info(dataset_id: str, dataset: MinariDataset) -> DatasetInfo:
    metadata = dataset.storage.metadata
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    declared = None if low is None or high is None else (low, high)
    spec = dataset.env_spec
    return DatasetInfo(
        id=dataset_id,
        path=Path(dataset.storage.data_path).parent,
        spaces=Spaces(obs_space(dataset.observation_space), action_space(dataset.action_space)),
        episodes=int(dataset.total_episodes),
        steps=int(dataset.total_steps),
        env_id=dataset.env_spec.id if dataset.env_spec else None,
        env_spec=dataset.env_spec,
        reference=scores.of_dataset(dataset_id, metadata, spec, declared),
        metadata=metadata,
    )
