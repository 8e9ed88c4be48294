"""Environments by id: `make("maze/PointMaze_UMaze-v3", goal_radius=0.5)`.

The families' libraries are imported when one of their environments is first made.
"""

from types import ModuleType
from typing import Any

import jax
import numpy as np

from purejaxo2o.envs import ant_maze, brax, gymnax, lock, maze, mjx, tabular, toy, xland
from purejaxo2o.loop.env import ADAPTERS, Env, EnvState, spaces
from purejaxo2o.types import O2OError, nearest

__all__ = ["Env", "EnvState", "adopt", "family", "make", "names", "spaces"]

_FAMILIES: dict[ModuleType, tuple[str, ...]] = {
    brax: tuple(f"brax/{short}" for short in brax.IDS),
    gymnax: tuple(f"gymnax/{short}" for short in gymnax.IDS),
    maze: maze.IDS,
    ant_maze: ant_maze.IDS,
    mjx: mjx.IDS,
    toy: tuple(toy.TOYS),
    lock: tuple(lock.LOCKS),
    tabular: (tabular.NAME,),
    xland: xland.IDS,
}
_FAMILY = {name: family for family, ids in _FAMILIES.items() for name in ids}


def names() -> tuple[str, ...]:
    """Every id that `make` understands, besides `host/<gymnasium id>`."""
    return tuple(_FAMILY)


def family(name: str) -> ModuleType:
    """The module that has the environments like `name`."""
    if name.startswith("host/"):
        return _host()
    for library in (gymnax, brax):
        if name.startswith(f"{library.__name__.rpartition('.')[2]}/") and library.known(name):
            return library
    if name not in _FAMILY:
        raise O2OError(f"unknown environment {name!r}; {nearest(name, names())}")
    return _FAMILY[name]


def _host() -> ModuleType:
    from purejaxo2o.envs import host  # the only ones that are not pure, imported by nothing else

    return host


def make(what: Any, /, **settings: Any) -> Env:
    """The environment of an id, e.g. `gymnax/CartPole-v1`, `brax/hopper`, `toy/reach` (see `names`), or of an object.

    what: an id, also one that `gymnax.register` or `brax.envs.register_environment` made known; or an environment of
        gymnax (or the pair of one and its `EnvParams`), brax or Gymnasium (which is made anew by its `spec`); or an
        environment of this protocol, which is returned as it is.
    `settings` are the environment's own: the fields of `goal_maze.GoalMaze` that a maze's name does not give, those
    of Gymnasium's constructor and `physics` for mjx, `backend` and `horizon` for brax, and gymnax's `EnvParams`.
    `host/<gymnasium id>` is any Gymnasium environment (slow, see `envs/host.py`), its settings those of its
    constructor and `max_episode_steps`. Raises `O2OError` for an unknown name, an unknown setting, or one of the
    wrong type.
    """
    if not isinstance(what, str):
        return adopt(what, **settings)
    found = family(what)
    if what.startswith("host/"):  # whose constructors check their own
        return found.load(what, **settings)
    _check(what, settings, found.settings(what))
    return found.load(what, **settings)


def adopt(given: Any, /, **settings: Any) -> Any:
    """`make` for objects: an environment of a library behind our protocol, anything else as it is."""
    library = _library(given[0] if isinstance(given, tuple) and len(given) == 2 else given)
    if library == "gymnasium":
        return _host().adopted(given, **settings)
    if library is not None:
        name, build, known = {"gymnax": gymnax, "brax": brax}[library].adopted(given)
        _check(name, settings, known)
        return build(**settings)
    if settings:
        raise O2OError(f"{getattr(given, 'name', given)!r} is made already; its settings are those of its maker")
    return given


def _library(given: Any) -> str | None:
    """Whose environment an object is, by its classes: nothing is imported for it."""
    roots = {kind.__module__.partition(".")[0] for kind in type(given).__mro__}
    return next((library for library in ("gymnax", "brax", "gymnasium") if library in roots), None)


def _check(name: str, settings: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise `O2OError` for a setting that the environment lacks, or of the wrong type."""
    for setting, value in settings.items():
        if setting not in known:
            remedy = nearest(setting, known) if known else "it has none"
            rest = f"; settings: {', '.join(known)}" if remedy.startswith("did you mean") else ""
            raise O2OError(f"{name}: unknown setting {setting!r:.80}; {remedy}{rest}")
        if not _fits(value, known[setting]):
            raise O2OError(f"{name}: {setting}={value!r:.80} must be of type {_type_name(known[setting])}")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a setting's value is of its kind; `float` is any number, also a traced or batched one."""
    if kind is float:
        return isinstance(value, int | float | np.ndarray | np.generic | jax.Array) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _type_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


ADAPTERS.append(make)
