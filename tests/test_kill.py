"""`kill -9` at any moment, then the same command again: it ends bit for bit where an undisturbed run ends."""

import functools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from purejaxo2o.cli.main import main
from purejaxo2o.disk.files import read_arrays

HERE = Path(__file__).parent
PATIENCE = 240
"""Seconds after which a process that does not get anywhere is a failure."""

# Where to strike: as soon as a line of the process matches, or a path in its folder appears; then within so many
# seconds, drawn at random. A row is told before it is saved; saving begins about 0.05 s later and takes as long.
STARTING = ("time", "", 2.0)
CLAIMED = ("path", "config.json*", 0.02)
COMPILING = ("line", "start: compiling", 0.3)
OFFLINE = ("line", r"^row \d+ offline", 0.15)
WARMUP = ("line", r"^row \d+ warmup", 0.15)
ONLINE = ("line", r"^row \d+ online", 0.15)
SAVING = ("path", "**/*.orbax-checkpoint-tmp", 0.01)
SAVING_LATER = ("path", "**/[4-9].orbax-checkpoint-tmp", 0.03)
LAST = ("line", r"^row 9 ", 0.2)
PART_DONE = ("path", "part-0/results.npz", 0.02)
NEXT_PART = ("path", "part-1/**/*", 0.1)  # the process before may have got so far as to make the folder

PLANS = {
    "fit": [CLAIMED, STARTING, COMPILING, OFFLINE, SAVING, OFFLINE, SAVING_LATER, WARMUP, SAVING, ONLINE, LAST],
    "sweep": [CLAIMED, SAVING, OFFLINE, SAVING, WARMUP, SAVING, ONLINE, ONLINE],
    "parts": [WARMUP, ONLINE, PART_DONE, NEXT_PART, OFFLINE, SAVING],
}
COMMAND_LINE = [
    ("line", r"\[\d/8\] offline: .*score", 0.1),
    ("line", r"\[\d/8\] online: .*score", 0.1),
]


def test_the_plans_are_complete():
    plans = [*PLANS.values(), COMMAND_LINE]
    assert sum(len(plan) for plan in plans) >= 20
    for plan in PLANS.values():
        assert {OFFLINE, WARMUP, ONLINE, SAVING} <= set(plan)
    assert {PART_DONE, NEXT_PART} <= set(PLANS["parts"])  # between two parts of a sweep


class Process:
    """A command under way; `lines` are what it has said on both outputs."""

    def __init__(self, command, environment=None):
        self.lines = []
        self._process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)} | (environment or {}),
        )
        self._reader = threading.Thread(target=lambda: self.lines.extend(map(str.rstrip, self._process.stdout)))
        self._reader.start()

    def over(self):
        return self._process.poll() is not None

    def finish(self):
        """Its exit code."""
        code = self._process.wait(PATIENCE)
        self._reader.join()
        return code

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        assert self.finish() == -signal.SIGKILL, self.lines


def present(out, pattern):
    """Paths that match; folders that are renamed while one looks are looked at again."""
    while True:
        try:
            return set(out.glob(pattern))
        except FileNotFoundError:
            continue


def strike(process, out, moment, delay):
    """Kill when the moment has come."""
    kind, pattern, _ = moment
    seen = present(out, pattern) if kind == "path" else set()
    deadline = time.monotonic() + PATIENCE
    while True:
        assert not process.over(), (moment, process.lines)
        assert time.monotonic() < deadline, (moment, process.lines)
        if kind == "time" or (kind == "line" and any(re.search(pattern, line) for line in list(process.lines))):
            break
        if kind == "path":  # what an earlier process left is cleared away first, and may come again
            now = present(out, pattern)
            if now - seen:
                break
            seen = now
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()


