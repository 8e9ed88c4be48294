"""Gymnasium's spaces and ours: a flat vector or image as observation, a scaled box or a choice as action.

One rule for files and for the environments of `host/`: an image stays one, everything else becomes one vector. Fields
of dictionaries are joined in alphabetical order at every level, numbers as they are, choices as one-hot vectors.
"""

import math
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from purejaxo2o.types import O2OError, Space

CHOICES = 1 << 16
"""Length of the longest one-hot vector."""
SMALLEST = 3
"""Pixels: the side of a network's filters."""
TAKEN = "Box, Discrete, MultiDiscrete, MultiBinary and dictionaries of them"


def obs_space(space: gym.Space) -> Space:
    """The vector or image that `flat_obs` makes of an observation.

    An image is uint8 of shape `[H, W, C]` with no more channels than pixels on a side; one with its channels first is
    turned, with a warning. Raises `O2OError`, naming the field, for what has no such form (text, tuples, images
    beside other fields, ...)."""
    channels = _channels(space)
    if channels is not None:
        shape = tuple(space.shape or ())
        if channels == 0:
            turned = (*shape[1:], *shape[:1])
            warnings.warn(
                f"observations are uint8 images {list(shape)} with their channels first; they are turned to "
                f"{list(turned)}",
                stacklevel=2,
            )
            shape = turned
        return Space(shape=shape, dtype="uint8")
    sizes = [(name, _length(name, leaf)) for name, leaf in _leaves(space)]
    parts = tuple(("/".join(name), size) for name, size in sizes) if isinstance(space, gym.spaces.Dict) else ()
    return Space(shape=(sum(size for _, size in sizes),), parts=parts)


def flat_obs(observation: Any, space: gym.Space, lead: int = 0) -> np.ndarray:
    """Observations `[..., *shape]`, or dictionaries of them, as the vectors or images `[..., *]` of `obs_space`.

    lead: number of leading axes. Raises `O2OError`, naming the field, for what is missing or of another shape, and
    for a choice that there is not."""
    channels = _channels(space)
    if channels is not None:
        image = _shaped((), np.asarray(observation), space, lead)
        return np.moveaxis(image, lead, -1) if channels == 0 else image
    pieces = [_vector(name, _field(name, observation), leaf, lead) for name, leaf in _leaves(space)]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)


def _channels(space: gym.Space) -> int | None:
    """The axis of an image that holds its channels, 2 or 0; None where it is no image."""
    if not (isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3):
        return None
    first, middle, last = space.shape
    if min(first, middle) >= SMALLEST and last <= min(first, middle):
        return 2
    return 0 if min(middle, last) >= SMALLEST and first < min(middle, last) else None


def _leaves(space: gym.Space, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], gym.Space]]:
    if isinstance(space, gym.spaces.Dict):
        for key in sorted(space.spaces):
            yield from _leaves(space.spaces[key], (*name, key))
    else:
        yield name, space


def _length(name: tuple[str, ...], space: gym.Space) -> int:
    """Of the vector that a field becomes."""
    field = "/".join(("observations", *name))
    if name and _channels(space) is not None:
        raise O2OError(f"field {field} is an image beside other fields, which no network here takes: leave it out")
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        size = int(np.sum(_counts(space)))
        if size > CHOICES:
            raise O2OError(
                f"field {field} has {size} choices; at most {CHOICES} become a one-hot vector: leave it out"
            )
        return size
    if isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        return math.prod(space.shape)
    raise O2OError(f"field {field} is {_named(space)}; only {TAKEN} can be taken: leave it out or convert it")


def _field(name: tuple[str, ...], observation: Any) -> Any:
    for depth, key in enumerate(name, 1):
        if not (isinstance(observation, dict) and key in observation):
            raise O2OError(f"observations lack {'/'.join(name[:depth])!r}, which their space declares")
        observation = observation[key]
    return observation


def _vector(name: tuple[str, ...], value: Any, space: gym.Space, lead: int) -> np.ndarray:
    array = _shaped(name, np.asarray(value), space, lead)
    array = array.reshape(*array.shape[:lead], math.prod(array.shape[lead:]))
    if not isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        return array
    counts, start = _counts(space), np.asarray(space.start).reshape(-1)
    chosen = array - start
    hot = [chosen[..., i, None] == np.arange(count) for i, count in enumerate(counts)]
    if not all(one.any(axis=-1).all() for one in hot):
        field = "/".join(("observations", *name))
        raise O2OError(f"{field} are none of their {' x '.join(map(str, counts))} choices from {start.tolist()}")
    return np.concatenate(hot, axis=-1).astype(np.float32)


