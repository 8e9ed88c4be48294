"""Minari's episodes and our rows: one episode of `T` steps has `T + 1` observations, a row both of its own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer

from purejaxo2o.data.checks import flags
from purejaxo2o.data.episode_files import Episodes
from purejaxo2o.data.hdf5 import AGAIN
from purejaxo2o.data.limits import check_size
from purejaxo2o.data.metadata import Metadata
from purejaxo2o.data.reading import allocate, row_bytes
from purejaxo2o.envs.gym_spaces import flat_obs, nested, same_shape, scaled_action
from purejaxo2o.types import O2OError, Space, Spaces, Transition

OTHER = "they are of another environment or version of it: drop the episode, or correct what the dataset declares"


def rows_of(
    where: str, episodes: Episodes, metadata: Metadata, spaces: Spaces, *, clip: bool, whole: bool
) -> tuple[Transition, np.ndarray]:
    """All episodes of the dataset `where` one after another as rows `[N, ...]`, and where each ends, `[K]`.

    whole: the episodes are all that `metadata` tells of.
    Raises `O2OError`, before anything is read, for more memory than there is and for more or fewer steps than
    declared; then for an episode of another form than `spaces`."""
    steps = episodes.steps
    if whole and steps != metadata.steps:
        told = f"the {metadata.steps} steps that its metadata tells of"
        short = f"{steps} of {told}; {AGAIN}"
        raise O2OError(f"{where} has {short if steps < metadata.steps else f'more than {told}; re-record it'}")
    if not steps:
        raise O2OError(f"{where} holds no episodes; record some first")
    needed = steps * row_bytes(spaces) + episodes.largest
    declared = max(episodes.declared, episodes.largest)
    check_size(where, stored=episodes.stored, declared=declared, needed=needed)
    rows, ends, at = allocate(steps, spaces), [], 0
    for index, columns in episodes:
        observation, action, reward, terminated, truncated = _checked(
            f"{where}, episode {index}", columns, metadata, clip
        )
        start, at = at, at + len(reward)
        if at > steps:
            raise O2OError(f"{where} has more than the {steps} steps that its headers tell of; {AGAIN}")
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is reported with its place
            rows.obs[start:at] = observation[:-1]
            rows.next_obs[start:at] = observation[1:]
            rows.action[start:at] = action
            rows.reward[start:at] = reward
        rows.terminated[start:at], rows.truncated[start:at] = terminated, truncated
        ends.append(at)
    if at < steps:
        raise O2OError(f"{where} has {at} of the {steps} steps that its headers tell of; {AGAIN}")
    return rows, np.array(ends)


def _checked(where: str, given: dict[str, Any], metadata: Metadata, clip: bool) -> tuple[np.ndarray, ...]:
    """`(observations [T+1, ...], actions [T, ...], rewards, terminations, truncations)` of one episode, flat, scaled
    and checked for form."""
    columns = {name: np.asarray(given[name]) for name in ("actions", "rewards", "terminations", "truncations")}
    steps = len(columns["rewards"])
    shapes = {"actions": tuple(metadata.action_space.shape or ())}
    for name, array in columns.items():
        declared = shapes.get(name, ())
        if array.dtype.kind not in "biuf":
            raise O2OError(f"{where}: {name} are {array.dtype}, no real numbers; re-record it")
        if array.ndim == 0 or len(array) != steps:
            have = len(array) if array.ndim else "none"
            raise O2OError(f"{where}: {name} has length {have}, {steps} rewards ask for {steps}; re-record it")
        if not same_shape(array.shape[1:], declared):
            have = list(array.shape[1:])
            raise O2OError(f"{where}: {name} are of shape {have}, the space declares {list(declared)}; {OTHER}")
        columns[name] = array.reshape(steps, *declared)
    try:
        observation = flat_obs(given["observations"], metadata.observation_space, lead=1)
        with np.errstate(over="ignore", invalid="ignore"):
            action = scaled_action(columns["actions"], metadata.action_space, clip)
    except O2OError as error:
        raise O2OError(f"{where}: {error}; {OTHER}") from None
    if len(observation) != steps + 1:
        raise O2OError(
            f"{where}: observations has length {len(observation)}, {steps} rewards ask for {steps + 1}; re-record it"
        )
    terminated, truncated = (flags(where, name, columns[name]) for name in ("terminations", "truncations"))
    early = np.flatnonzero((terminated | truncated)[:-1])
    if early.size:
        rest = steps - 1 - int(early[0])
        raise O2OError(f"{where}, step {early[0]}: it ends here, yet goes on for {rest} steps; split the episode")
    truncated[-1] |= not terminated[-1]  # without any flag, the recording stopped here
    return observation, action, columns["rewards"], terminated, truncated


def buffers_of(data: Any, space: Space) -> Iterator[EpisodeBuffer]:
    """One episode per trajectory, observations split into their parts again."""
    ends = np.flatnonzero(data.terminated | data.truncated) + 1
    cuts = np.cumsum([size for _, size in space.parts])[:-1]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        observation: Any = np.concatenate([data.obs[start:end], data.next_obs[end - 1 : end]])
        if space.parts:
            names, pieces = [name for name, _ in space.parts], np.split(observation, cuts, axis=-1)
            observation = nested(dict(zip(names, pieces, strict=True)))
        rows = slice(start, end)
        yield EpisodeBuffer(
            observations=observation,
            actions=data.action[rows],
            rewards=data.reward[rows],
            terminations=data.terminated[rows],
            truncations=data.truncated[rows],
        )
