"""How long a dataset of a million transitions takes to load, and how much memory beside its own arrays.

`python -m experiments.benchmarks.loading` makes one in a temporary folder (Hopper's sizes, 1000-step episodes),
loads it in a fresh process and prints one line of JSON.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

NAME = "test/million-v0"
STEPS, EPISODE, OBS, ACTION = 1_000_000, 1_000, 11, 3


def make() -> None:
    """Write the dataset into `MINARI_DATASETS_PATH`."""
    from purejaxo2o.data import minari
    from purejaxo2o.types import Space, Spaces, Transition

    rng = np.random.default_rng(0)
    obs = rng.normal(size=(STEPS // EPISODE, EPISODE + 1, OBS)).astype(np.float32)
    columns: dict[str, Any] = {
        "obs": obs[:, :-1].reshape(STEPS, OBS),
        "action": rng.uniform(-1, 1, (STEPS, ACTION)).astype(np.float32),
        "reward": rng.normal(size=STEPS).astype(np.float32),
        "next_obs": obs[:, 1:].reshape(STEPS, OBS),
        "terminated": np.zeros(STEPS, bool),
        "truncated": np.arange(STEPS) % EPISODE == EPISODE - 1,
    }
    about: dict[str, Any] = {"algorithm_name": "noise", "description": "for a benchmark", "provenance": {}}
    minari.export(Transition(**columns), NAME, spaces=Spaces(Space((OBS,)), Space((ACTION,))), **about)


def load() -> dict[str, float]:
    """Seconds and peak megabytes of loading it in this process, beside what was in memory before."""
    import jax

    import purejaxo2o as o2o
    from purejaxo2o.data import minari

    minari.info(NAME)  # imports and opens
    jax.block_until_ready(jax.numpy.zeros(1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    rows = jax.block_until_ready(o2o.dataset(NAME))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    arrays = sum(x.nbytes for x in jax.tree.leaves(rows.data))
    return {
        "steps": STEPS,
        "seconds": round(seconds, 2),
        "arrays_mb": round(arrays / 2**20, 1),
        "peak_mb": round(peak / 2**10, 1),
    }


def main() -> None:
    """Make and load, each in a process of its own, so that neither's memory counts for the other."""
    if len(sys.argv) > 1:
        print(json.dumps(load()) if sys.argv[1] == "load" else make() or "", end="")
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MINARI_DATASETS_PATH": str(Path(folder))}
        for step in ("make", "load"):
            command = [sys.executable, "-m", "experiments.benchmarks.loading", step]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        print(done.stdout)


if __name__ == "__main__":
    main()
