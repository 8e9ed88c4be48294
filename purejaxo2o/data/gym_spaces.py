"""Gymnasium's spaces and ours: a flat vector or image as observation, a scaled box or a choice as action."""

from typing import Any

import gymnasium as gym
import numpy as np

from purejaxo2o.types import O2OError, Space


def obs_space(space: gym.Space) -> Space:
    """The vector or image that `minari.load` makes of an observation; dictionaries are joined, keys sorted.

    Raises `O2OError`, naming the field, for what has no such form (text, tuples, nested dictionaries, ...)."""
    if isinstance(space, gym.spaces.Dict):
        parts = []
        for name, part in sorted(space.spaces.items()):
            if not (isinstance(part, gym.spaces.Box) and len(part.shape) == 1):
                raise O2OError(
                    f"field observations/{name} is {_named(part)}; only 1-D boxes can be joined to a vector: "
                    "record the dataset without it"
                )
            parts.append((name, part.shape[0]))
        return Space(shape=(sum(size for _, size in parts),), parts=tuple(parts))
    if not isinstance(space, gym.spaces.Box):
        raise O2OError(
            f"field observations is {_named(space)}; only Box and flat Dict can be loaded: re-record it as one"
        )
    image = space.dtype == np.uint8 and len(space.shape) == 3
    return Space(shape=space.shape, dtype="uint8" if image else "float32")


def action_space(space: gym.Space) -> Space:
    """The box scaled to [-1, 1] or the choice that an action becomes. Raises `O2OError` for anything else."""
    if isinstance(space, gym.spaces.Discrete):
        return Space(n=int(space.n))
    if not (isinstance(space, gym.spaces.Box) and len(space.shape) == 1):
        raise O2OError(
            f"field actions is {_named(space)}; only 1-D Box and Discrete can be loaded: re-record it as one"
        )
    if not (space.is_bounded() and (space.low < space.high).all()):
        raise O2OError(
            f"field actions is {_named(space)} without finite bounds; declare the environment's bounds in the dataset"
        )
    return Space(shape=space.shape)


def _named(space: gym.Space) -> str:
    return f"{type(space).__name__}{list(space.shape) if space.shape is not None else ''}"


def gym_obs_space(space: Space) -> gym.Space:
    """What to declare for observations in a file: the parts of a joined vector apart again, float32 or uint8."""
    if space.parts:
        return gym.spaces.Dict({name: gym.spaces.Box(-np.inf, np.inf, (size,)) for name, size in space.parts})
    if space.dtype == "uint8":
        return gym.spaces.Box(0, 255, space.shape, np.uint8)
    return gym.spaces.Box(-np.inf, np.inf, space.shape)


def gym_action_space(space: Space) -> gym.Space:
    """What to declare for actions in a file."""
    return gym.spaces.Box(-1.0, 1.0, space.shape) if space.n is None else gym.spaces.Discrete(space.n)


def scaled_action(action: np.ndarray, space: gym.Space, clip: bool) -> np.ndarray:
    """Actions as agents see them: int32 from 0, or float32 with the declared box at [-1, 1]."""
    if isinstance(space, gym.spaces.Discrete):
        return (action - space.start).astype(np.int32)
    assert isinstance(space, gym.spaces.Box)
    if (space.low != -1).any() or (space.high != 1).any():  # untouched otherwise, so that bits survive
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        action = 2.0 * (action - low) / (high - low) - 1.0
    scaled = action.astype(np.float32)
    return np.clip(scaled, -1.0, 1.0) if clip else scaled


def original_action(action: np.ndarray, space: gym.Space) -> Any:
    """What an environment takes for one of our actions, boxes clipped: the inverse of `scaled_action`."""
    if isinstance(space, gym.spaces.Discrete):
        return int(action) + int(space.start)
    assert isinstance(space, gym.spaces.Box)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    clipped = np.clip(action.astype(np.float64), -1.0, 1.0)
    return ((low + high) / 2 + (high - low) / 2 * clipped).astype(space.dtype)
