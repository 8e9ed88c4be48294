"""Where the ball of a PointMaze went: positions out of recorded rows or out of a policy at work, for `render.py`."""

from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxo2o.data.collect import collect
from purejaxo2o.envs.maze import PointMaze
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Act, Array, O2OError


class Paths(NamedTuple):
    """Trajectories of a PointMaze, one per entry."""

    positions: np.ndarray  # [n, T, 2] metres, NaN after the end
    goals: np.ndarray  # [n, 2] metres, where each was to go
    reached: np.ndarray  # [n] bool, whether it earned a reward


def of_dataset(rows: Store, count: int, *, seed: int = 0) -> Paths:
    """`count` trajectories of a PointMaze dataset (fewer if it has fewer), drawn without replacement.

    Raises `O2OError` for fewer than one."""
    if count < 1:
        raise O2OError(f"count is {count}; it must be at least 1")
    data = jax.tree.map(np.asarray, stores.flat(rows))
    starts = np.concatenate([[0], np.flatnonzero(data.last)[:-1] + 1])
    picked = np.random.default_rng(seed).permutation(starts)[:count]
    return _cut(data, picked)


def of_policy(env: Any, act: Act, key: Array, *, episodes: int) -> Paths:
    """The first episode of `act`, a trained policy or a function scaled to [-1, 1], in each of `episodes` copies of
    `env`.

    Raises `O2OError` for an environment that is no PointMaze, and for fewer than one episode."""
    if not isinstance(env, PointMaze):
        raise O2OError(f"{env.name} is no maze; only PointMaze trajectories can be drawn")
    if episodes < 1:
        raise O2OError(f"episodes is {episodes}; it must be at least 1")
    rows = collect(env, act, key, steps=episodes * env.horizon, num_envs=episodes)
    return _cut(jax.tree.map(np.asarray, stores.flat(rows)), np.arange(episodes) * env.horizon)


def _cut(data: Any, starts: np.ndarray) -> Paths:
    """From each start row to the end of its trajectory, the position after the last step included."""
    ends = np.flatnonzero(data.last)
    stops = ends[np.searchsorted(ends, starts)]
    positions = np.full((len(starts), (stops - starts).max() + 2, 2), np.nan)
    for path, start, stop in zip(positions, starts, stops, strict=True):
        path[: stop - start + 1] = data.obs[start : stop + 1, 4:6]
        path[stop - start + 1] = data.next_obs[stop, 4:6]
    reached = np.array([(data.reward[a : b + 1] > 0).any() for a, b in zip(starts, stops, strict=True)])
    return Paths(positions, data.obs[starts, 2:4], reached)
