"""What a run returns: arrays over segments, and what the hand-over cost."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.loop.env import bounds_of
from purejaxo2o.loop.handover import handover
from purejaxo2o.loop.policy import Policy, lane_index
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.types import Array, Metrics, O2OError, nearest, pytree, static

SEED = "seed"
"""The name of a sweep's last axis."""
PARAMETERS = -1
"""`Fault.metric` when the learner's state was not finite although every metric was."""


@pytree
class Fault:
    """Where a run was first not finite."""

    step: Array  # int32: the iteration, or -1 while everything is finite
    metric: Array  # int32: index among the sorted names of the phase's metrics, or `PARAMETERS`


def no_fault() -> Fault:
    """Everything has been finite so far."""
    return Fault(step=jnp.int32(-1), metric=jnp.int32(0))


@pytree
class Record:
    """What is known after a segment; returns and metrics are NaN once there is a fault."""

    returns: Array | None  # [episodes]; None before the evaluation
    metrics: Metrics  # averages over the segment
    env_steps: Array
    grad_steps: Array
    finite: Array  # bool: agent state and metrics, up to now
    fault: Fault


class Failure(NamedTuple):
    """A run that was frozen because something in it was not finite."""

    lane: tuple[int, ...]  # index on the leading axes of the result
    segment: int  # entry of the result; 1 is the first segment
    phase: str
    step: int  # iteration, counted over all phases from 0
    metric: str  # the first metric that was not finite, or "parameters"
    named: tuple[tuple[str, Any], ...] = ()  # names and values of a sweep's axes: settings, and the seed's number

    @property
    def where(self) -> str:
        """Which run of several: `agent.expectile=0.9, seed 5`; without names, its index."""
        if self.named:
            return ", ".join(f"seed {value}" if name == SEED else f"{name}={value}" for name, value in self.named)
        return f"lane {', '.join(map(str, self.lane))}" if self.lane else ""

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return f"{where}{self.metric} not finite at step {self.step} (segment {self.segment}, {self.phase}); frozen"


@pytree
class Result:
    """The run in arrays; `S` = 1 + all segments: entry 0 is the evaluation before any training.

    Under `vmap` and `sweep` every array has leading axes (settings, seeds); a sweep names them in `axes`. Metrics
    are NaN where a phase has none."""

    scores: Array  # [S] normalised, mean over the episodes
    episode_scores: Array  # [S, episodes] normalised
    returns: Array  # [S, episodes]
    metrics: Metrics  # {name: [S]}
    env_steps: Array  # [S] int32
    grad_steps: Array  # [S] int32
    phase: Array  # [S] int32 index into `phase_names`
    finite: Array  # [S] bool
    fault: Fault  # [S]; see `failures`
    run: Any  # `run.Run`: the state at the end, stores included (a sweep in parts keeps no stores)
    agent: Any  # the settings of the last phase, to act with
    action_bounds: Any = None  # lowest and highest action of the environment's own, `env.bounds_of`
    phase_names: tuple[str, ...] = static()
    metric_names: tuple[tuple[str, ...], ...] = static()  # of each phase, sorted
    switch: int = static()  # entry of the evaluation at the hand-over
    recipe_name: str = static()
    task_name: str = static()
    axes: tuple[tuple[str, tuple[Any, ...]], ...] = static(default=())  # of a sweep: (name, values) in order
    program_axes: tuple[int, ...] = static(default=())  # axes over programs: `run` and `agent` are tuples over them

    @property
    def handover(self) -> dict[str, Array]:
        """`handover.handover`: score at the switch, dip, recovery, area under the online curve, final, regret."""
        return handover(self.scores, self.env_steps, self.switch, episode_scores=self.episode_scores)

    def policy(self, seed: Any = None, *, explore: bool = False) -> Policy:
        """`act(obs, key) -> action` of one trained agent, in the environment's own units (`act.scaled`: in [-1, 1]).

        seed: index on the leading axes, one integer or one for each axis (negative: from the end); None without axes.
        explore: the policy that collects data, not the greedy one.
        Raises `O2OError` for an index that is not there, and for results that keep no networks."""
        sizes = self.scores.shape[:-1]
        asked = ", ".join(f"0 to {size - 1}" for size in sizes)
        remedy = f"give one index per axis: {asked or 'there is none'}"
        index = lane_index(seed, sizes, f"policy(seed={seed!r}) of results with leading axes {sizes}", remedy)
        if self.agent is None or self.run is None:
            raise O2OError(
                "these results hold what was measured, not the networks; act with what train, fit or sweep "
                "returned, or out of a run folder: policies.load_policy(folder)"
            )
        agent, state, bounds = self._trained(index)
        return Policy(agent=agent, state=state, bounds=bounds, explore=explore)

    def _trained(self, index: tuple[int, ...]) -> tuple[Any, Any, Any]:
        """Settings and state of one agent, and its environment's bounds."""
        agent, run, lane = self.agent, self.run, index
        if self.program_axes:
            sizes = [len(self.axes[axis][1]) for axis in self.program_axes]
            program = int(np.ravel_multi_index([index[axis] for axis in self.program_axes], sizes))
            agent, run = agent[program], run[program]
            lane = tuple(at for axis, at in enumerate(index) if axis not in self.program_axes)
        bounds = jax.tree.map(lambda x: x[index], self.action_bounds)
        # Settings of a single run are plain numbers.
        return *jax.tree.map(lambda x: x[lane] if lane else x, (agent, run.agent)), bounds

    def select(self, values: Mapping[str, Any]) -> "Result":
        """The part of a sweep with the given values, e.g. `{"agent.expectile": 0.9}`; those axes go.

        Only what was measured: `run` and `agent` are None. Raises `O2OError` for an unknown axis or value."""
        index: list[Any] = [slice(None)] * len(self.axes)
        for name, value in values.items():
            names = [axis for axis, _ in self.axes]
            if name not in names:
                remedy = nearest(name, names) if names else "it has none (a sweep names them)"
                raise O2OError(f"the results have no axis {name!r}; {remedy}")
            known = self.axes[names.index(name)][1]
            at = [i for i, other in enumerate(known) if _same(value, other)]
            if not at:
                raise O2OError(f"axis {name!r} has no value {value!r}; it has {', '.join(map(repr, known))}")
            index[names.index(name)] = at[0]
        left = tuple(axis for axis, at in zip(self.axes, index, strict=True) if isinstance(at, slice))
        measured = jax.tree.map(lambda x: x[tuple(index)], dataclasses.replace(self, run=None, agent=None))
        return dataclasses.replace(measured, axes=left, program_axes=())

    def failures(self) -> list[Failure]:
        """Every run that was frozen, and why; a host function."""
        steps, metrics, phases = map(np.asarray, (self.fault.step, self.fault.metric, self.phase))
        found = []
        for lane in np.ndindex(steps.shape[:-1]):
            bad = np.flatnonzero(steps[lane] >= 0)
            if not bad.size:
                continue
            segment, phase = int(bad[0]), int(phases[lane][bad[0]])
            metric = int(metrics[lane][segment])
            name = "parameters" if metric == PARAMETERS else self.metric_names[phase][metric]
            named = tuple((axis, values[at]) for (axis, values), at in zip(self.axes, lane, strict=False))
            found.append(Failure(lane, segment, self.phase_names[phase], int(steps[lane][segment]), name, named))
        return found


