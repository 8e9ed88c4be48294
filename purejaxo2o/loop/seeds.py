"""Seeds by number, and their random keys. A seed's key depends on its number alone, not on how many there are."""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.spelling import cut
from purejaxo2o.types import Array, O2OError, whole

MOST = 1_000_000
LAST = 2**32 - 1

Seeds = int | Sequence[int] | np.ndarray | Array


def seed_keys(count: int, seed: int = 0) -> Array:
    """The keys `[count]` of seeds 0 to `count - 1`: `fold_in(key(seed), n)`, which is `split(key(seed), count)[n]`
    with JAX's default generator."""
    return keys_of(range(_counted(count)), seed)


def keys_of(numbers: Sequence[int], seed: int = 0) -> Array:
    """The keys `[n]` of these seeds."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), np.asarray(numbers, np.uint32))


def numbers_and_keys(seeds: Any) -> tuple[tuple[int, ...], Array]:
    """Numbers and keys `[n]` of what `sweep` takes as `seeds`.

    seeds: how many; a list, tuple, range or array of their numbers; a key, or an array of keys, which are numbered 0,
    1, ... as they lie. Raises `O2OError` for anything else, for numbers below 0 or above 2**32 - 1, and for a number
    that is there twice."""
    if _are_keys(seeds):
        keys = seeds[None] if seeds.ndim == 0 else seeds
        if keys.ndim != 1 or not keys.shape[0]:
            raise O2OError(f"seeds is an array of keys {keys.shape}; give one axis of at least one key")
        return tuple(range(len(keys))), keys
    if isinstance(seeds, jax.Array) and seeds.dtype == jnp.uint32:
        raise O2OError("seeds is a raw key (uint32); give jax.random.key(...), or seeds by number")
    if _whole(seeds):
        numbers: Any = range(_counted(seeds))
    else:
        numbers = _listed(seeds)
    return tuple(numbers), keys_of(numbers)


def key_of(key: Any) -> tuple[int | None, Array]:
    """The number, if it has one, and the key of a single run. Raises `O2OError` as `numbers_and_keys`."""
    if _are_keys(key):
        return None, one_key(key)
    if not _whole(key):
        raise O2OError(f"key is {_shown(key)}; give one key, jax.random.key(0), or the number of a seed")
    numbers, keys = numbers_and_keys([operator.index(key)])
    return numbers[0], keys[0]


def one_key(key: Any) -> Array:
    """The key itself, if it is one of `jax.random`'s, new or old. Raises `O2OError` for anything else."""
    if _whole(key):
        raise O2OError(f"key is {_shown(key)}; give jax.random.key({_shown(key)})")
    old = isinstance(key, jax.Array) and key.dtype == jnp.uint32 and key.ndim > 0  # `jax.random.PRNGKey`
    if not (_are_keys(key) or old):
        kind = f"an array {key.shape} of {key.dtype}" if isinstance(key, jax.Array) else _shown(key)
        raise O2OError(f"key is {kind}; give one key, jax.random.key(0)")
    if key.ndim > old:
        raise O2OError(
            f"key is an array of keys {key.shape[: key.ndim - old]}; give one of them, or train all: "
            "o2o.sweep(..., seeds=keys), or jax.vmap of o2o.train over them"
        )
    return key


def _are_keys(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _listed(seeds: Any) -> list[int]:
    parts = seeds.reshape(-1).tolist() if isinstance(seeds, np.ndarray | jax.Array) and seeds.ndim == 1 else seeds
    if isinstance(parts, range) and not 1 <= parts.stop - parts.start <= MOST:  # its length may be no machine number
        raise O2OError(f"seeds is {_shown(parts)}; give 1 to {MOST} of them")
    if isinstance(parts, str | bytes) or not isinstance(parts, Sequence) or not 1 <= len(parts) <= MOST:
        raise O2OError(f"seeds is {_shown(seeds)}; give how many (8), their numbers ([0, 1, 2]), or keys")
    numbers: list[int] = []
    for part in parts:
        if not _whole(part) or not 0 <= operator.index(part) <= LAST:
            raise O2OError(f"seeds holds {_shown(part)}; give whole numbers from 0 to {LAST}")
        numbers.append(operator.index(part))
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise O2OError(f"seeds holds {twice} twice; give each seed once")
    return numbers


def _counted(count: Any) -> int:
    return whole("seeds", count, f"it must be at least 1 and at most {MOST:,}", high=MOST)


def _whole(value: Any) -> bool:
    """Whether it is a whole number, of Python, NumPy or JAX."""
    if isinstance(value, bool | np.bool_) or (hasattr(value, "ndim") and value.ndim > 0):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 400:
        return f"a number of {value.bit_length()} bits"  # longer ones Python refuses to write
    return cut(" ".join(repr(value).split()))
