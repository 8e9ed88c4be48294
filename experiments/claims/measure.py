"""Running a claim: its arms one after the other, then what is said about them, on disk."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import purejaxo2o as o2o
from experiments.benchmarks import rows
from experiments.claims.claim import Claim, Contrast, keys, verdict
from purejaxo2o import plots, stats
from purejaxo2o.files import write_json
from purejaxo2o.result import Result
from purejaxo2o.sinks import plain

RESULTS = Path(__file__).resolve().parents[1] / "results" / "claims"


def run(claim: Claim, seeds: range, *, progress: bool = True) -> dict[str, Result]:
    """Train every arm with the same seeds."""
    task = claim.task()
    arms = claim.arms(task)
    needs = {arm: claim.other_data.get(arm, claim.data) for arm, recipe in arms.items() if recipe.uses_offline}
    data = {make: make(task) for make in needs.values()}
    tasks = {arm: change(task) for arm, change in claim.other_tasks.items()}
    return {
        arm: o2o.sweep(
            recipe,
            tasks.get(arm, task),
            data[needs[arm]] if arm in needs else None,
            seeds=keys(seeds),
            progress=progress,
        )
        for arm, recipe in arms.items()
    }


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


def reproduce(claim: Claim, seeds: range, folder: Path = RESULTS) -> dict[str, Any]:
    """Run the claim, write `<method>.json` and `<method>.png` into `folder`, return what was written."""
    began = time.perf_counter()
    results = run(claim, seeds)
    found = plain(outcome(claim, results, seeds, time.perf_counter() - began))
    folder.mkdir(parents=True, exist_ok=True)
    curves = {arm: plots.curve(result) for arm, result in results.items()}
    plots.learning_curves(curves, folder / f"{claim.method}.png", title=f"{claim.method} on {found['task']}")
    write_json(folder / f"{claim.method}.json", found)
    return found


def load(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Every outcome on disk, by method."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
