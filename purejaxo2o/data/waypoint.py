"""A scripted driver for PointMaze: from cell to cell along a shortest path, the way D4RL's maze data was made.

The idea is that of the Minari generation script (waypoints from a solved grid, a PD controller towards the next
one), but without memory: which waypoint is next follows from the ball's cell and the goal's cell.
"""

from collections import deque

import jax.numpy as jnp
import numpy as np

from purejaxo2o.envs.maze import PointMaze
from purejaxo2o.types import Act, Array

CENTRED = 0.2
"""How far off the middle of its corridor, in metres, the ball may be to leave its cell (it would hit a corner)."""


def next_cells(walls: np.ndarray) -> np.ndarray:
    """`[H*W, H*W]` int32: `table[goal, cell]` is the cell after `cell` on a shortest path to `goal`.

    Cells count row by row. The goal's own entry, and every cell that cannot reach it, points at itself."""
    height, width = walls.shape
    table = np.tile(np.arange(height * width, dtype=np.int32), (height * width, 1))
    for goal in np.flatnonzero(~walls.reshape(-1)):
        seen, queue = {int(goal)}, deque([int(goal)])
        while queue:
            cell = queue.popleft()
            row, column = divmod(cell, width)
            for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                neighbour = r * width + c
                inside = 0 <= r < height and 0 <= c < width
                if inside and not walls[r, c] and neighbour not in seen:
                    table[goal, neighbour] = cell
                    seen.add(neighbour)
                    queue.append(neighbour)
    return table


def waypoint_policy(env: PointMaze, *, gain: float = 10.0, damping: float = 1.0) -> Act:
    """`act(obs, key) -> action` that drives to the desired goal in `obs`; deterministic, the key is unused.

    action = clip(gain * (waypoint - position) - damping * velocity): a lower `gain / damping` drives slower. The
    waypoint is the centre of the next cell, or of the ball's own cell while it is off the corridor's middle, or the
    goal once the ball is in its cell.
    """
    table, shape = next_cells(env.walls), env.walls.shape

    def act(obs: Array, key: Array) -> Array:
        del key
        goal, position, velocity = obs[2:4], obs[4:6], obs[6:8]
        cell, goal_cell = _index(env, position, shape), _index(env, goal, shape)
        following = jnp.asarray(table)[goal_cell, cell]
        here, there = (env.cell_centre(jnp.stack(jnp.divmod(c, shape[1]))) for c in (cell, following))
        along = jnp.abs(there - here) > 0
        centred = (jnp.where(along, 0.0, jnp.abs(position - here)) < CENTRED).all()
        waypoint = jnp.where(cell == goal_cell, goal, jnp.where(centred, there, here))
        return jnp.clip(gain * (waypoint - position) - damping * velocity, -1.0, 1.0)

    return act


def _index(env: PointMaze, xy: Array, shape: tuple[int, ...]) -> Array:
    row, column = jnp.clip(env.cell_of(xy), 0, jnp.asarray(shape) - 1)
    return row * shape[1] + column
