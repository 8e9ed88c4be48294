"""Processes that compile side by side and are timed one at a time.

Compiling fills the processor's cores and takes most of a benchmark's time; what is timed wants the device for itself.
So jobs are started as processes of their own, and whoever times something holds a lock that they share.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LOCK = "PUREJAXO2O_BENCHMARK_TURNS"
"""Environment variable: the file that processes lock while they time."""
ROOT = Path(__file__).resolve().parents[2]
Job = tuple[Sequence[str], Mapping[str, str]]
_held = [0]


def wanted() -> bool:
    """Whether there are others to take turns with."""
    return LOCK in os.environ


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """The device for oneself, if there are others. May be entered again inside."""
    path = os.environ.get(LOCK)
    if path is None or _held[0]:
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _held[0] += 1
        try:
            yield
        finally:
            _held[0] -= 1


def run(jobs: Mapping[str, Job], at_once: int, *, limit: float | None = None) -> dict[str, str | None]:
    """Run modules with arguments and further environment variables; by job its last line of output, None if it
    failed (its errors go to stderr) or was not through `limit` seconds after the start of all."""
    start = time.monotonic()
    with tempfile.NamedTemporaryFile() as lock, ThreadPoolExecutor(at_once) as pool:
        common = {LOCK: lock.name, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}

        def one(name: str) -> str | None:
            arguments, more = jobs[name]
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=common | dict(more),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            began = time.monotonic()
            try:
                left = None if limit is None else max(start + limit - began, 0.0)
                output, errors = process.communicate(timeout=left)
            except subprocess.TimeoutExpired:
                process.kill()
                output, errors = process.communicate()
            if process.returncode:
                print(f"{name} failed ({process.returncode}):\n{errors[-2000:]}", file=sys.stderr, flush=True)
                return None
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            return (output.strip().splitlines() or [""])[-1]

        return dict(zip(jobs, pool.map(one, jobs), strict=True))
