"""Where the rows of a run go on the host: files, experiment trackers, the terminal.

A row is a dictionary of what is known after a segment: numbers, strings, arrays over lanes, nested dictionaries.
"""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

import jax
import numpy as np
import rich.box
import rich.console
import rich.progress
import rich.table

from purejaxo2o.stats import Interval
from purejaxo2o.types import O2OError

Row = Mapping[str, Any]


@runtime_checkable
class Sink(Protocol):
    """Takes one row per segment, in order."""

    def write(self, row: Row) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line, flushed at every row; NaN and infinities become null, arrays lists.

    keep: rows of an existing file to keep (the segments before the checkpoint that a run resumes from); the rest
    of it, a line cut short by a crash included, is dropped."""

    def __init__(self, path: str | os.PathLike[str], *, keep: int = 0) -> None:
        self._file = _open(path, keep)

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(plain(row), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Csv:
    """Comma-separated values, nested names joined with `/`, one column per lane of an array.

    A row with new columns rewrites the file with a wider header. `keep` as in `JsonLines`."""

    def __init__(self, path: str | os.PathLike[str], *, keep: int = 0) -> None:
        self._path = Path(path)
        self._file = _open(path, keep + 1 if keep else 0)  # the header is a line too
        self._columns = list(self._read().fieldnames or [])

    def write(self, row: Row) -> None:
        cells = {name: " ".join(str(value).splitlines()) for name, value in flat(row).items()}
        missing = [name for name in cells if name not in self._columns]
        if missing:
            self._widen(missing)
        csv.DictWriter(self._file, self._columns, lineterminator="\n").writerow(cells)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _read(self) -> csv.DictReader:
        return csv.DictReader(io.StringIO(self._path.read_text(encoding="utf-8")))

    def _widen(self, columns: list[str]) -> None:
        rows = list(self._read())
        self._columns += columns
        self._file.close()
        wider = self._path.with_name(f".{self._path.name}.wider")
        with wider.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(wider, self._path)
        self._file = self._path.open("a", newline="", encoding="utf-8")


class TensorBoard:
    """Event files for TensorBoard, by tensorboardX: numbers, and arrays as their mean over lanes.

    The step is `row[step]`, or the number of the row. Raises `O2OError` where tensorboardX is missing."""

    def __init__(self, folder: str | os.PathLike[str], *, step: str = "segment") -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise O2OError("TensorBoard needs tensorboardX, not installed; pip install tensorboardX") from error
        self._writer, self._step, self._rows = SummaryWriter(str(folder)), step, 0

    def write(self, row: Row) -> None:
        at = int(row.get(self._step, self._rows))
        for name, value in flat(row, lanes=False).items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, at)
        self._writer.flush()
        self._rows += 1

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases: numbers and strings, and arrays as their mean over lanes; `step` as in `TensorBoard`.

    settings go to `wandb.init`: name, config, group, `mode="offline"` where there is no network.
    Raises `O2OError` where wandb is missing."""

    def __init__(self, project: str, *, step: str = "segment", **settings: Any) -> None:
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise O2OError("WandB needs the package wandb, not installed; pip install wandb") from error
        self._run, self._step, self._rows = wandb.init(project=project, **settings), step, 0

    def write(self, row: Row) -> None:
        self._run.log(flat(row, lanes=False), step=int(row.get(self._step, self._rows)))
        self._rows += 1

    def close(self) -> None:
        self._run.finish()


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


def table(
    rows: Sequence[Row],
    columns: Sequence[str] | Mapping[str, str] | None = None,
    title: str = "",
    *,
    width: int | None = None,
) -> str:
    """Rows as a plain-text table for terminals and logs.

    columns: names in order, or `{name: heading}`; by default those of the first row. A number with `<name>_low`
    and `<name>_high` beside it is shown with its interval. width: characters at most, default as many as
    needed. Raises `O2OError` for a column that no row has."""
    headings, cells = _cells(rows, columns)
    grid = rich.table.Table(title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for heading, column in zip(headings, zip(*cells, strict=True), strict=True):
        numeric = all(not text or text[0] in "0123456789-∞" for text in column)
        grid.add_column(heading, justify="right" if numeric else "left")
    for line in cells:
        grid.add_row(*line)
    # Names and intervals hold brackets, which are not markup here.
    console = rich.console.Console(
        file=io.StringIO(),
        width=width or 10_000,
        markup=False,
        highlight=False,
        emoji=False,
        color_system=None,
    )
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())


def markdown_table(rows: Sequence[Row], columns: Sequence[str] | Mapping[str, str] | None = None) -> str:
    """Rows as a Markdown table; `columns` as in `table`."""
    headings, cells = _cells(rows, columns)
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines)


def plain(value: Any) -> Any:
    """`value` in JSON's types: arrays become lists, NaN and infinities None. Raises `O2OError` for others."""
    if isinstance(value, Mapping):
        return {str(name): plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise O2OError(f"a row holds a {type(value).__name__}; pass numbers, strings, arrays or dictionaries of them")


def flat(row: Row, *, lanes: bool = True) -> dict[str, Any]:
    """Scalars and strings by name, nested names joined with `/`; arrays `a` become `a/0`, `a/1`, ..., or
    their mean (`lanes=False`; NaN where any lane is)."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}/{k}": v for k, v in flat(value, lanes=lanes).items()}
        elif value is None or isinstance(value, str):
            cells[name] = "" if value is None else value
        else:
            array = np.asarray(value)
            if array.ndim == 0:
                cells[name] = array.item()
            elif lanes:
                cells |= {f"{name}/{'/'.join(map(str, i))}": array[i].item() for i in np.ndindex(array.shape)}
            else:
                cells[name] = float(array.mean())
    return cells


def _open(path: str | os.PathLike[str], lines: int) -> TextIO:
    """The file, cut after its first `lines` whole lines, ready to be written on."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    kept = path.read_bytes().splitlines(keepends=True)[:lines]
    os.truncate(path, sum(len(line) for line in kept if line.endswith(b"\n")))
    return path.open("a", newline="", encoding="utf-8")


def _cells(
    rows: Sequence[Row], columns: Iterable[str] | Mapping[str, str] | None
) -> tuple[list[str], list[list[str]]]:
    """Headings, and the text of every cell."""
    if not rows:
        raise O2OError("the table has no rows; pass at least one")
    if columns is None:  # limits are shown beside their figure
        columns = [c for c in rows[0] if c.removesuffix("_low").removesuffix("_high") not in rows[0].keys() - {c}]
    named = columns if isinstance(columns, Mapping) else {c: c.replace("_", " ") for c in columns}
    for name in named:
        if not any(name in row for row in rows):
            raise O2OError(f"no row has a column {name!r}; they have {', '.join(rows[0])}")
    return list(named.values()), [[_cell(row, name) for name in named] for row in rows]


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        value = np.asarray(value).item()
    if value is None:
        return "-"
    if isinstance(value, float):
        return str(Interval(value, row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan)))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


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
