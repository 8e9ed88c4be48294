"""What PointMaze and AntMaze share: maps, goals, starts, rewards, ends.

The task of gymnasium-robotics' `maze_v4.py` and its maps (version 1.4). Lengths in metres.
"""

import functools
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Array, Number, O2OError, Step, nearest, pytree, static

MAZES = {  # rows from top to bottom, "#" is a wall; goals only at "g" and "c", starts only at "r" and "c", if any
    "UMaze": "##### #...# ###.# #...# #####",
    "Medium": "######## #..##..# #..#...# ##...### #..#...# #.#..#.# #...#..# ########",
    "Medium_Diverse_G": "######## #r.##..# #..#..g# ##...### #..#...# #g#..#.# #...#g.# ########",
    "Medium_Diverse_GR": "######## #c.##..# #..#..c# ##...### #..#...# #c#..#.# #...#c.# ########",
    "Large": (
        "############ #....#.....# #.##.#.#.#.# #......#...# #.####.###.# "
        "#..#.#.....# ##.#.#.#.### #..#...#...# ############"
    ),
    "Large_Diverse_G": (
        "############ #r...#g....# #.##.#.#.#.# #....g.#..g# #.####.###.# "
        "#.g#.#.....# ##.#.#.#.### #..#g.g#.g.# ############"
    ),
    "Large_Diverse_GR": (
        "############ #c...#c....# #.##.#.#.#.# #....c.#..c# #.####.###.# "
        "#.c#.#.....# ##.#.#.#.### #..#c.c#.c.# ############"
    ),
    "Open": "####### #.....# #.....# #.....# #######",
    "Open_Diverse_G": "####### #rgggg# #ggggg# #ggggg# #######",
    "Open_Diverse_GR": "####### #ccccc# #ccccc# #ccccc# #######",
}
MazeMap = tuple[tuple[int | str, ...], ...]
"""A map of one's own, as gymnasium-robotics writes it: 1 for a wall, 0 for none, or "r", "g", "c"."""
REWARDS = {"sparse": "", "dense": "Dense"}  # reward type -> suffix of the id
ENGINES = ("mujoco>=3.5", "mujoco<=3.4")
START_DISTANCE = 0.5  # start cells are farther than this from the goal, in cells
GOAL_DRAWS = 32  # candidates for a resampled goal


