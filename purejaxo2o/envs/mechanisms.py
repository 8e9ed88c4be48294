"""Gymnasium's mechanisms that stay in place, v5 and v4: observation, reward, end and start of each.

Every setting has the name and the default that Gymnasium's constructor gives it; numbers are leaves.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from purejaxo2o.envs.twin import Shaken, Twin, TwinState
from purejaxo2o.types import Array, Number, pytree


@pytree
class InvertedPendulum(Shaken):
    """Reward 1 while the pole is upright; v4 also pays for the step on which it falls."""

    ROBOT: ClassVar[str] = "InvertedPendulum"
    XML: ClassVar[str] = "inverted_pendulum.xml"
    FRAMES: ClassVar[int] = 2

    reset_noise_scale: Number = 0.01

    def _outcome(self, before: TwinState, data: Any, control: Array) -> tuple[Array, Array]:
        finite = jnp.isfinite(data.qpos).all() & jnp.isfinite(data.qvel).all()
        fallen = ~finite | (jnp.abs(data.qpos[1]) > 0.2)
        paid = ~fallen | (self.version == "v4")
        return paid.astype(data.qpos.dtype), fallen


@pytree
class InvertedDoublePendulum(Shaken):
    """Keep two poles upright. v4 observes all three constraint forces, and pays for the step of the fall."""

    ROBOT: ClassVar[str] = "InvertedDoublePendulum"
    XML: ClassVar[str] = "inverted_double_pendulum.xml"
    FRAMES: ClassVar[int] = 5
    NORMAL_VELOCITY: ClassVar[bool] = True
    START_FORCES: ClassVar[bool] = True

    healthy_reward: Number = 10.0

    def _obs_size(self, positions: int, velocities: int, bodies: int) -> int:
        return 9 if self.version == "v5" else 11

    def _observe(self, data: Any, origin: Array) -> Array:
        cart, angles = data.qpos[:1], data.qpos[1:]
        forces = jnp.clip(data.qfrc_constraint, -10.0, 10.0)[: 1 if self.version == "v5" else None]
        return jnp.concatenate([cart, jnp.sin(angles), jnp.cos(angles), jnp.clip(data.qvel, -10.0, 10.0), forces])

    def _outcome(self, before: TwinState, data: Any, control: Array) -> tuple[Array, Array]:
        x, _, height = data.site_xpos[0]
        fallen = height <= 1.0
        paid = ~fallen | (self.version == "v4")
        far = 0.01 * x**2 + (height - 2.0) ** 2
        fast = 1e-3 * data.qvel[1] ** 2 + 5e-3 * data.qvel[2] ** 2
        return self.healthy_reward * paid - far - fast, fallen


@pytree
class Reacher(Twin):
    """Bring the fingertip to the target. v4 observes the distance's third coordinate, always zero, and rewards the
    distance before the step."""

    ROBOT: ClassVar[str] = "Reacher"
    XML: ClassVar[str] = "reacher.xml"
    FRAMES: ClassVar[int] = 2
    LIMIT: ClassVar[int] = 50

    reward_dist_weight: Number = 1.0
    reward_control_weight: Number = 1.0

    def _obs_size(self, positions: int, velocities: int, bodies: int) -> int:
        return 10 if self.version == "v5" else 11

    def _draw(self, key: Array) -> tuple[Array, Array]:
        """A target anywhere within 0.2 m of the centre, the arm nearly straight, both at rest or nearly so."""
        key_arm, key_angle, key_radius = jax.random.split(key, 3)
        position, velocity = self._noisy(key_arm, 0.1, 0.005)
        angle = jax.random.uniform(key_angle, (), position.dtype, 0.0, 2 * jnp.pi)
        radius = 0.2 * jnp.sqrt(jax.random.uniform(key_radius, (), position.dtype))
        target = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return position.at[-2:].set(target), velocity.at[-2:].set(0.0)

    def _observe(self, data: Any, origin: Array) -> Array:
        angles = data.qpos[:2]
        gap = self._gap(data.xpos)[: 2 if self.version == "v5" else 3]
        return jnp.concatenate([jnp.cos(angles), jnp.sin(angles), data.qpos[2:], data.qvel[:2], gap])

    def _outcome(self, before: TwinState, data: Any, control: Array) -> tuple[Array, Array]:
        gap = self._gap(data.xpos if self.version == "v5" else before.bodies)
        near = -jnp.linalg.norm(gap) * self.reward_dist_weight
        return near - jnp.square(control).sum() * self.reward_control_weight, jnp.zeros((), bool)

    def _gap(self, bodies: Array) -> Array:
        """`[3]` m from the target to the fingertip."""
        return bodies[self.model.body("fingertip")] - bodies[self.model.body("target")]
