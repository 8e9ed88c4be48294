"""Plots and mazes: what is drawn is where the numbers are, files appear whole, bad input is refused."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from purejaxo2o.figures import plots, render
from purejaxo2o.figures.report import report
from purejaxo2o.types import O2OError


@pytest.fixture
def drawn(monkeypatch):
    """The figures written, in order."""
    figures = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure) or save(figure, path))
    return figures


def run(final=80.0, seeds=4):
    """Two offline evaluations after the initial one, the switch at 200 gradient steps, three online ones."""
    scores = np.array([0, 20, 40, 10, 60, final]) + np.arange(seeds)[:, None]
    steps = {"env_steps": [0, 0, 0, 1000, 2000, 3000], "grad_steps": [0, 100, 200, 1200, 2200, 3200]}
    return SimpleNamespace(
        scores=scores,
        finite=np.ones(scores.shape, bool),
        switch=2,
        **{k: np.tile(v, (seeds, 1)) for k, v in steps.items()},
    )


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_learning_curves_have_a_gradient_strip_and_an_online_axis(tmp_path, drawn):
    path = plots.learning_curves(
        {"WSRL": plots.curve(run()), "SAC": {"x": [0, 3000], "scores": [[0, 50]], "switch_x": None}},
        tmp_path / "new" / "curve.png",
        title="umaze",
        baselines={"behaviour": 30.0},
        seed_lines=True,
    )
    assert Image.open(path).size == (900, 500)
    strip, online = drawn[0].axes
    assert (strip.get_xlabel(), online.get_xlabel()) == ("gradient steps", "environment steps")
    means = [line for line in strip.lines if line.get_linewidth() == 2.0]
    np.testing.assert_allclose(means[0].get_xydata(), [[-200, 1.5], [-100, 21.5], [0, 41.5]])
    assert len(means) == 1  # SAC has no offline part
    means = [line for line in online.lines if line.get_linewidth() == 2.0]
    np.testing.assert_allclose(means[0].get_xydata(), [[0, 41.5], [1000, 11.5], [2000, 61.5], [3000, 81.5]])
    np.testing.assert_allclose(means[1].get_xydata(), [[0, 0], [3000, 50]])
    assert "switch" in texts(online)
    assert {"WSRL", "SAC", "behaviour"} <= set(texts(online))
    assert strip.get_position().x1 == pytest.approx(online.get_position().x0)


def test_labels_at_the_ends_stay_apart_and_on_the_canvas(tmp_path, drawn):
    curves = {f"a rather long name {i}": plots.curve(run(80 + 0.1 * i)) for i in range(9)}
    plots.learning_curves(curves, tmp_path / "x.png")
    labels = [t for t in drawn[0].axes[-1].texts if t.get_text().startswith("a rather")]
    boxes = sorted((t.get_window_extent() for t in labels), key=lambda box: box.y0)
    assert len(boxes) == 9
    assert all(low.y1 <= high.y0 + 1 for low, high in itertools.pairwise(boxes))
    assert max(box.x1 for box in boxes) <= 900
    lines = {(line.get_color(), str(line._dash_pattern)) for line in drawn[0].axes[-1].lines[:9]}
    assert len(lines) == 9


def test_diverged_seeds_are_named_and_not_drawn(tmp_path, drawn):
    broken, dead = run(), run()
    broken.scores[1, 3] = np.nan
    dead.finite[:, -1] = False
    plots.learning_curves({"A": plots.curve(broken), "B": plots.curve(dead)}, tmp_path / "x.svg")
    online = drawn[0].axes[-1]
    assert {"A\n(1 of 4 diverged)", "B\n(4 of 4 diverged)"} <= set(texts(online))
    (mean,) = [line for line in online.lines if line.get_linewidth() == 2.0]
    np.testing.assert_allclose(mean.get_ydata()[0], 40 + np.mean([0, 2, 3]))


def test_offline_only_and_online_only_runs_have_one_axis(tmp_path, drawn):
    offline = {"x": [0, 100, 200], "scores": [0, 1, 2], "switch_x": 200}
    online = {"x": [0, 100, 200], "scores": [0, 1, 2], "switch_x": 0}
    for name, entry in (("gradient steps", offline), ("environment steps", online)):
        plots.learning_curves({"A": entry}, tmp_path / "x.png")
        (axes,) = drawn[-1].axes
        assert axes.get_xlabel() == name
        np.testing.assert_allclose(axes.lines[0].get_xdata(), [0, 100, 200])
        assert "switch" not in texts(axes)


def test_intervals_draw_a_line_per_method(tmp_path, drawn):
    rows = [
        {"method": "A", "final": 50.0, "final_low": 40.0, "final_high": 70.0, "seeds": 8, "diverged": 1},
        {"method": "B", "final": np.inf, "final_low": 10.0, "final_high": np.inf, "seeds": 8, "diverged": 0},
    ]
    assert plots.intervals(rows, tmp_path / "forest.pdf", title="t", reference=45.0).exists()
    (axes,) = drawn[0].axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["A (n=7, 1 diverged)", "B (n=8)"]
    _, bar, point = axes.lines  # the reference first; B has neither
    np.testing.assert_allclose(bar.get_xydata(), [[40, 0], [70, 0]])
    np.testing.assert_allclose(point.get_xydata(), [[50, 0]])
    assert texts(axes) == ["50.0 [40.0, 70.0]", "∞ [10.0, ∞]", ""]


def test_spread_moves_labels_as_little_as_possible():
    np.testing.assert_allclose(plots.spread([0, 10, 20], np.ones(3)), [0, 10, 20])
    np.testing.assert_allclose(plots.spread([5, 5, 5], np.ones(3)), [4, 5, 6])
    np.testing.assert_allclose(plots.spread([0, 5, 5.5], np.array([1, 1, 3.0])), [0, 4.25, 6.25])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.png"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        plots.write_whole(path, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plots.learning_curves({}, path),
        lambda path: plots.learning_curves({"A": {"x": [0, 1], "scores": [[1, 2, 3]]}}, path),
        lambda path: plots.learning_curves({"A": plots.curve(run())}, path.with_suffix(".doc")),
        lambda path: plots.curve(SimpleNamespace(scores=np.zeros((2, 3, 4)), finite=True)),
        lambda path: plots.intervals([], path),
        lambda path: plots.intervals([{"method": "A", "best": 1.0}], path),
        lambda path: render.maze_trajectories(MAZE, np.zeros((5, 3)), path),
        lambda path: render.maze_trajectories(MAZE, np.zeros((5, 2)), path, goals=[1.0, 2.0, 3.0]),
        lambda path: render.maze_trajectories(SimpleNamespace(walls=[True]), np.zeros((5, 2)), path),
        lambda path: render.maze_animation(MAZE, np.zeros((5, 2)), path),
        lambda path: render.maze_animation(MAZE, np.zeros((5, 2)), path.with_suffix(".gif"), stride=0),
        lambda path: render.maze_animation(
            MAZE, np.zeros((1, 5, 2)), path.with_suffix(".gif"), goals=np.zeros((1, 4, 2))
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, draw):
    with pytest.raises(O2OError):
        draw(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


MAZE = SimpleNamespace(walls=np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]], bool))
PATH = np.stack([np.linspace(-0.5, 0.5, 11), np.zeros(11)], axis=-1)
WALL, FLOOR = (107, 116, 128), (255, 255, 255)


def test_maze_picture_puts_positions_into_their_cells(tmp_path):
    path = render.maze_trajectories(MAZE, PATH, tmp_path / "maze.png", goals=[0.5, 0.0])
    image = Image.open(path).convert("RGB")
    assert image.size == (600, 450)
    assert image.getpixel((75, 75)) == WALL
    assert image.getpixel((225, 180)) == FLOOR  # cell (1, 1)
    assert image.getpixel((375, 270)) == FLOOR  # cell (1, 2)
    assert image.getpixel((525, 225)) == WALL
    red, _, blue = image.getpixel((300, 225))  # halfway along the path
    assert blue > red + 50
    red, green, blue = image.getpixel((375, 225))  # the star
    assert min(red, green) > blue + 100


def test_maze_picture_on_axes_of_the_caller():
    axes = Figure().add_subplot()
    many = np.tile(PATH, (20, 1, 1))
    many[:, 5:] = np.nan  # episodes that end early
    assert render.maze_trajectories(MAZE, many, axes, title="t") is axes
    assert axes.get_title() == "t"
    assert len({line.get_color() for line in axes.lines[1:]}) == 1


def test_animation_shows_the_ball_where_it_was(tmp_path):
    paths = np.stack([PATH, PATH])
    paths[1, 3:] = np.nan  # ended: stays at its third position
    path = render.maze_animation(MAZE, paths, tmp_path / "maze.gif", stride=4, goals=paths[::-1] + 0.2)
    with Image.open(path) as image:
        assert image.n_frames == 4  # steps 0, 4, 8 and the last one
        frames = []
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(np.asarray(image.convert("RGB"), int))
    height, width, _ = frames[0].shape

    def blue(frame, x):
        red, _, blue = frame[height // 2, round((x + 2) / 4 * width)]
        return blue > red + 80

    assert blue(frames[-1], 0.5)
    assert not blue(frames[0], 0.5)
    orange = frames[-1][height // 2, round((-0.3 + 2) / 4 * width)]
    assert orange[0] > orange[2] + 80


@pytest.mark.parametrize("given", [["runs/one"], {"one": "runs/one"}, None])
def test_a_report_of_no_results_is_refused(given, tmp_path):
    with pytest.raises(O2OError, match=r"report takes a Result, .*load_results\(folder, \.\.\.\)"):
        report(given, tmp_path / "report")
    assert not list(tmp_path.iterdir())
