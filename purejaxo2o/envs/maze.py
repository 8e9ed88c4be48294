"""PointMaze: a force-actuated ball in a maze, in closed form.

The task of gymnasium-robotics' `PointMaze_*-v3` (`envs/maze/{maze_v4,point_maze,point,maps}.py`, version 1.4)
and the physics of the MuJoCo model that it compiles, without MuJoCo: the ball has two degrees of freedom and
only frictionless contacts with axis-aligned walls, so a step is a handful of arithmetic operations. Equal to
the original at every step up to rounding (`tests/test_maze.py`). Lengths in metres, one step is 0.01 s.
"""

import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Array, Number, O2OError, Space, Step, nearest, pytree, static

MAZES = {  # rows from top to bottom, "#" is a wall (a unit cube), with the time limit of the registered task
    "UMaze": ("##### #...# ###.# #...# #####", 300),
    "Medium": ("######## #..##..# #..#...# ##...### #..#...# #.#..#.# #...#..# ########", 600),
    "Large": (
        "############ #....#.....# #.##.#.#.#.# #......#...# #.####.###.# "
        "#..#.#.....# ##.#.#.#.### #..#...#...# ############",
        800,
    ),
    "Open": ("####### #.....# #.....# #.....# #######", 300),
}
REWARDS = {"sparse": "", "dense": "Dense"}  # reward type -> suffix of the id
IDS = tuple(f"maze/PointMaze_{maze}{suffix}-v3" for maze in MAZES for suffix in REWARDS.values())
MARGINS = {"mujoco>=3.5": 0.004, "mujoco<=3.4": 0.002}
"""Distance in metres at which a wall starts to push: two geoms' margins of 0.002 add up since MuJoCo 3.5."""

RADIUS = 0.1
MASS = 1000 * 4 / 3 * math.pi * RADIUS**3
GEAR, DAMPING, TIMESTEP, SPEED_LIMIT = 100.0, 1.0, 0.01, 5.0
START_DISTANCE = 0.5  # start cells are farther than this from the goal
GOAL_DRAWS = 32  # candidates for a resampled goal

_NEIGHBOURS = np.array([(x, y) for y in (1, 0, -1) for x in (-1, 0, 1) if (x, y) != (0, 0)])  # [8, 2] as xy
_NEWTON_STEPS = 4  # three reach the fixed point in all of 400 000 random states at walls and in corners


class PointMazeState(NamedTuple):
    """Everything that changes in an episode."""

    position: Array  # [2] m
    velocity: Array  # [2] m/s
    goal: Array  # [2] m
    time: Array  # [] int32, steps since the reset


