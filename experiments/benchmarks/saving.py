"""What saving costs: the same sweep with and without an output folder, in turns, compile time taken off.

With a folder every segment writes its records, a log line and a checkpoint of the whole run, stores included.
"""

import sys
import tempfile
import time
from pathlib import Path

import purejaxo2o as o2o
from experiments.benchmarks.rows import Row, row
from purejaxo2o.drive.fit import Timing

CASES = (("iql", "pointmaze-umaze"), ("wsrl", "pointmaze-umaze"))
SEEDS = 4
ROUNDS = 2


def rows(*, quick: bool = False) -> list[Row]:
    """The share of a small run's wall time that its folder takes."""
    found = []
    for name, task_name in (("sac", "reach"),) if quick else CASES:
        print(f"saving: {name}", file=sys.stderr, flush=True)
        task = o2o.task(task_name)
        data = None if quick else o2o.dataset(task)
        recipe = o2o.recipe(name, task, scale="small")
        if quick:
            recipe = o2o.replace(recipe, {"online.steps": 40, "online.segments": 2, "eval_episodes": 2})
        samples = [(_wall(recipe, task, data, save), save) for _ in range(1 if quick else ROUNDS) for save in (0, 1)]
        without, folder = (min(seconds for seconds, save in samples if save == kind) for kind in (0, 1))
        segments = sum(phase.segments for phase in recipe.phases)
        label = f"{name} on {task_name}: checkpoints and logs"
        more = {"seeds": SEEDS, "without_s": without, "with_s": folder, "segments": segments}
        headline = f"Saving every segment ({name}, small): share of the run"
        found.append(row("saving", label, (folder - without) / folder, "share of the run", headline=headline, **more))
    return found


def _wall(recipe: o2o.Recipe, task: o2o.Task, data: o2o.Store | None, save: int) -> float:
    """Wall seconds of one sweep without its compilation."""
    timing = Timing()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run" if save else None
        began = time.perf_counter()
        o2o.sweep(recipe, task, data, seeds=SEEDS, out=out, progress=False, timing=timing)
        return time.perf_counter() - began - timing.compile
