"""Minari's episodes and our rows: one episode of `T` steps has `T + 1` observations, a row both of its own."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.episode_data import EpisodeData
from minari.dataset.minari_dataset import MinariDataset

from purejaxo2o.data.gym_spaces import scaled_action
from purejaxo2o.data.reading import allocate
from purejaxo2o.types import O2OError, Space, Spaces, Transition

AGAIN = "it was not downloaded or written completely: delete it, then download or make it again"


def rows_of(name: str, dataset: MinariDataset, spaces: Spaces, clip: bool) -> tuple[Transition, np.ndarray]:
    """All episodes of the dataset `name` one after another as rows `[N, ...]`, and where each ends, `[K]`.

    Raises `O2OError` for an episode of another form than `spaces`, or more or fewer steps than declared."""
    where, steps = f"dataset {name!r}", int(dataset.total_steps)
    rows, ends, at = allocate(steps, spaces), [], 0
    for episode in dataset.iterate_episodes():
        observation, action, reward, terminated, truncated = _columns(where, episode, dataset, spaces)
        start, at = at, at + len(reward)
        if at > steps:
            raise O2OError(f"{where} has more than the {steps} steps that its metadata tells of; re-record it")
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is reported with its place
            rows.obs[start:at] = observation[:-1]
            rows.next_obs[start:at] = observation[1:]
            rows.action[start:at] = scaled_action(action, dataset.action_space, clip)
            rows.reward[start:at] = reward
        rows.terminated[start:at], rows.truncated[start:at] = terminated, truncated
        ends.append(at)
    if at < steps:
        raise O2OError(f"{where} has {at} of the {steps} steps that its metadata tells of; {AGAIN}")
    if not ends:
        raise O2OError(f"{where} holds no episodes; record some first")
    return rows, np.array(ends)


def _columns(where: str, episode: EpisodeData, dataset: MinariDataset, spaces: Spaces) -> tuple[np.ndarray, ...]:
    """`(observations [T+1], actions [T], rewards, terminations, truncations)` of one episode, checked for form."""
    where, steps = f"{where}, episode {episode.id}", len(episode.rewards)
    if steps == 0:
        raise O2OError(f"{where} has no steps; drop it from the dataset")
    observation, action, reward = episode.observations, np.asarray(episode.actions), np.asarray(episode.rewards)
    if isinstance(dataset.observation_space, gym.spaces.Dict):
        names = sorted(dataset.observation_space.spaces)
        missing = [name for name in names if name not in observation]
        if missing:
            raise O2OError(f"{where}: observations lack {missing[0]!r}, which the dataset declares; re-record it")
        observation = np.concatenate([observation[name] for name in names], axis=-1)
    terminated, truncated = np.array(episode.terminations, bool), np.array(episode.truncations, bool)
    for name, array, length in (
        ("observations", observation, steps + 1),
        ("actions", action, steps),
        ("terminations", terminated, steps),
        ("truncations", truncated, steps),
    ):
        if len(array) != length:
            raise O2OError(f"{where}: {name} has length {len(array)}, {steps} rewards ask for {length}; re-record it")
    for name, array, space in (("observations", observation, spaces.obs), ("actions", action, spaces.action)):
        if array.shape[1:] != space.shape:
            raise O2OError(
                f"{where}: {name} are of shape {list(array.shape[1:])}, the dataset declares {list(space.shape)}; "
                "they are of another environment or version of it: drop the episode, or correct what is declared"
            )
    for name, array in (("observations", observation), ("actions", action), ("rewards", reward)):
        if array.dtype.kind not in "biuf":
            raise O2OError(f"{where}: {name} are {array.dtype}, no real numbers; re-record it")
    early = np.flatnonzero((terminated | truncated)[:-1])
    if early.size:
        rest = steps - 1 - int(early[0])
        raise O2OError(f"{where}, step {early[0]}: it ends here, yet goes on for {rest} steps; split the episode")
    truncated[-1] |= not terminated[-1]  # without any flag, the recording stopped here
    return observation, action, reward, terminated, truncated


def buffers_of(data: Any, space: Space) -> Iterator[EpisodeBuffer]:
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
