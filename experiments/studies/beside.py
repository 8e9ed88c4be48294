"""`python -m experiments.studies.beside`: does what we train end where independent implementations end?

The same recordings, settings, budget and evaluation for both sides: ours, and d3rlpy (offline) or Stable Baselines Jax
(online), each in a Python of its own under `.cache/peers`. Every setting stands under both of its names in
`beside_cases.py`, and first weights are drawn alike. A run is judged by greedy episodes in Gymnasium (C MuJoCo for
Hopper), by the same code, seeds and engine on both sides: 10 episodes at 80, 90 and 100% of the updates, whose mean
is the run's score. 6 seeds a side, 30,000 updates, two layers of 64, minibatches of 64: the published 256 and 256 are
more than this study's time allows, and no part of an update rule depends on them.

The margin, fixed before the first run: **10 points** of normalised score (0 a random policy, 100 an expert). In CORL's
published table seeds of one implementation spread by 0.2 to 4.6 points of standard deviation in hopper-medium and by
2 to 22 in hopper-medium-replay, so means of 6 differ by up to 2.7, and by 1 to 13, in one standard error by chance
alone; and published differences between methods that are called one are 5 to 10. An interval is the 95% percentile
bootstrap of the difference of means, ours minus theirs, seeds unpaired.

    equivalent   the interval lies within -10 to 10
    outside      the interval and -10 to 10 have nothing in common
    undecided    else: more seeds are needed

What is outside is a fault of one side, or has its reason found; so is what is undecided with means more than 10
apart. With 6 seeds a percentile interval is about a tenth too narrow.

Goes on where it was stopped: a run is one file under `runs/beside`.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import peers
from experiments.studies import beside_cases as cases
from experiments.studies.beside_cases import CASES, Case, Recording

MARGIN = 10.0
OUT = Path("runs/beside")
SIDES = ("theirs", "ours")
THREAD = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
HERE = Path(__file__).resolve().parent


def job_of(name: str, place: str, side: str, out: Path) -> dict[str, Any]:
    """All that a side is told of a method on a recording, but for seeds and files."""
    case, recording = CASES[name], cases.RECORDINGS.get(place, cases.ONLINE)
    first = cases.UPDATES // cases.SEGMENTS
    checkpoints = [first * (cases.SEGMENTS - i) for i in reversed(range(cases.LAST))]
    return {
        "name": f"{name} on {place}",
        "env": recording.env,
        "data": str(out / "data" / f"{place}.npz"),
        "discount": cases.ours(case).get("discount", 0.99),
        "algorithm": case.algorithm,
        "agent": case.agent,
        "settings": cases.theirs(case) if side == "theirs" else cases.ours(case),
        "hidden": [cases.SIZE, cases.SIZE],
        "layer_norm": case.layer_norm,
        "log_std": case.log_std,
        "adam_epsilon": 1e-8,
        "batch_size": cases.SIZE,
        "updates": cases.UPDATES,
        "segments": cases.SEGMENTS,
        "checkpoints": checkpoints,
        "start": "ours",
    } | case.extras
