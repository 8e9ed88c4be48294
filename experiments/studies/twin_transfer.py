"""`python -m experiments.studies.twin_transfer`: does what is learned in the twin of Hopper hold in C MuJoCo?

1. Replay: recorded steps of the real `sbx/hopper/*` files, repeated by the twin from the recorded states.
2. Three IQL policies from `sbx/hopper/medium-v0`: pre-trained alone (on nothing but C data), then fine-tuned in the
   twin, and fine-tuned in C (`host/Hopper-v5`). Each is evaluated in both, 50 greedy episodes each; the two mean
   returns must agree within their joint 95% interval.

Needs the files (`MINARI_DATASETS_PATH`). Writes a page, its figures and a picture to `--out`.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.agents import IQL
from purejaxo2o.data.folder import root
from purejaxo2o.disk.files import replacing, write_json
from purejaxo2o.envs.twin import Twin, TwinState
from purejaxo2o.figures import plots, stats
from purejaxo2o.figures.tables import markdown_table
from purejaxo2o.loop import phases
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.tasks.evaluate import evaluate

DATASETS = ("sbx/hopper/medium-v0", "sbx/hopper/expert-v0", "sbx/hopper/medium-replay-v0")
BATCH = 200  # steps repeated at once; XLA may hang on a CPU above 256
ENGINES = {"twin": "mjx/Hopper-v5", "C": "host/Hopper-v5"}
LIMIT = {"position": 1e-5, "velocity": 1e-3, "obs": 1e-3, "reward": 1e-3}
"""Below these errors a step in float32 counts as repeated."""


def recorded(dataset: str, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """`count` random steps: states before and after, `action`, `obs` after, `reward`, `terminated`.

    Where the file keeps no states they are those of the observation, which lacks x and clips velocities at 10;
    such steps are left out."""
    rows, states = [], True
    with h5py.File(root() / dataset / "data" / "main_data.hdf5") as file:
        for episode in file.values():
            seen = episode["observations"][:].astype(np.float64)
            states = "infos/qpos" in episode
            if states:
                position, velocity = episode["infos/qpos"][:], episode["infos/qvel"][:]
            else:
                position, velocity = np.pad(seen[:, :5], ((0, 0), (1, 0))), seen[:, 5:]
            columns = position[:-1], velocity[:-1], position[1:], velocity[1:], episode["actions"][:], seen[1:]
            rows.append([*columns, episode["rewards"][:], episode["terminations"][:]])
    names = ("position", "velocity", "next_position", "next_velocity", "action", "obs", "reward", "terminated")
    table = dict(zip(names, map(np.concatenate, zip(*rows, strict=True)), strict=True))
    known = np.full(len(table["reward"]), True) if states else (np.abs(table["velocity"]) < 10).all(-1)
    if not states:
        known &= (np.abs(table["next_velocity"]) < 10).all(-1)
    chosen = np.sort(np.random.default_rng(seed).choice(np.flatnonzero(known), count, replace=False))
    return {name: column[chosen] for name, column in table.items()} | {"states": np.array(states)}


def replay(env: Twin, rows: dict[str, np.ndarray]) -> dict[str, Any]:
    """One-step errors of the twin `[median, 99th percentile, worst]`; the share of steps repeated within `LIMIT`."""
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, None)))
    found: list[Any] = []
    for first in range(0, len(rows["reward"]), BATCH):
        part = {name: column[first : first + BATCH] for name, column in rows.items() if name != "states"}
        found.append(step(_state(env, part), jnp.asarray(part["action"]), jax.random.key(0)))
    after, out = jax.tree.map(lambda *x: np.concatenate(x).astype(np.float64), *found)
    moved = rows["next_position"].copy()
    if not rows["states"]:  # x is unknown
        moved[:, 0] = after.origin[:, 0]
    after.position[:, :1] += after.origin
    gaps = {
        "position": np.abs(after.position - moved).max(-1),
        "velocity": np.abs(after.velocity - rows["next_velocity"]).max(-1),
        "obs": np.abs(out.obs - rows["obs"]).max(-1),
        "reward": np.abs(out.reward - rows["reward"]),
    }
    errors = {name: [float(x) for x in (*np.percentile(gap, (50, 99)), gap.max())] for name, gap in gaps.items()}
    repeated = np.all([gap < LIMIT[name] for name, gap in gaps.items()], axis=0)
    wrong = int((out.terminated != rows["terminated"]).sum())
    return {"repeated": float(repeated.mean()), "wrong ends": wrong, "ends": int(rows["terminated"].sum())} | errors


def _state(env: Twin, part: dict[str, np.ndarray]) -> TwinState:
    """Recorded states as the twin keeps them. The solver starts from nothing, and ends in the same place."""
    count, blank = len(part["reward"]), env.model.blank
    position = part["position"].copy()
    origin, position[:, : env.ROOTS] = position[:, : env.ROOTS].copy(), 0
    arrays = position, part["velocity"], np.zeros((count, blank.qvel.size)), np.zeros((count, *blank.xpos.shape))
    return TwinState(*(jnp.asarray(x, jnp.float32) for x in (*arrays, origin)), time=jnp.zeros(count, jnp.int32))


def trained(name: str, data: o2o.Store, task: Task, offline: int, online: int) -> tuple[Any, Any]:
    """Agent and its state after a run: pre-trained, and with `online` steps fine-tuned in the task's environment."""
    stages = [phases.offline(offline, segments=2)]
    if online:
        stages.append(phases.online(online, mix="by_size", segments=2, agent={"learning_rate": 1e-4}))
    agent = IQL(hidden=(128, 128), actor_hidden=(128, 128))
    recipe = Recipe(name="iql", agent=agent, phases=tuple(stages), eval_episodes=10)
    print(f"policy {name}: {offline} updates, {online} steps in {task.env.name}", file=sys.stderr, flush=True)
    result = o2o.fit(jax.random.key(0), recipe, task, data)
    return agent, result.run.agent


