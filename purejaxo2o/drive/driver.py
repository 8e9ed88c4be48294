"""From segment to segment: compiled programs, checkpoints, records, rows, for one run or for a batch of lanes.

All phases are compiled first, ahead of time and in parallel, so that compile time and run time are known apart and
the memory is known before the run; between two segments the host sees the records, writes them, and saves the `Run`.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.disk import checkpoint
from purejaxo2o.disk.files import write_json
from purejaxo2o.disk.results import write_results
from purejaxo2o.drive.lanes import first_lanes, repeat_last_lane
from purejaxo2o.drive.programs import START, Programs
from purejaxo2o.drive.sinks import JsonLines, Sink
from purejaxo2o.drive.trackers import Tracker
from purejaxo2o.drive.watching import NOTHING, Watch
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import Record, Result, assemble, told
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array


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
            write_results(self.folder, result)
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
        for sink in self.sinks:
            if isinstance(sink, Tracker):
                sink.begin(self.about, self.folder, done)
        key, recipe = self.programs.place(key, self.recipe)
        if done:
            assert self.saver is not None
            self.programs.compile_after(done, self.watch)
            state, records = self._restore(self.saver, done), self.saver.records(done)
            lines = self._lines()
            for record, phase in zip(records, self._phase_names(), strict=False):
                self.records.append(record)
                lines.write(self._row(phase))  # whatever has become of the file
            return state, recipe, done
        if earlier:
            self.watch.note(NOTHING)
        if self.folder is not None:
            self._lines()
        state, record = self.programs.start(self.watch)(key, recipe)
        returns = self.programs.judge(state, recipe, START)
        self._note(replace(record, returns=returns), self.recipe.phases[0].name)
        return state, recipe, 0

    def _lines(self) -> JsonLines:
        """The folder's rows, from the first on."""
        assert self.folder is not None
        path = self.folder / "metrics.jsonl"
        if path.is_symlink() or not path.is_file():
            path.unlink(missing_ok=True)  # a pipe waits for ever, and what a link names is not ours to cut
        lines = JsonLines(path)
        self.closing.callback(lines.close)
        self.sinks.append(lines)
        return lines

    def _phase_names(self) -> list[str]:
        """Of every record."""
        phases = self.recipe.phases
        return [phases[0].name, *(phase.name for phase in phases for _ in range(phase.segments))]

    def _restore(self, saver: checkpoint.Checkpoints, segments: int) -> Run:
        """The run after so many segments. Lanes that only fill the devices are not saved: others may be used now."""
        shapes, count = self.programs.saved_shapes(segments), self.programs.lanes.count
        wanted, axes = self._filled, self.programs.run_axes
        if wanted is None or count is None:
            return saver.restore(segments, shapes)
        state = saver.restore(segments, jax.eval_shape(lambda run: first_lanes(run, axes, wanted), shapes))
        return self.programs.lanes.place(repeat_last_lane(state, axes, count), axes)

    @property
    def _filled(self) -> int | None:
        """How many lanes are wanted, where there are more; None if all are."""
        return None if self.keep is None or self.keep == self.programs.lanes.count else self.keep

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
        row = self._row(phase)
        for sink in self.sinks:
            sink.write(row)
        return row["score"]

    def _row(self, phase: str) -> dict[str, Any]:
        """What sinks are told of the newest record."""
        record = self.records[-1]
        assert record.returns is not None
        return {
            "segment": len(self.records) - 1,
            "phase": phase,
            "env_steps": int(record.env_steps.max()),
            "grad_steps": int(record.grad_steps.max()),
            "score": np.asarray(self.programs.task.score(record.returns.mean(-1))),
            "finite": record.finite,
            **record.metrics,
        }

    def _save(self, state: Run) -> None:
        done = len(self.records) - 1
        if self.saver is None or not self.saver.due(done):
            return
        if self._filled is not None:
            state = first_lanes(state, self.programs.run_axes, self._filled)
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
        if (wanted := self._filled) is not None:
            state, recipe = (first_lanes(x, a, wanted) for x, a in zip((state, recipe), axes, strict=True))
        return jax.vmap(join, in_axes=(*axes, 0), axis_size=self._filled or count)(state, recipe, parts)
