"""Minari datasets in and out: files on the host, a `Store` in memory.

Minari keeps `T + 1` observations per episode, so the true next observation is known at every step, also where an
episode was cut. Reading checks everything once (`O2OError` names field, episode and step); writing is atomic and
gives back, when read again, the same arrays bit for bit. The folder is `MINARI_DATASETS_PATH`, else Minari's own.
"""

import dataclasses
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.episode_data import EpisodeData
from minari.dataset.minari_dataset import MinariDataset
from minari.dataset.minari_storage import MinariStorage
from minari.namespace import create_namespace, list_local_namespaces

from purejaxo2o import store as stores
from purejaxo2o.data import scores
from purejaxo2o.data.checks import check_continuous, check_rows
from purejaxo2o.data.folder import namespace_of, open_dataset, readable, root
from purejaxo2o.data.gym_spaces import action_space, gym_action_space, gym_obs_space, obs_space, scaled_action
from purejaxo2o.store import Store
from purejaxo2o.types import O2OError, Space, Spaces, Transition

BOUND_TOLERANCE = 1e-3
"""How far, in units of the scaled box `[-1, 1]`, a recorded action may lie outside its declared bounds."""


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What a dataset says about itself, without its rows.

    env_id, env_spec: the Gymnasium environment it was recorded in (with `kwargs` and time limit), if declared.
    reference: return of a random policy and of an expert, from the metadata or else from `scores`.
    metadata: everything else that the file declares, as Minari stores it.
    """

    id: str
    path: Path
    spaces: Spaces
    episodes: int
    steps: int
    env_id: str | None
    env_spec: EnvSpec | None
    reference: tuple[float, float] | None
    metadata: dict[str, Any]


def info(dataset_id: str) -> DatasetInfo:
    """Description of a local dataset. Raises `O2OError` if it is missing, unreadable or of unknown spaces."""
    return _info(open_dataset(dataset_id))


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
    dataset = open_dataset(dataset_id)
    spaces = _info(dataset).spaces
    with readable(dataset_id):
        episodes = [_episode(e, dataset) for e in dataset.iterate_episodes()]
        if not episodes:
            raise O2OError(f"dataset {dataset_id!r} holds no episodes; record some first")
        columns: Any = [np.concatenate(x) for x in zip(*episodes, strict=True)]
    columns[1] = scaled_action(columns[1], dataset.action_space, clip)
    observation, action, reward, terminated, truncated = columns
    ends = np.cumsum([len(e[2]) for e in episodes])
    final = np.zeros(len(observation), bool)  # the observation after an episode's last step
    final[ends + np.arange(len(ends))] = True
    obs, next_obs = observation[~final], observation[~np.roll(final, 1)]
    data = Transition(obs, action, reward, next_obs, terminated, truncated)

    def where(row: int) -> str:
        episode = int(np.searchsorted(ends, row, side="right"))
        step = row - (ends[episode - 1] if episode else 0)
        return f"dataset {dataset_id!r}, episode {dataset.episode_indices[episode]}, step {step}"

    check_rows(data, spaces, where, tolerance=BOUND_TOLERANCE)
    if not spaces.action.discrete:
        data = data._replace(action=action.clip(-1.0, 1.0))
    return stores.from_transitions(jax.tree.map(jnp.asarray, data))


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
        raise O2OError(f"dataset {dataset_id!r} exists in {root()}; pick another id or give overwrite=True")
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
        scores.normalise(0.0, *reference)  # refuses a reversed pair
        metadata["ref_min_score"], metadata["ref_max_score"] = reference
    return metadata


def _write(folder: Path, data: Any, spaces: Spaces, env_spec: EnvSpec | None, metadata: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    observation_space, action_space = gym_obs_space(spaces.obs), gym_action_space(spaces.action)
    # Not create_dataset_from_buffers: it would make the environment, and drop reference scores without one.
    storage = MinariStorage.new(
        folder / "data", observation_space, action_space, env_spec, data_format="hdf5", jpeg_encoding=False
    )
    storage.update_metadata(metadata)
    storage.update_episodes(_buffers(data, spaces.obs))


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


def _info(dataset: MinariDataset) -> DatasetInfo:
    metadata = dataset.storage.metadata
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    return DatasetInfo(
        id=dataset.id,
        path=Path(dataset.storage.data_path).parent,
        spaces=Spaces(obs_space(dataset.observation_space), action_space(dataset.action_space)),
        episodes=int(dataset.total_episodes),
        steps=int(dataset.total_steps),
        env_id=dataset.env_spec.id if dataset.env_spec else None,
        env_spec=dataset.env_spec,
        reference=scores.reference(dataset.id) if low is None or high is None else (float(low), float(high)),
        metadata=metadata,
    )


def _episode(episode: EpisodeData, dataset: MinariDataset) -> tuple[np.ndarray, ...]:
    """`(observations [T+1], actions [T], rewards, terminations, truncations)` of one episode, checked for form."""
    where, steps = f"dataset {dataset.id!r}, episode {episode.id}", len(episode.rewards)
    if steps == 0:
        raise O2OError(f"{where} has no steps; drop it from the dataset")
    space, observation, action = dataset.observation_space, episode.observations, np.asarray(episode.actions)
    if isinstance(space, gym.spaces.Dict):
        observation = np.concatenate([observation[name] for name in sorted(space.spaces)], axis=-1)
    terminated, truncated = np.array(episode.terminations, bool), np.array(episode.truncations, bool)
    for name, array, length in (
        ("observations", observation, steps + 1),
        ("actions", action, steps),
        ("terminations", terminated, steps),
        ("truncations", truncated, steps),
    ):
        if len(array) != length:
            raise O2OError(f"{where}: {name} has length {len(array)}, {steps} rewards ask for {length}; re-record it")
    early = np.flatnonzero((terminated | truncated)[:-1])
    if early.size:
        rest = steps - 1 - int(early[0])
        raise O2OError(f"{where}, step {early[0]}: it ends here, yet goes on for {rest} steps; split the episode")
    truncated[-1] |= not terminated[-1]  # without any flag, the recording stopped here
    with np.errstate(over="ignore"):  # overflow becomes infinite, which is reported with its place
        observation = np.asarray(observation, obs_space(space).dtype)
        reward = np.asarray(episode.rewards, np.float32)
    return observation, action, reward, terminated, truncated


def _buffers(data: Any, space: Space) -> Iterator[EpisodeBuffer]:
    """One episode per trajectory, observations split into their parts again."""
    ends = np.flatnonzero(data.terminated | data.truncated) + 1
    cuts = np.cumsum([size for _, size in space.parts])[:-1]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        observation: Any = np.concatenate([data.obs[start:end], data.next_obs[end - 1 : end]])
        if space.parts:
            names, pieces = [name for name, _ in space.parts], np.split(observation, cuts, axis=-1)
            observation = dict(zip(names, pieces, strict=True))
        rows = slice(start, end)
        yield EpisodeBuffer(
            observations=observation,
            actions=data.action[rows],
            rewards=data.reward[rows],
            terminations=data.terminated[rows],
            truncations=data.truncated[rows],
        )