def judge(engine: str, episodes: int) -> Any:
    """`(agent, state, key) -> Evaluation` of `episodes` greedy episodes, one program for every policy."""
    env = envs.make(ENGINES[engine])

    @jax.jit
    def run(agent: Any, state: Any, key: jax.Array) -> Any:
        return evaluate(lambda obs, key: agent.act(state, obs, key, explore=False), env, key, episodes=episodes)

    return run


def judged(judges: dict[str, Any], agent: Any, state: Any) -> dict[str, Any]:
    """Returns and lengths of a policy in either engine, and their difference `[mean, low, high]`."""
    found = {}
    for index, (engine, run) in enumerate(judges.items()):
        result = run(agent, state, jax.random.key(100 + index))
        found[engine] = {key: np.asarray(getattr(result, key)).tolist() for key in ("returns", "lengths")}
        print(f"evaluated in {engine}: {np.mean(found[engine]['returns']):.0f}", file=sys.stderr, flush=True)
    return found | difference(*(np.array(found[engine]["returns"]) for engine in ENGINES))


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Of two means, with its 95% bootstrap interval, and whether that holds zero."""
    found = stats.difference_interval(ours, theirs, paired=False)
    return {"difference": [float(x) for x in found], "agree": bool(found.low <= 0 <= found.high)}


def study(rows: int, offline: int, online: int, episodes: int) -> dict[str, Any]:
    """Everything, as figures."""
    steps: dict[str, Any] = {}
    for physics in ("mujoco>=3.5", "mujoco<=3.4"):
        env: Any = envs.make(ENGINES["twin"], physics=physics)
        for dataset in DATASETS:
            steps[f"{dataset} {physics}"] = replay(env, recorded(dataset, rows))
            print(f"replayed {dataset} under {physics}", file=sys.stderr, flush=True)
    task, data = o2o.task_from_minari(DATASETS[0], reference=(-20.27, 3234.3)), o2o.dataset(DATASETS[0])
    in_c = envs.make(ENGINES["C"])  # also watches the training: its programs compile in no time
    in_twin, in_c = (dataclasses.replace(task, env=env, eval_env=in_c) for env in (task.env, in_c))
    runs = {
        "pre-trained on C data": (in_c, 0),
        "fine-tuned in the twin": (in_twin, online),
        "fine-tuned in C": (in_c, online),
    }
    judges = {engine: judge(engine, episodes) for engine in ENGINES}
    policies = {
        name: judged(judges, *trained(name, data, where, offline, length)) for name, (where, length) in runs.items()
    }
    sizes = {"rows": rows, "offline": offline, "online": online, "episodes": episodes}
    return {"sizes": sizes, "replay": steps, "policies": policies}


def page(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    sizes = found["sizes"]
    steps = [
        {"data": name.partition(" ")[0], "twin's physics": name.partition(" ")[2]}
        | {"repeated": f"{one['repeated']:.2%}", "wrong ends": f"{one['wrong ends']} of {one['ends']}"}
        | {key: " / ".join(f"{x:.0e}" for x in one[key]) for key in LIMIT}
        for name, one in found["replay"].items()
    ]
    policies = [
        {"policy": name}
        | {engine: str(_mean(one[engine]["returns"])) for engine in ENGINES}
        | {"twin - C": "{:+.0f} [{:+.0f}, {:+.0f}]".format(*one["difference"])}
        | {"agree": "yes" if one["agree"] else "no"}
        | {f"steps in {engine}": f"{np.mean(one[engine]['lengths']):.0f}" for engine in ENGINES}
        for name, one in found["policies"].items()
    ]
    limits = ", ".join(f"{name} {limit:.0e}" for name, limit in LIMIT.items())
    return f"""# What is learned in the twin of Hopper-v5, in C MuJoCo

