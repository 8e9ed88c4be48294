"""Pictures of mazes: where trajectories went, and a ball on its way as an animated GIF."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from purejaxo2o.figures import plots
from purejaxo2o.types import O2OError

FLOOR_AND_WALL = ListedColormap(["#FFFFFF", "#6B7480"])
GOAL = "#F0E442"  # the one colour of Okabe & Ito that no trajectory has
BALL = "#0072B2"
INCHES = 6.0  # of the longer side


def maze_trajectories(
    env: Any,
    trajectories: ArrayLike,
    target: str | os.PathLike[str] | Axes,
    *,
    goals: ArrayLike | None = None,
    title: str = "",
) -> Axes | Path:
    """Draw positions in a maze, into a file (returns its path) or onto `Axes` (returns them).

    env: anything with `walls [H, W]` bool, unit cells around the origin, row 0 on top. trajectories `[n, T, 2]`
    or `[T, 2]`: (x, y) in metres, NaN where an episode is over; a dot marks each start, colours tell up to seven
    trajectories apart. goals `[2]` or `[m, 2]`: stars. Raises `O2OError` for other shapes."""
    walls, paths, goal_points = _checked(env, trajectories, goals)
    figure, axes = (None, target) if isinstance(target, Axes) else _canvas(walls, title)
    _draw_maze(axes, walls, goal_points)
    for i, path in enumerate(paths):
        # Many trajectories are a density, few are individuals.
        many = len(paths) > len(plots.PALETTE)
        color = BALL if many else plots.PALETTE[i % len(plots.PALETTE)]
        axes.plot(*path.T, color=color, lw=1.4, alpha=max(0.08, min(0.9, 8 / len(paths))), zorder=2)
        axes.plot(*path[0], "o", color=color, ms=6, mec="white", mew=0.6, zorder=3)
    if figure is None:
        axes.set_title(title)
        return axes
    assert not isinstance(target, Axes)
    return plots.save(figure, target)


def maze_animation(
    env: Any,
    trajectories: ArrayLike,
    path: str | os.PathLike[str],
    *,
    goals: ArrayLike | None = None,
    stride: int = 4,
    fps: int = 20,
    tail: int = 40,
    title: str = "",
) -> Path:
    """Write an animated GIF of all trajectories at once; returns `path`.

    Arguments as `maze_trajectories`, except: goals `[2]`, `[m, 2]`, or `[n, T, 2]` to follow goals that move.
    stride: time steps per frame; tail: time steps of trace behind each ball. Each ball stays where its episode
    ended. Raises `O2OError` for other shapes, a name that does not end in .gif, stride, fps or tail below 1."""
    path = Path(path)
    if path.suffix != ".gif":
        raise O2OError(f"cannot write an animation to {path.name!r}; end it in .gif")
    for name, value in (("stride", stride), ("fps", fps), ("tail", tail)):
        if value < 1:
            raise O2OError(f"{name} is {value}; it must be at least 1")
    moving = goals is not None and np.ndim(goals) == 3
    walls, paths, goal_points = _checked(env, trajectories, None if moving else goals)
    traces = _held(np.asarray(goals, float)) if moving else None
    if traces is not None and traces.shape != paths.shape:
        raise O2OError(f"goals are {traces.shape}, trajectories {paths.shape}; goals that move need the same shape")
    figure, axes = _canvas(walls, title, dpi=64)
    _draw_maze(axes, walls, goal_points)
    frames = _frames(axes, _held(paths), traces, stride, tail)
    return plots.write_whole(path, lambda temporary: _write_gif(figure, frames, temporary, fps))


def _frames(axes: Axes, paths: np.ndarray, goals: np.ndarray | None, stride: int, tail: int) -> Iterator[int]:
    """Move the balls; yields the time step shown, the last one included."""
    colors = [
        BALL if len(paths) > len(plots.PALETTE) else c
        for c, _ in zip(plots.PALETTE * len(paths), paths, strict=False)
    ]
    balls = axes.scatter(*paths[:, 0].T, c=colors, s=70, edgecolors="white", zorder=4)
    traces = [axes.plot([], [], color=c, lw=1.5, alpha=0.6, zorder=2)[0] for c in colors]
    stars = None if goals is None else axes.scatter(*goals[:, 0].T, c=colors, s=140, marker="*", zorder=3)
    last = paths.shape[1] - 1
    for t in [*range(0, last, stride), last]:
        balls.set_offsets(paths[:, t])
        if stars is not None and goals is not None:
            stars.set_offsets(goals[:, t])
        for trace, path in zip(traces, paths, strict=True):
            trace.set_data(*path[max(0, t - tail) : t + 1].T)
        yield t


def _write_gif(figure: Figure, frames: Iterator[int], path: Path, fps: int) -> None:
    writer = PillowWriter(fps=fps)
    with writer.saving(figure, str(path), dpi=figure.dpi):
        for _ in frames:
            writer.grab_frame()


def _checked(env: Any, trajectories: ArrayLike, goals: ArrayLike | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`walls [H, W]`, `paths [n, T, 2]`, `goals [m, 2]`."""
    walls, paths = np.asarray(env.walls, bool), np.asarray(trajectories, float)
    paths = paths[None] if paths.ndim == 2 else paths
    points = np.zeros((0, 2)) if goals is None else np.atleast_2d(np.asarray(goals, float))
    if walls.ndim != 2:
        raise O2OError(f"env.walls has shape {walls.shape}; a maze has walls [height, width]")
    if paths.ndim != 3 or paths.shape[2] != 2 or 0 in paths.shape:
        raise O2OError(f"trajectories have shape {np.shape(trajectories)}; pass positions [n, T, 2]")
    if points.ndim != 2 or points.shape[1] != 2:
        raise O2OError(f"goals have shape {points.shape}; pass positions [2] or [m, 2]")
    return walls, paths, points


def _held(paths: np.ndarray) -> np.ndarray:
    """`[n, T, 2]` with every NaN replaced by the last position before it."""
    known = np.isfinite(paths).all(-1)
    latest = np.maximum.accumulate(np.where(known, np.arange(paths.shape[1]), 0), axis=1)
    return np.take_along_axis(paths, latest[..., None], axis=1)


def _canvas(walls: np.ndarray, title: str, dpi: int = 100) -> tuple[Figure, Axes]:
    height, width = walls.shape
    unit = INCHES / max(height, width)
    head = 0.4 if title else 0.0
    figure = Figure(figsize=(width * unit, height * unit + head), dpi=dpi)
    axes = figure.add_axes((0.0, 0.0, 1.0, height * unit / (height * unit + head)))
    axes.set_title(title, fontweight="bold")
    return figure, axes


def _draw_maze(axes: Axes, walls: np.ndarray, goals: np.ndarray) -> None:
    height, width = walls.shape
    extent = (-width / 2, width / 2, -height / 2, height / 2)
    axes.imshow(walls, cmap=FLOOR_AND_WALL, vmin=0, vmax=1, extent=extent, interpolation="nearest", zorder=0)
    axes.plot(*goals.T, "*", color=GOAL, ms=18, mec="black", mew=0.9, zorder=5)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
