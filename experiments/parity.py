"""`python -m experiments.parity`: how far the twins are from Gymnasium's C environments, step by step.

Gymnasium plays random actions; the twin repeats every step from the recorded state (teacher-forced: the error of one
step), and plays the same actions open-loop from the first state (how errors grow). Physics `mujoco<=3.4` is compared
with today's C and halved contact margins, which is that engine (`tests/test_mjx.py` holds it against a recording).
Float64 shows that both are the same function; float32 is what one trains in. Each precision is a process of its own.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import episodes
from experiments.recording import Recording, load, original, record
from purejaxo2o import envs
from purejaxo2o.envs.mjx import IDS
from purejaxo2o.envs.twin import Twin, TwinState
from purejaxo2o.figures.tables import markdown_table

RESULT = Path("experiments/results/parity.md")  # and .json, to which a run adds what it measured
OPEN_LOOP = (1, 10, 100)
ENGINES = ("mujoco>=3.5", "mujoco<=3.4")
PATIENT = 1e-14
"""Tolerance with which C's solver goes on until nothing changes any more; ours does at the models' 1e-8 already."""
OF_BOTH = ("mjx/Hopper-v5", "mjx/Ant-v5")
"""Twins for which the engine matters; the others' contacts have no margin."""
OLDER = ("mjx/Walker2d-v4",)
"""Twins of v4 that have physics of their own; the others' tasks differ, which `tests/test_robots.py` compares."""


def forced(env: Twin, recording: Recording, step: int) -> TwinState:
    """The recorded states `[N, ...]` before a step, as the twin keeps them."""
    position, bodies = recording.position[step].copy(), recording.bodies[step].copy()
    origin = position[:, : env.ROOTS].copy()
    position[:, : env.ROOTS] = 0
    bodies[:, :, : env.ROOTS] -= origin[:, None]
    state = (position, recording.velocity[step], recording.warmstart[step], bodies, origin)
    dtype = env.model.blank.qpos.dtype
    return TwinState(*(jnp.asarray(x, dtype) for x in state), time=jnp.zeros(len(position), jnp.int32))


def measure(env: Twin, recording: Recording) -> dict[str, Any]:
    """Largest one-step errors over the recording, and open-loop ones `[median, worst]` over its copies.

    `exact`: share of the steps whose positions and velocities are right to 1e-10."""
    step = _step(env)
    key, state = jax.random.key(0), forced(env, recording, 0)
    errors, exact, flags, growth = [], [], 0, {}
    for t, action in enumerate(jnp.asarray(recording.action)):
        wanted = recording.position[t + 1], recording.velocity[t + 1]
        after, out = step(forced(env, recording, t), action, key)
        seen = np.asarray(out.obs) - recording.obs[t], np.asarray(out.reward) - recording.reward[t]
        gaps = _gaps(env, after, *wanted)
        errors.append([np.abs(gap).max() for gap in (*gaps, *seen)])
        exact.append(np.abs(np.concatenate(gaps, axis=-1)).max(-1) < 1e-10)
        flags += int((np.asarray(out.terminated) != recording.terminated[t]).sum())
        state, _ = step(state, action, key)
        if t + 1 in OPEN_LOOP:
            apart = [np.abs(gap).max(-1) for gap in _gaps(env, state, *wanted)]
            growth[str(t + 1)] = [[float(np.median(x)), float(x.max())] for x in apart]
    worst: dict[str, float] = dict(
        zip(("position", "velocity", "obs", "reward"), np.max(errors, axis=0).tolist(), strict=True)
    )
    worst["exact"] = float(np.mean(exact))
    return {**worst, "flags": flags, "ends": int(recording.terminated.sum()), "open loop": growth}


@functools.lru_cache
def _step(env: Twin) -> Any:
    return jax.jit(jax.vmap(env.step, in_axes=(0, 0, None)))


