"""The compiled programs of a run: its start, for each phase its boundary and its segment, and the evaluation.

Compiled once for given shapes, they serve every part of a sweep, and the runs after it in this process (`kept.py`).
Nothing is computed here: shapes are enough, so that memory is known before anything is allocated.
"""

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import jax

from purejaxo2o.drive import kept
from purejaxo2o.drive.lanes import Lanes, platform, recipe_axes, run_axes
from purejaxo2o.loop.evaluate import Standing, judge, standing
from purejaxo2o.loop.prepare import prepare, rows_of
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import Record
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.train import enter, init, record, segment
from purejaxo2o.types import Array, likeness

START = -1
"""The index of the start among the phases."""
LEVEL = "xla_backend_optimization_level"
"""At 1 (XLA's is 3), CPU programs compile in four fifths of the time and are no slower (`benchmarks/NOTES.md`)."""


def compiler_options(platform: str) -> dict[str, bool | int]:
    """What XLA is told there beyond what the user's `XLA_FLAGS` say."""
    return {LEVEL: 1} if platform == "cpu" and LEVEL not in os.environ.get("XLA_FLAGS", "") else {}


class Programs:
    """Programs for keys, recipes and a dataset of the given shapes, compiled when first asked for.

    key: `[lanes]`, or one key for a single run; recipe: numeric leaves `[lanes]` or shared. dataset: shapes."""

    def __init__(
        self, key: Array, recipe: Recipe, task: Task, dataset: Store | None, lanes: Lanes | None = None
    ) -> None:
        self.recipe, self.task, self.lanes = recipe, task, lanes or Lanes()
        self.dataset = jax.eval_shape(lambda: dataset)
        self._key = key
        made_from = key, recipe, self.dataset
        options = tuple(compiler_options(platform(self.lanes.devices)).items())
        self._identity = kept.identity(made_from, task, self.lanes, options)
        self._kept = kept.recall(self._identity)
        self._compiled = self._kept.compiled

    @cached_property
    def recipe_axes(self) -> Any:
        return None if self.lanes.count is None else recipe_axes(self.recipe, self.lanes.count)

    @cached_property
    def run_axes(self) -> Run:
        return run_axes(self.recipe)

    def place(self, key: Array, recipe: Recipe) -> tuple[Array, Recipe]:
        """Arguments where the programs expect them."""
        return self.lanes.place(key, 0), self.lanes.place(recipe, self.recipe_axes)

    # -- one run's functions, for all lanes ----------------------------------------------------------------

    def _start(self) -> Any:
        def start(key: Array, recipe: Recipe) -> tuple[Run, Record]:
            run = init(key, recipe, self.task, rows_of(self.dataset))
            return run, record(run, {})

        return self.lanes.spread(start, (0, self.recipe_axes), (self.run_axes, 0))

    def _enter(self, index: int) -> Any:
        def entered(run: Run, recipe: Recipe) -> Run:
            return enter(run, recipe, phase=index)

        return self.lanes.spread(entered, (self.run_axes, self.recipe_axes), self.run_axes)

    def _segment(self, index: int) -> Any:
        def one(run: Run, recipe: Recipe, dataset: Store | None) -> tuple[Run, Record]:
            return segment(run, recipe, self.task, prepare(recipe, self.task, dataset), phase=index)

        return self.lanes.spread(one, (self.run_axes, self.recipe_axes, None), (self.run_axes, 0))

    def _judge(self, index: int) -> Any:
        def one(key: Array, agent: Any, seen: Standing) -> Array:
            return judge(key, agent, seen, self.task, episodes=self.recipe.eval_episodes)

        seen: Any = Standing(agent=0, segment=None, fault=0)  # type: ignore[arg-type]
        return self.lanes.spread(one, (0, self._agent_axes(index), seen), 0)

    def _agent_axes(self, index: int) -> Any:
        return None if self.lanes.count is None else self._agent(self.recipe_axes, index)

    def _agent(self, recipe: Recipe, index: int) -> Any:
        return recipe.agent_in(recipe.phases[max(index, 0)])  # before any training: as the first phase has it

    # -- shapes --------------------------------------------------------------------------------------------

    @cached_property
    def run_shapes(self) -> list[Run]:
        """Of the run at its start and after entering each phase (a method may widen its agent there)."""
        if "run" in self._kept.shapes:
            return self._kept.shapes["run"]
        run = jax.eval_shape(self._start(), self._key, self.recipe)[0]
        shapes = [run]
        for index in range(len(self.recipe.phases)):
            shapes.append(jax.eval_shape(self._enter(index), shapes[-1], self.recipe))
        self._kept.shapes["run"] = [self.lanes.shapes(run, self.run_axes) for run in shapes]
        return self._kept.shapes["run"]

    def saved_shapes(self, segments: int) -> Run:
        """Of the run after so many segments."""
        for index, phase in enumerate(self.recipe.phases):
            segments -= phase.segments
            if segments <= 0:
                return self.run_shapes[index + 1]
        return self.run_shapes[-1]

    # -- programs ------------------------------------------------------------------------------------------

    def start(self, watch: Any) -> Any:
        """`(key, recipe) -> (run, record)`."""
        self.compile([START], watch)
        return self._compiled[START][0]

    def phase(self, index: int, watch: Any) -> tuple[Any, Any]:
        """`(run, recipe) -> run` at the boundary, `(run, recipe, dataset) -> (run, record)` for a segment; both
        take over the run's memory."""
        self.compile([index], watch)
        enter, segment = self._compiled[index]
        return enter, segment

    def judge(self, run: Run, recipe: Recipe, index: int) -> Any:
        """Returns `[episodes]` of a run at the start or in a phase that has been compiled."""
        (program,) = self._compiled[self._alike(index)]
        return program(run.key, self._agent(recipe, index), standing(run))

    def all(self) -> list[Any]:
        """Whatever has been compiled so far."""
        return [program for some in self._compiled.values() for program in some]

    def compile_after(self, segments: int, watch: Any) -> None:
        """Compile all that a run still needs that has so many segments behind it."""
        ends, end = [], 0
        for phase in self.recipe.phases:
            end += phase.segments
            ends.append(end)
        self.compile(
            [*([START] if not segments else []), *(i for i, end in enumerate(ends) if end > segments)], watch
        )

    def compile(self, indices: Iterable[int], watch: Any) -> None:
        """Compile what is missing, side by side: XLA leaves cores idle on one program. `watch`: see `fit.Watch`."""
        missing = [index for index in indices if index not in self._compiled]
        if not missing:
            return
        names = ", ".join("start" if i == START else self.recipe.phases[i].name for i in missing)
        if watch.meter:
            watch.meter.compiling(names)
        began = time.perf_counter()
        traced = {index: self._trace(index) for index in missing}
        for index in missing:
            if (kind := self._alike(index)) not in self._compiled | traced:
                traced[kind] = [self._trace_judge(index)]
        options = compiler_options(platform(self.lanes.devices))
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            jobs = {index: [pool.submit(x.lower().compile, options) for x in some] for index, some in traced.items()}
            self._compiled.update({index: tuple(job.result() for job in some) for index, some in jobs.items()})
        if not any(kept.calls_back(x.jaxpr) for some in traced.values() for x in some):
            kept.keep(self._identity, self._kept)
        seconds = time.perf_counter() - began
        watch.timing.compile += seconds
        if watch.meter:
            watch.meter.compiled(names, seconds)

    def _trace(self, index: int) -> list[Any]:
        recipe = self.lanes.shapes(self.recipe, self.recipe_axes)
        if index == START:
            return [jax.jit(self._start()).trace(self.lanes.shapes(self._key, 0), recipe)]
        dataset = self.lanes.shapes(self.dataset, None)
        before, inside = self.run_shapes[index : index + 2]
        return [
            jax.jit(self._enter(index), donate_argnums=0).trace(before, recipe),
            jax.jit(self._segment(index), donate_argnums=0).trace(inside, recipe, dataset),
        ]

    def _trace_judge(self, index: int) -> Any:
        run = self.run_shapes[index + 1]
        agent = self.lanes.shapes(self._agent(self.recipe, index), self._agent_axes(index))
        return jax.jit(self._judge(index)).trace(run.key, agent, standing(run))

    def _alike(self, index: int) -> Any:
        """Equal for the phases that can be evaluated by one program."""
        return likeness((self._agent(self.recipe, index), self.run_shapes[index + 1].agent))
