"""PointMaze: a force-actuated ball in a maze, in closed form.

The task of gymnasium-robotics' `PointMaze_*-v3` (`envs/maze/{maze_v4,point_maze,point,maps}.py`, version 1.4)
and the physics of the MuJoCo model that it compiles, without MuJoCo: the ball has two degrees of freedom and
only frictionless contacts with axis-aligned walls, so a step is a handful of arithmetic operations. Equal to
the original at every step up to rounding (`tests/test_maze.py`). Lengths in metres, one step is 0.01 s.
"""

import functools
import math
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from purejaxo2o.envs import goal_maze
from purejaxo2o.envs.goal_maze import MAZES, REWARDS, GoalMaze
from purejaxo2o.types import Array, Space, Step, pytree

IDS = tuple(f"maze/PointMaze_{maze}{suffix}-v3" for maze in MAZES for suffix in REWARDS.values())
MARGINS = {"mujoco>=3.5": 0.004, "mujoco<=3.4": 0.002}
"""Distance in metres at which a wall starts to push: two geoms' margins of 0.002 add up since MuJoCo 3.5."""

RADIUS = 0.1
MASS = 1000 * 4 / 3 * math.pi * RADIUS**3
GEAR, DAMPING, TIMESTEP, SPEED_LIMIT = 100.0, 1.0, 0.01, 5.0

_NEIGHBOURS = np.array([(x, y) for y in (1, 0, -1) for x in (-1, 0, 1) if (x, y) != (0, 0)])  # [8, 2] as xy
_NEWTON_STEPS = 4  # three reach the fixed point in all of 400 000 random states at walls and in corners


class PointMazeState(NamedTuple):
    """Everything that changes in an episode."""

    position: Array  # [2] m
    velocity: Array  # [2] m/s
    goal: Array  # [2] m
    time: Array  # [] int32, steps since the reset


@pytree
class PointMaze(GoalMaze):
    """Push a ball to a goal; `maze/PointMaze_<maze>[Dense]-v3`, mazes and settings as in `goal_maze.py`.

    Observation `[8]`: achieved goal (the position), desired goal, position and velocity, which is Gymnasium's
    alphabetical flattening of the original dictionary. Action `[2]`: force, clipped to [-1, 1] (times 100 N).
    Arrays take the dtype of the state: float32, or float64 when JAX runs with 64 bits."""

    BODY: ClassVar[str] = "PointMaze"
    CELL: ClassVar[float] = 1.0
    LIMITS: ClassVar[dict[str, int]] = {"UMaze": 300, "Medium": 600, "Large": 800, "Open": 300}

    @property
    def name(self) -> str:
        return f"maze/PointMaze_{self.maze}{REWARDS[self.reward_type]}-v3"

    @property
    def obs_space(self) -> Space:
        return Space(shape=(8,), parts=(("achieved_goal", 2), ("desired_goal", 2), ("observation", 4)))

    @property
    def action_space(self) -> Space:
        return Space(shape=(2,))

    @property
    def pooled_resets(self) -> bool:
        return False

    def reset(self, key: Array) -> tuple[PointMazeState, Array]:
        """Goal and start as `draw` finds them; the ball rests."""
        goal, start = self.draw(key)
        state = PointMazeState(
            position=start,
            velocity=jnp.zeros_like(goal),
            goal=goal,
            time=jnp.zeros((), jnp.int32),
        )
        return state, self.observe(state)

    def step(self, state: PointMazeState, action: Array, key: Array) -> tuple[PointMazeState, Step]:
        """One step of 0.01 s. The key only matters with `reset_target=True`."""
        position, velocity = self._simulate(state.position, state.velocity, action)
        moved = PointMazeState(position, velocity, state.goal, state.time + 1)
        step = self.judge(self.observe(moved), position, state.goal, moved.time)
        return moved._replace(goal=self.next_goal(key, position, state.goal, step.info["success"])), step

    def restore(self, obs: Array) -> PointMazeState:
        """The state that an observation `[8]` shows, at the start of an episode."""
        return PointMazeState(position=obs[4:6], velocity=obs[6:8], goal=obs[2:4], time=jnp.zeros((), jnp.int32))

    def observe(self, state: PointMazeState) -> Array:
        """The observation `[8]` of a state."""
        return jnp.concatenate([state.position, state.goal, state.position, state.velocity])

    def _simulate(self, position: Array, velocity: Array, action: Array) -> tuple[Array, Array]:
        """`(position, velocity)` after one semi-implicit Euler step with the damping treated implicitly."""
        velocity = jnp.clip(velocity, -SPEED_LIMIT, SPEED_LIMIT)  # before the step, as the original does
        force = GEAR * jnp.clip(action, -1.0, 1.0).astype(position.dtype) - DAMPING * velocity
        limit = np.array(self.walls.shape, np.int32)
        cell = jnp.clip(self.cell_of(position), -1, limit)
        walls = jnp.asarray(_neighbours(self.maze, self.maze_map))[cell[0] + 1, cell[1] + 1]
        offset = position - self.cell_centre(cell).astype(position.dtype)
        acceleration = _contact_acceleration(offset, velocity, force, walls, MARGINS[self.physics])
        velocity = velocity + TIMESTEP * MASS * acceleration / (MASS + TIMESTEP * DAMPING)
        return position + TIMESTEP * velocity, velocity