def _gaps(env: Twin, state: TwinState, position: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors `[N, nq]` and `[N, nv]`, in m, rad and seconds."""
    reached = np.array(state.position, np.float64)
    reached[:, : env.ROOTS] += np.asarray(state.origin)
    return reached - position, np.asarray(state.velocity) - velocity


def compare(name: str, physics: str, copies: int, steps: int, file: Path | None = None) -> dict[str, Any]:
    """`measure` of one twin with its default settings, against a fresh recording or one out of a file."""
    env: Any = envs.make(name, physics=physics)
    short = name.removeprefix("mjx/")
    recording = load(file, short) if file else record(original(short, physics), copies, steps)
    found = {"env": name, "physics": physics, "copies": copies, "steps": steps, **measure(env, recording)}
    if jax.config.values["jax_enable_x64"] and not file:
        patient = record(original(short, physics, tolerance=PATIENT), copies, steps)
        found["exact, C patient"] = measure(env, patient)["exact"]
    return found


def in_float64(*arguments: str, hasty: bool = False) -> list[dict[str, Any]]:
    """The results of this program, run with `arguments` in a process that computes in float64.

    hasty: half the compiling, but slow steps; for a few of them."""
    settings = {"JAX_ENABLE_X64": "1"} | ({"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} if hasty else {})
    cache = jax.config.values["jax_compilation_cache_dir"]
    settings |= {"JAX_COMPILATION_CACHE_DIR": cache} if cache else {}
    command = [sys.executable, "-m", "experiments.parity", "--json", *arguments]
    done = subprocess.run(command, env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    newest = [name for name in IDS if name.endswith("v5")]
    parser.add_argument("--envs", nargs="+", default=[*newest, *OLDER])
    parser.add_argument("--physics", nargs="+", default=None, help="by default both where it matters")
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--episodes", type=int, default=200, help="of random play, to compare returns and lengths")
    parser.add_argument("--file", type=Path, help="a recording to compare with, in place of a fresh one")
    parser.add_argument(
        "--json", action="store_true", help="only print, a line a result, in this process's precision"
    )
    arguments = parser.parse_args(argv)
    size = arguments.copies, arguments.steps
    for name in arguments.envs:
        for physics in arguments.physics or ENGINES[: 1 + (name in OF_BOTH)]:
            found = compare(name, physics, *size, arguments.file)
            if arguments.json:
                print(json.dumps(found), flush=True)
            else:
                given = "--envs", name, "--physics", physics, "--copies", str(size[0]), "--steps", str(size[1])
                whole = episodes.compare(name, physics, arguments.episodes)
                add(f"{name} {physics}", {"float64": in_float64(*given)[0], "float32": found, "episodes": whole})
    return 0


def add(case: str, found: dict[str, Any]) -> None:
    """Put a result beside those of earlier runs, and write the page."""
    path = RESULT.with_suffix(".json")
    results = json.loads(path.read_text()) if path.exists() else {}
    results = dict(sorted({**results, case: found}.items()))
    path.write_text(json.dumps(results, indent=1) + "\n")
    RESULT.write_text(page(results))
    print(f"{case}: written to {RESULT}", flush=True)


def row(found: dict[str, Any], precision: str) -> dict[str, Any]:
    """One line of the table."""
    line = {"twin": found["env"], "physics": found["physics"], "precision": precision}
    line |= {name: f"{found[name]:.0e}" for name in ("position", "velocity", "obs", "reward")}
    for name in ("exact", "exact, C patient"):
        line[name] = f"{found[name]:.2%}" if precision == "float64" and name in found else "-"
    line["flags"] = f"{found['flags']} of {found['ends']}"
    for steps in OPEN_LOOP[1:]:
        apart = found["open loop"].get(str(steps))
        line[f"open{steps}"] = " ".join(f"{median:.0e}/{worst:.0e}" for median, worst in apart) if apart else "-"
    return line


def page(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    import gymnasium
    import mujoco

    rows = [row(case[precision], precision) for case in results.values() for precision in ("float64", "float32")]
    whole = [
        {name: case["float32"][key] for name, key in (("twin", "env"), ("physics", "physics"))}
        | episodes.row(case["episodes"])
        for case in results.values()
        if "episodes" in case
    ]
    headings = {name: name for name in ("twin", "physics", "precision", "position", "velocity", "obs", "reward")}
    headings |= {
        "exact": "exact",
        "exact, C patient": "exact, C patient",
        "flags": "wrong flags of ends",
        "open10": "10 steps: q, v",
        "open100": "100 steps: q, v",
    }
    versions = f"gymnasium {gymnasium.__version__}, mujoco {mujoco.__version__}, jax {jax.__version__}"
    return f"""# The twins against Gymnasium's C environments

Made by `python -m experiments.parity` on a CPU ({versions}).
Eight trajectories of 100 random steps each, which go on after an episode's end, so that falls and lying robots are in
them.

`position` (m, rad), `velocity` (m/s, rad/s), `obs`, `reward`: largest error of one step, over every step, from the
recorded state. `exact`: steps right to 1e-10. On some steps C's solver stops within the models' tolerance of 1e-8
where ours takes one more iteration: `exact, C patient` are the steps right to 1e-10 where C plays with a tolerance of
{PATIENT:.0e}. `flags`: `terminated` that differ, of the recorded
terminations. Last columns: open-loop error of positions and of velocities after so many steps, median/worst
trajectory. Walking robots are chaotic: rounding the start to float32 makes C itself part from C within 100 steps.
A twin that is missing here was not run yet (`--envs` adds one).

{markdown_table(rows, headings)}

## Whole episodes

Mean return and length of random play, {episodes.LIMIT} steps at most, with 95% intervals;
`apart`: the difference of the means in its standard errors.

{markdown_table(whole, episodes.HEADINGS)}
"""


if __name__ == "__main__":
    sys.exit(main())