def _shaped(name: tuple[str, ...], array: np.ndarray, space: gym.Space, lead: int) -> np.ndarray:
    """The array in the shape that its space declares; it may lack axes of length one, or have more of them."""
    declared, have, field = tuple(space.shape or ()), array.shape[lead:], "/".join(("observations", *name))
    if array.dtype.kind not in "biuf":
        raise O2OError(f"{field} are {array.dtype}, no real numbers")
    if not same_shape(have, declared):
        raise O2OError(f"{field} are of shape {list(have)}, the space declares {list(declared)}")
    return array.reshape((*array.shape[:lead], *declared))


def same_shape(have: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    """Whether shapes are equal but for axes of length one; `[4, 3]` is not `[3, 4]`, nor `[12]`."""
    return [n for n in have if n != 1] == [n for n in declared if n != 1]


def _counts(space: gym.spaces.Discrete | gym.spaces.MultiDiscrete) -> np.ndarray:
    return np.asarray(space.n if isinstance(space, gym.spaces.Discrete) else space.nvec).reshape(-1)


def _named(space: gym.Space) -> str:
    return f"{type(space).__name__}{list(space.shape) if space.shape is not None else ''}"


def action_space(space: gym.Space) -> Space:
    """The box scaled to [-1, 1], as one vector, or the choice that an action becomes. Raises `O2OError` for anything
    else."""
    if isinstance(space, gym.spaces.Discrete):
        return Space(n=int(space.n))
    if not isinstance(space, gym.spaces.Box):
        raise O2OError(f"field actions is {_named(space)}; only Box and Discrete can be taken: convert it")
    if not (space.is_bounded() and (space.low < space.high).all()):
        raise O2OError(
            f"field actions is {_named(space)} without finite bounds; declare the environment's bounds in the dataset"
        )
    return Space(shape=(math.prod(space.shape),))


def gym_obs_space(space: Space) -> gym.Space:
    """What to declare for observations in a file: the parts of a joined vector apart again, float32 or uint8."""
    if space.parts:
        return _dict(nested({name: gym.spaces.Box(-np.inf, np.inf, (size,)) for name, size in space.parts}))
    if space.dtype == "uint8":
        return gym.spaces.Box(0, 255, space.shape, np.uint8)
    return gym.spaces.Box(-np.inf, np.inf, space.shape)


def _dict(tree: dict[str, Any]) -> gym.spaces.Dict:
    return gym.spaces.Dict({name: _dict(part) if isinstance(part, dict) else part for name, part in tree.items()})


def nested(parts: dict[str, Any]) -> dict[str, Any]:
    """`{"goal/kettle": x}` as `{"goal": {"kettle": x}}`: the names of parts are those of their dictionaries."""
    tree: dict[str, Any] = {}
    for name, value in parts.items():
        *outer, last = name.split("/")
        inner = tree
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return tree


def gym_action_space(space: Space) -> gym.Space:
    """What to declare for actions in a file."""
    return gym.spaces.Box(-1.0, 1.0, space.shape) if space.n is None else gym.spaces.Discrete(space.n)


def scaled_action(action: np.ndarray, space: gym.Space, clip: bool) -> np.ndarray:
    """Actions `[N, ...]` as agents see them: int32 from 0, or float32 vectors with the declared box at [-1, 1]."""
    if isinstance(space, gym.spaces.Discrete):
        chosen = np.clip(action - space.start, -1, space.n).reshape(len(action))  # else 2**32 would become 0
        if (chosen != np.round(chosen)).any():
            raise O2OError("actions are no whole numbers, their space is Discrete")
        return chosen.astype(np.int32)
    assert isinstance(space, gym.spaces.Box)
    if (space.low != -1).any() or (space.high != 1).any():  # untouched otherwise, so that bits survive
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        action = 2.0 * (action - low) / (high - low) - 1.0
    scaled = action.astype(np.float32).reshape(len(action), math.prod(space.shape))
    return np.clip(scaled, -1.0, 1.0) if clip else scaled


def original_action(action: np.ndarray, space: gym.Space) -> Any:
    """What an environment takes for one of our actions, boxes clipped: the inverse of `scaled_action`."""
    if isinstance(space, gym.spaces.Discrete):
        return int(action) + int(space.start)
    assert isinstance(space, gym.spaces.Box)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    clipped = np.clip(action.astype(np.float64), -1.0, 1.0).reshape(space.shape)
    return ((low + high) / 2 + (high - low) / 2 * clipped).astype(space.dtype)
