"""`python -m experiments.studies.ppo`: is our PPO good enough to be used alone?

CartPole, Acrobot, Pendulum and brax's inverted pendulum, recipe `ppo` as it is published, beside the same sizes and
budget in one hand-written function (`experiments/benchmarks/plain_ppo.py`, PureJaxRL's manner): greedy returns at the
end, and the steps per second of one seed, without evaluations, compile time apart. Solved is what Gymnasium's
registry asks (Pendulum has no such number; -200 is customary). Writes a page, its figures and a picture to `--out`.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import purejaxo2o as o2o
from experiments.benchmarks import measure, plain_ppo
from experiments.benchmarks.rows import measured, origin
from purejaxo2o import envs
from purejaxo2o.cli.main import cache_compilations
from purejaxo2o.disk.files import replacing, write_json
from purejaxo2o.disk.rows import plain as plainly
from purejaxo2o.figures import plots, stats
from purejaxo2o.figures.tables import markdown_table
from purejaxo2o.tasks import make
from purejaxo2o.tasks.evaluate import evaluate

RESULTS = Path(__file__).resolve().parents[1] / "results" / "ppo"
ABOUT = (
    "Recipe `ppo` as it is published, beside the same sizes and budget in one hand-written function in the manner of "
    "PureJaxRL (`experiments/benchmarks/plain_ppo.py`). Written by `python -m experiments.studies.ppo`; what is "
    "measured stands there."
)
SOLVED = {
    "gymnax/CartPole-v1": 475.0,
    "gymnax/Acrobot-v1": -100.0,
    "gymnax/Pendulum-v1": -200.0,
    "brax/inverted_pendulum": 950.0,
}
EPISODES = 20
YLABEL = "0: untrained, 100: solved"
COLUMNS = {
    "task": "task",
    "steps": "steps",
    "solved": "solved at",
    "ours": "purejaxo2o",
    "by": "solved after",
    "theirs": "one function",
    "ratio": "steps/s, ours : theirs",
}


def theirs(recipe: o2o.Recipe, task: o2o.Task) -> Callable[[jax.Array], Any]:
    """The same run in one function: `key -> parameters`."""
    agent, (phase,) = recipe.agent, recipe.phases
    alike = ("learning_rate", "discount", "gae_lambda", "clip", "value_weight", "entropy_weight", "max_grad_norm")
    sizes = {name: getattr(agent, name) for name in (*alike, "epochs", "minibatches")}
    return lambda key: plain_ppo.train(
        key, task.env, steps=phase.steps, num_envs=recipe.num_envs, rollout=phase.rollout, **sizes
    )


def speeds(recipe: o2o.Recipe, task: o2o.Task) -> dict[str, dict[str, float]]:
    """Of one seed: steps per second, compile seconds."""
    bare = o2o.replace(recipe, {"online.segments": 1, "eval_episodes": 1})
    key = jax.random.key(0)
    programs = {
        "ours": measure.build(lambda key: o2o.train(key, bare, task).run.agent, key),
        "theirs": measure.build(theirs(recipe, task), key),
    }
    steps = recipe.phases[0].steps
    return {
        name: {"steps_per_s": steps / seconds, "compile_s": programs[name].compile_seconds}
        for name, seconds in measure.race(programs).items()
    }


def learned(recipe: o2o.Recipe, task: o2o.Task, seeds: int) -> tuple[o2o.Result, np.ndarray]:
    """Our result, and the mean greedy return of each of their seeds."""
    ours = o2o.sweep(recipe, task, seeds=seeds)
    train = theirs(recipe, task)

    @jax.jit
    def run(key: jax.Array) -> jax.Array:
        act = plain_ppo.policy(task.env, train(key))
        return evaluate(act, task.env, jax.random.fold_in(key, 1), episodes=EPISODES).returns.mean()

    return ours, np.array([run(jax.random.key(seed)) for seed in range(seeds)])


def outcome(name: str, seeds: int) -> tuple[dict[str, Any], o2o.Result]:
    """A row of the table, and our curves."""
    task = make(name, envs.make(name))
    recipe = dataclasses.replace(o2o.recipe("ppo", task), eval_episodes=EPISODES)
    ours, others = learned(recipe, task, seeds)
    curve = np.asarray(ours.returns).mean(-1)
    above = (curve.mean(0) >= SOLVED[name]).nonzero()[0]
    return {
        "task": name,
        "steps": recipe.phases[0].steps,
        "solved": SOLVED[name],
        "ours": stats.bootstrap_interval(curve[:, -1])._asdict(),
        "ours_by_seed": curve[:, -1],
        "solved_after_steps": int(ours.env_steps[0, above[0]]) if len(above) else None,
        "theirs": stats.bootstrap_interval(others)._asdict(),
        "theirs_by_seed": others,
        "speed": speeds(recipe, task),
    }, ours


def shares(result: o2o.Result, solved: float) -> dict[str, Any]:
    """Our curves, as shares of the way from the first evaluation to `solved`."""
    curve = np.asarray(result.returns).mean(-1)
    start = curve[:, 0].mean()
    return plots.curve(dataclasses.replace(result, scores=100 * (curve - start) / (solved - start)))


def write(rows: list[dict[str, Any]], seeds: int, folder: Path) -> None:
    """`figures.json` and `README.md`."""
    head = origin()
    write_json(folder / "figures.json", plainly({"about": head, "seeds": seeds, "rows": rows}))

    def shown(row: dict[str, Any]) -> dict[str, str]:
        speed = row["speed"]["ours"]["steps_per_s"] / row["speed"]["theirs"]["steps_per_s"]
        after = row["solved_after_steps"]
        means = {who: str(stats.Interval(**row[who])) for who in ("ours", "theirs")}
        return {
            "task": row["task"],
            "steps": f"{row['steps']:,}",
            "solved": f"{row['solved']:g}",
            "by": "not" if after is None else f"{after:,} steps",
            "ratio": f"{speed:.2f}",
        } | means

    text = ["# PPO alone", "", ABOUT, ""]
    text += [f"Mean return over {seeds} seeds with its 95% bootstrap interval, {EPISODES} episodes each.", ""]
    text += [markdown_table([shown(row) for row in rows], COLUMNS), "", "![curves](curves.png)", ""]
    text += [measured(head), ""]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join(text), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(SOLVED), choices=list(SOLVED))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    cache_compilations()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows, curves = [], {}
    for name in arguments.tasks:
        row, ours = outcome(name, arguments.seeds)
        print({key: row[key] for key in ("task", "ours", "theirs", "solved_after_steps", "speed")}, flush=True)
        rows.append(row)
        curves[name] = shares(ours, SOLVED[name])
    write(rows, arguments.seeds, arguments.out)
    plots.learning_curves(curves, arguments.out / "curves.png", title="PPO", ylabel=YLABEL)
    print(arguments.out / "README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
