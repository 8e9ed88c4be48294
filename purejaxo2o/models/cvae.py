"""A conditional variational autoencoder of actions given observations (Sohn et al. 2015; as in SPOT's code).

    q(z|s,a) = N(mu, diag(sigma^2)),   p(a|s,z) around tanh(decoder(s,z)),   p(z) = N(0, 1)
    L(s,a)   = mean_{S,A} (a - decode(s, mu + sigma eps))^2 + w mean_L KL(q || p)

`L` is a negative evidence lower bound up to scale and shift: small where (s, a) is likely under the data. Both parts
are means, over the action's entries and over the latent's: summing either would change what `w` means.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from purejaxo2o.networks import MLP, XAVIER, Hidden, apply, beside
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Number

LOG_STD_RANGE = (-4.0, 15.0)


class CVAE(nn.Module):
    """`size`: of an action. `latent`: entries of z (BCQ and SPOT: twice `size`)."""

    size: int
    latent: int
    hidden: Hidden

    def setup(self) -> None:
        self.encoder = MLP(self.hidden)
        self.mean = nn.Dense(self.latent, kernel_init=XAVIER)
        self.log_std = nn.Dense(self.latent, kernel_init=XAVIER)
        self.decoder = MLP(self.hidden, self.size)

    def encode(self, obs: Array, action: Array) -> tuple[Array, Array]:
        """Mean and log std `[..., L]` of `q(z|s,a)`."""
        x = self.encoder(beside(obs, action))
        return self.mean(x), jnp.clip(self.log_std(x), *LOG_STD_RANGE)

    def decode(self, obs: Array, z: Array) -> Array:
        """The action `[..., A]` that `z [..., L]` stands for."""
        return jnp.tanh(self.decoder(beside(obs, z)))

    def __call__(self, obs: Array, action: Array, noise: Array) -> tuple[Array, Array, Array]:
        """Reconstructions `[S, ..., A]` for `noise [S, ..., L]`, mean and log std `[..., L]`."""
        mean, log_std = self.encode(obs, action)
        z = mean + jnp.exp(log_std) * noise
        return self.decode(jnp.broadcast_to(obs, (*z.shape[:-1], obs.shape[-1])), z), mean, log_std


def init(network: CVAE, key: Array, obs: Array) -> Any:
    """Fresh parameters, for observations like `obs [O]`."""
    return network.init(key, obs, jnp.zeros(network.size), jnp.zeros(network.latent))["params"]


def divergence(mean: Array, log_std: Array) -> Array:
    """Elementwise `KL(N(mean, exp(log_std)^2) || N(0, 1))`."""
    return -0.5 * (1.0 + 2.0 * log_std - jnp.square(mean) - jnp.exp(2.0 * log_std))


def elbo_loss(
    network: CVAE, params: Any, obs: Array, action: Array, key: Array, *, samples: int = 1, kl_weight: Number = 0.5
) -> Array:
    """`L [B]` of rows `obs [B, O]`, `action [B, A]`, with fresh noise; differentiable in the actions as well."""
    noise = jax.random.normal(key, (samples, *action.shape[:-1], network.latent))
    reconstruction, mean, log_std = apply(network, params, obs, action, noise)
    error = jnp.square(residual(reconstruction, action)).mean(axis=(0, -1))
    return error + kl_weight * divergence(mean, log_std).mean(axis=-1)
