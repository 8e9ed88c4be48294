"""Rows on disk read back as they were written, resumed files hold every segment once, terminals get text."""

import csv
import io
import json
import re

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o.drive import sinks
from purejaxo2o.drive.progress import Progress
from purejaxo2o.figures.tables import markdown_table, table
from purejaxo2o.types import O2OError

ROW = {
    "segment": 0,
    "phase": "offline",
    "score": jnp.array([1.5, jnp.nan]),
    "metrics": {"loss": np.float32(0.5), "entropy": float("inf")},
    "finite": np.array(True),
}


def json_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def csv_rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_json_lines_are_flushed_and_strict_json(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    sink = sinks.JsonLines(path)
    sink.write(ROW)
    expected = ROW | {"score": [1.5, None], "metrics": {"loss": 0.5, "entropy": None}, "finite": True}
    assert json_rows(path) == [expected]  # before closing
    sink.close()
    assert isinstance(sink, sinks.Sink)


@pytest.mark.parametrize(("sink", "read"), [(sinks.JsonLines, json_rows), (sinks.Csv, csv_rows)])
def test_a_resumed_file_holds_every_segment_once(tmp_path, sink, read):
    path = tmp_path / "rows"
    first = sink(path)
    for segment in range(3):
        first.write({"segment": segment, "name": "ü"})
    first.close()
    with path.open("a") as file:
        file.write('{"segm')  # killed while writing
    second = sink(path, keep=2)  # the checkpoint is from after segment 1
    second.write({"segment": 2, "name": "again"})
    second.close()
    assert [(int(r["segment"]), r["name"]) for r in read(path)] == [(0, "ü"), (1, "ü"), (2, "again")]
    sink(path).close()  # a run that starts anew
    assert read(path) == []
    third = sink(path, keep=5)  # more than there are
    third.write({"segment": 0})
    assert [int(r["segment"]) for r in read(path)] == [0]


def test_json_lines_refuse_what_json_cannot_hold(tmp_path):
    sink = sinks.JsonLines(tmp_path / "x.jsonl")
    with pytest.raises(O2OError, match="function"):
        sink.write({"policy": lambda: None})
    assert (tmp_path / "x.jsonl").read_text() == ""


def test_csv_flattens_and_widens(tmp_path):
    sink = sinks.Csv(tmp_path / "metrics.csv")
    sink.write(ROW)
    sink.write({"segment": 1, "note": "two\nlines, a comma", "phase": "online"})
    sink.write({"segment": 2, "note": None})
    sink.close()
    rows = csv_rows(tmp_path / "metrics.csv")
    columns = ["segment", "phase", "score/0", "score/1", "metrics/loss", "metrics/entropy", "finite", "note"]
    assert list(rows[0]) == columns
    assert [r["segment"] for r in rows] == ["0", "1", "2"]
    assert (rows[0]["score/0"], rows[0]["score/1"], rows[0]["note"]) == ("1.5", "nan", "")
    assert (rows[1]["score/0"], rows[1]["note"]) == ("", "two lines, a comma")
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def watch(progress):
    progress.start(4, "wsrl")
    progress.compiling("offline")
    progress.compiled("offline", 6.0)
    progress.segment(phase="offline", done=1, steps=10_000, seconds=2.0, score=12.34)
    progress.segment(phase="offline", done=2, steps=10_000, seconds=4.0, score=jnp.array([10.0, 20.0]))
    progress.compiled("online", 60.0)
    progress.segment(phase="online", done=3, steps=500, seconds=90.0, score=np.array([10.0, np.nan, 30.0]))
    progress.close()
    progress.close()


def test_progress_without_a_terminal_is_a_line_per_event():
    file = io.StringIO()
    watch(Progress(file))
    assert file.getvalue().splitlines() == [
        "wsrl [0/4] offline: compiling",
        "wsrl [0/4] offline: compiled in 6.0 s",
        "wsrl [1/4] offline: 5,000 steps/s, score 12.3, 6.0 s left",
        "wsrl [2/4] offline: 2,500 steps/s, score 15.0 (2 lanes), 6.0 s left",
        "wsrl [2/4] online: compiled in 60.0 s",
        "wsrl [3/4] online: 6 steps/s, score 20.0 (2 of 3 lanes, 1 not finite), 1:30 left",
        "wsrl 3 of 4 segments, ran 1:36, compiled 1:06",
    ]


def test_progress_on_a_terminal_is_one_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    file = Terminal()
    watch(Progress(file))
    assert "\x1b[" in file.getvalue()
    assert "3/4" in file.getvalue()
    assert "compiled 1:06" in file.getvalue().splitlines()[-2]
    monkeypatch.setenv("TERM", "dumb")
    file = Terminal()
    watch(Progress(file))
    assert "\x1b[" not in file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_bar_cuts_no_number(width, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    file = Terminal()
    progress = Progress(file)
    progress.start(120, "off2on · pointmaze-umaze-waypoint")
    progress.segment(phase="offline", done=12, steps=123_456_789, seconds=2.0, score=np.array([-12345.6, np.nan]))
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", file.getvalue())
    progress.close()
    assert "…" not in text
    for word in ("12/120", "61,728,394", "-12345.6", "3:36", "left", "pointmaze-umaze-waypoint"):
        assert word in text
    assert ("━" in text) == (width == 140)


TABLE = [
    {
        "method": "WSRL[0]",
        "seeds": 8,
        "final": 92.92,
        "final_low": 91.32,
        "final_high": 94.41,
        "steps": 5000.0,
    },
    {"method": "a|b", "seeds": 1200, "final": np.float32(0.5), "steps": float("inf")},
]


def test_table_shows_intervals_and_what_is_missing():
    text = table(TABLE, ["method", "seeds", "final", "steps"], "Results")
    lines = text.splitlines()
    assert lines[0].strip() == "Results"
    assert lines[1].split() == ["method", "seeds", "final", "steps"]
    assert "92.9 [91.3, 94.4]" in lines[3]
    assert "WSRL[0]" in lines[3]
    assert lines[3].endswith("5,000")
    assert lines[4].split() == ["a|b", "1,200", "0.500", "∞"]
    assert "\x1b" not in text
    assert table(TABLE, title="Results") == text  # limits are no columns of their own
    assert max(map(len, table(TABLE, width=40).splitlines())) <= 40


def test_markdown_table():
    assert markdown_table(TABLE, {"method": "Method", "final_low": "Low"}).splitlines() == [
        "| Method | Low |",
        "| --- | --- |",
        "| WSRL[0] | 91.3 |",
        "| a\\|b | - |",
    ]


def test_tables_refuse_unknown_columns_and_no_rows():
    with pytest.raises(O2OError, match="'finl'"):
        table(TABLE, ["finl"])
    with pytest.raises(O2OError, match="no rows"):
        markdown_table([])
