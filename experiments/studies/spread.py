"""`python -m experiments.studies.spread`: how far apart do runs of the same seeds end?

A seed fixes every random number, not how XLA rounds: lanes side by side, the number of cores and the processor's
instructions change the last bit of a sum, training makes a difference of 1e-6 a difference of points, and the same
seed gives another curve. The demo's recipes and seeds are trained under each of `SETTINGS`, each in a process of its
own, and what differs is written beside the interval over seeds. Goes on where it was stopped.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import purejaxo2o as o2o
from experiments.benchmarks.rows import measured, origin
from purejaxo2o.cli.main import cache_compilations
from purejaxo2o.disk.files import replacing, write_json
from purejaxo2o.disk.results import load_results
from purejaxo2o.disk.rows import plain
from purejaxo2o.figures.stats import Interval, bootstrap_interval
from purejaxo2o.figures.tables import markdown_table

RESULTS = Path(__file__).resolve().parents[1] / "results" / "spread"
METHODS = ("naive", "wsrl", "cal_ql", "iql", "rlpd")
SEEDS = 5
FIGURES = {"dip": "dip", "final": "final", "online_auc": "online AUC"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """How the same seeds are run.

    width: lanes side by side; extra: further seeds beside them; cores: how many the process uses (None: all); flags:
    for XLA."""

    width: int
    extra: int = 0
    cores: int | None = None
    flags: str = ""


SETTINGS = {
    "one lane at a time": Setting(width=1),
    "5 lanes": Setting(width=5),
    "8 lanes": Setting(width=8, extra=3),
    "5 lanes, one core": Setting(width=5, cores=1),
    "5 lanes, as on a processor without AVX2": Setting(width=5, flags="--xla_cpu_max_isa=SSE4_2"),
}
SETTINGS_TEXT = "; ".join(SETTINGS)


def train(name: str, methods: Sequence[str], task_name: str, out: Path) -> None:
    """All methods under one setting, in this process; finished ones are left as they are."""
    setting = SETTINGS[name]
    if setting.cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.cores])
    cache_compilations()
    task = o2o.task(task_name)
    data = o2o.dataset(task)
    for method in methods:
        folder = out / folder_of(name) / method
        if not (folder / "results.npz").exists():
            recipe = o2o.recipe(method, task, scale="small")
            seeds = SEEDS + setting.extra
            o2o.sweep(recipe, task, data, seeds=seeds, width=setting.width, out=folder, resume=folder.exists())


def train_all(methods: Sequence[str], task: str, out: Path) -> None:
    """Every setting in a process of its own: XLA reads its flags once."""
    for name, setting in SETTINGS.items():
        flags = " ".join(filter(None, (os.environ.get("XLA_FLAGS"), setting.flags)))
        command = [sys.executable, "-m", "experiments.studies.spread", "--only", name]
        command += ["--methods", *methods, "--task", task, "--out", str(out)]
        print(name, file=sys.stderr, flush=True)
        subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, check=True)


def folder_of(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def values_of(methods: Sequence[str], out: Path) -> dict[str, dict[str, np.ndarray]]:
    """By method and figure, `[settings, seeds]`."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for method in methods:
        results = [load_results(out / folder_of(name) / method) for name in SETTINGS]
        found[method] = {
            figure: np.stack([np.asarray(result.handover[figure], float)[:SEEDS] for result in results])
            for figure in FIGURES
        }
    return found


def summary(values: np.ndarray) -> dict[str, Any]:
    """Of one method and figure `[settings, seeds]`.

    over_seeds: mean and 95% interval over seeds in the first setting; lowest, highest: the mean over seeds in the
    settings; of_mean, of_seed: standard deviation from run to run of that mean, and of a single seed."""
    means = values.mean(1)
    interval = bootstrap_interval(values[0])
    return {
        "over_seeds": [float(x) for x in interval],
        "lowest": float(means.min()),
        "highest": float(means.max()),
        "of_mean": float(means.std(ddof=1)),
        "of_seed": float(np.sqrt(values.var(0, ddof=1).mean())),
        "values": values.tolist(),
    }


COLUMNS = {
    "method": "method",
    "figure": "figure",
    "over_seeds": f"mean [95% over {SEEDS} seeds]",
    "range": "the mean in other settings",
    "of_mean": "its s.d. from run to run",
    "of_seed": "s.d. of one seed from run to run",
}


def lines(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, str]]:
    """Rows for a table, one per method and figure."""
    return [
        {
            "method": method,
            "figure": FIGURES[figure],
            "over_seeds": str(Interval(*row["over_seeds"])),
            "range": f"{row['lowest']:.1f} to {row['highest']:.1f}",
            "of_mean": f"{row['of_mean']:.1f}",
            "of_seed": f"{row['of_seed']:.1f}",
        }
        for method, figures in found.items()
        for figure, row in figures.items()
    ]


def of_seed(figure: str, folder: Path = RESULTS) -> float | None:
    """Standard deviation of one seed's `figure` from run to run, in points: the root mean square over the methods
    that were measured; None where nothing was measured."""
    path = folder / "figures.json"
    if figure not in FIGURES or not path.exists():
        return None
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"].values()
    return float(np.sqrt(np.mean([row[figure]["of_seed"] ** 2 for row in rows])))


def sentence(seeds: int, folder: Path = RESULTS) -> str:
    """What to write beside means over `seeds` seeds; empty where nothing was measured.

    Seeds move independently from run to run, so a mean moves by a seed's spread over the root of their number."""
    found = {text: of_seed(figure, folder) for figure, text in FIGURES.items()}
    if None in found.values():
        return ""
    moves = ", ".join(
        f"{spread / np.sqrt(seeds):.1f} ({text})" for text, spread in found.items() if spread is not None
    )
    return (
        f"Run again with other lanes, cores or instructions, a mean over {seeds} seeds moves by a standard deviation "
        f"of {moves} points (`python -m experiments.studies.spread`)."
    )


def write(found: Mapping[str, Mapping[str, Mapping[str, Any]]], task: str, folder: Path) -> None:
    """`figures.json` and `README.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    head = origin()
    write_json(
        folder / "figures.json", plain({"about": head, "task": task, "settings": SETTINGS_TEXT, "rows": found})
    )
    page = [
        "# The same seeds, run again",
        "",
        f"Written by `python -m experiments.studies.spread` ({task}, small scale, seeds 0 to {SEEDS - 1}). The same "
        f"keys are trained in {len(SETTINGS)} ways that differ in rounding alone: {SETTINGS_TEXT}. The first is the "
        "reference. A spread from run to run as large as that over seeds means that a seed's curve is one draw of "
        "many, and that a rerun elsewhere gives other figures within the interval, not the same ones.",
        "",
        markdown_table(lines(found), COLUMNS),
        "",
        measured(head),
        "",
    ]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join(page), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--task", default="pointmaze-umaze")
    parser.add_argument("--out", type=Path, default=Path("runs/spread"), help="run folders; goes on in them")
    parser.add_argument("--only", choices=SETTINGS, help="train under this setting and write no page")
    parser.add_argument("--page", type=Path, default=RESULTS, help="where README.md and figures.json go")
    arguments = parser.parse_args(argv)
    if arguments.only:
        train(arguments.only, arguments.methods, arguments.task, arguments.out)
        return 0
    train_all(arguments.methods, arguments.task, arguments.out)
    found = {
        method: {figure: summary(values) for figure, values in figures.items()}
        for method, figures in values_of(arguments.methods, arguments.out).items()
    }
    write(found, arguments.task, arguments.page)
    print((arguments.page / "README.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
