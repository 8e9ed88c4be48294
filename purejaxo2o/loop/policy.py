"""A trained policy as one callable object, which knows whose units its actions are in; and how lanes are counted."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Act, Array, O2OError, pytree, static


@pytree
class Policy:
    """`act(obs, key) -> action` in the environment's own units: what a Gymnasium, gymnax or brax environment takes.

    Boxes are clipped and scaled to the environment's bounds, choices counted from its first (`env.bounds_of`).
    Environments of this package act in [-1, 1] and count from 0: for them there is `act.scaled(obs, key)`.
    `o2o.evaluate`, `collect` and others of this package take the object itself and use the right one.

    obs: one observation `[*obs_shape]` or many `[..., *obs_shape]`.
    key: of random choices, which most greedy policies do not make.

    An agent may keep something in mind during an episode: what is left of a planned chunk of actions (`qc`). Then

        memory = act.init(count)                            # at the start of `count` episodes, side by side
        action, memory = act.act(obs, memory, key)          # obs [count, *obs_shape]; in turn, to their ends

    is the policy that was trained and evaluated; `act(obs, key)` is the first step of an episode, at every call. An
    agent that keeps nothing in mind has `None` for memory, and both are the same.

    Pure: it can be jitted, vmapped and exported, and is a pytree of its parameters.
    """

    agent: Any
    state: Any
    bounds: Any = None  # (lowest, highest) action in own units, [*action_shape]; None: those of this package
    explore: bool = static(default=False)

    # Two are equal when they are one object, for `jit` and for those who keep policies in tables.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:  # without the parameters, which fill screens
        return f"Policy({type(self.agent).__name__}, explore={self.explore})"

    def __call__(self, obs: Array, key: Array) -> Array:
        return to_own_units(self.scaled(obs, key), self.bounds)

    def scaled(self, obs: Array, key: Array) -> Array:
        """The same action as environments of this package take it: a box scaled to [-1, 1], or a choice from 0."""
        return self.agent.act(self.state, obs, key, explore=self.explore)

    def init(self, count: int) -> Any:
        """What is kept in mind at the start of `count` episodes: leaves `[count, ...]`, or None."""
        return self.agent.begin(self.state, count)

    def act(self, obs: Array, memory: Any, key: Array) -> tuple[Array, Any]:
        """Actions `[count, *action_shape]` in the environment's own units for `obs [count, *obs_shape]`, and what to
        keep in mind for the next."""
        action, memory = self.act_scaled(obs, memory, key)
        return to_own_units(action, self.bounds), memory

    def act_scaled(self, obs: Array, memory: Any, key: Array) -> tuple[Array, Any]:
        """`act`, for environments of this package."""
        return self.agent.follow(self.state, obs, key, memory, explore=self.explore)


def to_own_units(action: Array, bounds: Any) -> Array:
    """What an environment with `bounds` takes for one of our actions `[..., *action_shape]`."""
    if jnp.issubdtype(action.dtype, jnp.integer):
        return action if bounds is None else action + jnp.asarray(bounds[0], action.dtype)
    action = jnp.clip(action, -1.0, 1.0)
    if bounds is None:
        return action
    low, high = (jnp.asarray(x, action.dtype) for x in bounds)
    return low + (action + 1.0) / 2.0 * (high - low)


def scaled(act: Callable[..., Any]) -> Act:
    """What to act with in environments of this package: `act.scaled` of a trained policy, a plain function itself.

    Raises `O2OError` for a trained policy under `jax.jit` or `jax.vmap`, whose units cannot be seen."""
    if isinstance(getattr(act, "__wrapped__", None), Policy):
        raise O2OError(
            "a trained policy under jit or vmap acts in the environment's own units; pass the policy itself, or its "
            "scaled form: jax.jit(policy.scaled)"
        )
    return act.scaled if isinstance(act, Policy) else act


def lane_index(index: Any, sizes: Sequence[int], where: str, remedy: str) -> tuple[int, ...]:
    """`index` as one Python number for each of the leading axes of `sizes`, counted from 0.

    index: None where there is no axis; one integer or a sequence of them, of Python, NumPy or JAX. Negative ones
        count from the end. where, remedy: beginning and end of the message, e.g. `policy(seed=7)`.
    Raises `O2OError` for anything else, another number of them, and what is out of range."""
    many = isinstance(index, tuple | list) or np.ndim(index) == 1
    given = () if index is None else tuple(index) if many else (index,)
    if len(given) != len(sizes):
        raise O2OError(f"{where}: {len(given)} given; {remedy}")
    return tuple(_within(i, size, where, remedy) for i, size in zip(given, sizes, strict=True))


def _within(index: Any, size: int, where: str, remedy: str) -> int:
    try:
        if isinstance(index, bool | np.bool_):
            raise TypeError
        found = operator.index(index)
    except jax.errors.TracerIntegerConversionError:
        raise O2OError(f"{where}: it depends on a traced value; choose outside of jit and vmap") from None
    except TypeError:
        raise O2OError(f"{where}: {index!r} is no integer; {remedy}") from None
    if not -size <= found < size:
        raise O2OError(f"{where}: {found} is out of range; {remedy}")
    return found % size
