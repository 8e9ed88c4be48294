"""Rows of transitions: a dataset is a full store, a replay buffer an empty one.

Time-major `[T, E, ...]`: `T` rows of `E` parallel environments (`E = 1` for datasets). A ring: once full, the
oldest row is overwritten. `size` and `head` count rows and depend on nothing but the number of `add`s, so they
stay unbatched under `vmap` and a write is a `dynamic_update_slice` in place.
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.loop import row_arrays
from purejaxo2o.spelling import shown
from purejaxo2o.types import Array, Number, O2OError, Transition, pytree


@pytree
class Store:
    """`data` leaves are `[T, E, ...]`; `size` valid rows, the next row goes to `head` (both int32 scalars)."""

    data: Transition
    size: Array
    head: Array

    @property
    def rows(self) -> int:
        """Capacity `T`."""
        return self.data.reward.shape[0]

    @property
    def envs(self) -> int:
        """Parallel environments `E`."""
        return self.data.reward.shape[1]


def from_transitions(data: Transition) -> Store:
    """A full store from flat transitions `[N, ...]` in time order.

    reward: float `[N]`; terminated, truncated: bool `[N]`, one of them True in the last row, which must end its
    trajectory; obs, next_obs: `[N, *obs_shape]`; action: `[N, *action_shape]`; extras: `[N, ...]`. 64-bit numbers
    become 32-bit ones. Raises `O2OError` for the first field that is not so."""
    row_arrays.check_arrays(data, "N")
    data = row_arrays.narrowed(data)
    n = data.reward.shape[0]
    known = all(map(row_arrays.known, (data.terminated, data.truncated)))
    if known and not (data.terminated[-1] | data.truncated[-1]):
        raise O2OError(
            f"row {n - 1}: the final row does not end its trajectory; set truncated[-1] = True if it was cut there"
        )
    data = jax.tree.map(lambda x: x[:, None], data)
    return Store(data=data, size=jnp.int32(n), head=jnp.int32(0))


def check(store: Any, name: str = "dataset") -> None:
    """Raise `O2OError` unless this is a store whose arrays fit together, from shapes and types alone."""
    if not isinstance(store, Store):
        how = "o2o.dataset(o2o.Transition(obs=..., ...)) makes one of arrays"
        raise O2OError(f"{name} is a {type(store).__name__}, no o2o.Store; o2o.dataset(task) loads one, {how}")
    try:
        row_arrays.check_arrays(store.data, "TE")
    except O2OError as error:
        raise O2OError(f"{name}: {error}") from None
    for field, low, high in (("size", 1, store.rows), ("head", 0, store.rows - 1)):
        value = getattr(store, field)
        whole = isinstance(value, int) or jnp.issubdtype(getattr(value, "dtype", bool), jnp.integer)
        if not whole or jnp.shape(value) != ():
            raise O2OError(f"{name}: {field} is {shown(value)}; it must be one int32")
        if row_arrays.known(value) and not low <= int(value) <= high:
            raise O2OError(f"{name}: {field} is {int(value)}; a store of {store.rows} rows has {low} to {high}")


def empty(example: Transition, *, rows: int, envs: int) -> Store:
    """A store of capacity `rows * envs` for transitions like `example` (one step, no leading axes)."""
    data = jax.tree.map(lambda x: jnp.zeros((rows, envs, *x.shape), x.dtype), example)
    return Store(data=data, size=jnp.int32(0), head=jnp.int32(0))


def add(store: Store, step: Transition) -> Store:
    """Append one row `[E, ...]`."""

    def write(buffer: Array, row: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(buffer, row.astype(buffer.dtype), store.head, axis=0)

    return Store(
        data=jax.tree.map(write, store.data, step),
        size=jnp.minimum(store.size + 1, store.rows),
        head=(store.head + 1) % store.rows,
    )


def recent(store: Store, length: int) -> Array:
    """Indices `[length]` of the newest rows, newest first; entries past `size` point at unwritten rows."""
    return (store.head - 1 - jnp.arange(length)) % store.rows


def window(store: Store, length: int, before: Store | None = None) -> Transition:
    """The newest rows `[length, E, ...]` in time order, without extras but for `valid`.

    What the store does not hold yet are the last rows of the dataset `before`, for every environment a stretch of its
    own, or without one the store's rows once more, which are not `valid`. Where two stretches meet, the row before is
    marked truncated.
    """
    back = jnp.arange(length)[::-1]  # 0 is the newest row
    known = jnp.minimum(store.size, length)
    lap = back % jnp.maximum(known, 1)
    rows: Transition = jax.tree.map(lambda x: x[(store.head - 1 - lap) % store.rows], store.data._replace(extras={}))
    missing, seam = back >= known, (back > 0) & (lap == 0)
    valid = jnp.broadcast_to(~missing[:, None], rows.reward.shape)
    if before is not None:
        seam, valid = seam & (back == known), jnp.ones_like(valid)
        ends = before.rows * before.envs - jnp.arange(store.envs)[::-1] * length  # of the environments' stretches
        number = (ends - 1 - (back - known)[:, None]) % (before.rows * before.envs)
        rows = choose(missing[:, None], take(before, number)._replace(extras={}), rows)
    truncated = rows.truncated | (seam[:, None] & ~rows.terminated)
    return rows._replace(truncated=truncated, extras={"valid": valid})


def sample(store: Store, key: Array, shape: tuple[int, ...], *, pending: Array | None = None) -> Transition:
    """Rows drawn uniformly with replacement: leaves `[*shape, ...]`.

    `pending` (`[E]` int32) excludes the newest `pending[e]` rows of environment `e`, those of an unfinished
    episode. Sampling an empty store returns its unwritten rows: phases must collect first.
    """
    key_row, key_env = jax.random.split(key)
    if pending is None:
        row = jax.random.randint(key_row, shape, 0, jnp.maximum(store.size, 1))
        env = jax.random.randint(key_env, shape, 0, store.envs) if store.envs > 1 else jnp.zeros_like(row)
    else:
        ready = store.size - jnp.minimum(pending, store.size)  # [E] finished rows, the oldest ones
        ends = jnp.cumsum(ready)
        flat = jax.random.randint(key_row, shape, 0, jnp.maximum(ends[-1], 1))
        env = jnp.clip(jnp.searchsorted(ends, flat, side="right"), 0, store.envs - 1)
        row = flat - (ends - ready)[env]
    index = (store.head - store.size + row) % store.rows  # row counts from the oldest
    return jax.tree.map(lambda x: x[index, env], store.data)


def take(store: Store, number: Array) -> Transition:
    """Rows by number, `row * envs + env` as they lie: leaves `[*number.shape, ...]`."""
    row, env = jnp.divmod(number, store.envs)
    return jax.tree.map(lambda x: x[row, env], store.data)


def mix(offline: Transition, online: Transition) -> Transition:
    """Join two samples along the batch axis: `[U, B1, ...]` and `[U, B2, ...]` to `[U, B1 + B2, ...]`.

    Every one of the `U` minibatches thus holds exactly `B1` offline rows (RLPD's symmetric sampling)."""
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), offline, online)


