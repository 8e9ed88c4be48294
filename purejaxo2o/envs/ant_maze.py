"""AntMaze: the twin of Gymnasium's Ant among walls, on its way to a goal.

The task of gymnasium-robotics' `AntMaze_*-{v5,v4}` (`ant_maze_v5.py`, version 1.4), on MuJoCo MJX. The original puts
every wall into the model, whose contacts MJX would all compute at every step. Cells are 4 m wide and an ant reaches
1.3 m: it touches at most the three walls about the corner of its cell that is nearest to its torso. So the model has
three walls, which every step moves to where the map has some. (An ant on top of a wall, 2 m high, would fall through
it; no ant gets there.) Maps are data: one program serves all of one size.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.envs import goal_maze
from purejaxo2o.envs.goal_maze import MAZES, REWARDS, GoalMaze
from purejaxo2o.envs.locomotion import Ant
from purejaxo2o.envs.model import BURIED, Model, Walls
from purejaxo2o.envs.model import load as load_model
from purejaxo2o.envs.physics import simulate
from purejaxo2o.envs.twin import TwinState
from purejaxo2o.types import Array, O2OError, Space, Step, pytree, static

VERSIONS = ("v5", "v4")
IDS = tuple(
    f"maze/AntMaze_{maze}{suffix}-{version}" for version in VERSIONS for maze in MAZES for suffix in REWARDS.values()
)
WALLS = Walls(number=3, size=(2.0, 2.0, 1.0), contacts=24)


class AntMazeState(NamedTuple):
    """Everything that changes in an episode."""

    ant: TwinState
    goal: Array  # [2] m


@pytree
class AntMaze(GoalMaze):
    """Walk an ant to a goal; `maze/AntMaze_<maze>[Dense]-{v5,v4}`, mazes and settings as in `goal_maze.py`.

    Observation `[109]` (v4: `[31]`): achieved goal (the torso's x and y), desired goal, and Ant's own, which is
    Gymnasium's alphabetical flattening of the original dictionary. Action `[8]`. Falling over ends nothing.
    plan: walls in the place of the map's, `[H, W]`, nonzero where there is one, with goals and starts in any other
        cell; it may be traced and batched."""

    BODY: ClassVar[str] = "AntMaze"
    CELL: ClassVar[float] = 4.0
    LIMITS: ClassVar[dict[str, int]] = {"UMaze": 700, "Medium": 1000, "Large": 1000, "Open": 700}

    version: Literal["v5", "v4"] = static(default="v5")
    plan: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version not in VERSIONS:
            raise O2OError(f"AntMaze: version={self.version!r} is unknown; known: {', '.join(VERSIONS)}")

    @property
    def name(self) -> str:
        return f"maze/AntMaze_{self.maze}{REWARDS[self.reward_type]}-{self.version}"

    @property
    def walls(self) -> Any:
        return super().walls if self.plan is None else self.plan

    @property
    def obs_space(self) -> Space:
        size = self._ant.obs_space.size - 2
        return Space(shape=(4 + size,), parts=(("achieved_goal", 2), ("desired_goal", 2), ("observation", size)))

    @property
    def action_space(self) -> Space:
        return self._ant.action_space

    @property
    def action_bounds(self) -> Any:
        return self._ant.action_bounds

    @property
    def pooled_resets(self) -> bool:
        return True

    @property
    def _ant(self) -> "_Ant":
        return _Ant(version=self.version, physics=self.physics, exclude_current_positions_from_observation=False)

    def reset(self, key: Array) -> tuple[AntMazeState, Array]:
        """Goal and start as `draw` finds them; the ant stands still in its initial pose."""
        goal, start = self.draw(key)
        blank = self._ant.model.blank
        return self.start(jnp.asarray(blank.qpos).at[:2].set(start), jnp.asarray(blank.qvel), goal)

    def start(self, position: Array, velocity: Array, goal: Array) -> tuple[AntMazeState, Array]:
        """State and observation for given joint positions `[15]`, velocities `[14]` and goal `[2]`."""
        ant, seen = self._ant.start(position, velocity)
        return AntMazeState(ant, goal), _joined(seen, goal)

    def step(self, state: AntMazeState, action: Array, key: Array) -> tuple[AntMazeState, Step]:
        """One step of 0.05 s. The key only matters with `reset_target=True`."""
        ant = self._ant
        data = simulate(
            ant.model,
            state.ant.position,
            state.ant.velocity,
            state.ant.warmstart,
            ant.control(action),
            frames=ant.frames,
            contact_forces=ant.contact_forces,
            walls=self.walls_near(state.ant.origin),
        )
        after, seen = ant.after(state.ant, data)
        step = self.judge(_joined(seen, state.goal), after.origin, state.goal, after.time)
        return AntMazeState(after, self.next_goal(key, after.origin, state.goal, step.info["success"])), step

    def walls_near(self, xy: Array) -> Array:
        """Centres `[3, 3]`, counted from `xy` `[2]`, of the walls about the nearest corner of its cell."""
        plan = jnp.pad(jnp.asarray(self.walls, bool), 1)
        limit = np.array(self.walls.shape, np.int32)
        cell = jnp.clip(self.cell_of(xy), 0, limit - 1)
        offset = xy - self.cell_centre(cell).astype(xy.dtype)
        down, right = jnp.where(offset[1] < 0, 1, -1), jnp.where(offset[0] < 0, -1, 1)
        ways = jnp.array([[0, 1], [1, 0], [1, 1]], jnp.int32) * jnp.stack([down, right])
        cells = cell + ways
        present = plan[cells[:, 0] + 1, cells[:, 1] + 1]
        height = jnp.where(present, WALLS.size[2], BURIED).astype(xy.dtype)
        return jnp.concatenate([self.cell_centre(cells).astype(xy.dtype) - xy, height[:, None]], axis=1)

    def _start_cells(self) -> tuple[Any, Any]:
        if self.plan is None:
            return super()._start_cells()
        return np.argwhere(np.ones(self.plan.shape)), ~jnp.asarray(self.plan, bool).reshape(-1)

    def _draw_goal_cells(self, key: Array, count: int) -> Array:
        if self.plan is None:
            return super()._draw_goal_cells(key, count)
        cells, present = self._start_cells()
        chosen = jax.random.categorical(key, jnp.where(present, 0.0, -jnp.inf), shape=(count,))
        return jnp.asarray(cells)[chosen]


@pytree
class _Ant(Ant):
    """Ant, with walls in its model."""

    @property
    def model(self) -> Model:
        return load_model(self.file, self.physics, WALLS)


def _joined(seen: Array, goal: Array) -> Array:
    return jnp.concatenate([seen[:2], goal.astype(seen.dtype), seen[2:]])


def settings(name: str) -> dict[str, Any]:
    """Settings of `make`."""
    return goal_maze.settings()


def load(name: str, **changes: Any) -> AntMaze:
    """`maze/AntMaze_<maze>[Dense]-<version>`."""
    return AntMaze(**goal_maze.parts(name), **changes)
