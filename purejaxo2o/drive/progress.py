"""How far a run has come, for a person who watches it."""

import os
import sys
from typing import Any, Protocol, TextIO, runtime_checkable

import numpy as np
import rich.console
import rich.progress
import rich.table

BAR, TEXT = 24, 80
"""Characters of the bar, and of what stands beside it and the label; the bar goes where there is less room."""


@runtime_checkable
class Meter(Protocol):
    """What a driver tells whoever watches."""

    def start(self, total_segments: int, label: str) -> None:
        """Begin a run of `total_segments`; `label` names recipe and task."""

    def expect(self, total_segments: int) -> None:
        """There are more segments than at the start was known: the sweep is cut into parts."""

    def note(self, text: str) -> None:
        """Something worth knowing before the first segment: the memory needed, how the lanes run."""

    def compiling(self, phase: str) -> None:
        """XLA starts on a phase's program."""

    def compiled(self, phase: str, seconds: float) -> None:
        """... and has finished."""

    def segment(self, *, phase: str, done: int, steps: int, seconds: float, score: Any) -> None:
        """A segment ran: `done` of all segments so far, its `steps` (all lanes together), its `seconds` without
        compiling, the latest `score`: a number, or an array over lanes of which finite ones are averaged."""

    def close(self) -> None:
        """End the run; does nothing when none is under way."""


class Tally:
    """Segments and seconds of a run under way. Run time and compile time are never mixed."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.compile_seconds = self.run_seconds = 0.0
        self._phase, self._phase_seconds = "", []

    def segment(self, phase: str, done: int, seconds: float) -> None:
        """`done` segments of all have run, the last in `seconds`."""
        if phase != self._phase:
            self._phase, self._phase_seconds = phase, []
        self._phase_seconds.append(seconds)
        self.run_seconds += seconds
        self.done = done

    @property
    def left(self) -> float:
        """Run seconds still to go (0 before the first segment), at the speed of the present phase: phases differ
        in speed by far more than segments of one phase do."""
        return (self.total - self.done) * float(np.mean(self._phase_seconds)) if self._phase_seconds else 0.0


class Progress(Meter):
    """A bar on a terminal, a line per segment anywhere else (files, continuous integration, make).

    Steps per second and the time left count run time only. `file` is standard error by default, so that standard
    output stays free for results."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file if file is not None else sys.stderr
        self._live = on_terminal(self._file)
        self._bar: rich.progress.Progress | None = None
        self._task = rich.progress.TaskID(0)
        self._label, self._tally = "", Tally(0)

    def start(self, total_segments: int, label: str) -> None:
        self.close()
        self._label, self._tally = label, Tally(total_segments)
        if self._live:
            console = rich.console.Console(file=self._file, force_terminal=True)
            # A column that is cut would lose the ends of numbers; these two go over several lines instead.
            wraps = rich.table.Column(overflow="fold")
            columns: list[rich.progress.ProgressColumn] = [
                rich.progress.TextColumn("{task.description}", markup=False, table_column=wraps),
                rich.progress.BarColumn(bar_width=BAR),
                rich.progress.MofNCompleteColumn(table_column=rich.table.Column(no_wrap=True)),
                rich.progress.TextColumn("{task.fields[text]}", markup=False, table_column=wraps.copy()),
            ]
            if console.width < len(label) + BAR + TEXT:
                del columns[1]
            self._bar = rich.progress.Progress(*columns, console=console)
            self._bar.start()
            self._task = self._bar.add_task(label, total=total_segments, text="starting")

    def expect(self, total_segments: int) -> None:
        self._tally.total = total_segments
        if self._bar is not None:
            self._bar.update(self._task, total=total_segments)

    def note(self, text: str) -> None:
        """A line of its own."""
        self._say(text)

    def compiling(self, phase: str) -> None:
        self._say(f"{phase}: compiling")

    def compiled(self, phase: str, seconds: float) -> None:
        self._tally.compile_seconds += seconds
        self._say(f"{phase}: compiled in {seconds:.1f} s")

    def segment(self, *, phase: str, done: int, steps: int, seconds: float, score: Any) -> None:
        self._tally.segment(phase, done, seconds)
        self._say(f"{phase}: {speed(steps, seconds)} steps/s, score {_lanes(score)}, {clock(self._tally.left)} left")

    def close(self) -> None:
        """End the run with a line on where the time went; does nothing when none is under way."""
        if not self._label:
            return
        tally = self._tally
        ran = f"{tally.done} of {tally.total} segments, ran {clock(tally.run_seconds)}"
        self._say(f"{ran}, compiled {clock(tally.compile_seconds)}", lasting=True)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._label = ""

    def _say(self, text: str, *, lasting: bool = False) -> None:
        if self._bar is None:
            count = "" if lasting else f" [{self._tally.done}/{self._tally.total}]"
            print(f"{self._label}{count} {text}", file=self._file, flush=True)
        else:
            self._bar.update(self._task, completed=self._tally.done, text=text, refresh=True)


def on_terminal(file: TextIO) -> bool:
    """Whether what is written to `file` can be redrawn in place."""
    return file.isatty() and os.environ.get("TERM") != "dumb"


def finite_mean(score: Any) -> tuple[str, int]:
    """The mean over the finite lanes as text (`45.3`, `-` for none), and how many lanes are not finite."""
    scores = np.asarray(score, float)
    good = scores[np.isfinite(scores)]
    return f"{good.mean():.1f}" if good.size else "-", scores.size - good.size


def _lanes(score: Any) -> str:
    """`45.3`, `45.3 (8 lanes)`, `45.3 (7 of 8 lanes, 1 not finite)`."""
    mean, bad = finite_mean(score)
    lanes = np.size(score)
    if bad:
        return f"{mean} ({lanes - bad} of {lanes} lanes, {bad} not finite)"
    return f"{mean} ({lanes} lanes)" if np.ndim(score) else mean


def speed(steps: int, seconds: float) -> str:
    """Steps per second: `12,345`, `-` where no time passed."""
    return f"{steps / seconds:,.0f}" if seconds > 0 else "-"


def clock(seconds: float) -> str:
    """`4.2 s`, `1:05`, `2:03:00`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
