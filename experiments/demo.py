"""`make demo`: six ways to get from a suboptimal dataset to a policy that solves PointMaze, side by side.

Every method runs all its seeds in one jitted program (dataset, environment, hand-over and evaluation inside), its
segments driven from the host so that progress shows. Writes `curves.png`, `table.md`,
`figures.json` and a run folder per method.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import jax

import purejaxo2o as o2o
from experiments.benchmarks.rows import measured, origin
from experiments.studies import spread
from purejaxo2o.drive.fit import Timing
from purejaxo2o.figures.report import COLUMNS, report, rows
from purejaxo2o.figures.tables import table

METHODS = ("sac", "naive", "iql", "cal_ql", "rlpd", "wsrl")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pointmaze-umaze")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="seeds below it are left out")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="replaced if it exists")
    arguments = parser.parse_args(argv)
    began = time.perf_counter()
    task = o2o.task(arguments.task)
    print(f"{task.name}: loading {task.dataset} (made on first use)", file=sys.stderr, flush=True)
    data = o2o.dataset(task)
    last = arguments.first_seed + arguments.seeds - 1
    seeds = range(arguments.first_seed, last + 1)
    # One lane at a time on a CPU, where more are no faster: a seed's figures are then the same beside any others.
    width = 1 if jax.default_backend() == "cpu" else None
    shutil.rmtree(arguments.out, ignore_errors=True)
    results, timings = {}, {}
    for name in arguments.methods:
        timings[name] = Timing()
        recipe = o2o.recipe(name, task, scale="small")
        folder = arguments.out / name
        results[name] = o2o.sweep(recipe, task, data, seeds=seeds, width=width, out=folder, timing=timings[name])
    printed = rows(results)
    for row in printed:
        row["run s"] = f"{timings[row['method']].run:.0f}"
        row["compile s"] = f"{timings[row['method']].compile:.0f}"
    columns = COLUMNS | {"run s": "run s", "compile s": "compile s"}
    print(table(printed, columns, title=f"{task.name}: mean [95% bootstrap interval] over seeds", width=170))
    note = f"{task.name}, small scale, seeds {arguments.first_seed} to {last}. {measured(origin())}"
    note = " ".join(filter(None, (note, spread.sentence(arguments.seeds))))
    picture = report(results, arguments.out, title=f"{task.name}, {arguments.seeds} seeds", note=note)
    print(f"{time.perf_counter() - began:.0f} s in all; picture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