def settings(name: str) -> dict[str, Any]:
    """Settings of `make`."""
    return goal_maze.settings()


def load(name: str, **changes: Any) -> PointMaze:
    """`maze/PointMaze_<maze>[Dense]-v3`."""
    parts = goal_maze.parts(name)
    return PointMaze(maze=parts["maze"], reward_type=parts["reward_type"], **changes)


@functools.lru_cache
def _neighbours(*named: Any) -> np.ndarray:
    """`[H + 2, W + 2, 8]` bool: the walls around cell (row - 1, column - 1)."""
    walls = goal_maze.layout(*named).walls
    padded, (height, width) = np.pad(walls, 2), walls.shape
    shifted = [padded[1 - y : height + 3 - y, 1 + x : width + 3 + x] for x, y in _NEIGHBOURS]
    return np.stack(shifted, axis=-1)


def _contact_acceleration(offset: Array, velocity: Array, force: Array, walls: Array, margin: float) -> Array:
    """Acceleration `[2]` of a ball at `offset` `[2]` from its cell's centre, `walls` `[8]` bool around it.

    MuJoCo's soft contacts: the acceleration minimises m/2 |a - force/m|^2 + sum_i D_i/2 max(0, r_i - n_i.a)^2
    over the touched walls i, with normal n_i, reference acceleration r_i and stiffness D_i from the default
    `solref` (0.02, 1) and `solimp` (0.9, 0.95, 0.001, 0.5, 2). A ball whose centre is inside a wall is pushed
    up, which it cannot follow: no force, as in the original.
    """
    boxes = jnp.asarray(_NEIGHBOURS, offset.dtype)
    gap = offset - jnp.clip(offset, boxes - 0.5, boxes + 0.5)  # [8, 2] from the nearest wall point
    square = jnp.square(gap).sum(-1)
    touching = walls & (square > 0) & (square < (RADIUS + margin) ** 2)
    distance = jnp.sqrt(jnp.where(square > 0, square, 1.0))  # keeps gradients finite inside
    nx, ny = gap[:, 0] / distance, gap[:, 1] / distance
    depth = distance - RADIUS - margin  # negative when touching

    ramp = jnp.minimum(jnp.abs(depth) / 0.001, 1.0)
    impedance = 0.9 + 0.05 * jnp.where(ramp < 0.5, 2 * ramp**2, 1 - 2 * (1 - ramp) ** 2)
    damping, spring = 2 / (0.95 * 0.02), 1 / (0.95 * 0.02) ** 2
    reference = -damping * (nx * velocity[0] + ny * velocity[1]) - spring * impedance * depth
    stiffness = jnp.where(touching, MASS * impedance / (1 - impedance), 0.0)

    ax, ay = force[0] / MASS, force[1] / MASS
    for _ in range(_NEWTON_STEPS):  # a full Newton step is exact once the set of pushing walls is right
        push = jnp.where(reference > nx * ax + ny * ay, stiffness, 0.0)
        xx, yy, xy = MASS + (push * nx * nx).sum(), MASS + (push * ny * ny).sum(), (push * nx * ny).sum()
        bx, by = force[0] + (push * reference * nx).sum(), force[1] + (push * reference * ny).sum()
        determinant = xx * yy - xy * xy
        ax, ay = (yy * bx - xy * by) / determinant, (xx * by - xy * bx) / determinant
    return jnp.stack([ax, ay])
