"""Trained policies out of run folders, to evaluate, record or draw them later."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o import runs
from purejaxo2o.checkpoint import Checkpoints
from purejaxo2o.evaluate import Evaluation, evaluate_agent
from purejaxo2o.lanes import recipe_axes, run_axes
from purejaxo2o.phases import Phase, Recipe
from purejaxo2o.rebuild import lanes_of, rebuild, sound
from purejaxo2o.tasks import Task
from purejaxo2o.train import Run, init
from purejaxo2o.types import Array, O2OError, Policy


class Trained(NamedTuple):
    """Every policy of a run folder as its last checkpoint has them; leaves are `[lanes, ...]`, also for one."""

    task: Task
    agent: Any  # settings that held in the phase of the checkpoint
    state: Any  # agent state
    lanes: int
    segment: int  # the checkpoint was taken after so many

    def policy(self, lane: int = 0) -> Policy:
        """`act(obs, key) -> action`, greedy, as `Result.policy`. Raises `O2OError` for a lane that is not there."""
        if not 0 <= lane < self.lanes:
            raise O2OError(f"lane is {lane}; the run has lanes 0 to {self.lanes - 1}")
        agent, state = jax.tree.map(lambda x: x[lane], (self.agent, self.state))
        return lambda obs, key: agent.act(state, obs, key, explore=False)

    def evaluate(self, key: Array, *, episodes: int) -> Evaluation:
        """`episodes` greedy episodes of every lane in the task's evaluation environment, the same start states
        for all: fields are `[lanes, episodes]`."""
        if episodes < 1:
            raise O2OError(f"episodes is {episodes}; it must be at least 1")

        def one(agent: Any, state: Any) -> Evaluation:
            return evaluate_agent(agent, state, self.task.eval_env, key, episodes=episodes)

        return jax.jit(jax.vmap(one))(self.agent, self.state)


def load_policy(
    folder: str | os.PathLike[str], lane: int = 0, *, task: Task | None = None, recipe: Recipe | None = None
) -> Policy:
    """`act(obs, key) -> action` (greedy) of one lane of a run folder; seed by seed, setting by setting in a sweep.

    task, recipe: those that the run was trained with; None: rebuilt from what the folder says. They are needed where
    its classes are not imported, or hold what no file describes.
    Raises `O2OError` for a folder without a run or without a checkpoint, for an unknown lane, for a task or recipe
    that differs from the run's (naming the field), and for one that cannot be rebuilt."""
    return load_policies(folder, task=task, recipe=recipe).policy(lane)


def load_policies(
    folder: str | os.PathLike[str], *, task: Task | None = None, recipe: Recipe | None = None
) -> Trained:
    """All policies of a run folder; arguments and errors as of `load_policy`."""
    path = Path(folder)
    config = runs.load_config(path)
    if config.get("parts"):
        parts = sorted(part.parent.name for part in path.glob("*part-*/config.json"))
        raise O2OError(f"{path} holds a sweep in parts; give one of them: {', '.join(parts) or 'none is there yet'}")
    recipe, task = rebuild(path, config, task=task, recipe=recipe)
    with sound(path):
        return _trained(path, config, recipe, task)


def _trained(path: Path, config: Mapping[str, Any], recipe: Recipe, task: Task) -> Trained:
    keys, recipe = lanes_of(config, recipe)
    lanes = keys.shape[0] if keys.ndim else None
    axes = recipe_axes(recipe, lanes or 1)
    segment, run = _restore(path, keys, recipe, task, runs.data_rows(config), axes)
    phase = _phase_of(recipe, segment)
    if lanes is None:
        agent, state = jax.tree.map(lambda x: jnp.asarray(x)[None], (recipe.agent_in(phase), run.agent))
    else:
        agents = jax.vmap(lambda recipe: recipe.agent_in(phase), in_axes=(axes,), axis_size=lanes)
        agent, state = agents(recipe), run.agent
    return Trained(task=task, agent=agent, state=state, lanes=lanes or 1, segment=segment)


def _restore(folder: Path, keys: Array, recipe: Recipe, task: Task, offline_rows: int, axes: Any) -> tuple[int, Run]:
    """The last checkpoint and after how many segments it was taken."""
    missing = O2OError(f"{folder} has no checkpoint yet; wait for its first segment or train it again (--resume)")
    if not (folder / "checkpoints").is_dir():
        raise missing

    def start(key: Array, recipe: Recipe) -> Run:
        return init(key, recipe, task, offline_rows)

    if keys.ndim:
        start = jax.vmap(start, in_axes=(0, axes), out_axes=run_axes(recipe))
    saver = Checkpoints(folder, read_only=True)
    try:
        segment = saver.latest()
        if segment is None:
            raise missing
        return segment, saver.restore(segment, jax.eval_shape(start, keys, recipe))
    finally:
        saver.close()


def _phase_of(recipe: Recipe, segment: int) -> Phase:
    """The phase whose end or middle the checkpoint after `segment` segments is."""
    for phase in recipe.phases:
        segment -= phase.segments
        if segment <= 0:
            return phase
    return recipe.phases[-1]