def _same(value: Any, known: Any) -> bool:
    """Whether a value of any type (NumPy's and JAX's numbers, lists) is the known one, in its own precision."""
    if type(value) is type(known):
        return value == known
    one, other = np.asarray(value), np.asarray(known)
    if one.shape != other.shape:
        return False
    if one.dtype.kind == other.dtype.kind == "f":
        other = other.astype(one.dtype)
    return bool((one == other).all())


def assemble(run: Any, recipe: Recipe, task: Task, parts: list[Record]) -> Result:
    """Join the records of all phases (leaves `[segments, ...]`; the first holds the initial evaluation)."""
    lengths = [part.finite.shape[0] for part in parts]
    names = sorted(set().union(*(part.metrics for part in parts)))

    def column(name: str, part: Record, length: int) -> Array:
        return part.metrics.get(name, jnp.full(length, jnp.nan, jnp.float32))

    metrics = {
        name: jnp.concatenate([column(name, p, n) for p, n in zip(parts, lengths, strict=True)]) for name in names
    }
    returns = jnp.concatenate([part.returns for part in parts if part.returns is not None])
    phase = [0] + [i for i, n in enumerate(lengths[1:]) for _ in range(n)]
    return Result(
        scores=task.score(returns.mean(-1)),
        episode_scores=task.score(returns),
        returns=returns,
        metrics=metrics,
        env_steps=jnp.concatenate([part.env_steps for part in parts]),
        grad_steps=jnp.concatenate([part.grad_steps for part in parts]),
        phase=jnp.array(phase, jnp.int32),
        finite=jnp.concatenate([part.finite for part in parts]),
        fault=jax.tree.map(lambda *xs: jnp.concatenate(xs), *(part.fault for part in parts)),
        run=run,
        agent=recipe.agent_in(recipe.phases[-1]),
        action_bounds=bounds_of(task.env),
        phase_names=tuple(p.name for p in recipe.phases),
        metric_names=tuple(tuple(sorted(part.metrics)) for part in parts[1:]),
        switch=recipe.switch,
        recipe_name=recipe.name,
        task_name=task.name,
    )


def told(record: Record, module: Any = jnp) -> Record:
    """The record as results hold it: the mean return of no episode is NaN, not 0. `segment` leaves this to callers,
    for programs whose outputs hold NaN stop under `JAX_DEBUG_NANS`. module: `numpy` for arrays on the host."""
    if "train_episodes" not in record.metrics:
        return record
    none, known = record.metrics["train_episodes"] == 0, record.metrics["train_return"]
    return dataclasses.replace(
        record, metrics=record.metrics | {"train_return": module.where(none, module.nan, known)}
    )


def averages(sums: Metrics, count: int) -> Metrics:
    """Means over the iterations; the training return is a mean over ended episodes (0 without any, see `told`)."""
    means = {name: value / count for name, value in sums.items()}
    if "train_episodes" in sums:
        means["train_return"] = sums["train_return"] / jnp.maximum(sums["train_episodes"], 1.0)
        means["train_episodes"] = sums["train_episodes"]
    return means
