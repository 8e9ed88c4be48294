"""A study under way, for a person who watches it: one table that keeps up, or a line per segment."""

import sys
import time
from collections.abc import Sequence
from typing import Any, Self, TextIO

import rich.box
import rich.console
import rich.live
import rich.table
import rich.text

from purejaxo2o.drive.progress import Meter, Progress, Tally, clock, finite_mean, on_terminal, speed
from purejaxo2o.figures import layout
from purejaxo2o.study.members import Member

STYLES = {"waiting": "dim", "done": "green", "failed": "bold red"}
COLUMNS = ("task", "recipe", "state", "segments", "score", "not finite", "steps/s", "elapsed", "left")
TEXTS = ("task", "recipe", "state")
"""Columns that may go over several lines."""
DISPENSABLE = ("elapsed", "left", "steps/s", "not finite")
"""What goes first where the terminal is narrow."""
AROUND = 8
"""Lines of a terminal that the rows leave free, for the heading, what is above and the line below."""


class Watch:
    """Told what becomes of each member, by its index; this one shows nothing."""

    def begin(self, index: int) -> None:
        """The member's turn: its data are loaded, its sweep starts."""

    def meter(self, index: int) -> bool | Meter:
        """What the member's sweep reports to."""
        return False

    def finished(self, index: int, score: Any) -> None:
        """The member is done; its last `score`, of every lane."""

    def failed(self, index: int, line: str) -> None:
        """The member did not finish; `line` says why."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


def watch(members: Sequence[Member], file: TextIO | None = None) -> Watch:
    """The live table on a terminal, else lines; on standard error unless `file` is given."""
    target = file if file is not None else sys.stderr
    if on_terminal(target):
        return LiveTable(members, rich.console.Console(file=target, force_terminal=True))
    return Lines(members, target)


class Lines(Watch):
    """A line per segment, as of a single run, and one for each failure."""

    def __init__(self, members: Sequence[Member], file: TextIO) -> None:
        self._members, self._file, self._progress = members, file, Progress(file)

    def meter(self, index: int) -> Meter:
        return self._progress

    def failed(self, index: int, line: str) -> None:
        print(f"{self._members[index].label} failed: {line}", file=self._file, flush=True)


class Row(Meter):
    """A member's line of the table."""

    def __init__(self, member: Member) -> None:
        self.member, self.state, self.line = member, "waiting", ""
        self._tally = Tally(0)
        self._score, self._speed = "", ""
        self._bad = 0
        self._began: float | None = None
        self._elapsed = 0.0

    def begin(self) -> None:
        self.state, self._began = "loading data" if self.member.uses_data else "starting", time.monotonic()

    def end(self, state: str, line: str = "", score: Any = None) -> None:
        self._elapsed, self._began = self.elapsed, None
        self.state, self.line = state, line
        if state == "done":  # resuming a finished run reports no segment
            self._tally.done = self._tally.total
            self._score, self._bad = finite_mean(score)

    @property
    def elapsed(self) -> float:
        """Wall seconds of this member so far, compiling included."""
        return self._elapsed if self._began is None else time.monotonic() - self._began

    def start(self, total_segments: int, label: str) -> None:
        self._tally.total = total_segments

    def expect(self, total_segments: int) -> None:
        self._tally.total = total_segments

    def note(self, text: str) -> None:
        """Memory and width: no room in a table."""

    def compiling(self, phase: str) -> None:
        self.state = f"compiling {phase}"

    def compiled(self, phase: str, seconds: float) -> None:
        self.state = f"running {phase}"

    def segment(self, *, phase: str, done: int, steps: int, seconds: float, score: Any) -> None:
        self.state = f"running {phase}"
        self._tally.segment(phase, done, seconds)
        self._score, self._bad = finite_mean(score)
        self._speed = speed(steps, seconds)

    def close(self) -> None:
        """The member may go on with another program: its end is `end`."""

    def cells(self) -> list[str]:
        segments = f"{self._tally.done}/{self._tally.total}" if self._tally.total else ""
        elapsed = clock(self.elapsed) if self.state != "waiting" else ""
        left = clock(self._tally.left) if self._began is not None and self._tally.left else ""
        bad = str(self._bad) if self._score else ""
        member = self.member
        return [
            member.task.name,
            member.recipe.name,
            self.state,
            segments,
            self._score,
            bad,
            self._speed,
            elapsed,
            left,
        ]


class LiveTable(Watch):
    """One table with a row per member, redrawn in place twice a second and left on the screen at the end.

    Where the terminal has too few lines, the rows around the running member are shown."""

    def __init__(self, members: Sequence[Member], console: rich.console.Console) -> None:
        self._rows = [Row(member) for member in members]
        self._at, self._whole = 0, False
        self._console = console
        # Standard output may be a file for results: leave it alone.
        self._live = rich.live.Live(
            get_renderable=self._render, console=console, refresh_per_second=2, redirect_stdout=False
        )

    def begin(self, index: int) -> None:
        self._at = index
        self._rows[index].begin()

    def meter(self, index: int) -> Meter:
        return self._rows[index]

    def finished(self, index: int, score: Any) -> None:
        self._rows[index].end("done", score=score)

    def failed(self, index: int, line: str) -> None:
        self._rows[index].end("failed", line)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._whole = True
        self._live.stop()

    def _render(self) -> rich.console.RenderableType:
        shown = self._shown()
        rows = self._rows[shown.start : shown.stop]
        notes = [f"{row.member.label} failed: {row.line}" for row in self._rows if row.state == "failed"]
        if len(shown) < len(self._rows):
            notes.append(f"rows {shown.start + 1} to {shown.stop} of {len(self._rows)}")
        return rich.console.Group(self._table(rows), *map(rich.text.Text, notes))

    def _table(self, rows: Sequence[Row]) -> rich.console.RenderableType:
        """With as many columns as the terminal has room for; a line for each row where it has too little for any."""
        cells: list[dict[str, str]] = [dict(zip(COLUMNS, row.cells(), strict=True)) for row in rows]
        for dropped in range(len(DISPENSABLE) + 1):
            names = [name for name in COLUMNS if name not in DISPENSABLE[:dropped]]
            lines = [[cell[name] for name in names] for cell in cells]
            widths = layout.fitted(names, lines, self._console.width, solid=[name not in TEXTS for name in names])
            if widths is not None:
                return _grid(names, lines, widths, [row.state for row in rows])
        texts = (
            f"{row.member.label}: {row.state} {cell['segments']} {cell['score']}"
            for row, cell in zip(rows, cells, strict=True)
        )
        return rich.console.Group(*(rich.text.Text(" ".join(text.split())) for text in texts))

    def _shown(self) -> range:
        count, room = len(self._rows), max(self._console.height - AROUND, 1)
        if self._whole or count <= room:
            return range(count)
        start = min(max(self._at - room // 2, 0), count - room)
        return range(start, start + room)


def _grid(
    names: Sequence[str], lines: Sequence[Sequence[str]], widths: Sequence[int], states: Sequence[str]
) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, justify="left" if name in TEXTS else "right", width=width)
    for line, state in zip(lines, states, strict=True):
        table.add_row(*map(rich.text.Text, line), style=STYLES.get(state, "bold"))
    return table
