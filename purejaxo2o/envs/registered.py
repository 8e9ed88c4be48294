"""What Gymnasium's registry says of an id, and whether what it makes does the same again: for `host.py`."""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from purejaxo2o.loop.identity import path_of
from purejaxo2o.types import O2OError

PROBED = 3
"""Actions that a new environment takes twice."""


@dataclasses.dataclass(init=False, eq=False)
class Registered:
    """What Gymnasium's registry says of an id, hashable; equal for those that make the same environment.

    The fields are texts, the same in every process: a run folder describes its environment by them."""

    id: str
    arguments: str
    wrappers: str
    order_enforced: bool
    entry_point: str

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.id, self.order_enforced = spec.id, spec.order_enforce
        self.arguments, self.wrappers = repr(spec.kwargs), repr(spec.additional_wrappers)
        creator = spec.entry_point
        self.entry_point = creator if isinstance(creator, str) else path_of(creator)
        if isinstance(creator, str):  # a module that was loaded anew has another class
            with contextlib.suppress(Exception):  # what cannot be imported is named when it is made
                creator = getattr(importlib.import_module(creator.partition(":")[0]), creator.partition(":")[2])
        self.creator = creator

    @property
    def _key(self) -> tuple[Any, ...]:
        return self.id, self.arguments, self.wrappers, self.order_enforced

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registered) and (self._key, self.creator) == (other._key, other.creator)

    def __hash__(self) -> int:
        return hash(self._key)


def reason(error: Exception) -> str:
    """What an environment of somebody else raised, in one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def check_repeats(name: str, env: Any, flat: Callable[[Any], np.ndarray]) -> dict[str, Any]:
    """Play a few steps twice from the same seed; returns the last `info`.

    flat: makes an array of an observation. Raises `O2OError` if the second time differs from the first, and for
    whatever goes wrong on the way: a constructor may store an argument of any type that only a step looks at."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(PROBED)]

    def play() -> tuple[list[np.ndarray], dict[str, Any]]:
        seen, info = [flat(env.reset(seed=0)[0])], {}
        for action in actions:
            obs, reward, terminated, truncated, info = env.step(action)
            seen += [flat(obs), np.array([reward, terminated, truncated], np.float32)]
            if terminated or truncated:
                break
        return seen, info

    try:
        (first, _), (second, info) = play(), play()
    except Exception as error:
        raise O2OError(
            f"{name}: {reason(error)}, when it was reset and stepped for the first time; correct the arguments of "
            "its constructor, or the environment"
        ) from error
    for i, (one, other) in enumerate(zip(first, second, strict=False)):
        if np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True):
            continue
        steps = (i + 1) // 2
        what = f"reset(seed=0) and {steps} step{'s' * (steps > 1)}" if steps else "reset(seed=0)"
        raise O2OError(
            f"{name}: {what} gave other numbers the second time; its reset must depend on seed= alone: call "
            "super().reset(seed=seed) and draw from self.np_random"
        )
    return info
