"""Trained policies out of run folders, to evaluate, record or draw them later."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.disk.checkpoint import Checkpoints
from purejaxo2o.disk.folder import data_rows, load_config
from purejaxo2o.disk.rebuild import rebuild, sound
from purejaxo2o.disk.results import hashable
from purejaxo2o.drive import grid, memory, trackers
from purejaxo2o.drive.lanes import recipe_axes, run_axes
from purejaxo2o.loop.env import bounds_of
from purejaxo2o.loop.evaluate import Evaluation, counted, evaluate_agent
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.policy import Policy, lane_index
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import SEED
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.task import Task
from purejaxo2o.train import init
from purejaxo2o.types import Array, O2OError


class Trained(NamedTuple):
    """Every policy of a run folder as its last checkpoint has them; leaves are `[lanes, ...]`, also for one."""

    task: Task
    agent: Any  # settings that held in the phase of the checkpoint
    state: Any  # agent state
    lanes: int
    segment: int  # the checkpoint was taken after so many
    named: tuple[dict[str, Any], ...] = ()  # of each lane, what tells it apart: varied settings, "seed"; if known

    def policy(self, lane: Any = 0) -> Policy:
        """`act(obs, key) -> action` in the environment's own units, greedy, as `Result.policy`.

        lane: an integer of any kind; negative: from the end. Raises `O2OError` for a lane that is not there."""
        (index,) = lane_index(lane, (self.lanes,), "lane", f"the run has lanes 0 to {self.lanes - 1}")
        agent, state = jax.tree.map(lambda x: x[index], (self.agent, self.state))
        return Policy(agent=agent, state=state, bounds=bounds_of(self.task.env))

    def evaluate(self, key: Array, *, episodes: int) -> Evaluation:
        """`episodes` greedy episodes of every lane in the task's evaluation environment, the same start states
        for all: fields are `[lanes, episodes]`. Raises `O2OError` for a number that is none, or does not fit."""
        count = counted(episodes)
        self._refuse_too_many(count)

        def one(agent: Any, state: Any) -> Evaluation:
            return evaluate_agent(agent, state, self.task.eval_env, key, episodes=count)

        return jax.jit(jax.vmap(one))(self.agent, self.state)

    def _refuse_too_many(self, episodes: int) -> None:
        """Raise `O2OError` if so many environments, of which every step makes new ones of old, cannot fit."""
        each = 2 * self.lanes * memory.nbytes(jax.eval_shape(self.task.eval_env.reset, jax.random.key(0)))
        there = memory.limit(())
        if there is not None and each * episodes > there:
            raise O2OError(
                f"episodes is {episodes}: so many copies of {self.task.eval_env.name} for each policy "
                f"({self.lanes}) need {memory.size(each * episodes)}, there are {memory.size(there)}; "
                f"give at most {there // each}"
            )


def load_policy(
    folder: str | os.PathLike[str], lane: Any = 0, *, task: Task | None = None, recipe: Recipe | None = None
) -> Policy:
    """`act(obs, key) -> action` in the environment's own units, of a run folder's last checkpoint; greedy.

    `act.scaled` gives actions in [-1, 1], for environments of this package (see `policy.Policy`).
    lane: which of the run's policies, counted seed by seed, setting by setting in a sweep.
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
    config = load_config(path)
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
    segment, run = _restore(path, keys, recipe, task, data_rows(config), axes)
    phase = _phase_of(recipe, segment)
    if lanes is None:
        agent, state = jax.tree.map(lambda x: jnp.asarray(x)[None], (recipe.agent_in(phase), run.agent))
    else:
        agents = jax.vmap(lambda recipe: recipe.agent_in(phase), in_axes=(axes,), axis_size=lanes)
        agent, state = agents(recipe), run.agent
    return Trained(task=task, agent=agent, state=state, lanes=lanes or 1, segment=segment, named=_named(config))


def _named(config: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    if not config.get("seeds"):  # keys without numbers
        return ()
    return tuple({**lane.varied, SEED: lane.seed} for lane in trackers.lanes_of(config))


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


def lanes_of(config: Mapping[str, Any], recipe: Recipe) -> tuple[Array, Recipe]:
    """Keys and recipe of a run folder's lanes, `[lanes]`; of a single run, one key and the recipe as it is."""
    data = np.array(config["keys"], np.uint32)
    keys = jax.random.wrap_key_data(jax.numpy.asarray(data), impl=config["key_impl"])
    if "lanes" not in config:
        return keys, recipe
    over = {name: tuple(map(hashable, values)) for name, values in config["over"].items()}
    whole = grid.Grid(recipe, keys, {name: over[name] for name in config["axes"]})
    return whole.batch(whole.programs()[config["program"]], config["lanes"])
