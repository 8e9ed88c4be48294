"""Flow matching: a velocity field that carries noise to data straight on (Lipman et al. 2022, arXiv 2210.02747).

    x_t = (1 - t) z + t a,   z ~ N(0, 1),   t ~ U[0, 1]
    L   = mean (v(s, x_t, t) - (a - z))^2
    x_0 = z,   x_{(i+1)/K} = x_{i/K} + v(s, x_{i/K}, i/K) / K      (a sample: Euler's method in K steps)

The number of steps is what makes samples expressive: at t = 0 the best velocity is E[a|s] - z, so a single step ends
at the mean of the data, whatever the noise.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from purejaxo2o.networks import MLP, Hidden, apply, beside
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array

Velocity = Callable[[Array, Array], Array]
"""`v(x [..., A], t [..., 1]) -> [..., A]`, observations being given."""


class Field(nn.Module):
    """`s [..., O], x [..., A] (, t [..., 1]) -> [..., A]`: an MLP with GELU of everything side by side, unbounded.

    Without `t` it is a map from noise to actions, made in one step."""

    size: int
    hidden: Hidden

    @nn.compact
    def __call__(self, *inputs: Array) -> Array:
        return MLP(self.hidden, self.size, activation="gelu")(beside(*inputs))


def size_of(params: Any, hidden: Hidden) -> int:
    """Entries of what a `Field` with these parameters makes."""
    return params["MLP_0"][f"Dense_{len(hidden)}"]["bias"].shape[-1]


def velocity(params: Any, hidden: Hidden, obs: Array) -> Velocity:
    """The field at `obs [..., O]`."""
    field = Field(size_of(params, hidden), hidden)
    return lambda x, time: apply(field, params, obs, x, time)


def matching_errors(velocity: Velocity, data: Array, key: Array) -> Array:
    """`[B, A]` squares whose mean is `L`, at fresh noise and times, for rows of data `[B, A]`."""
    key_noise, key_time = jax.random.split(key)
    noise = jax.random.normal(key_noise, data.shape)
    time = jax.random.uniform(key_time, (*data.shape[:-1], 1))
    return jnp.square(residual(velocity((1.0 - time) * noise + time * data, time), data - noise))


def transport(velocity: Velocity, noise: Array, steps: int) -> Array:
    """Where `noise [..., A]` is carried."""

    def step(x: Array, time: Array) -> tuple[Array, None]:
        return x + velocity(x, jnp.full((*x.shape[:-1], 1), time)) / steps, None

    return jax.lax.scan(step, noise, jnp.arange(steps) / steps)[0]
