"""The ordinary way to run the same recipe: a Python loop around a jitted update, a NumPy replay buffer, and an
environment stepped from Python one step at a time.

It is what `whole_run.py` compares with, so it is written as a careful user would: every function jitted once and
warmed up before the clock starts, keys folded inside the jitted functions, arrays preallocated, the state donated.
Recipes whose online rows need extras (Cal-QL's return-to-go) are not supported.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks.host_envs import Stepped
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.prepare import online_needs, prepare
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.store import Store, flat
from purejaxo2o.loop.task import Task
from purejaxo2o.types import O2OError, Transition, transition_example


class Replay:
    """A ring of rows in NumPy arrays."""

    def __init__(self, example: Transition, capacity: int) -> None:
        self.data = jax.tree.map(lambda x: np.zeros((capacity, *x.shape), x.dtype), example)
        self.capacity, self.size, self.head = capacity, 0, 0

    @classmethod
    def of(cls, dataset: Store) -> "Replay":
        """A full one that holds the rows of a dataset."""
        found = cls.__new__(cls)
        found.data = jax.tree.map(np.asarray, flat(dataset))
        found.capacity = found.size = len(found.data.reward)
        found.head = 0
        return found

    def add(self, row: Transition) -> None:
        for buffer, value in zip(jax.tree.leaves(self.data), jax.tree.leaves(row), strict=True):
            buffer[self.head] = value
        self.head = (self.head + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def sample(self, rng: np.random.Generator, shape: tuple[int, int]) -> Transition:
        index = rng.integers(0, self.size, shape)
        return jax.tree.map(lambda x: x[index], self.data)


class Outcomes(NamedTuple):
    """Wall seconds without compilation, compile (and warm-up) seconds, the score after every segment."""

    seconds: float
    compile_seconds: float
    scores: list[float]


def run(recipe: Recipe, task: Task, dataset: Store | None, make: Callable[[int], Stepped], seed: int = 0) -> Outcomes:
    """All phases of `recipe`; `make(seed)` builds the environment that is trained and evaluated in.

    Raises `O2OError` for recipes that need extras of online rows, or several environments per seed."""
    if online_needs(recipe) or recipe.num_envs != 1:
        raise O2OError(f"the host loop runs one environment and no online extras; recipe {recipe.name!r} needs more")
    loop = _Loop(recipe, task, dataset, make, seed)
    began = time.perf_counter()
    loop.warm()
    ready = time.perf_counter()
    scores = loop.run()
    return Outcomes(time.perf_counter() - ready, ready - began, scores)


@dataclass
class _Jitted:
    """One phase's functions."""

    act: Callable[..., Any]
    update: Callable[..., Any]
    enter: Callable[..., Any]