Made by `python -m experiments.studies.twin_transfer` in float32 on a CPU.

## Real recordings, repeated step by step

{sizes["rows"]} random steps of each file, from the recorded states (medium-replay keeps none: they are rebuilt
from the observations). Errors: median / 99th percentile / worst. `repeated`: all of {limits}.

{markdown_table(steps)}

The files were recorded with MuJoCo 4.0, whose contact margins are those of `mujoco>=3.5`.

## Policies, in both engines

IQL on `{DATASETS[0]}`: {sizes["offline"]} updates, then {sizes["online"]} steps of fine-tuning.
Mean return of {sizes["episodes"]} greedy episodes [95% interval], start states drawn independently; the difference
has its joint 95% interval.

{markdown_table(policies)}

![Mean returns](returns.png)
"""


def _mean(returns: list[float]) -> stats.Interval:
    return stats.bootstrap_interval(np.array(returns))


def picture(found: dict[str, Any], path: Path) -> None:
    """Mean return of every policy in either engine."""
    rows = []
    for name, one in found["policies"].items():
        for engine in ENGINES:
            mean, low, high = _mean(one[engine]["returns"])
            rows.append({"method": f"{name}, in {engine}", "final": mean, "final_low": low, "final_high": high})
    plots.intervals(rows, path, title="Hopper-v5: one policy in two engines", xlabel="mean return, 95% interval")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000, help="steps replayed of each file")
    parser.add_argument("--offline", type=int, default=10_000, help="updates of pre-training")
    parser.add_argument("--online", type=int, default=3_000, help="steps of fine-tuning")
    parser.add_argument("--episodes", type=int, default=50, help="of each evaluation")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/twin-transfer"))
    arguments = parser.parse_args(argv)
    found = study(arguments.rows, arguments.offline, arguments.online, arguments.episodes)
    picture(found, arguments.out / "returns.png")
    write_json(arguments.out / "figures.json", found)
    with replacing(arguments.out / "README.md") as temporary:
        temporary.write_text(page(found), encoding="utf-8")
    print(arguments.out / "README.md")
    return 0 if all(one["agree"] for one in found["policies"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
