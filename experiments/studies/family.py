"""`python -m experiments.studies.family`: every recipe on four tasks at small scale, one table and one figure.

Tasks: PointMaze with poor, broad data; PointMaze with good, narrow data (the waypoint driver's); Pendulum with 20,000
steps of a policy a third of the way to the last one of SAC (recorded on first use by our own `collect`, within a
minute or two); and, for whom has discrete actions, a combination lock of ten steps with an epsilon-greedy player's
data. Same minibatches and networks for all, and the same environment steps but for what learns from fresh rollouts
(`recipes/budget.py`); recipes that cannot take part in a task are named with the reason.

Of what `scale="small"` has, minibatches are half as large, and evaluations half as many, of half as many episodes.
Every recipe and task is a sweep in a folder of its own under `--out`; interrupted, the same command goes on.
`--report` then writes what is finished to the results. Compiling is most of it and leaves cores idle: so there is a
process to a core (one on an accelerator), seeds run one after the other, programs are kept, and both mazes have as
many rows, for one program.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np

import purejaxo2o as o2o
from experiments import cores, pendulum
from experiments.benchmarks import arithmetic
from experiments.benchmarks.rows import measured, origin
from experiments.studies import spread
from purejaxo2o.cli.main import cache_compilations
from purejaxo2o.disk.files import replacing, write_json
from purejaxo2o.disk.results import load_results
from purejaxo2o.disk.rows import plain
from purejaxo2o.drive.fit import check_all
from purejaxo2o.figures import plots, stats
from purejaxo2o.figures.report import shown
from purejaxo2o.figures.tables import markdown_table
from purejaxo2o.loop import store

matplotlib.use("Agg")

RESULTS = Path(__file__).resolve().parents[1] / "results" / "family"
TASKS = {
    "pointmaze-umaze": None,
    "pointmaze-umaze-waypoint": None,
    "pendulum": pendulum.MEDIUM,
    "combination-lock": None,
}
"""Names, and the dataset where it is not the task's own."""
ROWS = 50_000
"""Of offline data, at most."""
EPISODES = 32
ABOUT = (
    "Written by `python -m experiments.studies.family --report`; what the tasks are stands there. Means with 95% "
    "bootstrap intervals over seeds, by area under the online curve. *TFLOP a run*: floating-point operations of all "
    "matrix products of one run, evaluations included.\n\n"
    "Settings are the papers' for the domain, not tuned to these tasks. So IQL and its relatives (`jsrl`, `pex`, "
    "`famo2o`) weigh a maze's actions with a temperature of 10, too greedy for narrow data: with `--set "
    "agent.temperature=` 0, 1, 3, 10 IQL has 96, 98, 84, 32 at the switch of `pointmaze-umaze-waypoint`. AWAC's "
    "temperature of 1/3 is nothing beside Pendulum's rewards of tens a step: with 1/3, 3, 30, 300 it has -28, -29, "
    "60, 56 at the switch (3 seeds). What has only its critics' disagreement to keep it near the data (`edac`, "
    "`so2`, `ro2o`) ends below random play there: on narrow data Pendulum's critics err alike, Q is +205 on average "
    "though every reward is negative (EDAC with 4, 10, 30 critics: +205, +115, +83, and -36 at the switch), "
    "and EDAC's own term has no gradient where actions have one dimension. With `full-replay-v0` of the same "
    "collection EDAC and RO2O have 100 at the switch (Q -126, -129; 3 seeds). `bppo` and `uni_o4` follow such "
    "critics away from a good clone: with 3e-4, 3e-5 and 1e-5 for the improvement BPPO ends at -16, 8 and "
    "48 (3 seeds, clones 52; the last with `polyak` 0.02)."
)
FIGURES = {
    "score_at_switch": "at the switch",
    "dip": "dip",
    "final": "final",
    "online_auc": "online AUC",
    "regret": "regret",
}


