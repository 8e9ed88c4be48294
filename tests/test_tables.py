"""Tables in narrow terminals: no number and no word is cut, whatever a command prints."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import rich.console
from tiny import task, tiny

from purejaxo2o.cli import finished, inspect, planning
from purejaxo2o.cli.main import main
from purejaxo2o.cli.train import summary_table
from purejaxo2o.figures import layout
from purejaxo2o.figures.tables import table
from purejaxo2o.study.members import Member
from purejaxo2o.study.table import LiveTable

WIDTHS = (60, 80, 100)
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*%?")
LONG = "agent.expectile=0.7, agent.hidden=(256, 256), online.agent.learning_rate=0.0001"
ROWS = [
    {"method": f"{LONG}{end}", "seeds": 8, "final": 12345678.9, "final_low": -1234567.8, "final_high": 23456789.0,
     "dip": 0.123, "dip_low": 0.101, "dip_high": 0.145, "steps": 123_456_789_012}
    for end in ("1", "2")
]  # fmt: skip


def numbers(text):
    return sorted(NUMBER.findall(text))


@pytest.fixture
def shown(capsys, monkeypatch):
    """`shown(width, *arguments)`: what a command prints in a terminal so wide."""

    def call(width, *arguments):
        monkeypatch.setenv("COLUMNS", str(width))
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 0
        return capsys.readouterr().out

    return call


def check(text, whole, width):
    """Every word of the wide text is in the narrow one, intervals aside, whose lines fit unless a word does not."""
    assert "…" not in text
    missing = words(re.sub(r"(?<=\d) \[[^]]*\]", "", whole)) - words(text)
    assert not missing
    for line in text.splitlines():
        assert len(line) <= width or len(line.split()[-1]) > width // 2, line


def words(text):
    """Without punctuation at their end: a heading above a column stands before a colon in a block."""
    return {word.rstrip(":") for word in text.replace("─", "").split()}


@pytest.mark.parametrize("width", [20, 40, *WIDTHS, 140, 200])
def test_numbers_stay_whole(width):
    text, whole = table(ROWS, width=width), table(ROWS)
    check(text, whole, width)
    assert text.count("123,456,789,012") == 2
    assert text.count("12,345,679") == 2
    if width >= 60:
        assert max(map(len, text.splitlines())) <= width
    # A table without intervals where there is just room for that; blocks, where there is less, have them.
    assert ("[-1,234,568," in text) == (width != 100)


def test_rows_become_blocks_where_no_table_fits():
    rows = [{"method": "iql", "note": "a b c", "steps": 12_345_678}, {"method": "wsrl", "note": "d", "steps": None}]
    assert table(rows, width=12, title="Results").splitlines() == [
        "Results",
        "method: iql",
        "  note: a b",
        "    c",
        "  steps: 12,345,678",
        "method: wsrl",
        "  note: d",
        "  steps: -",
    ]
    assert layout.fitted(["a"], [["12,345"]], 9) is None  # two characters on either side
    assert layout.fitted(["a"], [["12,345"]], 10) == [6]


def test_columns_of_numbers_are_known_by_their_text():
    assert layout.numeric(["1", "-2.5", "1,234", "0.5 [0.1, 0.9]", "∞", "-", ""])
    assert not layout.numeric(["1", "2 rooms"])
    assert not layout.numeric(["a1"])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["tasks", "envs", "datasets"])
def test_lists(kind, width, shown):
    check(shown(width, "list", kind), shown(10_000, "list", kind), width)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_recipes(width, shown):
    check(shown(width, "list", "recipes"), shown(10_000, "list", "recipes"), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_dry_run(width, shown):
    command = ("train", "sac", "reach", "--dry-run", "--set", "online.steps=50000000", "online.segments=50")
    text, whole = (shown(w, *command).split("reach-paper\n")[1] for w in (width, 10_000))
    assert "50,000,000" in text
    check(text, whole, width)


class Fake:
    """What the tables of `train`, `sweep`, `report` and `evaluate` are made from, with long names and numbers."""

    lanes, segment, named = 3, 2, ()

    class task:
        name, eval_env = "slope", task().env
        score = staticmethod(lambda returns: returns / 7)

    def evaluate(self, key, *, episodes):
        returns = np.linspace(-1e7, 1e8, 3 * episodes).reshape(3, episodes)
        return type("Outcome", (), {"returns": returns, "lengths": np.full((3, episodes), 123_456)})


@pytest.mark.parametrize("width", WIDTHS)
def test_evaluate(width, monkeypatch, shown):
    monkeypatch.setattr("purejaxo2o.drive.policies.load_policies", lambda folder: Fake())
    text, whole = (shown(w, "evaluate", "x", "--episodes", "4") for w in (width, 10_000))
    check(text, whole, width)
    assert "123,456" in text
    assert finished.Evaluate(run_dir="x", episodes=4).run().data["lanes"][2]["length"] == 123_456


@pytest.mark.parametrize("width", WIDTHS)
def test_summaries_of_runs(width, monkeypatch):
    means = {"score_at_switch": 1234567.8, "lowest": -9876543.2, "dip": 55.5, "final": 99999.9, "online_auc": 77.7}
    figures = {name: f"{x:,.1f} [{x - 1:,.1f}, {x + 1:,.1f}]" for name, x in means.items()}
    rows = [{"method": LONG + end, "seeds": 1024, "diverged": 12, **figures} for end in ("1", "2")]
    monkeypatch.setattr(sys.modules["purejaxo2o.figures.report"], "rows", lambda results: rows)
    monkeypatch.setenv("COLUMNS", str(width))
    text = summary_table({})
    monkeypatch.setenv("COLUMNS", "10000")
    check(text, summary_table({}), width)
    assert text.count("1,234,567.8") == text.count("-9,876,543.2") == 2
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_inspect(width, monkeypatch):
    trajectory = {"episode": 1_234_567, "return": -123456789.25, "steps": 1_000_000, "end": "terminated"}
    quantiles = dict.fromkeys(("mean", "min", "25%", "median", "75%", "max"), -98765432.125)
    facts = {
        "quantiles": {"return": quantiles, "length": quantiles},
        "best": [trajectory], "worst": [trajectory], "remarks": [],
        "histogram": {"edges": [0.0, 1e7], "counts": [12_345_678]},
    }  # fmt: skip
    monkeypatch.setattr(inspect, "_about", lambda data: {})
    monkeypatch.setattr(inspect, "_quality", lambda data: {})
    monkeypatch.setenv("COLUMNS", str(width))
    text = inspect._description(facts)
    assert text.count("-98,765,432") == 12
    assert text.count("-123,456,789") == 2
    assert "12,345,678" in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_plans_of_studies(width, monkeypatch):
    member = Member(task(), tiny("bc")[0], {"agent.learning_rate": (1e-4, 1e-3)})
    study = type("Study", (), {"seeds": 1_000, "seed0": 0})
    monkeypatch.setenv("COLUMNS", str(width))
    text = planning.plan_study(study, [member], Path("runs/x")).text
    assert "2,000" in text
    assert "runs/x" in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [30, 40, *WIDTHS, 140])
def test_the_table_of_a_study_under_way(width):
    console = rich.console.Console(
        file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None, legacy_windows=False
    )
    live = LiveTable([Member(task(), tiny("bc")[0], {})] * 2, console)
    live.begin(0)
    meter = live.meter(0)
    meter.start(1000, "")
    meter.segment(phase="offline", done=999, steps=1_234_567_890, seconds=10.0, score=-1234567.75)
    with console.capture() as capture:
        console.print(live._render())
    text = capture.get()
    assert "…" not in text
    assert "-1234567.8" in text
    assert "999/1000" in text
    assert ("123,456,789" in text) == (width >= 80)
    assert max(map(len, text.splitlines())) <= width