@pytree
class PointMaze:
    """Push a ball to a goal; `maze/PointMaze_{UMaze,Medium,Large,Open}[Dense]-v3`.

    Observation `[8]`: achieved goal (the position), desired goal, position and velocity, which is Gymnasium's
    alphabetical flattening of the original dictionary. Action `[2]`: force, clipped to [-1, 1] (times 100 N).
    Reward 1 within `goal_radius` of the goal, else 0; with `reward_type="dense"` exp(-distance). The task
    terminates at the goal only when `continuing_task=False`. With `reset_target=True` a continuing task draws
    a new goal after each success, seen from the next observation on. `info["success"]`: ball at the goal.

    `physics` names the MuJoCo versions to equal: Minari's `D4RL/pointmaze` data used `"mujoco<=3.4"`.
    `max_episode_steps=None` means the registered limit (300, 600, 800, 300). Arrays take the dtype of the
    state: float32, or float64 when JAX runs with 64 bits. Raises `O2OError` for an unknown maze or option.
    """

    maze: str = static(default="UMaze")
    reward_type: Literal["sparse", "dense"] = static(default="sparse")
    continuing_task: bool = static(default=True)
    reset_target: bool = static(default=False)
    physics: Literal["mujoco>=3.5", "mujoco<=3.4"] = static(default="mujoco>=3.5")
    max_episode_steps: int | None = static(default=None)
    position_noise_range: Number = 0.25
    goal_radius: Number = 0.45

    def __post_init__(self) -> None:
        for setting, known in (("maze", MAZES), ("reward_type", REWARDS), ("physics", MARGINS)):
            value = getattr(self, setting)
            if value not in known:
                raise O2OError(f"PointMaze: {setting}={value!r} is unknown; {nearest(str(value), known)}")
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise O2OError(f"PointMaze: max_episode_steps={self.max_episode_steps}; give at least 1, or None")
        if isinstance(self.position_noise_range, int | float) and not 0 <= self.position_noise_range < 0.5:
            raise O2OError(f"PointMaze: position_noise_range={self.position_noise_range} must be in [0, 0.5)")
        if isinstance(self.goal_radius, int | float) and not self.goal_radius > 0:
            raise O2OError(f"PointMaze: goal_radius={self.goal_radius} must be positive")

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
    def horizon(self) -> int:
        return self.max_episode_steps or MAZES[self.maze][1]

    @property
    def pooled_resets(self) -> bool:
        return False

    @property
    def walls(self) -> np.ndarray:
        """`[H, W]` bool, row 0 on top (the largest y)."""
        return _layout(self.maze).walls

    @property
    def open_cells(self) -> np.ndarray:
        """`[K, 2]` int (row, column) of the cells without a wall, row by row."""
        return _layout(self.maze).open_cells

    def cell_centre(self, rowcol: Array | np.ndarray) -> Array:
        """`[..., 2]` (row, column) -> `[..., 2]` (x, y) of the cell's centre."""
        (height, width), rowcol = self.walls.shape, jnp.asarray(rowcol)
        return jnp.stack([rowcol[..., 1] + 0.5 - width / 2, height / 2 - 0.5 - rowcol[..., 0]], axis=-1)

    def cell_of(self, xy: Array | np.ndarray) -> Array:
        """`[..., 2]` (x, y) -> `[..., 2]` int32 (row, column) of its cell, also outside the maze."""
        (height, width), xy = self.walls.shape, jnp.asarray(xy)
        rowcol = jnp.stack([height / 2 - xy[..., 1], xy[..., 0] + width / 2], axis=-1)
        return jnp.floor(rowcol).astype(jnp.int32)

    def reset(self, key: Array) -> tuple[PointMazeState, Array]:
        """A goal in any open cell, and a start in any cell whose centre is farther than 0.5 m from it.

        Both uniform over cells, then moved by up to `position_noise_range` in x and y (the goal first, so
        that the distance counts from the moved goal). The ball rests."""
        key_goal, key_cell, key_noise = jax.random.split(key, 3)
        goal = self._draw_goals(key_goal, 1)[0]
        centres = self.cell_centre(self.open_cells).astype(goal.dtype)
        allowed = _distance(centres, goal) > START_DISTANCE
        start = centres[jax.random.categorical(key_cell, jnp.where(allowed, 0.0, -jnp.inf))]
        state = PointMazeState(
            position=start + self._noise(key_noise, (2,)),
            velocity=jnp.zeros_like(goal),
            goal=goal,
            time=jnp.zeros((), jnp.int32),
        )
        return state, self.observe(state)

    def step(self, state: PointMazeState, action: Array, key: Array) -> tuple[PointMazeState, Step]:
        """One step of 0.01 s. The key only matters with `reset_target=True`."""
        position, velocity = self._simulate(state.position, state.velocity, action)
        moved = PointMazeState(position, velocity, state.goal, state.time + 1)
        distance = _distance(position, state.goal)
        success = distance <= self.goal_radius
        result = Step(
            obs=self.observe(moved),
            reward=jnp.exp(-distance) if self.reward_type == "dense" else success.astype(position.dtype),
            terminated=jnp.zeros_like(success) if self.continuing_task else success,
            truncated=moved.time >= self.horizon,
            info={"success": success},
        )
        if self.continuing_task and self.reset_target:
            moved = moved._replace(goal=jnp.where(success, self._next_goal(key, position), state.goal))
        return moved, result

    def observe(self, state: PointMazeState) -> Array:
        """The observation `[8]` of a state."""
        return jnp.concatenate([state.position, state.goal, state.position, state.velocity])

    def _noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.position_noise_range * jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

    def _draw_goals(self, key: Array, count: int) -> Array:
        """`[count, 2]` independent goals."""
        key_cell, key_noise = jax.random.split(key)
        cells = jax.random.choice(key_cell, self.open_cells, (count,))
        noise = self._noise(key_noise, (count, 2))
        return self.cell_centre(cells).astype(noise.dtype) + noise

    def _next_goal(self, key: Array, position: Array) -> Array:
        """The first of `GOAL_DRAWS` goals that the ball is not at: the original's rejection loop, bounded.

        With the registered radius and noise a draw is refused with probability below 0.15, all of them below
        1e-26; then (or with a radius as large as the maze) the farthest one is taken."""
        goals = self._draw_goals(key, GOAL_DRAWS).astype(position.dtype)
        distance = _distance(goals, position)
        away = distance > self.goal_radius
        return goals[jnp.where(away.any(), jnp.argmax(away), jnp.argmax(distance))]

    def _simulate(self, position: Array, velocity: Array, action: Array) -> tuple[Array, Array]:
        """`(position, velocity)` after one semi-implicit Euler step with the damping treated implicitly."""
        velocity = jnp.clip(velocity, -SPEED_LIMIT, SPEED_LIMIT)  # before the step, as the original does
        force = GEAR * jnp.clip(action, -1.0, 1.0).astype(position.dtype) - DAMPING * velocity
        limit = np.array(self.walls.shape, np.int32)
        cell = jnp.clip(self.cell_of(position), -1, limit)
        walls = jnp.asarray(_layout(self.maze).neighbours)[cell[0] + 1, cell[1] + 1]
        offset = position - self.cell_centre(cell).astype(position.dtype)
        acceleration = _contact_acceleration(offset, velocity, force, walls, MARGINS[self.physics])
        velocity = velocity + TIMESTEP * MASS * acceleration / (MASS + TIMESTEP * DAMPING)
        return position + TIMESTEP * velocity, velocity


