"""Learning curves and forest plots, as files.

Figures are objects of their own: no pyplot, no global state, no display. A file appears whole or not at all.
"""

import dataclasses
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from purejaxo2o.figures.stats import Interval, bootstrap_interval
from purejaxo2o.types import O2OError

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito (2008), distinct for the colour-blind, without its yellow, which vanishes on white."""
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # after seven methods colours repeat, dashed
TICKS = [1, 2, 2.5, 5, 10]
GREY = "#555555"
SHADE = "#EEF1F5"


@dataclasses.dataclass(frozen=True)
class _Curve:
    """One method, x counted from its switch; `offline` and `online` are slices that share the switch."""

    label: str
    x: np.ndarray  # [S]
    scores: np.ndarray  # [n, S], finite seeds only
    offline: slice
    online: slice
    style: dict[str, Any]


def curve(result: Any) -> dict[str, Any]:
    """A `Result` (one run, or `[seeds, S]`) as an entry of `learning_curves`."""
    scores = np.where(result.finite, result.scores, np.nan)  # a diverged network may still score something
    scores = np.atleast_2d(scores)
    if scores.ndim != 2:
        raise O2OError(f"scores have shape {scores.shape}; pick one setting, a curve is [seeds, evaluations]")
    env_steps, grad_steps = (np.atleast_2d(np.asarray(x))[0] for x in (result.env_steps, result.grad_steps))
    at, before = result.switch, np.arange(scores.shape[1]) <= result.switch
    x = np.where(before, grad_steps, grad_steps[at] + env_steps - env_steps[at])
    return {"x": x, "scores": scores, "switch_x": float(grad_steps[at])}


def learning_curves(
    curves: Mapping[str, Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    ylabel: str = "normalised score",
    baselines: Mapping[str, float] | None = None,
    seed_lines: bool = False,
    confidence: float = 0.95,
) -> Path:
    """Draw mean scores over seeds with bootstrap bands and write them to `path` (png, pdf, svg); returns it.

    curves: `{label: {"x": [S], "scores": [n, S], "switch_x": float or None}}`. Up to `switch_x`, `x` counts
    gradient steps, after it `switch_x +` environment steps: the offline part is drawn in a shaded strip of its
    own scale, left of the line at the switch. None: everything is online. Seeds with a non-finite score are not
    drawn and counted in the label. baselines: horizontal lines by name. seed_lines: a thin line per seed too.
    Raises `O2OError` for no curves, or shapes that do not fit.
    """
    if not curves:
        raise O2OError("learning_curves got no curves; pass {label: {'x': ..., 'scores': ...}}")
    dashes = itertools.chain.from_iterable([d] * len(PALETTE) for d in itertools.cycle(DASHES))
    styles = ({"color": c, "ls": d} for c, d in zip(itertools.cycle(PALETTE), dashes, strict=False))
    ready = [_ready(label, entry, style) for (label, entry), style in zip(curves.items(), styles, strict=False)]
    if all(len(c.x[c.online]) < 2 for c in ready):
        ready = [dataclasses.replace(c, x=c.x - c.x[0]) for c in ready]  # no switch in sight to count down to
    figure = Figure(figsize=(9, 5), dpi=100)
    panels = _panels(figure, ready)
    for axes, side in panels:
        for c in ready:
            _draw(axes, c, side, seed_lines, confidence)
        for value in (baselines or {}).values():
            axes.axhline(value, color=GREY, lw=1.2, ls=(0, (4, 3)), zorder=1)
    panels[0][0].set_ylabel(ylabel)
    _mark_switch(panels)
    fewest, most = (pick(len(c.scores) for c in ready) for pick in (min, max))
    seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
    note = f"mean and {confidence:.0%} bootstrap band over {seeds} seeds" if most > 1 else "one seed"
    _titles(panels[0][0], title, note)
    figure.subplots_adjust(left=0.08, bottom=0.12, top=0.89 if title else 0.94)
    _label_ends(figure, panels[-1][0], ready, baselines or {})
    return save(figure, path)


def intervals(
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    figure: str = "final",
    title: str = "",
    xlabel: str | None = None,
    reference: float | None = None,
) -> Path:
    """Forest plot of one figure per method, from rows of `stats.summary`; returns `path`.

    Reads `method`, `<figure>`, `<figure>_low`, `<figure>_high`, and, where present, `seeds` and `diverged`.
    A row whose figure is not finite keeps its line and says so. reference: a vertical line.
    Raises `O2OError` for no rows or a row without the figure."""
    if not rows:
        raise O2OError("intervals got no rows; pass the rows of stats.summary")
    for row in rows:
        if figure not in row:
            raise O2OError(f"row {row.get('method')!r} has no {figure!r}; it has {', '.join(row)}")
    canvas = Figure(figsize=(9, 1.3 + 0.45 * len(rows)), dpi=100, layout="constrained")
    axes = canvas.add_subplot()
    _plain(axes, grid="x")
    if reference is not None:
        axes.axvline(reference, color=GREY, lw=1.2, ls=(0, (4, 3)), zorder=1)
    for y, row in enumerate(rows):
        _interval_line(axes, y, row, figure, PALETTE[y % len(PALETTE)])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [_counted(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(xlabel or figure.replace("_", " "))
    _titles(axes, title, "")
    return save(canvas, path)


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write `figure` to `path`, in the format of its suffix, all or nothing; makes the folder."""
    path = Path(path)
    supported = figure.canvas.get_supported_filetypes()
    if path.suffix[1:] not in supported:
        raise O2OError(f"cannot write a plot to {path.name!r}; end it in .png, .svg or .pdf")
    return write_whole(path, lambda temporary: figure.savefig(temporary))


