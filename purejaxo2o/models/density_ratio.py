"""The ratio of two densities over state-action pairs, learned from samples (Sinha et al. 2022; Off2OnRL's code).

`w(s, a) = relu(network)` is the larger, the more `(s, a)` looks like the first source. The variational bound of the
Jensen-Shannon divergence (Nguyen et al. 2010; f-GAN) is tight at `w = d_1 / d_2`:

    L = mean_2 -log(2 / (w + 1)) - mean_1 log(2 w / (w + 1))
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.networks import MLP, Hidden, apply, beside
from purejaxo2o.types import Array

TINY = 1e-10
"""Inside the logarithms: where the network is below 0, the ratio is 0."""


def init(hidden: Hidden, key: Array, obs: Array, action: Array) -> Any:
    """Fresh parameters; the last bias is 1, so that every ratio starts near 1."""
    params: Any = MLP(hidden, 1).init(key, beside(obs, action))["params"]
    last = f"Dense_{len(hidden)}"
    return params | {last: params[last] | {"bias": jnp.ones_like(params[last]["bias"])}}


def ratio(hidden: Hidden, params: Any, obs: Array, action: Array) -> Array:
    """`w [...]`, at least 0, of rows `[..., O]`, `[..., A]`."""
    return jax.nn.relu(apply(MLP(hidden, 1), params, beside(obs, action))[..., 0])


def loss(first: Array, second: Array) -> Array:
    """L of the ratios `w` at rows of the first and of the second source."""
    below = -jnp.log(2.0 / (second + 1.0) + TINY).mean()
    return below - jnp.log(2.0 * first / (first + 1.0) + TINY).mean()
