"""`python -m experiments.studies.beside`: does what we train end where independent implementations end?

The same recordings, settings, budget and evaluation for both sides: ours, and d3rlpy (offline) or Stable Baselines
Jax (online), each in a Python of its own under `.cache/peers`. Every setting stands under both of its names in
`beside_settings.py`, and first weights are drawn alike. A run is judged by greedy episodes in Gymnasium (C MuJoCo for
Hopper), by the same code, seeds and engine on both sides: 10 episodes at 80, 90 and 100% of the updates, whose mean
is the run's score. 6 seeds a side, 30,000 updates, two layers of 64, minibatches of 64: the published 256 and 256 are
more than this study's time allows, and no part of an update rule depends on them.

The margin, fixed before the first run: **10 points** of normalised score (0 a random policy, 100 an expert). In
CORL's published table seeds of one implementation spread by 0.2 to 4.6 points of standard deviation in hopper-medium
and by 2 to 22 in hopper-medium-replay, so the standard error of a difference of means of 6 is up to 2.7, and 1 to 13,
by chance alone; and published differences between methods that are called one are 5 to 10. An interval is the 95%
percentile bootstrap of the difference of means, ours minus theirs, seeds unpaired.

    equivalent   the interval lies within -10 to 10
    outside      the interval and -10 to 10 have nothing in common
    undecided    else: more seeds are needed

Where updates hold no noise, or can do without it, both sides also take the first 1,000 of them from the same weights
on the same minibatches (`--steps`): that tells a rule that differs from seeds that do.

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
from experiments.studies import beside_page
from experiments.studies.beside_page import SIDES
from experiments.studies.beside_settings import CASES
from purejaxo2o.disk.files import read_json

OUT = Path("runs/beside")
RESULTS = Path(__file__).resolve().parents[1] / "results" / "beside"
PLACES = (*cases.RECORDINGS, "online")
THREAD = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
STEPS = {
    "bc": ("bc", False),
    "td3_bc": ("td3_bc", False),
    "rebrac": ("rebrac", False),
    "iql": ("iql", False),
    "iql, differences undone": ("iql", True),
}
"""Methods whose updates hold no noise, or can do without it, and whether known differences are undone."""
QUIET = ("smoothing_noise", "target_smoothing_sigma")
HERE = Path(__file__).resolve().parent


def job_of(name: str, place: str, side: str, out: Path) -> dict[str, Any]:
    """All that a side is told of a method on a recording, but for seeds and files."""
    case, recording = CASES[name], cases.RECORDINGS.get(place, cases.ONLINE)
    online = case.online or cases.Online(cases.UPDATES)
    first = online.steps // cases.SEGMENTS
    return {
        "name": f"{name} on {place}",
        "env": recording.env,
        "data": "" if case.online else str((out / "data" / f"{place}.npz").resolve()),
        "discount": cases.ours(case).get("discount", 0.99),
        "algorithm": case.algorithm,
        "agent": case.agent,
        "settings": cases.theirs(case) if side == "theirs" else cases.ours(case),
        "hidden": [cases.SIZE, cases.SIZE],
        "hidden_gain": 1.0,
        "layer_norm": case.layer_norm,
        "log_std": case.log_std,
        "adam_epsilon": 1e-8,
        "batch_size": cases.SIZE,
        "steps": online.steps,
        "warmup": online.warmup,
        "num_envs": online.num_envs,
        "rollout": online.rollout,
        "segments": cases.SEGMENTS,
        "checkpoints": [first * (cases.SEGMENTS - i) for i in reversed(range(cases.LAST))],
        "start": "ours",
    } | case.extras


def runs(out: Path) -> Path:
    """Where the runs of this budget are: `place/method/side/seed.json`."""
    return out / f"{cases.UPDATES}-updates-{cases.SIZE}"


def pairs(only: Sequence[str]) -> list[tuple[str, str]]:
    """Methods and recordings in the order of measuring; only: names of either, all where there are none."""
    order = [(name, place) for place in cases.RECORDINGS for name in CASES if not CASES[name].online]
    order += [(name, "online") for name in CASES if CASES[name].online]
    methods, places = ({x for x in only if x in known} or set(known) for known in (CASES, dict.fromkeys(PLACES)))
    return [(name, place) for name, place in order if name in methods and place in places]


def prepare(place: str, out: Path) -> None:
    """The recording as a file, unless it is there, or there is none."""
    if place in cases.RECORDINGS:
        from experiments.studies import beside_data

        beside_data.write(place, out / "data" / f"{place}.npz")


def train(name: str, place: str, side: str, out: Path) -> None:
    """The seeds that are not there yet, in a process of their own."""
    folder = runs(out) / place / name / side
    files = {seed: folder / f"{seed}.json" for seed in range(cases.SEEDS)}
    files = {seed: path for seed, path in files.items() if not path.exists()}
    if not files:
        return
    folder.mkdir(parents=True, exist_ok=True)
    job = job_of(name, place, side, out)
    task = folder / f"job-{digest_of(job)}.json"
    if any(other != task for other in folder.glob("job-*.json")):
        raise SystemExit(f"{folder} holds runs of other settings; move it away")
    asked = job | {"seeds": list(files), "out": [str(path.resolve()) for path in files.values()]}
    task.write_text(json.dumps(asked))
    start(name, side, task)


def start(name: str, side: str, task: Path, ours: str = "beside_ours") -> None:
    """A side's script on a job, in its own Python."""
    if side == "ours":
        command = [sys.executable, "-m", f"experiments.studies.{ours}"]
    else:
        command = [str(peers.install(CASES[name].theirs)), str(HERE / f"beside_{CASES[name].theirs}.py")]
    subprocess.run([*command, str(task.resolve())], env=os.environ | THREAD, check=True)


