"""Gymnasium's robots that run, v5 and v4: observation, reward, end and start of each.

Version 4 has the dynamics and rewards of versions 2 and 3, in which D4RL's data were recorded. Every setting has
the name and the default that Gymnasium's constructor gives it; numbers are leaves.
"""

from typing import Any, ClassVar

import jax.numpy as jnp

from purejaxo2o.envs.twin import Shaken, TwinState
from purejaxo2o.types import Array, Number, O2OError, pytree, static

Range = tuple[Number, Number]


@pytree
class Runner(Shaken):
    """A robot rewarded for its speed along x, minus the square of its controls.

    Observation: joint positions (without the roots, unless asked for) and velocities, clipped to
    `SPEED_LIMIT`."""

    ROOTS: ClassVar[int] = 1
    SPEED_LIMIT: ClassVar[float] = float("inf")

    forward_reward_weight: Number = 1.0
    ctrl_cost_weight: Number = 1e-3
    reset_noise_scale: Number = 5e-3
    exclude_current_positions_from_observation: bool = static(default=True)

    def _obs_size(self, positions: int, velocities: int, bodies: int) -> int:
        return positions + velocities - self.ROOTS * self.exclude_current_positions_from_observation

    def _observe(self, data: Any, origin: Array) -> Array:
        hidden = self.ROOTS if self.exclude_current_positions_from_observation else 0
        velocity = jnp.clip(data.qvel, -self.SPEED_LIMIT, self.SPEED_LIMIT)
        return jnp.concatenate([self._joints(data, origin)[hidden:], velocity])

    def _outcome(self, before: TwinState, data: Any, control: Array) -> tuple[Array, Array]:
        forward = self.forward_reward_weight * self._advance(before, data) / self.interval
        return forward - self.ctrl_cost_weight * jnp.square(control).sum(), jnp.zeros((), bool)

    def _advance(self, before: TwinState, data: Any) -> Array:
        """Metres gained along x."""
        return data.qpos[0] - before.position[0]


@pytree
class HalfCheetah(Runner):
    """Never ends before the time limit. v4 is the same."""

    ROBOT: ClassVar[str] = "HalfCheetah"
    XML: ClassVar[str] = "half_cheetah.xml"
    FRAMES: ClassVar[int] = 5
    NORMAL_VELOCITY: ClassVar[bool] = True

    ctrl_cost_weight: Number = 0.1
    reset_noise_scale: Number = 0.1


@pytree
class Swimmer(Runner):
    """Never ends before the time limit. v4 is the same."""

    ROBOT: ClassVar[str] = "Swimmer"
    XML: ClassVar[str] = "swimmer.xml"
    FRAMES: ClassVar[int] = 4
    ROOTS: ClassVar[int] = 2

    ctrl_cost_weight: Number = 1e-4
    reset_noise_scale: Number = 0.1