def task_of(name: str) -> o2o.Task:
    """The task with its data, which are recorded if they are not there."""
    task, dataset = o2o.task(name), TASKS[name]
    if dataset is None:
        return task
    pendulum.record()
    return dataclasses.replace(task, dataset=dataset)


def rows(task: o2o.Task) -> o2o.Store:
    """The task's data, at most `ROWS` of them; the last one ends its trajectory, by truncation if need be."""
    data = store.flat(o2o.dataset(task))
    data = jax.tree.map(lambda x: x[:ROWS], data)
    cut = data.truncated.at[-1].set(data.truncated[-1] | ~data.terminated[-1])
    return store.from_transitions(data._replace(truncated=cut))


def recipe_of(name: str, task: o2o.Task) -> o2o.Recipe:
    """The small recipe, cut down."""
    recipe = o2o.recipe(name, task, scale="small")

    def cut(phase: o2o.Phase) -> o2o.Phase:
        phase = dataclasses.replace(phase, batch_size=-(-phase.batch_size // 2))
        half = phase.segments // 2
        fits = half > 0 and phase.iterations(recipe.num_envs) * phase.segments % half == 0
        return dataclasses.replace(phase, segments=half) if phase.acts and fits else phase

    return dataclasses.replace(recipe, phases=tuple(map(cut, recipe.phases)), eval_episodes=EPISODES)


def given(name: str, task: o2o.Task, data: o2o.Store) -> tuple[o2o.Recipe, o2o.Store | None]:
    """What trains on the task, checked."""
    recipe = recipe_of(name, task)
    used = data if recipe.uses_offline else None
    check_all(recipe, task, used)
    return recipe, used


def train(name: str, tasks: Sequence[str], seeds: int, out: Path, progress: bool) -> dict[str, str]:
    """The sweeps of a recipe, or what is left of them; by task why it cannot take part."""
    refused = {}
    for task_name in tasks:
        folder = out / task_name / name
        if (folder / "results.npz").exists():
            continue
        task = task_of(task_name)
        try:
            recipe, data = given(name, task, rows(task))
            o2o.sweep(recipe, task, data, seeds=seeds, width=1, out=folder, resume=folder.exists(), progress=progress)
        except o2o.O2OError as error:
            refused[task_name] = str(error)
    return refused


def train_all(names: Sequence[str], tasks: Sequence[str], seeds: int, out: Path, processes: int) -> None:
    """Every recipe, `processes` of them at once; each line says how far things are."""
    began = time.monotonic()

    def say(done: int, name: str, refused: dict[str, str]) -> None:
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        print(f"{done} of {len(names)} recipes, {minutes}:{seconds:02d}: {name}", flush=True)
        for task_name, why in refused.items():
            print(f"{name} on {task_name}: {why}", file=sys.stderr, flush=True)

    if processes == 1:
        cache_compilations()
        for done, name in enumerate(names, 1):
            say(done, name, train(name, tasks, seeds, out, progress=True))
        return
    for task_name in tasks:
        rows(task_of(task_name))  # makes the data before the processes want them
    with cores.pool(processes) as pool:
        jobs = {pool.submit(train, name, tasks, seeds, out, progress=False): name for name in names}
        for done, job in enumerate(as_completed(jobs), 1):
            say(done, jobs[job], job.result())


def operations(recipe: o2o.Recipe, task: o2o.Task, data: o2o.Store | None) -> float:
    """Floating-point operations of one run's matrix products, evaluations included."""
    return arithmetic.traced(
        jax.make_jaxpr(lambda key, data: o2o.train(key, recipe, task, data))(jax.random.key(0), data)
    )


def outcome(names: Sequence[str], tasks: Sequence[str], out: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row per task and recipe; by task those that are not there, and why."""
    table: list[dict[str, Any]] = []
    refused: dict[str, dict[str, str]] = {}
    for task_name in tasks:
        task = task_of(task_name)
        data = rows(task)
        for name in names:
            try:
                recipe, used = given(name, task, data)
                (row,) = stats.summary({name: load_results(out / task_name / name)})
            except o2o.O2OError as error:
                refused.setdefault(task_name, {})[name] = str(error)
                continue
            steps = sum(phase.steps for phase in recipe.phases if phase.acts)
            tflop = operations(recipe, task, used) / 1e12
            table.append(row | {"task": task_name, "steps": steps, "tflop": tflop})
    return table, refused


def write(table: list[dict[str, Any]], refused: dict[str, dict[str, str]], folder: Path) -> None:
    """`figures.json`, `README.md`, `figure.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    head = origin()
    write_json(folder / "figures.json", plain({"about": head, "rows": table, "refused": refused}))
    draw(table, folder / "figure.png")
    text = ["# Every recipe side by side, small scale", "", ABOUT, ""]
    columns = {"method": "recipe", "seeds": "seeds", "steps": "online steps", **FIGURES, "tflop": "TFLOP a run"}
    for task in dict.fromkeys(row["task"] for row in table):
        best_first = sorted((row for row in table if row["task"] == task), key=_by_area)
        lines = [
            shown(row, FIGURES)
            | {"tflop": f"{row['tflop']:.2f}", "seeds": f"{row['seeds'] - row['diverged']} of {row['seeds']}"}
            | {"steps": f"{row['steps']:,}"}
            for row in best_first
        ]
        text += [f"## {task}", "", markdown_table(lines, columns), ""]
        if task in refused:
            text += [f"Without {', '.join(refused[task])}: why stands in `figures.json`.", ""]
    seeds = max((row["seeds"] for row in table), default=1)
    about = " ".join(filter(None, (measured(head), spread.sentence(seeds))))
    text += ["![figure](figure.png)", "", about, ""]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join(text), encoding="utf-8")


def _by_area(row: dict[str, Any]) -> tuple[bool, float]:
    """The largest area first, recipes that never act last."""
    return bool(np.isnan(row["online_auc"])), -row["online_auc"]


def draw(table: list[dict[str, Any]], path: Path) -> None:
    """A column per task: scores at the switch (ring), lowest after it (end of the line) and at the end (dot)."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in table))
    methods = list(dict.fromkeys(row["method"] for row in table))
    figure = Figure(figsize=(4.2 * len(tasks), 0.34 * len(methods) + 1.3), layout="constrained", dpi=130)
    for index, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), index + 1)
        for row in (row for row in table if row["task"] == task):
            y = -methods.index(row["method"])
            axes.plot([row["final_low"], row["final_high"]], [y, y], color="#1F77B4", lw=6, alpha=0.3)
            axes.plot([row["score_at_switch"], row["score_at_switch"] - row["dip"]], [y, y], color="#D62728", lw=1.5)
            axes.plot(row["score_at_switch"], y, "o", mfc="white", color="#555555")
            axes.plot(row["final"], y, "o", color="#1F77B4")
        axes.set_yticks([-i for i in range(len(methods))], methods if index == 0 else [])
        axes.set_ylim(-len(methods) + 0.4, 0.6)
        axes.grid(axis="x", color="#D5D9DF", lw=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(task, loc="left", fontweight="bold", fontsize=10)
        axes.set_xlabel("score: ring at the switch, red down to the lowest after, dot at the end", fontsize=7.5)
    plots.save(figure, path)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=o2o.recipes(), help="all by default")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/family"))
    parser.add_argument("--processes", type=int, help="recipes at once; one to a core by default, on a CPU")
    parser.add_argument("--report", action="store_true", help="train nothing, write what is there to the results")
    arguments = parser.parse_args(argv)
    if not arguments.report:
        processes = arguments.processes or cores.count()
        train_all(arguments.recipes, arguments.tasks, arguments.seeds, arguments.out, processes)
        return 0
    write(*outcome(arguments.recipes, arguments.tasks, arguments.out), RESULTS)
    print(RESULTS / "README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