@pytree
class GoalMaze:
    """Reward 1 within `goal_radius` of the goal, else 0; with `reward_type="dense"` exp(-distance). The task
    terminates at the goal only when `continuing_task=False`. With `reset_target=True` a continuing task draws
    a new goal after each success, seen from the next observation on. `info["success"]`: at the goal.

    `physics` names the MuJoCo versions to equal: Minari's data used `"mujoco<=3.4"`. `max_episode_steps=None` means
    the registered limit. `position_noise_range` is in cells. `maze_map` is used in the place of the named one. Raises
    `O2OError` for an unknown maze or option."""

    BODY: ClassVar[str]
    CELL: ClassVar[float]  # side of a cell
    LIMITS: ClassVar[dict[str, int]]  # registered time limits, by the first word of the maze

    maze: str = static(default="UMaze")
    reward_type: Literal["sparse", "dense"] = static(default="sparse")
    continuing_task: bool = static(default=True)
    reset_target: bool = static(default=False)
    physics: Literal["mujoco>=3.5", "mujoco<=3.4"] = static(default="mujoco>=3.5")
    max_episode_steps: int | None = static(default=None)
    maze_map: MazeMap | None = static(default=None)
    position_noise_range: Number = 0.25
    goal_radius: Number = 0.45

    def __post_init__(self) -> None:
        for setting, known in (("maze", MAZES), ("reward_type", REWARDS), ("physics", ENGINES)):
            value = getattr(self, setting)
            if value not in known:
                raise O2OError(f"{self.BODY}: {setting}={value!r} is unknown; {nearest(value, known)}")
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise O2OError(f"{self.BODY}: max_episode_steps={self.max_episode_steps}; give at least 1, or None")
        if isinstance(self.position_noise_range, int | float) and not 0 <= self.position_noise_range < 0.5:
            raise O2OError(f"{self.BODY}: position_noise_range={self.position_noise_range} must be in [0, 0.5)")
        if isinstance(self.goal_radius, int | float) and not self.goal_radius > 0:
            raise O2OError(f"{self.BODY}: goal_radius={self.goal_radius} must be positive")
        rows = self.maze_map or ((1,),)
        if len({len(row) for row in rows}) != 1 or not {*sum(rows, ())} <= {0, 1, "r", "g", "c"}:
            raise O2OError(f"{self.BODY}: maze_map={rows}; give rows of one length, of 0, 1, 'r', 'g' and 'c'")

    @property
    def horizon(self) -> int:
        return self.max_episode_steps or self.LIMITS[self.maze.partition("_")[0]]

    @property
    def layout(self) -> "Layout":
        return layout(self.maze, self.maze_map)

    @property
    def walls(self) -> Any:
        """`[H, W]` bool, row 0 on top (the largest y)."""
        return self.layout.walls

    @property
    def open_cells(self) -> np.ndarray:
        """`[K, 2]` int (row, column) of the cells without a wall, row by row."""
        return self.layout.open_cells

    def cell_centre(self, rowcol: Array | np.ndarray) -> Array:
        """`[..., 2]` (row, column) -> `[..., 2]` (x, y) of the cell's centre."""
        (height, width), rowcol = self.walls.shape, jnp.asarray(rowcol)
        cells = jnp.stack([rowcol[..., 1] + 0.5 - width / 2, height / 2 - 0.5 - rowcol[..., 0]], axis=-1)
        return self.CELL * cells

    def cell_of(self, xy: Array | np.ndarray) -> Array:
        """`[..., 2]` (x, y) -> `[..., 2]` int32 (row, column) of its cell, also outside the maze."""
        (height, width), xy = self.walls.shape, jnp.asarray(xy) / self.CELL
        rowcol = jnp.stack([height / 2 - xy[..., 1], xy[..., 0] + width / 2], axis=-1)
        return jnp.floor(rowcol).astype(jnp.int32)

    def draw(self, key: Array) -> tuple[Array, Array]:
        """A goal in any of its cells, and a start in any of its own whose centre is farther than half a cell from it.

        Both uniform over cells, then moved by up to `position_noise_range` in x and y (the goal first, so
        that the distance counts from the moved goal)."""
        key_goal, key_cell, key_noise = jax.random.split(key, 3)
        goal = self._draw_goals(key_goal, 1)[0]
        cells, present = self._start_cells()
        centres = self.cell_centre(cells).astype(goal.dtype)
        allowed = present & (distance(centres, goal) > START_DISTANCE * self.CELL)
        start = centres[jax.random.categorical(key_cell, jnp.where(allowed, 0.0, -jnp.inf))]
        return goal, start + self._noise(key_noise, (2,))

    def judge(self, obs: Array, position: Array, goal: Array, time: Array) -> Step:
        """What a step to `position` is worth, `time` steps after the reset."""
        gap = distance(position, goal)
        success = gap <= self.goal_radius
        return Step(
            obs=obs,
            reward=jnp.exp(-gap) if self.reward_type == "dense" else success.astype(position.dtype),
            terminated=jnp.zeros_like(success) if self.continuing_task else success,
            truncated=time >= self.horizon,
            info={"success": success},
        )

    def next_goal(self, key: Array, position: Array, goal: Array, success: Array) -> Array:
        """The goal of the next step: where it moves, the first of `GOAL_DRAWS` goals that `position` is not at. This
        is the original's rejection loop, bounded.

        With the registered radius and noise a draw is refused with probability below 0.15, all of them below
        1e-26; then (or with a radius as large as the maze) the farthest one is taken."""
        if not (self.continuing_task and self.reset_target) or len(self.layout.goal_cells) == 1:
            return goal
        goals = self._draw_goals(key, GOAL_DRAWS).astype(position.dtype)
        gap = distance(goals, position)
        away = gap > self.goal_radius
        return jnp.where(success, goals[jnp.where(away.any(), jnp.argmax(away), jnp.argmax(gap))], goal)

    def _start_cells(self) -> tuple[Any, Any]:
        """Cells `[K, 2]`, and in which of them one may start."""
        return self.layout.start_cells, True

    def _noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.CELL * self.position_noise_range * jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

    def _draw_goals(self, key: Array, count: int) -> Array:
        """`[count, 2]` independent goals."""
        key_cell, key_noise = jax.random.split(key)
        cells = self._draw_goal_cells(key_cell, count)
        noise = self._noise(key_noise, (count, 2))
        return self.cell_centre(cells).astype(noise.dtype) + noise

    def _draw_goal_cells(self, key: Array, count: int) -> Array:
        """`[count, 2]`, uniform."""
        return jax.random.choice(key, self.layout.goal_cells, (count,))


class Layout(NamedTuple):
    """A map; cells are `[K, 2]` int32, row by row. rows: as Gymnasium writes it."""

    rows: MazeMap
    walls: np.ndarray  # [H, W] bool
    open_cells: np.ndarray
    goal_cells: np.ndarray
    start_cells: np.ndarray


@functools.lru_cache
def layout(maze: str, maze_map: MazeMap | None = None) -> Layout:
    """A named map or one's own, read-only since it is shared."""
    signs: dict[Any, int | str] = {"#": 1, ".": 0}
    rows = maze_map or tuple(tuple(signs.get(cell, cell) for cell in row) for row in MAZES[maze].split())
    drawn = np.array([[str(cell) for cell in row] for row in rows])
    goals, starts = np.isin(drawn, ["g", "c"]), np.isin(drawn, ["r", "c"])
    walls, plain = drawn == "1", drawn == "0"
    masks = ~walls, goals if goals.any() else plain, starts if starts.any() else plain
    arrays = (walls, *(np.argwhere(mask).astype(np.int32) for mask in masks))
    for array in arrays:
        array.flags.writeable = False
    return Layout(rows, *arrays)


def distance(a: Array, b: Array) -> Array:
    """Between points `[..., 2]`."""
    return jnp.sqrt(jnp.square(a - b).sum(-1))


def settings() -> dict[str, Any]:
    """Settings of `make`: the fields of a maze that its name does not give, with their types."""
    return {
        "continuing_task": bool,
        "reset_target": bool,
        "physics": str,
        "max_episode_steps": int | None,
        "maze_map": tuple | None,
        "position_noise_range": float,
        "goal_radius": float,
    }


def parts(name: str) -> dict[str, Any]:
    """What an id `maze/<body>_<maze>[Dense]-<version>` says."""
    maze, _, version = name.partition("_")[2].rpartition("-")
    short = maze.removesuffix("Dense")
    return {"maze": short, "reward_type": "sparse" if short == maze else "dense", "version": version}
