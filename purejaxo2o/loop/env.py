"""The environment protocol.

An environment is a frozen pytree (`types.pytree`): numbers that one may vary (gravity, a goal radius) are
leaves, everything structural is static. It is pure and never resets itself; `rollout.py` does that, after it
has stored the true next observation.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Array, O2OError, Space, Spaces, Step, likeness

EnvState = Any
"""A pytree of arrays; only the environment that made it looks inside."""


ADAPTERS: list[Callable[[Any], Any]] = []
"""What makes environments of ids and of other libraries' objects; `purejaxo2o.envs` adds its own (`envs.make`)."""


def adopted(given: Any) -> Any:
    """An environment of whatever names or holds one, anything else as it is."""
    for adapt in ADAPTERS:
        given = adapt(given)
    return given


@runtime_checkable
class Env(Protocol):
    """What every environment offers. Single (unbatched) states and actions; callers `vmap`.

    It may have besides: `action_bounds`, asked for by `bounds_of`; `restore(obs) -> state`, for `tasks.snapshots`;
    and `observe(state) -> obs`, for continuing recordings.
    """

    @property
    def name(self) -> str:
        """The id that `envs.make` understands, e.g. `maze/PointMaze_UMaze-v3`."""
        ...

    @property
    def obs_space(self) -> Space: ...

    @property
    def action_space(self) -> Space:
        """A box scaled to [-1, 1] or a discrete space."""
        ...

    @property
    def horizon(self) -> int:
        """Steps after which an episode is truncated (static); the rollout cuts there in any case."""
        ...

    @property
    def pooled_resets(self) -> bool:
        """True when `reset` is too expensive for every step: the rollout then draws start states from a pool
        made once a segment (`rollout.POOL_SIZE` of them)."""
        ...

    def reset(self, key: Array) -> tuple[EnvState, Array]:
        """`key -> (state, obs)`."""
        ...

    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Step]:
        """One step; `terminated` and `truncated` are scalars bool and may both be set.

        `info` has the same keys at every step; `info["success"]`, where present, is a bool scalar."""
        ...


def spaces(env: Env) -> Spaces:
    """Observation and action space of `env`."""
    return Spaces(env.obs_space, env.action_space)


def bounds_of(env: Any) -> Any:
    """`(lowest, highest)` action of the simulator behind an environment, in its own units: arrays `[*action_shape]`.

    Our actions -1 and 1 (or the choices 0 and n - 1) are these. None where there is no other unit: an environment
    without `action_bounds` takes [-1, 1], or choices from 0, by nature."""
    return getattr(env, "action_bounds", None)


def check_env(env: Any) -> None:
    """`check_shapes` of an environment that somebody brought along. This package's own keep the protocol by their
    tests: tracing the physics of a robot takes seconds."""
    own = type(env).__module__.startswith("purejaxo2o.envs.") and getattr(env, "source", None) is None
    if not own:
        check_shapes(env)


def check_shapes(env: Any) -> None:
    """Raise `O2OError` with environment and field for what breaks the protocol, from shapes alone.

    Nothing is computed; an environment is looked at once, however often it is asked for."""
    name = getattr(env, "name", type(env).__name__)
    for promised in ("name", "obs_space", "action_space", "horizon", "pooled_resets", "reset", "step"):
        if not hasattr(env, promised):
            raise O2OError(f"environment {name!r} has no {promised}; see the protocol in purejaxo2o/loop/env.py")
    if isinstance(env.horizon, bool) or not isinstance(env.horizon, int | np.integer) or env.horizon < 1:
        raise O2OError(f"environment {name!r}: horizon is {env.horizon!r}; give a whole number of at least 1")
    leaves, structure = jax.tree.flatten(env)
    if all(isinstance(x, int | float | np.ndarray | np.generic | jax.Array) for x in leaves):
        _check_shapes(structure, likeness(leaves)[1])
    else:  # not a pytree of arrays: an object as it is
        _check_steps(env, env.name)


@functools.lru_cache(maxsize=256)
def _check_shapes(structure: Any, leaves: tuple[tuple[tuple[int, ...], Any], ...]) -> None:
    example = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in leaves]

    def look(leaves: list[Array]) -> None:
        env = jax.tree.unflatten(structure, leaves)
        _check_steps(env, env.name)

    jax.eval_shape(look, example)


def _check_steps(env: Any, name: str) -> None:
    """Trace a reset and a step, and look at what they give."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    first = jax.eval_shape(env.reset, key)
    _pair(name, "reset", first)
    start, obs = first
    _array(name, "reset", "obs", obs, env.obs_space)
    after = jax.eval_shape(env.step, start, jax.eval_shape(env.action_space.zeros), key)
    _pair(name, "step", after)
    state, step = after
    if not isinstance(step, Step):
        raise O2OError(f"environment {name!r}: step gives {type(step).__name__} with the state; give a Step")
    if likeness(state) != likeness(start):
        raise O2OError(f"environment {name!r}: {_difference(start, state)}; a step must give a state like a reset's")
    _array(name, "step", "obs", step.obs, env.obs_space)
    _scalar(name, "reward", step.reward, jnp.number, "a scalar number")
    _scalar(name, "terminated", step.terminated, jnp.bool_, "a scalar bool")
    _scalar(name, "truncated", step.truncated, jnp.bool_, "a scalar bool")
    if not isinstance(step.info, dict):
        raise O2OError(f"environment {name!r}: step gives info as {type(step.info).__name__}; give a dict of arrays")
    if "success" in step.info:
        _scalar(name, "info['success']", step.info["success"], jnp.bool_, "a scalar bool")


def _pair(name: str, function: str, given: Any) -> None:
    if not (isinstance(given, tuple) and len(given) == 2):
        wanted = "(state, obs)" if function == "reset" else "(state, Step)"
        raise O2OError(f"environment {name!r}: {function} gives {type(given).__name__}; give the pair {wanted}")


def _array(name: str, function: str, field: str, found: Any, space: Space) -> None:
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    floats = dtype is not None and jnp.issubdtype(dtype, jnp.floating) and space.dtype.startswith("float")
    if shape != space.shape or not (floats or dtype == np.dtype(space.dtype)):
        raise O2OError(
            f"environment {name!r}: {function} gives {field} of shape {shape} and type {dtype}, obs_space says "
            f"{space.shape} and {space.dtype}; make them equal"
        )


def _scalar(name: str, field: str, found: Any, kind: Any, wanted: str) -> None:
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if shape != () or dtype is None or not jnp.issubdtype(dtype, kind):
        raise O2OError(f"environment {name!r}: step gives {field} of shape {shape} and type {dtype}; give {wanted}")


def _difference(start: Any, state: Any) -> str:
    """The first place where a state after a step is not like one after a reset, in words."""
    one, other = (dict(jax.tree_util.tree_leaves_with_path(tree)) for tree in (start, state))
    for path in [*one, *(path for path in other if path not in one)]:
        forms = [f"{x.shape} {x.dtype}" if x is not None else "missing" for x in (one.get(path), other.get(path))]
        if forms[0] != forms[1]:
            return f"state{jax.tree_util.keystr(path)} is {forms[0]} after reset and {forms[1]} after step"
    return f"the state is {jax.tree.structure(start)} after reset and {jax.tree.structure(state)} after step"
