"""What all twins of Gymnasium's MuJoCo environments share: the state, the step, the reset.

A twin adds to this what a task is: sizes, observation, reward, end (`locomotion.py`, `mechanisms.py`).
"""

import abc
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.envs.model import Model, load
from purejaxo2o.envs.physics import place, simulate
from purejaxo2o.types import Array, Number, O2OError, Space, Step, check_choices, pytree, static


class TwinState(NamedTuple):
    """Everything that changes in an episode.

    A robot that runs would lose precision with its distance, so its root coordinates (x, or x and y) are kept near
    zero: `position` and `bodies` count from `origin`. The dynamics do not depend on it."""

    position: Array  # [nq] joint positions, m and rad
    velocity: Array  # [nv] joint velocities, m/s and rad/s
    warmstart: Array  # [nv] accelerations from which the engine's solver starts
    bodies: Array  # [nbody, 3] m, as of the engine's last evaluation
    origin: Array  # [roots] m
    time: Array  # [] int32, steps since the reset


@pytree
class Twin(abc.ABC):
    """A Gymnasium environment `<robot>-<version>` in JAX, from the same XML file.

    version: of Gymnasium's task; what differs is said by each robot.
    physics: the MuJoCo versions to equal (`model.PHYSICS`).
    xml_file, frame_skip, max_episode_steps: None for the registered ones.
    """

    ROBOT: ClassVar[str]
    XML: ClassVar[str]  # registered file
    XML_V4: ClassVar[str | None] = None  # that of v4, where it is another one
    FRAMES: ClassVar[int]  # registered frame skip
    LIMIT: ClassVar[int] = 1000  # registered time limit
    ROOTS: ClassVar[int] = 0  # leading positions on which nothing depends
    NORMAL_VELOCITY: ClassVar[bool] = False  # a start's velocities are normal, not uniform
    START_FORCES: ClassVar[bool] = False  # the first observation has constraint forces in it

    version: Literal["v5", "v4"] = static(default="v5")
    physics: Literal["mujoco>=3.5", "mujoco<=3.4"] = static(default="mujoco>=3.5")
    xml_file: str | None = static(default=None)
    frame_skip: int | None = static(default=None)
    max_episode_steps: int | None = static(default=None)

    def __post_init__(self) -> None:
        check_choices(f"mjx/{self.ROBOT}: ", self)
        for setting in ("frame_skip", "max_episode_steps"):
            value = getattr(self, setting)
            if value is not None and value < 1:
                raise O2OError(f"{self.name}: {setting}={value}; give at least 1, or None")

    @property
    def name(self) -> str:
        return f"mjx/{self.ROBOT}-{self.version}"

    @property
    def file(self) -> str:
        """The model's XML file."""
        return self.xml_file or (self.version == "v4" and self.XML_V4) or self.XML

    @property
    def model(self) -> Model:
        """The compiled MuJoCo model, loaded at first use."""
        return load(self.file, self.physics)

    @property
    def frames(self) -> int:
        """Physics steps in one step."""
        return self.frame_skip or self.FRAMES

    @property
    def interval(self) -> float:
        """Seconds in one step."""
        return self.model.timestep * self.frames

    @property
    def contact_forces(self) -> bool:
        """Whether observation or reward depend on the contact forces on the bodies."""
        return False

    @property
    def obs_space(self) -> Space:
        blank = self.model.blank
        return Space(shape=(self._obs_size(blank.qpos.size, blank.qvel.size, blank.xpos.shape[0]),))

    @property
    def action_space(self) -> Space:
        return Space(shape=(len(self.model.control),))

    @property
    def action_bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lowest and highest control, which are Gymnasium's actions; None where they are -1 and 1."""
        low, high = np.asarray(self.model.control, np.float32).T
        return (low, high) if (low != -1).any() or (high != 1).any() else None

    @property
    def horizon(self) -> int:
        return self.max_episode_steps or self.LIMIT

    @property
    def pooled_resets(self) -> bool:
        return True  # a reset runs the body's kinematics

    def control(self, action: Array) -> Array:
        """`[nu]` controls of an action in [-1, 1], clipped to that."""
        low, high = jnp.asarray(self.model.control, self.model.blank.ctrl.dtype).T
        return (low + high) / 2 + (high - low) / 2 * jnp.clip(action, -1.0, 1.0)

    def reset(self, key: Array) -> tuple[TwinState, Array]:
        """The initial pose with the task's noise on positions and velocities."""
        return self.start(*self._draw(key))

    def start(self, position: Array, velocity: Array) -> tuple[TwinState, Array]:
        """State and observation for given joint positions `[nq]` and velocities `[nv]`: Gymnasium's `set_state`
        right after a reset."""
        data = place(self.model, position, velocity, forces=self.START_FORCES)
        data = data.replace(qpos=jnp.asarray(position, data.qpos.dtype))  # MJX, unlike C, normalises quaternions here
        origin = jnp.zeros(self.ROOTS, data.qpos.dtype)
        return self._remember(data, origin, jnp.zeros((), jnp.int32)), self._observe(data, origin)

    def step(self, state: TwinState, action: Array, key: Array) -> tuple[TwinState, Step]:
        """One step of `interval` seconds; deterministic, `info` is empty. Actions are clipped to [-1, 1]."""
        control = self.control(action)
        data = simulate(
            self.model,
            state.position,
            state.velocity,
            state.warmstart,
            control,
            frames=self.frames,
            contact_forces=self.contact_forces,
        )
        reward, terminated = self._outcome(state, data, control)
        after, obs = self.after(state, data)
        return after, Step(
            obs=obs,
            reward=reward,
            terminated=terminated,
            truncated=after.time >= self.horizon,
            info={},
        )

    def after(self, state: TwinState, data: Any) -> tuple[TwinState, Array]:
        """State and observation after `state` that physics has moved to `data`, an `mjx.Data`."""
        return self._remember(data, state.origin, state.time + 1), self._observe(data, state.origin)

    def _remember(self, data: Any, origin: Array, time: Array) -> TwinState:
        moved = data.qpos[: self.ROOTS]
        return TwinState(
            position=data.qpos.at[: self.ROOTS].set(0.0),
            velocity=data.qvel,
            warmstart=data.qacc_warmstart,
            bodies=data.xpos.at[:, : self.ROOTS].add(-moved),
            origin=origin + moved,
            time=time,
        )

    def _joints(self, data: Any, origin: Array) -> Array:
        """`[nq]` positions from the world's origin."""
        return data.qpos.at[: self.ROOTS].add(origin)

    def _noisy(self, key: Array, position_scale: Any, velocity_scale: Any) -> tuple[Array, Array]:
        """Initial positions `[nq]` and velocities `[nv]`, each moved by uniform (or normal) noise."""
        key_position, key_velocity = jax.random.split(key)
        position, velocity = jnp.asarray(self.model.blank.qpos), jnp.asarray(self.model.blank.qvel)
        moved = jax.random.uniform(key_position, position.shape, position.dtype, -1.0, 1.0)
        if self.NORMAL_VELOCITY:
            speed = jax.random.normal(key_velocity, velocity.shape, velocity.dtype)
        else:
            speed = jax.random.uniform(key_velocity, velocity.shape, velocity.dtype, -1.0, 1.0)
        return position + position_scale * moved, velocity + velocity_scale * speed

    def _obs_size(self, positions: int, velocities: int, bodies: int) -> int:
        """Length of the observation of a model with so many joint positions, velocities and bodies."""
        return positions + velocities

    @abc.abstractmethod
    def _draw(self, key: Array) -> tuple[Array, Array]:
        """Joint positions `[nq]` and velocities `[nv]` of a start."""

    def _observe(self, data: Any, origin: Array) -> Array:
        """The observation of a simulated `mjx.Data`, whose roots count from `origin`."""
        return jnp.concatenate([self._joints(data, origin), data.qvel])

    @abc.abstractmethod
    def _outcome(self, before: TwinState, data: Any, control: Array) -> tuple[Array, Array]:
        """`(reward, terminated)` of a step from `before` to `data` under `control` `[nu]`."""


@pytree
class Shaken(Twin):
    """A twin that starts in its initial pose, every joint's position and velocity moved by noise of one scale."""

    reset_noise_scale: Number = 0.1

    def _draw(self, key: Array) -> tuple[Array, Array]:
        return self._noisy(key, self.reset_noise_scale, self.reset_noise_scale)