def mix_rows(offline: Transition, online: Transition, key: Array, ratio: Number) -> Transition:
    """Choose each of the `[U, B]` rows (or chunks) of two equally shaped samples: the offline one with probability
    `ratio` (traced)."""
    return choose(jax.random.bernoulli(key, ratio, offline.reward.shape[:2]), offline, online)


def choose(which: Array, offline: Transition, online: Transition) -> Transition:
    """The offline row (or chunk) where `which [U, B]` holds (or `[U, 1]`, for all of a row)."""

    def select(a: Array, b: Array) -> Array:
        return jnp.where(which.reshape(which.shape + (1,) * (a.ndim - which.ndim)), a, b)

    return jax.tree.map(select, offline, online)


def sample_chunks(store: Store, key: Array, shape: tuple[int, ...], length: int) -> tuple[Transition, Array]:
    """`length` consecutive steps from uniformly drawn starts.

    Returns leaves `[*shape, length, ...]` and `valid` `[*shape, length]`: False for the steps after the end of
    the trajectory in which the chunk starts, and after the newest row of the store.
    """
    key_row, key_env = jax.random.split(key)
    start = jax.random.randint(key_row, shape, 0, jnp.maximum(store.size, 1))
    env = jax.random.randint(key_env, shape, 0, store.envs)
    row = start[..., None] + jnp.arange(length)
    index = (store.head - store.size + row) % store.rows
    chunk = jax.tree.map(lambda x: x[index, env[..., None]], store.data)
    before_end = jnp.cumsum(chunk.last, axis=-1) - chunk.last == 0
    return chunk, before_end & (row < store.size)


def flat(store: Store) -> Transition:
    """All valid rows of a full store as `[T * E, ...]`, environment by environment in time order.

    Only for stores known to be full or never wrapped, outside of `jit`-ed hot paths (it copies)."""
    order = (store.head - store.size + jnp.arange(store.rows)) % store.rows

    def unroll(x: Array) -> Array:
        return jnp.swapaxes(x[order], 0, 1).reshape(-1, *x.shape[2:])

    return jax.tree.map(unroll, store.data)


def with_extras(store: Store, extras: dict[str, Array]) -> Store:
    """The same rows with other `extras`; the other arrays are shared, not copied."""
    return Store(data=store.data._replace(extras=extras), size=store.size, head=store.head)
