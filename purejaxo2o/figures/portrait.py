"""One page that shows a dataset: returns, lengths, order, actions, states, and the best and worst trajectories."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from purejaxo2o.data.measures import Trajectories, by_return, limit_of, trajectories
from purejaxo2o.figures.plots import GREY, PALETTE, save
from purejaxo2o.types import Space

BLUE, RED, GREEN = PALETTE[:3]
DENSITY = LinearSegmentedColormap.from_list("density", ["#FFFFFF", "#9CC6E4", BLUE, "#08304F"])
POINTS = 50_000
"""Rows drawn at most; which ones is drawn once, so that the same rows give the same picture."""
BINS = 40


def draw(reading: Any, facts: dict[str, Any], path: Path) -> Path:
    """Write the page of a `Reading`, described by `facts` (of `purejaxo2o inspect`), to `path`; returns it."""
    figure = Figure(figsize=(13, 8.4), dpi=110)
    panels = figure.subplots(2, 3)
    figure.subplots_adjust(left=0.06, right=0.975, top=0.805, bottom=0.07, hspace=0.36, wspace=0.26)
    rows, reference = reading.data, reading.info.reference
    found = trajectories(rows, limit_of(reading.info))
    _header(figure, facts)
    _returns(panels[0, 0], found, reference)
    _lengths(panels[0, 1], found, facts["time_limit"])
    _order(panels[0, 2], found)
    _actions(panels[1, 0], rows.action, facts)
    _states(panels[1, 1], rows.obs, reading.info.spaces.obs)
    _extremes(panels[1, 2], rows, found)
    return save(figure, path)


def _header(figure: Figure, facts: dict[str, Any]) -> None:
    figure.text(0.02, 0.965, facts["dataset"], fontsize=17, fontweight="bold", va="top")
    ends = f"{facts['terminated']:,} terminated, {facts['truncated']:,} truncated"
    first = [
        facts["environment"] or "environment not declared",
        f"{facts['steps']:,} steps in {facts['episodes']:,} episodes ({ends})",
        f"observations {facts['obs']}, actions {facts['action']}",
        facts["algorithm"],
    ]
    spoiled = sum(facts["not_finite"].values())
    second = [
        None if facts["tq"] is None else f"TQ {facts['tq']:.3f}",
        f"{facts['state_action_pairs']:,} different state-action pairs",
        None if facts["saco"] is None else f"SACo {facts['saco']:.3f} of {facts['saco_reference']}",
        f"{facts['duplicates']:,} duplicate rows",
        f"{spoiled:,} rows are not finite" if spoiled else "all numbers finite",
    ]
    for y, line in ((0.92, first), (0.895, second)):
        figure.text(0.02, y, "   ·   ".join(part for part in line if part), fontsize=10.5, color=GREY, va="top")
    if facts["remarks"]:
        more = f"  (and {len(facts['remarks']) - 1} more)" if len(facts["remarks"]) > 1 else ""
        text = facts["remarks"][0]
        text = text if len(text) < 150 else text[:147] + "..."
        figure.text(0.02, 0.87, f"Attention: {text}{more}", fontsize=10, color=RED, va="top")


def _returns(axes: Axes, found: Trajectories, reference: tuple[float, float] | None) -> None:
    values = found.total[found.whole]
    _begin(axes, "Returns", "return", "episodes", note="of whole episodes, undiscounted")
    if not len(values):
        return
    axes.hist(values, bins=BINS, color=BLUE, alpha=0.85)
    mean = values.mean()
    axes.axvline(mean, color="black", lw=1.3)
    low, high = axes.get_xlim()
    marks = [(mean, f"mean {mean:.4g}", "black")]
    for name, value in zip(("random", "expert"), reference or (), strict=bool(reference)):
        if low <= value <= high:
            axes.axvline(value, color=RED, lw=1.3, ls=(0, (4, 3)))
            marks.append((value, name, RED))
    for i, (x, text, color) in enumerate(marks):
        offset, align = (-4, "right") if x > (low + high) / 2 else (4, "left")
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": align}
        label = axes.annotate(text, (x, 1), (offset, -9 - 13 * i), color=color, fontsize=9.5, **place)
        label.set_bbox({"color": "white", "alpha": 0.8, "pad": 1.0})


def _lengths(axes: Axes, found: Trajectories, limit: int | None) -> None:
    _begin(axes, "Lengths", "steps", "episodes")
    parts = [found.length[found.terminated], found.length[~found.terminated]]
    top = max(int(found.length.max()), limit or 0)
    edges = np.linspace(0, top, BINS + 1) if top > BINS else np.arange(top + 2) - 0.5
    axes.hist(parts, bins=list(edges), stacked=True, color=[RED, BLUE], alpha=0.85)
    for x, name, part, color in ((0, "terminated", parts[0], RED), (130, "truncated", parts[1], BLUE)):
        _above(axes, f"{len(part):,} {name}", color, x)
    if limit:
        axes.axvline(limit, color=GREY, lw=1.2, ls=(0, (4, 3)))


def _order(axes: Axes, found: Trajectories) -> None:
    _begin(axes, "Order of recording", "episode", "return")
    index = np.flatnonzero(~found.cut)
    total = found.total[index]
    if not len(total):
        return
    axes.plot(index, total, "o", ms=3, color=BLUE, alpha=float(np.clip(150 / len(index), 0.08, 0.6)), mew=0)
    width = max(1, len(index) // 20)
    if width > 1 and np.isfinite(total).all():
        smooth = np.convolve(total, np.ones(width) / width, mode="valid")
        middle = np.convolve(index, np.ones(width) / width, mode="valid")
        axes.plot(middle, smooth, color="black", lw=1.6)
        _above(axes, f"the line is the mean of {width} episodes", GREY)


def _actions(axes: Axes, action: np.ndarray, facts: dict[str, Any]) -> None:
    if facts["action_shares"] is not None:
        _begin(axes, "Actions", "action", "share of steps")
        axes.bar(range(len(facts["action_shares"])), facts["action_shares"], color=BLUE, alpha=0.85)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    _begin(axes, "Actions", "value", "dimension", note="density within a dimension; share at a bound on the right")
    size = action.shape[1]
    counts = np.stack([np.histogram(action[:, i], bins=BINS + 1, range=(-1, 1))[0] for i in range(size)])
    density = counts / np.maximum(counts.max(axis=1, keepdims=True), 1)
    axes.imshow(density, aspect="auto", cmap=DENSITY, extent=(-1, 1, size - 0.5, -0.5), interpolation="nearest")
    axes.set_yticks(range(size) if size <= 16 else range(0, size, 5))
    axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
    axes.grid(False)
    if size <= 16:
        for i, share in enumerate(facts["action_saturation"]):
            axes.annotate(
                f"{share:.1%}", (1, i), (4, 0), textcoords="offset points", va="center", fontsize=8.5, color=GREY
            )


def _states(axes: Axes, obs: np.ndarray, space: Space) -> None:
    flat = obs.reshape(len(obs), -1)
    rng = np.random.default_rng(0)
    flat = flat[np.sort(rng.choice(len(flat), min(POINTS, len(flat)), replace=False))].astype(np.float64)
    flat = flat[np.isfinite(flat).all(axis=1)]
    names = [name for name, size in space.parts for _ in range(size)]
    if names.count("achieved_goal") == 2:
        _begin(axes, "States", "x", "y", note="achieved goals; the darker, the more steps")
        points = flat[:, [i for i, name in enumerate(names) if name == "achieved_goal"]]
    elif flat.shape[1] < 3:
        _begin(axes, "States", "observation 0", "observation 1" if flat.shape[1] == 2 else "")
        points = np.concatenate([flat, np.zeros((len(flat), 2 - flat.shape[1]))], axis=1)
    else:
        _begin(axes, "States", "principal component 1", "principal component 2", note="the darker, the more steps")
        points = _principal(flat)
    if len(points):
        axes.hexbin(*points.T, gridsize=BINS, bins="log", cmap=DENSITY, mincnt=1, linewidths=0.1)
    axes.grid(False)


def _principal(flat: np.ndarray) -> np.ndarray:
    """`[N, 2]` projections on the two directions in which the standardised dimensions vary most."""
    centred = flat - flat.mean(axis=0)
    scale = centred.std(axis=0)
    centred = centred / np.where(scale > 0, scale, 1.0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    vectors = vectors[:, :-3:-1]
    return centred @ (vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), [0, 1]]))


def _extremes(axes: Axes, rows: Any, found: Trajectories) -> None:
    _begin(axes, "Best, median and worst", "step", "reward so far", note="cross: terminated, dot: cut off")
    order = by_return(found)
    if not len(order):
        return
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    for (name, i), color in zip(chosen.items(), (GREEN, BLUE, RED), strict=True):
        start, stop = found.start[i], found.start[i] + found.length[i]
        total = np.concatenate([[0.0], np.cumsum(rows.reward[start:stop], dtype=np.float64)])
        axes.plot(total, color=color, lw=1.6, label=f"{name} (episode {i}): {found.total[i]:.4g}")
        axes.plot(len(total) - 1, total[-1], "X" if found.terminated[i] else "o", color=color, ms=6, mec="white")
    axes.legend(frameon=False, fontsize=9, handlelength=1.4)


def _begin(axes: Axes, title: str, xlabel: str, ylabel: str, note: str = "") -> None:
    axes.set_title(title, loc="left", fontweight="bold", pad=19)
    _above(axes, note, GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#D5D9DF", lw=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def _above(axes: Axes, text: str, color: str, x: float = 0) -> None:
    """A line between title and axes, `x` points from the left."""
    axes.annotate(text, (0, 1), (x, 6), xycoords="axes fraction", textcoords="offset points", color=color, fontsize=9)
