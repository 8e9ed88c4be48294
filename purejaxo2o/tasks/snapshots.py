"""Episodes that start from states of the dataset (Snapshot RL, S3RL: code `sdpkjc/snapshotrl`).

A learner that starts where a teacher has been need not find the way there. `snapshots` turns a task into one whose
training episodes do; any recipe can be trained on it, and it is evaluated as ever. S3RL's choice of states: every
tenth one, grouped by what they are worth into six clusters (K-means), every cluster as likely, whatever its size; and
such an episode is cut (truncated, so it bootstraps) after a hundred steps.

Only environments that can take up an observation have it: those with `restore(obs) -> state`. Deviation: the authors
return to normal starts after the first 100 000 steps; here the share is the same for the whole run.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o.loop.env import bounds_of
from purejaxo2o.loop.store import Store, flat
from purejaxo2o.loop.task import Task
from purejaxo2o.types import Array, Number, O2OError, Space, Step, pytree, static, tree_where

ROUNDS = 50


class SnapshotState(NamedTuple):
    """inner: the environment's own. left: steps until the episode is cut, int32."""

    inner: Any
    left: Array


@pytree
class Snapshots:
    """`env`, an episode of which starts, with probability `share`, at one of `obs [N, O]`, drawn by `ends [N]` (the
    cumulated probabilities), and is then truncated after `limit` steps."""

    env: Any
    obs: Array
    ends: Array
    share: Number = 1.0
    limit: int = static(default=100)

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def obs_space(self) -> Space:
        return self.env.obs_space

    @property
    def action_space(self) -> Space:
        return self.env.action_space

    @property
    def action_bounds(self) -> Any:
        return bounds_of(self.env)

    @property
    def horizon(self) -> int:
        return self.env.horizon

    @property
    def pooled_resets(self) -> bool:
        return self.env.pooled_resets

    def reset(self, key: Array) -> tuple[SnapshotState, Array]:
        key_which, key_row, key_env = jax.random.split(key, 3)
        state, obs = self.env.reset(key_env)
        row = jnp.searchsorted(self.ends, jax.random.uniform(key_row) * self.ends[-1], side="right")
        seen = self.obs[jnp.minimum(row, len(self.obs) - 1)]
        taken = jax.random.bernoulli(key_which, self.share)
        state, obs = tree_where(taken, (self.env.restore(seen), seen.astype(obs.dtype)), (state, obs))
        return SnapshotState(state, jnp.where(taken, self.limit, self.horizon + 1)), obs

    def step(self, state: SnapshotState, action: Array, key: Array) -> tuple[SnapshotState, Step]:
        inner, step = self.env.step(state.inner, action, key)
        left = state.left - 1
        return SnapshotState(inner, left), step._replace(truncated=step.truncated | (left <= 0))


def clusters(worth: Array, count: int) -> Array:
    """`[N]` int: K-means of numbers, started evenly over their range (which makes it deterministic)."""
    low, high = worth.min(), worth.max()
    centres = low + (high - low) * (jnp.arange(count) + 0.5) / count

    def improve(centres: Array, _: None) -> tuple[Array, None]:
        own = jax.nn.one_hot(jnp.abs(worth[:, None] - centres).argmin(axis=1), count)
        size = own.sum(axis=0)
        return jnp.where(size > 0, worth @ own / jnp.maximum(size, 1.0), centres), None

    centres = jax.lax.scan(improve, centres, length=ROUNDS)[0]
    return jnp.abs(worth[:, None] - centres).argmin(axis=1)


def snapshots(
    task: Task,
    dataset: Store,
    *,
    worth: Array | None = None,
    groups: int = 6,
    every: int = 10,
    share: Number = 1.0,
    limit: int = 100,
) -> Task:
    """`task` with training episodes that start at every `every`-th row of `dataset`.

    worth: `[N]` of the dataset's rows, e.g. a teacher's values or returns-to-go, by which they are grouped; None:
        every row is as likely. share in [0, 1]: of the episodes. limit: steps of such an episode, at least 1.
    Raises `O2OError` for environments that cannot take up an observation, and for numbers out of range."""
    if not hasattr(task.env, "restore"):
        raise O2OError(f"{task.env.name} cannot start from an observation; use a task of PointMaze or reach")
    for name, number in (("groups", groups), ("every", every), ("limit", limit)):
        if number < 1:
            raise O2OError(f"snapshots: {name} is {number}; it must be at least 1")
    obs = flat(dataset).obs[::every]
    chance = jnp.ones(len(obs))
    if worth is not None:
        if worth.shape != (dataset.rows * dataset.envs,):
            raise O2OError(f"snapshots: worth has shape {worth.shape}; give one number for each row of the dataset")
        group = clusters(worth[::every], groups)
        chance = 1.0 / jnp.bincount(group, length=groups)[group]
    return replace(task, env=Snapshots(env=task.env, obs=obs, ends=jnp.cumsum(chance), share=share, limit=limit))
