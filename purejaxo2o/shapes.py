"""What losses combine has equal shapes: asserted while tracing, at no cost afterwards.

`[B, 1, A] - [B, A]` would be `[B, B, A]` without a word, and a policy that learns the mean of all actions.
"""

import chex
import jax.numpy as jnp

from purejaxo2o.types import Array, Transition


def residual(prediction: Array, target: Array) -> Array:
    """`prediction [..., *shape] - target [*shape]`: predictions may have leading axes more (members, samples), and
    nothing else broadcasts. Raises `AssertionError`."""
    assert_rows(prediction, target)
    return prediction - target


def assert_rows(array: Array, of: Array) -> None:
    """`array` has the shape of `of`, but for leading axes more."""
    chex.assert_equal_shape_suffix([array, of], jnp.ndim(of))


def assert_batch(batch: Transition) -> None:
    """All leaves of minibatches or rollouts begin with the axes of their rewards `[...]`. Flags and discrete actions
    have no others, boxes and observations one, images (uint8) three. Raises `AssertionError`."""
    chex.assert_equal_shape([batch.reward, batch.terminated, batch.truncated])
    chex.assert_equal_shape([batch.obs, batch.next_obs])
    rows = jnp.ndim(batch.reward)
    chex.assert_rank(batch.obs, rows + (3 if batch.obs.dtype == jnp.uint8 else 1))
    chex.assert_rank(batch.action, rows + (0 if jnp.issubdtype(batch.action.dtype, jnp.integer) else 1))
    chex.assert_equal_shape_prefix([batch.reward, batch.obs, batch.action], rows)