def settings(name: str) -> dict[str, Any]:
    """Settings of `make`: the fields of `PointMaze` that the name does not give, with their types."""
    return {
        "continuing_task": bool,
        "reset_target": bool,
        "physics": str,
        "max_episode_steps": int | None,
        "position_noise_range": float,
        "goal_radius": float,
    }


def load(name: str, **changes: Any) -> PointMaze:
    """`maze/PointMaze_<maze>[Dense]-v3`."""
    maze = name.removeprefix("maze/PointMaze_").removesuffix("-v3")
    short = maze.removesuffix("Dense")
    return PointMaze(maze=short, reward_type="sparse" if short == maze else "dense", **changes)


class _Layout(NamedTuple):
    walls: np.ndarray  # [H, W] bool
    open_cells: np.ndarray  # [K, 2] int32
    neighbours: np.ndarray  # [H + 2, W + 2, 8] bool: the walls around cell (row - 1, column - 1)


@functools.lru_cache
def _layout(maze: str) -> _Layout:
    walls = np.array([[cell == "#" for cell in row] for row in MAZES[maze][0].split()])
    padded = np.pad(walls, 2)
    height, width = walls.shape
    shifted = [padded[1 - y : height + 3 - y, 1 + x : width + 3 + x] for x, y in _NEIGHBOURS]
    layout = _Layout(walls, np.argwhere(~walls).astype(np.int32), np.stack(shifted, axis=-1))
    for array in layout:
        array.flags.writeable = False  # shared by every caller
    return layout


def _distance(a: Array, b: Array) -> Array:
    return jnp.sqrt(jnp.square(a - b).sum(-1))


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
