"""The host driver: the same `segment` as in `train`, called from Python, with progress, sinks and checkpoints.

One run (`fit`) or a batch of lanes (`sweep.py`) goes through `drive`. Each phase is compiled once, ahead of
time, so that compile time and run time are known apart; between two segments the host sees the records, writes
them, and saves the `Run`. The results equal those of `train` up to XLA's rounding (another program).
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o import checkpoint, runs
from purejaxo2o.data.checks import check_store
from purejaxo2o.envs.base import spaces
from purejaxo2o.phases import Phase, Recipe
from purejaxo2o.prepare import check, prepare
from purejaxo2o.progress import Meter, Progress
from purejaxo2o.result import Record, Result, assemble
from purejaxo2o.sinks import JsonLines, Sink
from purejaxo2o.store import Store
from purejaxo2o.tasks import Task
from purejaxo2o.train import Run, enter, first_record, init, segment
from purejaxo2o.types import Array

PathLike = str | os.PathLike[str]


def fit(
    key: Array,
    recipe: Recipe,
    task: Task,
    dataset: Store | None = None,
    *,
    out: PathLike | None = None,
    resume: bool = False,
    sinks: Sequence[Sink] = (),
    progress: bool | Meter = True,
) -> Result:
    """One run, watched: a progress line per segment, rows to `sinks`, a checkpoint per segment in `out`.

    resume: continue the run in `out` from its last complete segment (same settings, else `O2OError`).
    Raises `O2OError` for bad input before anything is compiled or written.
    """
    return drive(key, recipe, task, dataset, None, out=out, resume=resume, sinks=sinks, progress=progress)


@dataclass
class Timing:
    """Wall seconds of a driven run."""

    compile: float = 0.0
    run: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


def drive(
    key: Array,
    recipe: Recipe,
    task: Task,
    dataset: Store | None,
    axes: Recipe | None,
    *,
    out: PathLike | None,
    resume: bool,
    sinks: Sequence[Sink],
    progress: bool | Meter,
    timing: Timing | None = None,
    extra_config: dict[str, Any] | None = None,
) -> Result:
    """Run every phase segment by segment.

    axes: None for a single run; else `key` is `[lanes]` and `axes` says which leaves of `recipe` are `[lanes]`
    too (0) and which are shared (None), as in `jax.vmap`.
    """
    check(recipe, task, dataset)
    if dataset is not None:
        check_store(dataset, spaces(task.env))
    folder = None if out is None else Path(out)
    earlier = False
    if folder is not None:
        described = runs.describe(key, recipe, task) | {"data": runs.fingerprint(dataset)} | (extra_config or {})
        earlier = runs.claim(folder, described, resume=resume)
    meter = progress if isinstance(progress, Meter) else Progress() if progress else None
    driver = _Driver(recipe, task, dataset, axes, meter, timing or Timing(), folder, list(sinks))
    try:
        return driver.run(key, earlier)
    finally:
        driver.close()


@dataclass
class _Driver:
    recipe: Recipe
    task: Task
    dataset: Store | None
    axes: Recipe | None
    meter: Meter | None
    timing: Timing
    folder: Path | None
    sinks: list[Sink]
    records: list[Record] = field(default_factory=list)
    saver: checkpoint.Checkpoints | None = None

    @property
    def lanes(self) -> Run:
        return run_axes(self.recipe)

    def run(self, key: Array, earlier: bool) -> Result:
        total = sum(phase.segments for phase in self.recipe.phases)
        if self.meter:
            self.meter.start(total, f"{self.recipe.name} · {self.task.name}")
        state, done = self._begin(key, earlier)
        before = 0
        for index, phase in enumerate(self.recipe.phases):
            if done < before + phase.segments:
                state = self._phase(state, index, phase, skip=max(0, done - before))
            before += phase.segments
        result = self._assemble(state)
        if self.folder is not None:
            runs.write_results(self.folder, result)
            if done < total:  # resuming a finished run spends no time worth recording
                runs.write_json(self.folder / "timing.json", vars(self.timing))
        return result

    def _begin(self, key: Array, earlier: bool) -> tuple[Run, int]:
        """The run at its start, or at its last complete segment."""

        def start(key: Array, recipe: Recipe) -> tuple[Run, Record]:
            run = init(key, recipe, self.task)
            return run, first_record(run, recipe, self.task)

        start = self._batched(start, (0, self.axes), (self.lanes, 0))
        done = 0
        if self.folder is not None:
            self.saver = checkpoint.Checkpoints(self.folder)
            done = (self.saver.latest() or 0) if earlier else 0
            self.sinks.append(JsonLines(self.folder / "metrics.jsonl", keep=done + 1 if done else 0))
        if done:
            assert self.saver is not None
            assert self.folder is not None
            shapes, _ = jax.eval_shape(start, key, self.recipe)
            state = self.saver.restore(done, shapes)
            self.records = runs.read_records(self.folder, done + 1)
            return state, done
        program = self._compile(start, (key, self.recipe), "start")
        state, record = program(key, self.recipe)
        self._note(record, self.recipe.phases[0].name)
        return state, 0

    def _phase(self, state: Run, index: int, phase: Phase, skip: int) -> Run:
        def one(run: Run, recipe: Recipe, dataset: Store | None) -> tuple[Run, Record]:
            return segment(run, recipe, self.task, prepare(recipe, self.task, dataset), phase=index)

        if not skip:
            entered = self._batched(
                lambda run, recipe: enter(run, recipe, phase=index), (self.lanes, self.axes), self.lanes
            )
            state = jax.jit(entered, donate_argnums=0)(state, self.recipe)
        one = self._batched(one, (self.lanes, self.axes, None), (self.lanes, 0))
        program = self._compile(one, (state, self.recipe, self.dataset), phase.name, donate=True)
        for _ in range(skip, phase.segments):
            began = time.perf_counter()
            state, record = program(state, self.recipe, self.dataset)
            record = jax.block_until_ready(record)
            seconds = time.perf_counter() - began
            self.timing.run += seconds
            self.timing.phases[phase.name] = self.timing.phases.get(phase.name, 0.0) + seconds
            score = self._note(record, phase.name)
            if self.meter:
                steps = phase.steps // phase.segments * score.size
                done = len(self.records) - 1
                self.meter.segment(phase=phase.name, done=done, steps=steps, seconds=seconds, score=score)
            self._save(state)
        return state

    def _batched(self, function: Callable[..., Any], in_axes: Any, out_axes: Any) -> Callable[..., Any]:
        return function if self.axes is None else jax.vmap(function, in_axes=in_axes, out_axes=out_axes)

    def _compile(self, function: Any, arguments: tuple[Any, ...], name: str, *, donate: bool = False) -> Any:
        if self.meter:
            self.meter.compiling(name)
        began = time.perf_counter()
        program = jax.jit(function, donate_argnums=0 if donate else ()).lower(*arguments).compile()
        seconds = time.perf_counter() - began
        self.timing.compile += seconds
        if self.meter:
            self.meter.compiled(name, seconds)
        return program

    def _note(self, record: Record, phase: str) -> np.ndarray:
        """Keep a record and write its row; returns the score, one per lane."""
        record = jax.tree.map(np.asarray, record)
        self.records.append(record)
        score = np.asarray(self.task.score(record.returns.mean(-1)))
        row = {
            "segment": len(self.records) - 1,
            "phase": phase,
            "env_steps": int(record.env_steps.max()),
            "grad_steps": int(record.grad_steps.max()),
            "score": score,
            "finite": record.finite,
            **record.metrics,
        }
        for sink in self.sinks:
            sink.write(row)
        return score

    def _save(self, state: Run) -> None:
        if self.saver is not None and self.folder is not None:
            # The records first: a checkpoint must never be ahead of them.
            runs.write_records(self.folder, self.records)
            self.saver.save(len(self.records) - 1, state)

    def _assemble(self, state: Run) -> Result:
        parts, at = [], 0
        for count in (1, *(phase.segments for phase in self.recipe.phases)):
            some = self.records[at : at + count]
            axis = 0 if self.axes is None else 1
            parts.append(jax.tree.map(lambda *xs, axis=axis: jnp.stack(xs, axis), *some))
            at += count
        joined = self._batched(
            lambda run, recipe, parts: assemble(run, recipe, self.task, parts), (self.lanes, self.axes, 0), 0
        )
        return joined(state, self.recipe, parts)

    def close(self) -> None:
        if self.saver is not None:
            self.saver.close()
        for sink in self.sinks:
            sink.close()
        if self.meter:
            self.meter.close()


def recipe_axes(recipe: Recipe, lanes: int) -> Any:
    """Where the lanes of a recipe lie: 0 for its leaves `[lanes]`, None for the shared ones."""
    return jax.tree.map(lambda x: 0 if np.shape(x) == (lanes,) else None, recipe)


def run_axes(recipe: Recipe) -> Run:
    """Where the lanes of a `Run` lie. Lanes share every counter: an index that depends on no lane keeps the
    writes to the store in place."""
    axes: Any = {"iteration": None, "env_steps": None, "grad_steps": None, "segment": None}
    store: Any = Store(data=0, size=None, head=None) if recipe.capacity else None  # type: ignore[arg-type]
    return Run(key=0, agent=0, env=0, obs=0, episodes=0, store=store, **axes)  # type: ignore[arg-type]
