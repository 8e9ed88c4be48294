"""How far a run has come, for a person who watches it."""

import os
import sys
from typing import Any, TextIO

import numpy as np
import rich.console
import rich.progress


class Progress:
    """A bar on a terminal, a line per segment anywhere else (files, continuous integration, make).

    Run time and compile time are never mixed: steps per second and the time left count run time only. `file`
    is standard error by default, so that standard output stays free for results."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file if file is not None else sys.stderr
        self._live = self._file.isatty() and os.environ.get("TERM") != "dumb"
        self._bar: rich.progress.Progress | None = None
        self._task = rich.progress.TaskID(0)
        self._reset(0, "")

    def start(self, total_segments: int, label: str) -> None:
        """Begin a run of `total_segments`; `label` is usually the recipe's name."""
        self.close()
        self._reset(total_segments, label)
        if self._live:
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}", markup=False),
                rich.progress.BarColumn(bar_width=24),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TextColumn("{task.fields[text]}", markup=False),
                console=rich.console.Console(file=self._file, force_terminal=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(label, total=total_segments, text="starting")

    def _reset(self, total: int, label: str) -> None:
        self._label, self._total, self._done = label, total, 0
        self._compile_seconds = self._run_seconds = 0.0
        self._phase, self._phase_seconds = "", []

    def note(self, text: str) -> None:
        """Something worth knowing before the first segment."""
        self._say(text)

    def compiling(self, phase: str) -> None:
        """XLA starts on a phase's program."""
        self._say(f"{phase}: compiling")

    def compiled(self, phase: str, seconds: float) -> None:
        """... and has finished."""
        self._compile_seconds += seconds
        self._say(f"{phase}: compiled in {seconds:.1f} s")

    def segment(self, *, phase: str, done: int, steps: int, seconds: float, score: Any) -> None:
        """A segment ran: `done` of all segments so far, its `steps` (all lanes together), its `seconds` without
        compiling, the latest `score`: a number, or an array over lanes of which finite ones are averaged."""
        if phase != self._phase:
            self._phase, self._phase_seconds = phase, []
        self._phase_seconds.append(seconds)
        self._run_seconds += seconds
        self._done = done
        # Phases differ in speed by far more than segments of one phase do.
        left = (self._total - done) * float(np.mean(self._phase_seconds))
        speed = f"{steps / seconds:,.0f} steps/s" if seconds > 0 else "- steps/s"
        self._say(f"{phase}: {speed}, score {_lanes(score)}, {_clock(left)} left")

    def close(self) -> None:
        """End the run with a line on where the time went; does nothing when none is under way."""
        if not self._label:
            return
        ran = f"{self._done} of {self._total} segments, ran {_clock(self._run_seconds)}"
        self._say(f"{ran}, compiled {_clock(self._compile_seconds)}", lasting=True)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._label = ""

    def _say(self, text: str, *, lasting: bool = False) -> None:
        if self._bar is None:
            count = "" if lasting else f" [{self._done}/{self._total}]"
            print(f"{self._label}{count} {text}", file=self._file, flush=True)
        else:
            self._bar.update(self._task, completed=self._done, text=text, refresh=True)


def _lanes(score: Any) -> str:
    """`45.3`, `45.3 (8 lanes)`, `45.3 (7 of 8 lanes, 1 not finite)`."""
    scores = np.asarray(score, float)
    good = scores[np.isfinite(scores)]
    mean = f"{good.mean():.1f}" if good.size else "-"
    if good.size < scores.size:
        return f"{mean} ({good.size} of {scores.size} lanes, {scores.size - good.size} not finite)"
    return f"{mean} ({scores.size} lanes)" if scores.ndim else mean


def _clock(seconds: float) -> str:
    """`4.2 s`, `1:05`, `2:03:00`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