@pytree
class Walker(Runner):
    """A robot that also earns `healthy_reward` while it is healthy, and whose episode ends when it is not.

    In v4 the unhealthy step that ends an episode is paid too."""

    healthy_reward: Number = 1.0
    terminate_when_unhealthy: bool = static(default=True)
    healthy_z_range: Range = (0.8, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting, value in vars(self).items():
            numbers = isinstance(value, tuple) and all(isinstance(x, int | float) for x in value)
            if numbers and not (len(value) == 2 and value[0] <= value[1]):
                raise O2OError(f"{self.name}: {setting}={value}; give (low, high) with low <= high")

    def _healthy(self, data: Any) -> Array:
        """`[]` bool."""
        return _inside(self.healthy_z_range, data.qpos[1])

    def _outcome(self, before: TwinState, data: Any, control: Array) -> tuple[Array, Array]:
        reward, _ = super()._outcome(before, data, control)
        healthy = self._healthy(data)
        paid = healthy | (self.version == "v4" and self.terminate_when_unhealthy)
        return reward + paid * self.healthy_reward, ~healthy & self.terminate_when_unhealthy


@pytree
class Walker2d(Walker):
    """v4's right foot has less friction than its left."""

    ROBOT: ClassVar[str] = "Walker2d"
    XML: ClassVar[str] = "walker2d_v5.xml"
    XML_V4: ClassVar[str | None] = "walker2d.xml"
    FRAMES: ClassVar[int] = 4
    SPEED_LIMIT: ClassVar[float] = 10.0

    healthy_angle_range: Range = (-1.0, 1.0)

    def _healthy(self, data: Any) -> Array:
        return super()._healthy(data) & _inside(self.healthy_angle_range, data.qpos[2])


@pytree
class Hopper(Walker):
    """Healthy also asks every other joint position and velocity to be within `healthy_state_range`."""

    ROBOT: ClassVar[str] = "Hopper"
    XML: ClassVar[str] = "hopper.xml"
    FRAMES: ClassVar[int] = 4
    SPEED_LIMIT: ClassVar[float] = 10.0

    healthy_z_range: Range = (0.7, float("inf"))
    healthy_angle_range: Range = (-0.2, 0.2)
    healthy_state_range: Range = (-100.0, 100.0)

    def _healthy(self, data: Any) -> Array:
        rest = jnp.concatenate([data.qpos[2:], data.qvel])
        upright = super()._healthy(data) & _inside(self.healthy_angle_range, data.qpos[2])
        return upright & _inside(self.healthy_state_range, rest).all()


@pytree
class Ant(Walker):
    """Observes the contact forces on its bodies, clipped to `contact_force_range`, and pays for their squares.

    v5: `include_cfrc_ext_in_observation` is about the observation alone. v4: forces are neither seen nor paid for
    without `use_contact_forces`; the versions before it, run with MuJoCo 2, saw 84 zeros, which is
    `use_contact_forces=True, contact_force_range=(0.0, 0.0)` here. `main_body`: whose speed is rewarded."""

    ROBOT: ClassVar[str] = "Ant"
    XML: ClassVar[str] = "ant.xml"
    FRAMES: ClassVar[int] = 5
    ROOTS: ClassVar[int] = 2
    NORMAL_VELOCITY: ClassVar[bool] = True

    ctrl_cost_weight: Number = 0.5
    reset_noise_scale: Number = 0.1
    healthy_z_range: Range = (0.2, 1.0)
    contact_cost_weight: Number = 5e-4
    contact_force_range: Range = (-1.0, 1.0)
    main_body: int | str = static(default=1)
    include_cfrc_ext_in_observation: bool = static(default=True)
    use_contact_forces: bool = static(default=False)

    @property
    def contact_forces(self) -> bool:
        return self.version == "v5" or self.use_contact_forces

    def _seen(self) -> slice | None:
        """Bodies whose forces are observed: v5 leaves the world out."""
        if self.version == "v5":
            return slice(1, None) if self.include_cfrc_ext_in_observation else None
        return slice(None) if self.use_contact_forces else None

    def _obs_size(self, positions: int, velocities: int, bodies: int) -> int:
        seen = self._seen()
        forces = 0 if seen is None else 6 * len(range(bodies)[seen])
        return super()._obs_size(positions, velocities, bodies) + forces

    def _observe(self, data: Any, origin: Array) -> Array:
        obs, seen = super()._observe(data, origin), self._seen()
        return obs if seen is None else jnp.concatenate([obs, self._contacts(data)[seen].reshape(-1)])

    def _outcome(self, before: TwinState, data: Any, control: Array) -> tuple[Array, Array]:
        reward, terminated = super()._outcome(before, data, control)
        if self.contact_forces:
            reward -= self.contact_cost_weight * jnp.square(self._contacts(data)).sum()
        return reward, terminated

    def _contacts(self, data: Any) -> Array:
        """`[nbody, 6]` torques and forces."""
        return jnp.clip(data._impl.cfrc_ext, *self.contact_force_range)

    def _healthy(self, data: Any) -> Array:
        low, high = self.healthy_z_range
        finite = jnp.isfinite(data.qpos).all() & jnp.isfinite(data.qvel).all()
        return finite & (low <= data.qpos[2]) & (data.qpos[2] <= high)

    def _advance(self, before: TwinState, data: Any) -> Array:
        body = self.model.body(self.main_body) if isinstance(self.main_body, str) else self.main_body
        return data.xpos[body, 0] - before.bodies[body, 0]


def _inside(limits: Range, value: Array) -> Array:
    return (limits[0] < value) & (value < limits[1])