def survive(command, out, plan, environment=None):
    """Start, kill, start again, through the plan; then let it finish. Every planned kill is a kill."""
    draw = random.Random(str(out.name))
    for moment in plan:
        strike(Process(command, environment), out, moment, draw.uniform(0, moment[2]))
    last = Process(command, environment)
    assert last.finish() == 0, last.lines
    assert not list(out.rglob("*.tmp*"))
    assert not list(out.rglob("*orbax-checkpoint-tmp*"))


def assert_same_runs(out, reference):
    """Bit for bit: the final `Run` with its store, the records, the results and the rows of every run folder."""
    folders = sorted(path.parent.relative_to(reference) for path in reference.rglob("results.npz"))
    assert folders
    for folder in folders:
        one, other = out / folder, reference / folder
        last = max(int(path.name) for path in (other / "checkpoints").iterdir())
        assert_same_arrays(read_arrays(one / "results.npz"), read_arrays(other / "results.npz"))
        assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
        final = f"checkpoints/{last}/run"
        assert (one / final / "seal.json").read_bytes() == (other / final / "seal.json").read_bytes()
        for name in ("arrays.npz", "records.npz"):
            assert_same_arrays(*(read_arrays(folder / final / name) for folder in (one, other)))


def assert_same_arrays(found, expected):
    assert found.keys() == expected.keys()
    assert len(expected) > 9
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name  # the bits of a NaN, too


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Compiled programs, made by the undisturbed runs and loaded by all others."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(cache, tmp_path_factory):
    """`undisturbed(case)`: the folder of a run that nobody killed."""

    @functools.cache
    def finished(case):
        out = tmp_path_factory.mktemp("undisturbed") / case
        process = Process([HERE / "victim.py", case, out, cache])
        assert process.finish() == 0, process.lines
        return out

    return finished


@pytest.mark.slow
@pytest.mark.parametrize("case", PLANS)
def test_killed_runs_end_where_an_undisturbed_one_ends(case, undisturbed, cache, tmp_path):
    reference = undisturbed(case)
    survive([HERE / "victim.py", case, tmp_path / case, cache], tmp_path / case, PLANS[case])
    assert_same_runs(tmp_path / case, reference)


@pytest.mark.slow
def test_the_command_line_survives_too(cache, tmp_path):
    collect = "collect reach --id test/killed/random-v0 --steps 200 --num-envs 5"
    assert main(collect.split()) == 0
    environment = {"PUREJAXO2O_CACHE": str(cache)}

    def command(out):
        sizes = ["steps=40", "segments=4", "batch_size=8"]
        settings = [f"{phase}.{size}" for phase in ("offline", "online") for size in sizes]
        settings += ["agent.hidden=(8, 8)", "agent.actor_hidden=(8, 8)", "eval_episodes=2"]
        train = "-m purejaxo2o train iql reach --scale small --seeds 2 --dataset test/killed/random-v0 --resume"
        return [*train.split(), "--out", out, "--set", *settings]

    reference = Process(command(tmp_path / "reference"), environment)
    assert reference.finish() == 0, reference.lines
    survive(command(tmp_path / "run"), tmp_path / "run", COMMAND_LINE, environment)
    assert_same_runs(tmp_path / "run", tmp_path / "reference")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [2_000, 30_000], ids=["records", "arrays"])
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_with_space(limit, undisturbed, cache, tmp_path):
    """A limit on the size of files takes the place of the disk: from row 3 on, nothing larger can be written."""

    def command(out, *limit):
        return [HERE / "victim.py", "fit", out, cache, *limit]

    full = Process(command(tmp_path / "run", 3, limit))
    assert full.finish() == 2, full.lines
    errors = [line for line in full.lines if "error" in line.lower() or "traceback" in line.lower()]
    assert len(errors) == 1, full.lines
    assert re.search(r"^error: .*(cannot be saved|cannot write).*File too large.*resum", errors[0]), errors
    assert str(tmp_path / "run") in errors[0]
    assert not (tmp_path / "run" / "results.npz").exists()
    survive(command(tmp_path / "run"), tmp_path / "run", [])
    assert_same_runs(tmp_path / "run", undisturbed("fit"))
