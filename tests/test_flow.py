"""Flow matching: Euler's method in closed form, the loss, and what the number of steps can express."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purejaxo2o.models import flow
from purejaxo2o.models.flow import Field

KEY = jax.random.key(0)
HIDDEN = (32, 32)


def test_a_constant_field_moves_everything_by_itself() -> None:
    """The sheet's check: ten steps of a tenth."""
    noise = jax.random.normal(KEY, (5, 3))
    constant = jnp.array([0.3, -2.0, 0.0])
    moved = flow.transport(lambda x, time: jnp.broadcast_to(constant, x.shape), noise, 10)
    np.testing.assert_allclose(moved, noise + constant, rtol=1e-5, atol=1e-6)


def test_euler_sees_position_and_time_at_the_start_of_every_step() -> None:
    moved = flow.transport(lambda x, time: x + time, jnp.array([[1.0]]), 2)
    first = 1.0 + (1.0 + 0.0) / 2
    np.testing.assert_allclose(moved, [[first + (first + 0.5) / 2]], rtol=1e-6)


@pytest.mark.parametrize(("velocity", "loss"), [(1.0, 0.0), (0.0, 1.0)])
def test_loss_of_the_sheet(velocity: float, loss: float) -> None:
    """Noise 0 and data 1: the velocity 1 is perfect."""
    zeros = jnp.zeros((4, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "normal", lambda key, shape: jnp.zeros(shape))
        errors = flow.matching_errors(lambda x, time: zeros + velocity, zeros + 1.0, KEY)
    np.testing.assert_allclose(errors, zeros + loss)


def test_the_field_is_asked_on_the_line_between_noise_and_data() -> None:
    data = jax.random.uniform(KEY, (1000, 2))
    seen = []

    def velocity(x: jax.Array, time: jax.Array) -> jax.Array:
        seen.append((x, time))
        return jnp.zeros_like(x)

    errors = flow.matching_errors(velocity, data, KEY)
    (x, time), direction = seen[0], jnp.sqrt(errors)  # up to its sign
    assert time.shape == (1000, 1)
    assert 0 <= float(time.min()) < 0.01
    assert 0.99 < float(time.max()) < 1
    noise = (x - time * data) / (1 - time)
    np.testing.assert_allclose(jnp.abs(data - noise), direction, atol=2e-2)
    assert abs(float(noise.mean())) < 0.1
    assert float(noise.std()) == pytest.approx(1.0, abs=0.1)


@pytest.fixture(scope="module")
def two_modes() -> tuple[jax.Array, jax.Array]:
    """A field fitted to actions of -0.7 and 0.7, twice as often the latter; samples of 10 steps and of 1."""
    field, optimiser = Field(1, HIDDEN), optax.adam(5e-3)
    params = field.init(KEY, jnp.zeros(1), jnp.zeros(1), jnp.zeros(1))["params"]

    @jax.jit
    def fit(params):
        def body(carry, key):
            params, state = carry
            key_data, key_loss = jax.random.split(key)
            data = jnp.where(jax.random.uniform(key_data, (256, 1)) < 2 / 3, 0.7, -0.7)

            def loss(params):
                velocity = flow.velocity(params, HIDDEN, jnp.zeros((256, 1)))
                return flow.matching_errors(velocity, data, key_loss).mean()

            updates, state = optimiser.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(body, (params, optimiser.init(params)), jax.random.split(KEY, 1500))
        velocity = flow.velocity(params, HIDDEN, jnp.zeros((2000, 1)))
        noise = jax.random.normal(jax.random.key(1), (2000, 1))
        return flow.transport(velocity, noise, 10), flow.transport(velocity, noise, 1)

    return fit(params)


def test_samples_keep_both_modes_in_their_proportions(two_modes: tuple[jax.Array, jax.Array]) -> None:
    samples = two_modes[0][:, 0]
    assert float((samples > 0).mean()) == pytest.approx(2 / 3, abs=0.08)
    assert float((jnp.abs(jnp.abs(samples) - 0.7) < 0.2).mean()) > 0.85


def test_a_single_step_ends_at_the_mean(two_modes: tuple[jax.Array, jax.Array]) -> None:
    np.testing.assert_allclose(two_modes[1].mean(), 0.7 / 3, atol=0.1)
    assert float(two_modes[1].std()) < 0.25  # of the data: 0.66