class _Loop:
    def __init__(self, recipe: Recipe, task: Task, dataset: Store | None, make: Any, seed: int) -> None:
        self.recipe, self.task = recipe, task
        self.env, self.eval_env = make(seed), make(seed + 1_000_000)
        self.rng, self.key, self.count = np.random.default_rng(seed), jax.random.key(seed), 0
        prepared = prepare(recipe, task, dataset)
        self.offline = None if prepared is None else Replay.of(prepared)
        self.online = Replay(transition_example(spaces(task.env)), max(recipe.capacity, 1))
        self.state = jax.jit(lambda key: recipe.agent.init(key, spaces(task.env)))(self.key)
        self.phases = [self._functions(index) for index in range(len(recipe.phases))]

    def _functions(self, index: int) -> _Jitted:
        agent, key = self.recipe.agent_in(self.recipe.phases[index]), self.key

        def act(state: Any, obs: Any, count: Any, explore: bool) -> Any:
            return agent.act(state, obs[None], jax.random.fold_in(key, count), explore=explore)[0]

        def update(state: Any, batches: Transition, count: Any) -> Any:
            batches = batches._replace(reward=self.recipe.learned_reward(batches.reward))
            return agent.update(state, batches, jax.random.fold_in(key, count))

        def enter(state: Any, count: Any) -> Any:
            return agent.enter(state, jax.random.fold_in(key, count), self.recipe.boundary(index))

        return _Jitted(jax.jit(act, static_argnums=3), jax.jit(update, donate_argnums=0), jax.jit(enter))

    def warm(self) -> None:
        """Compile everything, changing nothing but the environments' counters."""
        first = self.eval_env.reset()
        self.env.reset()
        self.eval_env.step(np.zeros(self.task.env.action_space.shape, np.float32))
        self.env.step(np.zeros(self.task.env.action_space.shape, np.float32))
        for phase, jitted in zip(self.recipe.phases, self.phases, strict=True):
            for explore in (True, False):
                jax.block_until_ready(jitted.act(self.state, first, 0, explore))
            copied = jax.tree.map(lambda x: x.copy(), jitted.enter(self.state, 0))
            if phase.updates:
                stand_in = Replay(transition_example(spaces(self.task.env)), 1)
                stand_in.size = 1
                source = (self.offline or stand_in) if phase.uses_offline else stand_in
                batches = source.sample(np.random.default_rng(0), (phase.updates, phase.batch_size))
                jax.block_until_ready(jitted.update(copied, self._needed(batches, phase), 0))

    def run(self) -> list[float]:
        scores = [self._evaluate(self.phases[0])]
        obs = self.env.reset()
        for phase, jitted in zip(self.recipe.phases, self.phases, strict=True):
            self.state = jitted.enter(self.state, self._tick())
            if phase.store == "clear":
                self.online.size = self.online.head = 0
            for _ in range(phase.segments):
                for _ in range(phase.iterations(1)):
                    if phase.acts:
                        obs = self._collect(phase, jitted, obs)
                    if phase.updates:
                        self.state, _ = jitted.update(self.state, self._batches(phase), self._tick())
                scores.append(self._evaluate(jitted))
        jax.block_until_ready(self.state)
        return scores

    def _tick(self) -> int:
        self.count += 1
        return self.count

    def _collect(self, phase: Phase, jitted: _Jitted, obs: np.ndarray) -> np.ndarray:
        if phase.act == "random":
            action = self.rng.uniform(-1.0, 1.0, self.task.env.action_space.shape).astype(np.float32)
        else:
            action = np.asarray(jitted.act(self.state, obs, self._tick(), True))
        after, reward, terminated, truncated = self.env.step(action)
        self.online.add(Transition(obs, action, reward, after, terminated, truncated))  # type: ignore[arg-type]
        return self.env.reset() if terminated or truncated else after

    def _batches(self, phase: Phase) -> Transition:
        updates, size = phase.updates, phase.batch_size
        if not (phase.uses_offline and phase.uses_online):
            source = self.offline if phase.uses_offline else self.online
            assert source is not None
            return self._needed(source.sample(self.rng, (updates, size)), phase)
        assert self.offline is not None
        share = {"fraction": phase.offline_fraction, "ratio": float(phase.offline_ratio)}.get(
            phase.mix, self.offline.size / (self.offline.size + self.online.size)
        )
        exact = phase.mix == "fraction"
        count = round(share * size) if exact else int(self.rng.binomial(size, share))
        parts = [
            self._needed(source.sample(self.rng, (updates, n)), phase)
            for source, n in ((self.offline, count), (self.online, size - count))
        ]
        return jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), *parts)

    def _needed(self, batches: Transition, phase: Phase) -> Transition:
        needs = self.recipe.agent_in(phase).needs
        return batches._replace(extras={name: batches.extras[name] for name in sorted(needs)})

    def _evaluate(self, jitted: _Jitted) -> float:
        totals = np.zeros(self.recipe.eval_episodes)
        for episode in range(self.recipe.eval_episodes):
            obs, done = self.eval_env.reset(), False
            while not done:
                action = np.asarray(jitted.act(self.state, obs, self.count, False))
                obs, reward, terminated, truncated = self.eval_env.step(action)
                totals[episode] += reward
                done = terminated or truncated
        return float(self.task.score(totals).mean())  # type: ignore[arg-type]
