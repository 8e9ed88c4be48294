"""The host driver: the same `segment` as in `train`, called from Python, with progress, sinks and checkpoints.

One run (`fit`) or a batch of lanes (`sweep.py`) goes through `drive`. All phases are compiled first, ahead of time
and in parallel, so that compile time and run time are known apart and the memory is known before the run; between
two segments the host sees the records, writes them, and saves the `Run`. The results equal those of `train` up to
XLA's rounding (another program).
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o import archive, checkpoint, demand, memory, runs
from purejaxo2o.data.checks import check_store
from purejaxo2o.envs.base import spaces
from purejaxo2o.files import full_disk, write_json
from purejaxo2o.lanes import first_lanes
from purejaxo2o.phases import Phase, Recipe
from purejaxo2o.prepare import check
from purejaxo2o.programs import START, Programs
from purejaxo2o.progress import Meter, Progress
from purejaxo2o.result import Record, Result, assemble, told
from purejaxo2o.sinks import JsonLines, Sink
from purejaxo2o.store import Store
from purejaxo2o.tasks import Named, Task, as_task
from purejaxo2o.trackers import Tracker
from purejaxo2o.train import Run
from purejaxo2o.types import Array

PathLike = str | os.PathLike[str]
Each = Callable[[int, Run], None]
NOTHING = "nothing to resume from; starting at the beginning"


def fit(
    key: Array,
    recipe: Recipe,
    task: Task | Named,
    dataset: Store | None = None,
    *,
    out: PathLike | None = None,
    resume: bool = False,
    save_every: int | None = None,
    memory_limit: float | None = None,
    sinks: Sequence[Sink] = (),
    progress: bool | Meter = True,
    each: Each | None = None,
) -> Result:
    """One run, watched: a progress line per segment, rows to `sinks`, checkpoints in `out`.

    task: also by name, as in `o2o.task`.
    resume: continue the run in `out` from its last checkpoint (same settings, else `O2OError`); begin it if there
        is none.
    save_every: segments from one checkpoint to the next; None: as often as it costs less than 5% of the wall time.
        The last segment is always saved.
    memory_limit: bytes that the run may take; None: what the device has.
    each: called after every segment with its number (from 1) and the run, before that is saved; the arrays are reused
        afterwards, so copy what you keep.
    Raises `O2OError` for bad input before anything is compiled or written, for a run that needs more memory than
    there is before anything is computed, and for a disk that is full.
    """
    task = as_task(task)
    check_all(recipe, task, dataset)
    checkpoint.check_every(save_every)
    programs = Programs(key, recipe, task, dataset)
    folder = None if out is None else Path(out)
    with watched(recipe, task, sinks, progress, save_every) as watch, full_disk(folder):
        earlier, identity = False, {}
        if folder is not None or sinks:
            identity = runs.describe(key, recipe, task) | {"data": runs.fingerprint(dataset)}
        if folder is not None:
            earlier = runs.check_free(folder, identity, resume=resume)
            if resume and not earlier:
                watch.note(NOTHING)
        if not earlier:  # else it has fitted then
            limit = memory.limit((), memory_limit)
            demand.refuse(programs, limit, saving=folder is not None)
            programs.compile_after(0, watch)
            need = memory.estimate(programs, saving=folder is not None)
            watch.note(str(need))
            memory.refuse_if_too_large(need, limit, recipe)
        if folder is not None:  # a run that cannot be leaves nothing behind
            runs.claim(folder, identity, resume=resume)
        watch = replace(watch, each=each)
        return drive(programs, key, recipe, dataset, folder=folder, earlier=earlier, watch=watch, about=identity)


def check_all(recipe: Recipe, task: Task, dataset: Store | None) -> None:
    """Raise `O2OError` for whatever cannot run, rows included."""
    check(recipe, task, dataset)
    if dataset is not None:
        check_store(dataset, spaces(task.env))


@dataclass
class Timing:
    """Wall seconds of a driven run."""

    compile: float = 0.0
    run: float = 0.0
    save: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Watch:
    """Who is told how runs go on, and how often they are saved."""

    sinks: tuple[Sink, ...] = ()
    meter: Meter | None = None
    save_every: int | None = None
    timing: Timing = field(default_factory=Timing)
    before: int = 0  # segments of earlier parts
    each: Each | None = None

    def note(self, text: str) -> None:
        if self.meter:
            self.meter.note(text)


@contextlib.contextmanager
def watched(
    recipe: Recipe,
    task: Task,
    sinks: Sequence[Sink],
    progress: bool | Meter,
    save_every: int | None,
    *,
    timing: Timing | None = None,
    programs: int = 1,
) -> Iterator[Watch]:
    """Sinks and meter, started for runs of so many programs and closed at the end, each whatever the others do."""
    meter = (Progress() if progress else None) if isinstance(progress, bool) else progress
    with contextlib.ExitStack() as closing:
        if meter:
            meter.start(programs * sum(phase.segments for phase in recipe.phases), f"{recipe.name} · {task.name}")
            closing.callback(meter.close)
        for sink in sinks:
            closing.callback(sink.close)
        yield Watch(tuple(sinks), meter, save_every, timing or Timing())


def drive(
    programs: Programs,
    key: Array,
    recipe: Recipe,
    dataset: Store | None,
    *,
    folder: Path | None,
    earlier: bool,
    watch: Watch,
    about: Mapping[str, Any],
    keep: int | None = None,
) -> Result:
    """Run every phase segment by segment with compiled programs.

    key, recipe: `[lanes]`, or one key for a single run. folder: claimed; earlier: whether a run in it is continued.
    about: what `config.json` says of the run, for trackers.
    keep: lanes that are wanted, the first ones; the rest only fill the devices."""
    with contextlib.ExitStack() as closing:
        driver = _Driver(programs, recipe, dataset, folder, about, watch, list(watch.sinks), closing, keep)
        return driver.run(key, earlier)


@dataclass
class _Driver:
    programs: Programs
    recipe: Recipe
    dataset: Store | None
    folder: Path | None
    about: Mapping[str, Any]
    watch: Watch
    sinks: list[Sink]
    closing: contextlib.ExitStack
    keep: int | None
    records: list[Record] = field(default_factory=list)
    saver: checkpoint.Checkpoints | None = None

    def run(self, key: Array, earlier: bool) -> Result:
        state, recipe, done = self._begin(key, earlier)
        dataset = self.programs.lanes.place(self.dataset, None)
        before = 0
        for index, phase in enumerate(self.recipe.phases):
            if done < before + phase.segments:
                state = self._phase(state, recipe, dataset, index, phase, skip=max(0, done - before))
            before += phase.segments
        with jax.debug_nans(False):  # metrics are NaN where a phase has none
            result = self._assemble(state, recipe)
        if self.folder is not None:
            assert self.saver is not None
            self.saver.wait()  # results are there only once the last checkpoint is
            self.watch.timing.save += self.saver.seconds
            archive.write_results(self.folder, result)
            if done < before:  # resuming a finished run spends no time worth recording
                write_json(self.folder / "timing.json", vars(self.watch.timing))
        return result

    def _begin(self, key: Array, earlier: bool) -> tuple[Run, Recipe, int]:
        """The run at its start, or at its last checkpoint."""
        done = 0
        if self.folder is not None:
            total = sum(phase.segments for phase in self.recipe.phases)
            self.saver = checkpoint.Checkpoints(self.folder, every=self.watch.save_every, last=total)
            self.closing.callback(self.saver.close)
            done = (self.saver.latest() or 0) if earlier else 0
            lines = JsonLines(self.folder / "metrics.jsonl", keep=done + 1 if done else 0)
            self.closing.callback(lines.close)
            self.sinks.append(lines)
        for sink in self.sinks:
            if isinstance(sink, Tracker):
                sink.begin(self.about, self.folder, done)
        key, recipe = self.programs.place(key, self.recipe)
        if done:
            assert self.saver is not None
            assert self.folder is not None
            self.programs.compile_after(done, self.watch)
            state = self.saver.restore(done, self.programs.saved_shapes(done))
            self.records = archive.read_records(self.folder, done + 1)
            return state, recipe, done
        if earlier:
            self.watch.note(NOTHING)
        state, record = self.programs.start(self.watch)(key, recipe)
        returns = self.programs.judge(state, recipe, START)
        self._note(replace(record, returns=returns), self.recipe.phases[0].name)
        return state, recipe, 0

    def _phase(self, state: Run, recipe: Recipe, dataset: Any, index: int, phase: Phase, skip: int) -> Run:
        enter, segment = self.programs.phase(index, self.watch)
        if not skip:
            state = enter(state, recipe)
        timing = self.watch.timing
        for _ in range(skip, phase.segments):
            began = time.perf_counter()
            state, record = segment(state, recipe, dataset)
            record = jax.block_until_ready(replace(record, returns=self.programs.judge(state, recipe, index)))
            seconds = time.perf_counter() - began
            timing.run += seconds
            timing.phases[phase.name] = timing.phases.get(phase.name, 0.0) + seconds
            score = self._note(record, phase.name)
            if self.watch.meter:
                steps = phase.steps // phase.segments * score.size
                done = self.watch.before + len(self.records) - 1
                self.watch.meter.segment(phase=phase.name, done=done, steps=steps, seconds=seconds, score=score)
            if self.watch.each:
                self.watch.each(len(self.records) - 1, state)
            self._save(state)
        return state

    def _note(self, record: Record, phase: str) -> np.ndarray:
        """Keep a record and write its row; returns the score, one per lane."""
        record = jax.tree.map(lambda x: np.asarray(x)[: self.keep] if self.keep else np.asarray(x), record)
        record = told(record, np)
        lost = int((~record.finite & (self.records[-1].finite if self.records else True)).sum())
        if lost:
            self.watch.note(f"segment {len(self.records)}: {lost} of {record.finite.size} not finite: frozen")
        self.records.append(record)
        assert record.returns is not None
        score = np.asarray(self.programs.task.score(record.returns.mean(-1)))
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
        done = len(self.records) - 1
        if self.saver is not None and self.saver.due(done):
            self.saver.save(done, state, self.records)

    def _assemble(self, state: Run, recipe: Recipe) -> Result:
        parts, at, task, many = [], 0, self.programs.task, self.programs.lanes.count is not None
        for count in (1, *(phase.segments for phase in self.recipe.phases)):
            some = self.records[at : at + count]
            parts.append(jax.tree.map(lambda *xs: jnp.stack(xs, int(many)), *some))
            at += count

        def join(run: Run, recipe: Recipe, parts: list[Record]) -> Result:
            return assemble(run, recipe, task, parts)

        if not many:
            return join(state, recipe, parts)
        axes, count = (self.programs.run_axes, self.programs.recipe_axes), self.programs.lanes.count
        if self.keep is not None and self.keep != count:
            state, recipe = (first_lanes(x, a, self.keep) for x, a in zip((state, recipe), axes, strict=True))
        return jax.vmap(join, in_axes=(*axes, 0), axis_size=self.keep or count)(state, recipe, parts)
