"""A whole run, offline phase to last evaluation, against the same recipe in an ordinary host loop.

Same agent, networks, minibatches, environment steps and evaluation episodes, compile time apart on both sides. Ours
is one jitted program (`o2o.train`); theirs is `host_loop.py`, with our environment's jitted `step` called from Python
(generous) and, where the same task exists there, with Gymnasium's. Both learn, which the final scores show. Several
seeds are one vmapped program for us and runs one after another for a host loop (its one run times their number).
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax

import purejaxo2o as o2o
from experiments.benchmarks import host_envs, host_loop
from experiments.benchmarks.measure import Program, build, race, seconds
from experiments.benchmarks.rows import Row, missing, row
from experiments.benchmarks.turns import turn
from purejaxo2o.drive.sweep import seed_keys

CASES = (("iql", "pointmaze-umaze"),)
SEEDS = {"cpu": (1, 4), "gpu": (1, 64)}
"""Side by side, by kind of device."""
EPISODES = 10
ROUNDS = 2
HEADLINE = "iql"
GYMNASIUM: dict[str, tuple[str, str, dict[str, Any]]] = {  # task: module that registers, id, settings
    "pointmaze-umaze": ("gymnasium_robotics", "PointMaze_UMaze-v3", {"continuing_task": False}),
}


def rows(*, quick: bool = False) -> list[Row]:
    """For each case one row per environment of the host loop and number of seeds."""
    found = []
    for name, task_name in CASES[:1] if quick else CASES:
        print(f"whole_run: {name} on {task_name}", file=sys.stderr, flush=True)
        found += _case(name, task_name, quick)
    return found


def shortened(name: str, task: o2o.Task, quick: bool) -> o2o.Recipe:
    """The small recipe with few evaluations, which would otherwise be most of a host loop's time."""
    recipe = o2o.recipe(name, task, scale="small")
    changes: dict[str, Any] = {"eval_episodes": 1 if quick else EPISODES}
    for phase in recipe.phases:
        segments = min(phase.segments, 2)
        steps = 40 if quick else phase.steps
        changes |= {f"{phase.name}.segments": segments, f"{phase.name}.steps": steps // segments * segments}
    return o2o.replace(recipe, changes)


def _case(name: str, task_name: str, quick: bool) -> list[Row]:
    task = o2o.task(task_name)
    recipe = shortened(name, task, quick)
    data = o2o.dataset(task) if recipe.uses_offline else None
    programs: dict[int, Program] = {}
    counts = SEEDS.get(jax.default_backend(), SEEDS["gpu"])
    for seeds in counts:
        train: Any = o2o.train if seeds == 1 else jax.vmap(o2o.train, in_axes=(0, None, None, None))
        keys = seed_keys(seeds)
        programs[seeds] = build(train, keys[0] if seeds == 1 else keys, recipe, task, data)
    with turn():
        return _compared(name, recipe, task, data, programs)


def _compared(
    name: str, recipe: o2o.Recipe, task: o2o.Task, data: o2o.Store | None, programs: Mapping[int, Program]
) -> list[Row]:
    """Our programs, by number of seeds, against host loops."""
    scores = {seeds: float(program().scores[..., -1].mean()) for seeds, program in programs.items()}  # warms up, too
    ours = {seeds: race({"run": program}, rounds=ROUNDS, warm=False)["run"] for seeds, program in programs.items()}
    found = []
    for place, make in _environments(task).items():
        label = f"{name} on {task.name}, host loop on {place}"
        if isinstance(make, str):
            found.append(missing("whole_run", label, "x", make))
            continue
        host = host_loop.run(recipe, task, data, make)
        again = seconds(programs[1])  # after the host loop too, in case the machine changed its pace
        for seeds, program in programs.items():
            best = min(ours[seeds], again if seeds == 1 else float("inf"))
            more = {} if (name, place) != (HEADLINE, "jax") else {"headline": _headline(seeds)}
            figures = {
                "run_s": best,
                "host_s": host.seconds * seeds,
                "score": scores[seeds],
                "host_score": host.scores[-1],
                "host_compile_s": host.compile_seconds,
                "env_steps": sum(p.steps for p in recipe.phases if p.acts),
                "updates": sum(p.iterations(1) * p.segments * p.updates for p in recipe.phases),
                "evaluations": 1 + sum(p.segments for p in recipe.phases),
                "episodes": recipe.eval_episodes,
            }
            ratio = host.seconds * seeds / best
            found.append(row("whole_run", label, ratio, "x", program.compile_seconds, seeds=seeds, **figures, **more))
    return found


def _headline(seeds: int) -> str:
    return f"A whole IQL run, {seeds} seed{'s' * (seeds > 1)}, against a host loop"


def _environments(task: o2o.Task) -> Mapping[str, Callable[[int], host_envs.Stepped] | str]:
    """By place: how to make the environment, or why it cannot be had."""
    found: dict[str, Any] = {"jax": lambda seed: host_envs.FromJax(task.env, seed)}
    module, env_id, settings = GYMNASIUM[task.name]
    try:
        importlib.import_module(module)
    except ImportError:
        return found | {"gymnasium": f"{module} is not installed"}
    import gymnasium

    if module != "gymnasium":
        gymnasium.register_envs(importlib.import_module(module))
    return found | {"gymnasium": lambda seed: host_envs.FromGymnasium(gymnasium.make(env_id, **settings), seed)}