def steps(out: Path) -> None:
    """How far apart both sides are after their first updates, by method; once each, kept in a file."""
    place = next(iter(cases.RECORDINGS))
    prepare(place, out)
    for label, (name, as_theirs) in STEPS.items():
        folder = runs(out) / "steps" / label
        gaps = (folder / "gaps.json").resolve()
        if gaps.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        more = {"steps_file": str(gaps.with_name("ours.npz")), "as_theirs": as_theirs, "out": str(gaps)}
        for side in reversed(SIDES):
            job = job_of(name, place, side, out) | more
            job["settings"] = job["settings"] | {key: 0.0 for key in QUIET if key in job["settings"]}
            task = folder / f"{side}.json"
            task.write_text(json.dumps(job))
            start(name, side, task, "beside_steps")


def digest_of(job: dict[str, Any]) -> str:
    """Of all settings; where the data lie is none."""
    told = json.dumps(job | {"data": Path(job["data"]).name}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", default=[], choices=[*CASES, *PLACES], help="methods or recordings; all by default"
    )
    parser.add_argument("--side", choices=SIDES, help="one side alone")
    parser.add_argument("--steps", action="store_true", help="compare the first updates, train nothing else")
    parser.add_argument("--report", action="store_true", help="train nothing, write the page of what is there")
    parser.add_argument("--page", type=Path, default=RESULTS, help="where beside.md goes")
    parser.add_argument("--out", type=Path, default=OUT, help="files of the runs; goes on in it")
    arguments = parser.parse_args(argv)
    if arguments.steps:
        steps(arguments.out)
    for name, place in () if arguments.report or arguments.steps else pairs(arguments.only):
        prepare(place, arguments.out)
        for side in SIDES:
            if arguments.side in (None, side):
                train(name, place, side, arguments.out)
    rows = [beside_page.compare(name, place, runs(arguments.out)) for name, place in pairs([])]
    found = [row for row in rows if row is not None]
    gaps = {label: runs(arguments.out) / "steps" / label / "gaps.json" for label in STEPS}
    first = {label: read_json(path) for label, path in gaps.items() if path.exists()}
    beside_page.write(found, first, arguments.page, MARGIN_TEXT)
    print(arguments.page / "beside.md")
    return 1 if any(row["verdict"] == "outside" for row in found) else 0


MARGIN_TEXT = (__doc__ or "").partition("\n\n")[2].partition("Goes on where")[0].strip()
"""What the page says before its table."""


if __name__ == "__main__":
    sys.exit(main())
