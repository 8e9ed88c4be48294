"""How long a dataset of a million transitions takes to load, and how much memory beside its own arrays.

It is made in a temporary folder (Hopper's sizes, 1000-step episodes) and loaded, each in a fresh process, so that
neither's memory counts for the other.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from experiments.benchmarks.rows import ROOT, Row, row

NAME = "test/million-v0"
STEPS, EPISODE, OBS, ACTION = 1_000_000, 1_000, 11, 3


def rows(*, quick: bool = False) -> list[Row]:
    """Seconds, and the peak of memory as a multiple of the arrays."""
    steps = 2 * EPISODE if quick else STEPS
    print(f"loading: {steps:,} transitions", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MINARI_DATASETS_PATH": folder, "JAX_PLATFORMS": "cpu"}
        for step in ("make", "load"):
            command = [sys.executable, "-m", "experiments.benchmarks.loading", step, str(steps)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=ROOT)
    found = json.loads(done.stdout)
    peak = found["peak_mb"] / found["arrays_mb"]
    headline = "Loading a million transitions: peak of memory over the size of its arrays"
    return [
        row("loading", "a million transitions", found["seconds"], "s", **found),
        row("loading", "peak of memory over the size of the arrays", peak, "x", **found, headline=headline),
    ]


def make(steps: int) -> None:
    """Write the dataset into `MINARI_DATASETS_PATH`."""
    from purejaxo2o.data import minari
    from purejaxo2o.types import Space, Spaces, Transition

    rng = np.random.default_rng(0)
    obs = rng.normal(size=(steps // EPISODE, EPISODE + 1, OBS)).astype(np.float32)
    columns: dict[str, Any] = {
        "obs": obs[:, :-1].reshape(steps, OBS),
        "action": rng.uniform(-1, 1, (steps, ACTION)).astype(np.float32),
        "reward": rng.normal(size=steps).astype(np.float32),
        "next_obs": obs[:, 1:].reshape(steps, OBS),
        "terminated": np.zeros(steps, bool),
        "truncated": np.arange(steps) % EPISODE == EPISODE - 1,
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
        "steps": len(rows.data.reward),
        "seconds": round(seconds, 2),
        "arrays_mb": round(arrays / 2**20, 1),
        "peak_mb": round(peak / 2**10, 1),
    }


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(int(sys.argv[2]))
    else:
        print(json.dumps(load()))
