"""Programs side by side on a CPU: a process to a core, since a single program leaves most of a second core idle."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax

from purejaxo2o.cli.main import cache_compilations


def count() -> int:
    """Processes that are of use: one per core, or one on an accelerator."""
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool(processes: int) -> ProcessPoolExecutor:
    """New processes, each with its share of the cores and with compiled programs kept."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, spawn, _own_core, (spawn.Value("i", 0), processes))


def _own_core(started: Any, processes: int) -> None:
    """In a new process: its share of the cores for itself (else XLA's threads of all would get in each other's way),
    and the programs that are kept."""
    with started.get_lock():
        index = started.value
        started.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[index % len(cores) :: processes])
    cache_compilations()