def write_whole(path: Path, write: Callable[[Path], Any]) -> Path:
    """Let `write` fill a temporary file beside `path`, then rename it: readers never see half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own keeps the file's permissions ordinary (mkstemp would make it private).
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        os.replace(temporary, path)
    return path


def _ready(label: str, entry: Mapping[str, Any], style: dict[str, Any]) -> _Curve:
    x, scores = np.asarray(entry["x"], float), np.atleast_2d(np.asarray(entry["scores"], float))
    if scores.ndim != 2 or x.shape != scores.shape[1:]:
        raise O2OError(f"curve {label!r}: x is {x.shape}, scores {scores.shape}; they must be [S] and [n, S]")
    switch_x = entry.get("switch_x")
    alive = scores[np.isfinite(scores).all(1)]
    if len(alive) < len(scores):
        label += f"\n({len(scores) - len(alive)} of {len(scores)} diverged)"
    last_offline = -1 if switch_x is None else int(np.searchsorted(x, switch_x, side="right")) - 1
    online = slice(max(last_offline, 0), None)
    return _Curve(label, x - (switch_x or 0.0), alive, slice(0, last_offline + 1), online, style)


def _panels(figure: Figure, curves: Iterable[_Curve]) -> list[tuple[Axes, str]]:
    """Left to right: the strip of gradient steps, the axis of environment steps; each only where needed."""
    wanted = {"offline": "gradient steps", "online": "environment steps"}
    sides = [s for s in wanted if any(len(c.x[getattr(c, s)]) > 1 for c in curves)] or ["online"]
    widths = [1.0, 2.4] if len(sides) == 2 else [1.0]
    grid = figure.add_gridspec(1, len(sides), width_ratios=widths, wspace=0.0)
    first = figure.add_subplot(grid[0])
    panels = [(first, sides[0])] + [(figure.add_subplot(grid[1], sharey=first), s) for s in sides[1:]]
    for axes, side in panels:
        _plain(axes, grid="y")
        axes.set_xlabel(wanted[side])
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=TICKS))
        axes.margins(x=0)
        if side == "offline":
            axes.set_facecolor(SHADE)
    return panels


def _draw(axes: Axes, c: _Curve, side: str, seed_lines: bool, confidence: float) -> None:
    part = getattr(c, side)
    if len(c.x[part]) < 2 or not len(c.scores):
        return
    x, scores = c.x[part], c.scores[:, part]
    mean, low, high = bootstrap_interval(scores, confidence=confidence, samples=1000)
    if len(scores) > 1:
        axes.fill_between(x, low, high, color=c.style["color"], alpha=0.18, lw=0, zorder=2)
    if seed_lines:
        axes.plot(x, scores.T, color=c.style["color"], alpha=0.35, lw=0.7, zorder=2)
    axes.plot(x, mean, lw=2.0, zorder=3, **c.style)


def _mark_switch(panels: Sequence[tuple[Axes, str]]) -> None:
    """Where the strip meets the online axis: a line with its name, no doubled spines or ticks."""
    if len(panels) < 2:
        return
    (strip, _), (axes, _) = panels
    strip.xaxis.set_major_locator(MaxNLocator(3, steps=TICKS, prune="upper"))  # the online axis has the 0
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.spines["left"].set_visible(False)
    axes.axvline(0.0, color="black", lw=1.6, zorder=4, clip_on=False)
    text = axes.annotate(
        "switch", (0, 1), (6, -5), xycoords=axes.get_xaxis_transform(), textcoords="offset points", va="top"
    )
    text.set_bbox({"color": "white", "alpha": 0.85, "pad": 1.0})
    text.set_zorder(5)


def _label_ends(figure: Figure, axes: Axes, curves: Sequence[_Curve], baselines: Mapping[str, float]) -> None:
    """Name every line beside its right end, moved apart vertically as little as legibility needs."""
    bottom, top = axes.get_ylim()
    # A method of which no seed survived has no line; its name stands at the foot.
    ends = [(np.mean(c.scores[:, -1]) if len(c.scores) else bottom, c.label, c.style["color"]) for c in curves]
    ends = sorted(ends + [(value, name, GREY) for name, value in baselines.items()], key=lambda end: end[0])
    line = 17.0 * (top - bottom) / axes.get_window_extent().height  # one line of text, in scores
    heights = np.array([line * (1 + text.count("\n")) for _, text, _ in ends])
    style: dict[str, Any] = {
        "xycoords": axes.get_yaxis_transform(),
        "textcoords": "offset points",
        "va": "center",
    }
    texts = [
        axes.annotate(text, (1, y), (8, 0), color=color, **style)
        for y, (_, text, color) in zip(spread([e[0] for e in ends], heights), ends, strict=True)
    ]
    widest = max(text.get_window_extent().width for text in texts)
    figure.subplots_adjust(right=max(0.4, 1 - (widest + 20) / figure.bbox.width))


def spread(centres: Sequence[Any], heights: np.ndarray) -> np.ndarray:
    """Positions closest to the ascending `centres [n]` (least squares) where boxes of `heights` stay apart."""
    offset = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2)])
    # Without the offsets the positions must ascend: isotonic regression, by pooling neighbours that do not.
    pools: list[list[float]] = []
    for value in np.asarray(centres, float) - offset:
        pools.append([value])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1].extend(last)
    return np.concatenate([np.full(len(p), np.mean(p)) for p in pools]) + offset


def _interval_line(axes: Axes, y: int, row: Mapping[str, Any], figure: str, color: str) -> None:
    point, low, high = (float(row.get(f"{figure}{end}", np.nan)) for end in ("", "_low", "_high"))
    at_right = axes.get_yaxis_transform()
    if np.isfinite([low, high]).all():
        axes.plot([low, high], [y, y], color=color, lw=3, alpha=0.45, solid_capstyle="butt", zorder=2)
    if np.isfinite(point):
        axes.plot(point, y, "o", ms=7, color=color, zorder=3)
    text = str(Interval(point, low, high))
    axes.annotate(text, (1, y), (8, 0), xycoords=at_right, textcoords="offset points", va="center")


def _counted(row: Mapping[str, Any]) -> str:
    """`method (n=8)`, `method (n=7, 1 diverged)`."""
    if "seeds" not in row:
        return str(row["method"])
    diverged = row.get("diverged", 0)
    return f"{row['method']} (n={row['seeds'] - diverged}{f', {diverged} diverged' if diverged else ''})"


def _titles(axes: Axes, title: str, note: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", pad=22 if note else 6)
    axes.annotate(
        note, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", color=GREY, fontsize=9.5
    )


def _plain(axes: Axes, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#D5D9DF", lw=0.7)  # pyright: ignore[reportArgumentType]
    axes.set_axisbelow(True)
