"""An ensemble of learned dynamics: where a step leads, as a Gaussian, and the chance that it ends the episode.

    x = (s, a), y = s' - s, both standardised;   v = the log-variance, softly kept in [-10, 0.5]
    L = sum_E (mean_{B,O} ((mu(x) - y)^2 exp(-v(x)) + v(x)) + mean_B cross-entropy(end(x), terminated))

The Gaussians are those of PETS and MBPO (Chua et al. 2018; Janner et al. 2019). The published code knows every
task's rule of termination; an agent knows no tasks, so here it is learned. Means and variances for standardising are
running ones: over all minibatches absorbed so far. Members differ by where they start alone (published: by their rows
as well); there is no hold-out set, hence no elite, and no weight decay.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from purejaxo2o.networks import MLP, Hidden, apply, beside
from purejaxo2o.shapes import assert_rows, residual
from purejaxo2o.types import Array, Space

LOG_VARIANCE = (-10.0, 0.5)
REACH = 10.0
"""Imagined observations stay within so many standard deviations of the data: a model left alone may run away."""


class Member(nn.Module):
    """`x [..., I] -> mean [..., O], log-variance [..., O], logit of the end [...]`, standardised."""

    size: int
    hidden: Hidden

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        out = MLP(self.hidden, 2 * self.size + 1, activation="gelu")(x)
        mean, raw, end = out[..., : self.size], out[..., self.size : -1], out[..., -1]
        low, high = LOG_VARIANCE
        raw = high - jax.nn.softplus(high - raw)
        return mean, low + jax.nn.softplus(raw - low), end


def ensemble(size: int, hidden: Hidden, members: int) -> nn.Module:
    """`members` independent ones: the same input, outputs with a leading axis; `size`: of an observation."""
    shared: Any = None
    mapped = nn.vmap(
        Member, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=shared, axis_size=members
    )
    return mapped(size, hidden)


def features(action: Array, space: Space) -> Array:
    """Actions as the model sees them, `[..., A]`: discrete ones as unit vectors."""
    return action if space.n is None else jax.nn.one_hot(action, space.n)


def init(key: Array, hidden: Hidden, members: int, obs: Array, action: Array) -> tuple[Any, Any]:
    """Fresh parameters, and a scale of nothing absorbed yet; `action`: an example as the model sees it."""
    x = beside(obs, action)
    params = ensemble(obs.shape[-1], hidden, members).init(key, x)["params"]
    scale = {
        "batches": jnp.zeros((), obs.dtype),
        "x": {"mean": jnp.zeros_like(x), "variance": jnp.ones_like(x)},
        "y": {"mean": jnp.zeros_like(obs), "variance": jnp.ones_like(obs)},
    }
    return params, scale


def absorb(scale: Any, obs: Array, action: Array, next_obs: Array) -> Any:
    """The scale with one minibatch `[B, ...]` more: means and variances over all rows of all minibatches."""
    count = scale["batches"] + 1.0

    def merged(old: Any, rows: Array) -> Any:
        step = rows.mean(axis=0) - old["mean"]
        inner = rows.var(axis=0) - old["variance"]
        variance = old["variance"] + (inner + jnp.square(step) * (count - 1.0) / count) / count
        new = {"mean": old["mean"] + step / count, "variance": variance}
        return jax.tree.map(lambda x, known: x.astype(known.dtype), new, old)

    x = beside(obs, action)
    return {"batches": count, "x": merged(scale["x"], x), "y": merged(scale["y"], next_obs - obs)}


def _deviation(moments: Any) -> Array:
    return jnp.sqrt(jnp.maximum(moments["variance"], 1e-12))


def _standardised(moments: Any, rows: Array) -> Array:
    return (rows - moments["mean"]) / _deviation(moments)


def loss(
    network: nn.Module, params: Any, scale: Any, obs: Array, action: Array, next_obs: Array, terminated: Array
) -> Array:
    """`L` of a minibatch `[B, ...]`; `scale` is a constant."""
    x = _standardised(scale["x"], beside(obs, action))
    y = _standardised(scale["y"], next_obs - obs)
    mean, log_variance, end = apply(network, params, x)  # [E, B, O], [E, B, O], [E, B]
    error = (jnp.square(residual(mean, y)) * jnp.exp(-log_variance) + log_variance).mean(axis=(1, 2))
    assert_rows(end, terminated)
    ends = optax.sigmoid_binary_cross_entropy(end, terminated.astype(end.dtype)).mean(axis=1)
    return (error + ends).sum()


def imagine(
    network: nn.Module, params: Any, scale: Any, obs: Array, action: Array, member: Array, noise: Array
) -> tuple[Array, Array]:
    """Next observations `[..., O]` and the chances `[...]` that the episode ends there.

    member: which member predicts each row, `[...]` int; noise: standard normal `[..., O]`. Both broadcast."""
    x = _standardised(scale["x"], beside(obs, action))
    member = jnp.broadcast_to(member, obs.shape[:-1])

    def chosen(out: Array) -> Array:
        index = member[None] if out.ndim == member.ndim + 1 else member[None, ..., None]
        return jnp.take_along_axis(out, index, axis=0)[0]

    mean, log_variance, end = (chosen(out) for out in apply(network, params, x))
    change = mean + jnp.exp(0.5 * log_variance) * noise
    after = obs + scale["y"]["mean"] + _deviation(scale["y"]) * change
    centre = scale["x"]["mean"][: obs.shape[-1]]
    reach = REACH * _deviation(scale["x"])[: obs.shape[-1]]
    return jnp.clip(after, centre - reach, centre + reach), jax.nn.sigmoid(end)
