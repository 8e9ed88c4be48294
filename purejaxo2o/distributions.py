"""The action distributions: squashed, clipped and censored Gaussian, categorical.

Parameters are arrays with any leading batch shape `[...]`; box actions add a last axis `A`. `log_prob` sums
over it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from purejaxo2o.shapes import assert_rows
from purejaxo2o.types import Array

ACTION_LIMIT = 1.0 - 1e-5
"""Recorded actions are clipped to +-this before `atanh` (IQL's and RLPD's loaders)."""


def normal_log_prob(x: Array, mean: Array, log_std: Array) -> Array:
    """Elementwise Gaussian log-density."""
    return -0.5 * jnp.square((x - mean) * jnp.exp(-log_std)) - log_std - 0.5 * jnp.log(2.0 * jnp.pi)


def _squash_correction(u: Array) -> Array:
    """`log(1 - tanh(u)^2)` without cancellation."""
    return 2.0 * (jnp.log(2.0) - u - jax.nn.softplus(-2.0 * u))


class TanhNormal(NamedTuple):
    """`a = tanh(u)`, `u ~ N(mean, exp(log_std))` (SAC, Haarnoja et al. 2018, appendix C)."""

    mean: Array  # [..., A]
    log_std: Array  # [..., A]

    def mode(self) -> Array:
        return jnp.tanh(self.mean)

    def sample(self, key: Array) -> Array:
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key: Array, samples: tuple[int, ...] = ()) -> tuple[Array, Array]:
        """Reparameterised actions `[*samples, ..., A]` and their log-densities `[*samples, ...]`."""
        noise = jax.random.normal(key, samples + self.mean.shape)
        u = self.mean + jnp.exp(self.log_std) * noise
        log_prob = normal_log_prob(u, self.mean, self.log_std) - _squash_correction(u)
        return jnp.tanh(u), log_prob.sum(-1)

    def log_prob(self, action: Array) -> Array:
        """Log-density of given actions, clipped into the open box first."""
        assert_rows(action, self.mean)
        u = jnp.arctanh(jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT))
        return (normal_log_prob(u, self.mean, self.log_std) - _squash_correction(u)).sum(-1)


class ClippedNormal(NamedTuple):
    """A plain Gaussian whose samples are clipped to the box; the density is not corrected (IQL, AWAC)."""

    mean: Array  # [..., A]
    log_std: Array  # [..., A]

    def mode(self) -> Array:
        return jnp.clip(self.mean, -1.0, 1.0)

    def sample(self, key: Array) -> Array:
        return jnp.clip(self._unclipped(key), -1.0, 1.0)

    def _unclipped(self, key: Array) -> Array:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """Reparameterised actions before they are clipped, `[..., A]`, and their log-densities `[...]`: what losses
        see, since clipping would stop gradients and leave the density."""
        action = self._unclipped(key)
        return action, self.log_prob(action)

    def log_prob(self, action: Array) -> Array:
        assert_rows(action, self.mean)
        return normal_log_prob(action, self.mean, self.log_std).sum(-1)


class CensoredNormal(NamedTuple):
    """A Gaussian whose samples are clipped to the box, and the probability of what was clipped: an edge has that of
    everything beyond it (Fujita & Maeda 2018, arXiv 1802.07564). For PPO, which asks again and again how likely its
    own actions are: a squashed Gaussian's are worth nothing more than +-1 once the mean is far outside, and a
    clipped one's density is that of other actions."""

    mean: Array  # [..., A]
    log_std: Array  # [..., A]

    def mode(self) -> Array:
        return jnp.clip(self.mean, -1.0, 1.0)

    def sample(self, key: Array) -> Array:
        return ClippedNormal(self.mean, self.log_std).sample(key)

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """Reparameterised actions before they are clipped, and their log-densities, as `ClippedNormal`'s: its entropy
        keeps a gradient where all actions are at the edge."""
        return ClippedNormal(self.mean, self.log_std).sample_and_log_prob(key)

    def log_prob(self, action: Array) -> Array:
        """Log-density inside the box, log-probability on its edges and beyond."""
        assert_rows(action, self.mean)
        inside = normal_log_prob(action, self.mean, self.log_std)
        scale = jnp.exp(-self.log_std)
        above = log_ndtr((self.mean - 1.0) * scale)
        below = log_ndtr((-1.0 - self.mean) * scale)
        return jnp.where(action >= 1.0, above, jnp.where(action <= -1.0, below, inside)).sum(-1)


class Categorical(NamedTuple):
    """Discrete actions, int32."""

    logits: Array  # [..., n]

    def mode(self) -> Array:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def sample(self, key: Array) -> Array:
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """Actions and their log-probabilities `[...]`; no gradient flows through the draw."""
        action = self.sample(key)
        return action, self.log_prob(action)

    def log_prob(self, action: Array) -> Array:
        log_p = jax.nn.log_softmax(self.logits)
        assert_rows(action, log_p[..., 0])
        return jnp.take_along_axis(log_p, action[..., None], axis=-1)[..., 0]


Distribution = TanhNormal | ClippedNormal | CensoredNormal | Categorical


def kl_divergence(one: Distribution, other: Distribution) -> Array:
    """`KL(one || other)`, `[...]`, of two policies of a kind.

    Of squashed Gaussians it is that of the Gaussians: a bijection of the actions changes no divergence. Clipping
    lowers it: of the others it is an upper bound."""
    if isinstance(one, Categorical):
        assert isinstance(other, Categorical)
        log_p, log_q = jax.nn.log_softmax(one.logits), jax.nn.log_softmax(other.logits)
        return (jnp.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    assert not isinstance(other, Categorical)
    spread = jnp.exp(2.0 * one.log_std) + jnp.square(one.mean - other.mean)
    return (other.log_std - one.log_std + 0.5 * (spread * jnp.exp(-2.0 * other.log_std) - 1.0)).sum(axis=-1)
