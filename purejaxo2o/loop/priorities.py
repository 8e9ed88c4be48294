"""Rows of dataset and replay store drawn in proportion to priorities that change while training.

Rows are numbered through, the dataset's first, then the replay store's (`row * envs + env`). Their priorities lie in
blocks of about the square root of their number, each with its sum: drawing a row and changing a priority touch the
sums and one block, not all rows, and nothing depends on the data but which block that is. A tree of sums would touch
less, in many dependent steps, each a kernel of its own on an accelerator.
"""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp

from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, Number, pytree, static

SHORT = 1.0 - 1e-6
"""A draw stays this far below a sum: rounded up to it, it would fall on the row after, which may have priority 0."""


@pytree
class Priorities:
    """values: `[blocks, rows of a block]`, at least 0, which is never drawn. top: the largest so far, which new rows
    get. offline_rows: how many the dataset has."""

    values: Array
    sums: Array
    top: Array
    offline_rows: int = static()


def empty(offline_rows: int, online_rows: int) -> Priorities:
    """All 0."""
    rows = offline_rows + online_rows
    width = math.isqrt(rows - 1) + 1
    blocks = -(-rows // width)
    return Priorities(
        values=jnp.zeros((blocks, width), jnp.float32),
        sums=jnp.zeros(blocks, jnp.float32),
        top=jnp.float32(1.0),
        offline_rows=offline_rows,
    )


def begin(priorities: Priorities, online_rows: Array, offline_share: Number) -> Priorities:
    """1 for the dataset's rows; for the first `online_rows` (traced) of the replay store, and for new ones, what
    leaves the dataset `offline_share` of all draws."""
    offline = priorities.offline_rows
    share = jnp.maximum(offline_share, 1e-6)
    fresh = offline * (1.0 - share) / (share * jnp.maximum(online_rows, 1))
    number = jnp.arange(priorities.values.size).reshape(priorities.values.shape)
    values = jnp.where(number < offline, 1.0, jnp.where(number < offline + online_rows, fresh, 0.0))
    values = values.astype(priorities.values.dtype)
    return replace(priorities, values=values, sums=values.sum(axis=1), top=jnp.float32(fresh))


def put(priorities: Priorities, number: Array, value: Array) -> Priorities:
    """Rows `number [n]` get `value [n]`; equal numbers must come with equal values."""
    block, place = jnp.divmod(number, priorities.values.shape[1])
    value = value.astype(priorities.values.dtype)
    values = priorities.values.at[block, place].set(value)
    # Summed anew, not by the difference, whose rounding errors would add up.
    sums = priorities.sums.at[block].set(values[block].sum(axis=1))
    return replace(priorities, values=values, sums=sums, top=jnp.maximum(priorities.top, value.max()))


def add(priorities: Priorities | None, store: Store) -> Priorities | None:
    """With the row that `store` is about to get; None stays None."""
    if priorities is None:
        return None
    head, envs = store.head, store.envs
    number = priorities.offline_rows + head * envs + jnp.arange(envs)
    return put(priorities, number, jnp.broadcast_to(priorities.top, (envs,)))


def draw(priorities: Priorities, key: Array, count: int) -> Array:
    """`count` numbers of rows in proportion to their priorities, one out of each of as many equal shares of the sum
    (stratified, as in prioritised replay, Schaul et al. 2016, appendix B.2.1)."""
    ends = jnp.cumsum(priorities.sums)
    point = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count * ends[-1] * SHORT
    block = jnp.searchsorted(ends, point, side="right")
    inside = jnp.cumsum(priorities.values[block], axis=1)  # [count, width]
    rest = jnp.minimum(point - (ends - priorities.sums)[block], inside[:, -1] * SHORT)
    place = (inside <= rest[:, None]).sum(axis=1)
    return block * priorities.values.shape[1] + place
