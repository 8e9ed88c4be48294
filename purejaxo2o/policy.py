"""A trained policy as one callable object, which knows whose units its actions are in; and how lanes are counted."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from purejaxo2o.types import Array, O2OError, Policy, Space, pytree, static


@pytree
class TrainedPolicy:
    """`act(obs, key) -> action` in the environment's own units: what a Gymnasium, gymnax or brax environment takes.

    Boxes are clipped and scaled to the environment's bounds, choices counted from its first one (`Space.low`, `high`,
    `start`). Environments of this package act in [-1, 1]: for them there is `act.scaled(obs, key)`. `o2o.evaluate`,
    `collect` and the others of this package take the object itself and use the right one.

    obs: one observation `[*obs_shape]` or many `[..., *obs_shape]`; key: of the choices that are random (unused by
        most greedy policies). Pure: it can be jitted, vmapped, exported, and is a pytree of its parameters. Nothing
        is kept in mind between calls: an agent that plans chunks of actions (`qc`) plans anew at every call, unlike
        in training and evaluation.
    """

    agent: Any
    state: Any
    space: Space = static()  # of actions
    explore: bool = static(default=False)

    # Two are equal when they are one object, for `jit` and for those who keep policies in tables.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __call__(self, obs: Array, key: Array) -> Array:
        return self.space.to_own_units(self.scaled(obs, key))

    def scaled(self, obs: Array, key: Array) -> Array:
        """The same action as environments of this package take it: a box scaled to [-1, 1], or a choice from 0."""
        return self.agent.act(self.state, obs, key, explore=self.explore)


def scaled(act: Callable[..., Any]) -> Policy:
    """What to act with in environments of this package: `act.scaled` of a trained policy, a plain function itself."""
    return act.scaled if isinstance(act, TrainedPolicy) else act


def lane_index(index: Any, sizes: Sequence[int], where: str, remedy: str) -> tuple[int, ...]:
    """`index` as one Python number for each of the leading axes of `sizes`, counted from 0.

    index: None where there is no axis; one integer or a sequence of them, of Python, NumPy or JAX. Negative ones count
        from the end. where, remedy: beginning and end of the message, e.g. `policy(seed=7)`.
    Raises `O2OError` for anything else, another number of them, and what is out of range."""
    many = isinstance(index, tuple | list) or np.ndim(index) == 1
    given = () if index is None else tuple(index) if many else (index,)
    if len(given) != len(sizes):
        raise O2OError(f"{where} is {len(given)} numbers for {len(sizes)} axes; {remedy}")
    return tuple(_within(i, size, where, remedy) for i, size in zip(given, sizes, strict=True))


def _within(index: Any, size: int, where: str, remedy: str) -> int:
    try:
        if isinstance(index, bool | np.bool_):
            raise TypeError
        found = operator.index(index)
    except TypeError:
        if isinstance(index, jax.core.Tracer):
            raise O2OError(f"{where} depends on a traced value; choose outside of jit and vmap") from None
        raise O2OError(f"{where} has {index!r}, which is no integer; {remedy}") from None
    if not -size <= found < size:
        raise O2OError(f"{where} is out of range; {remedy}")
    return found % size
