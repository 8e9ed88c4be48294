"""Running a claim: its arms, then what is said about them, on disk."""

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

import purejaxo2o as o2o
from experiments import claims, cores
from experiments.benchmarks import rows
from experiments.claims.claim import Claim, Contrast, verdict
from purejaxo2o.disk.files import write_json
from purejaxo2o.disk.rows import plain
from purejaxo2o.figures import plots, stats
from purejaxo2o.loop.result import Result

RESULTS = Path(__file__).resolve().parents[1] / "results" / "claims"


def run(claim: Claim, seeds: range, *, progress: bool = True, processes: int = 1) -> dict[str, Result]:
    """Train every arm with the same seeds, `processes` arms at once (then `claim` is a module of this folder)."""
    task = claim.task()
    arms = claim.arms(task)
    needs = {arm: claim.other_data.get(arm, claim.data) for arm, recipe in arms.items() if recipe.uses_offline}
    data = {make: make(task) for make in needs.values()}
    processes = min(processes, len(arms))
    if processes > 1:
        with cores.pool(processes) as pool:  # the data that are recorded on first use are there by now
            jobs = {arm: pool.submit(_alone, claim.method, arm, seeds, progress) for arm in arms}
            return {arm: job.result() for arm, job in jobs.items()}
    tasks = {arm: change(task) for arm, change in claim.other_tasks.items()}
    return {
        arm: o2o.sweep(
            recipe,
            tasks.get(arm, task),
            data[needs[arm]] if arm in needs else None,
            seeds=seeds,
            progress=progress,
        )
        for arm, recipe in arms.items()
    }


def _alone(name: str, arm: str, seeds: range, progress: bool) -> Result:
    """An arm in a process of its own; what was measured comes back."""
    claim = claims.load(name)
    alone = dataclasses.replace(claim, arms=lambda task: {arm: claim.arms(task)[arm]})
    result = run(alone, seeds, progress=progress)[arm]
    return jax.device_get(dataclasses.replace(result, run=None, agent=None))


def outcome(claim: Claim, results: Mapping[str, Result], seeds: range, seconds: float) -> dict[str, Any]:
    """Everything that the table needs, and where it comes from."""
    return {
        "method": claim.method,
        "paper": claim.paper,
        "says": claim.says,
        "task": next(iter(results.values())).task_name,
        "seeds": [seeds.start, seeds.stop],
        "seconds": round(seconds),
        "arms": {arm: stats.summary({arm: result})[0] for arm, result in results.items()},
        "contrasts": [_contrast(contrast, results) for contrast in claim.contrasts],
        **rows.origin(),
    }


def _contrast(contrast: Contrast, results: Mapping[str, Result]) -> dict[str, Any]:
    difference = contrast.measure(results)
    return {
        "says": contrast.says,
        "more": contrast.more,
        "less": contrast.less,
        "unit": contrast.unit,
        "values": {arm: value.tolist() for arm, value in contrast.values(results).items()},
        "difference": float(difference.point),
        "low": float(difference.low),
        "high": float(difference.high),
        "verdict": verdict(difference),
    }


def reproduce(claim: Claim, seeds: range, folder: Path = RESULTS, processes: int = 1) -> dict[str, Any]:
    """Run the claim, write `<method>.json` and `<method>.png` into `folder`, return what was written."""
    began = time.perf_counter()
    results = run(claim, seeds, processes=processes)
    found = plain(outcome(claim, results, seeds, time.perf_counter() - began))
    folder.mkdir(parents=True, exist_ok=True)
    curves = {arm: plots.curve(result) for arm, result in results.items()}
    plots.learning_curves(curves, folder / f"{claim.method}.png", title=f"{claim.method} on {found['task']}")
    write_json(folder / f"{claim.method}.json", found)
    return found


def load(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Every outcome on disk, by method."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
