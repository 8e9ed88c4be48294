"""Environments by id: `make("maze/PointMaze_UMaze-v3", goal_radius=0.5)`.

The families' libraries are imported when one of their environments is first made.
"""

from types import ModuleType
from typing import Any

import jax
import numpy as np

from purejaxo2o.envs import brax, gymnax, maze, mjx, toy
from purejaxo2o.envs.base import Env, EnvState, spaces
from purejaxo2o.types import O2OError, nearest

__all__ = ["Env", "EnvState", "make", "names", "spaces"]

_FAMILIES: dict[str, tuple[ModuleType, tuple[str, ...]]] = {
    "brax": (brax, tuple(f"brax/{short}" for short in brax.IDS)),
    "gymnax": (gymnax, tuple(f"gymnax/{short}" for short in gymnax.IDS)),
    "maze": (maze, maze.IDS),
    "mjx": (mjx, mjx.IDS),
    "toy": (toy, tuple(toy.TOYS)),
}


def names() -> tuple[str, ...]:
    """Every id that `make` understands."""
    return tuple(name for _, ids in _FAMILIES.values() for name in ids)


def make(name: str, **settings: Any) -> Env:
    """The environment `name`, e.g. `gymnax/CartPole-v1`, `brax/hopper`, `toy/reach` (see `names`).

    `settings` are the environment's own: the fields of `maze.PointMaze` (but `maze` and `reward_type`, which
    the name gives), those of Gymnasium's constructor and `physics` for mjx, `backend` and `horizon` for brax, and
    gymnax's `EnvParams`. Raises `O2OError` for an unknown name, an unknown setting, or one of the wrong type.
    """
    if name not in names():
        raise O2OError(f"unknown environment {name!r}; {nearest(name, names())}")
    family, _ = _FAMILIES[name.partition("/")[0]]
    known = family.settings(name)
    for setting, value in settings.items():
        if setting not in known:
            remedy = nearest(setting, known) if known else "it has none"
            raise O2OError(f"{name}: unknown setting {setting!r}; {remedy}; settings: {', '.join(known) or '-'}")
        if not _fits(value, known[setting]):
            raise O2OError(f"{name}: {setting}={value!r} must be of type {_type_name(known[setting])}")
    return family.load(name, **settings)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a setting's value is of its kind; `float` is any number, also a traced or batched one."""
    if kind is float:
        return isinstance(value, int | float | np.ndarray | np.generic | jax.Array) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _type_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
