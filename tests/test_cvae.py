"""The conditional VAE of actions: its numbers by hand, and that it learns a density that depends on the state."""

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.agents.base import descend, init_adam
from purejaxo2o.models import cvae
from purejaxo2o.models.cvae import CVAE, divergence, elbo_loss

KEY = jax.random.key(2)
NETWORK = CVAE(1, 2, (32, 32))


def test_divergence_of_the_sheet() -> None:
    np.testing.assert_allclose(divergence(jnp.array([0.0, 1.0]), jnp.zeros(2)), [0.0, 0.5])
    np.testing.assert_allclose(divergence(jnp.array([1.0, 0, 0, 0]), jnp.zeros(4)).mean(), 0.125)
    std = np.array([0.5, 2.0])  # against the textbook form
    textbook = -np.log(std) + (std**2 + 0.3**2) / 2 - 0.5
    np.testing.assert_allclose(divergence(jnp.full(2, 0.3), jnp.log(std)), textbook, rtol=1e-5)


def test_loss_of_networks_that_return_zero() -> None:
    """Reconstruction 0 and q = p: the mean square of the actions, averaged over entries, and no divergence."""
    network = CVAE(2, 4, (8,))
    params = jax.tree.map(jnp.zeros_like, cvae.init(network, KEY, jnp.zeros(3)))
    action = jnp.array([[0.5, -0.5], [1.0, 0.0]])
    loss = elbo_loss(network, params, jnp.ones((2, 3)), action, KEY, samples=3, kl_weight=0.5)
    np.testing.assert_allclose(loss, [0.25, 0.5], rtol=1e-6)


def test_it_learns_where_actions_are() -> None:
    """Actions near 0.7 sign(s): those are likely, their mirror images are not."""
    keys = jax.random.split(KEY, 4)
    obs = jax.random.rademacher(keys[0], (512, 1)).astype(jnp.float32)
    action = 0.7 * obs + 0.05 * jax.random.normal(keys[1], obs.shape)
    params = cvae.init(NETWORK, keys[2], obs[0])

    def step(carry, key):
        def loss(params):
            value = elbo_loss(NETWORK, params, obs, action, key, kl_weight=0.1).mean()
            return value, {"loss": value}

        params, opt, metrics = descend(loss, *carry, 3e-3)
        return (params, opt), metrics["loss"]

    run = jax.jit(lambda params: jax.lax.scan(step, (params, init_adam(params)), jax.random.split(keys[3], 400)))
    (params, _), losses = run(params)
    assert losses[-20:].mean() < 0.2 * losses[0]
    likely, unlikely = (elbo_loss(NETWORK, params, obs, a, KEY, samples=20, kl_weight=0.1) for a in (action, -action))
    assert likely.mean() < 0.1 * unlikely.mean()
    slope = jax.grad(lambda a: elbo_loss(NETWORK, params, obs, a, KEY, samples=20, kl_weight=0.1).sum())(0 * action)
    assert (jnp.sign(-slope) == obs).mean() > 0.95  # the gradient points at the data
