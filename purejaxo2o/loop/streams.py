"""Streams of random numbers: a use and a counter of its own, folded into the root key.

No random number depends on anything else, so that evaluating more often changes no training key."""

import jax

from purejaxo2o.types import Array

INIT, ENTER, ITERATE, STARTS, EVALUATE = range(5)


def stream(key: Array, kind: int, counter: Array | int) -> Array:
    """The key of one use: `fold_in` of stream and counter."""
    return jax.random.fold_in(jax.random.fold_in(key, kind), counter)
