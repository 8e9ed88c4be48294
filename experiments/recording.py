"""Random play in Gymnasium's C environments, for the twins to repeat. Needs gymnasium, mujoco and NumPy alone.

`python -m experiments.recording FILE` keeps one in a file; with `mujoco==3.2.3` installed it made
`tests/recordings/mujoco-3.2.3.npz`, the engine of Minari's datasets.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

HOLD = 3  # steps for which a random action is kept


class Recording(NamedTuple):
    """Time first: states are `[T + 1, N, ...]`, steps `[T, N, ...]`."""

    position: np.ndarray  # [nq]
    velocity: np.ndarray  # [nv]
    warmstart: np.ndarray  # [nv]
    bodies: np.ndarray  # [nbody, 3]
    action: np.ndarray  # [nu] in [-1, 1]
    obs: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray


def original(name: str, physics: str = "mujoco>=3.5", tolerance: float | None = None, **options: Any) -> Any:
    """The environment of which `name` (with or without `mjx/`) has a twin, with the contact margins of an engine;
    `options` of its constructor. tolerance: at which its solver stops, by default the model's 1e-8."""
    made: Any = gymnasium.make(name.removeprefix("mjx/"), **options).unwrapped
    if tolerance is not None:
        made.model.opt.tolerance = tolerance
    if physics == "mujoco<=3.4":  # margins of a pair were the larger one, not the sum
        made.model.geom_margin *= 0.5
    return made


def record(reference: Any, copies: int, steps: int, seed: int = 0) -> Recording:
    """`steps` steps in each of `copies` episodes, also past their end.

    The first begins with a reset, each other one five random steps later than the one before it."""
    rng, rows = np.random.default_rng(seed), []
    for copy in range(copies):
        reference.reset(seed=seed + copy)
        total = 5 * copy + steps
        actions = rng.uniform(-1, 1, (total // HOLD + 1, reference.model.nu)).astype(np.float32)
        states, outcomes = [], []
        for action in np.repeat(actions, HOLD, axis=0)[:total]:
            states.append(_state(reference.data))
            obs, reward, terminated, _, _ = reference.step(action.astype(float) * reference.action_space.high)
            outcomes.append((action, obs, reward, terminated))
        states.append(_state(reference.data))
        columns = [*zip(*states[-steps - 1 :], strict=True), *zip(*outcomes[-steps:], strict=True)]
        rows.append([np.array(column) for column in columns])
    return Recording(*(np.stack(x, axis=1) for x in zip(*rows, strict=True)))


def _state(data: Any) -> tuple[np.ndarray, ...]:
    return tuple(x.copy() for x in (data.qpos, data.qvel, data.qacc_warmstart, data.xpos))


def save(path: Path, recordings: dict[str, Recording]) -> None:
    """Several recordings, by environment, in one compressed file."""
    arrays = {f"{name}/{key}": x for name, r in recordings.items() for key, x in r._asdict().items()}
    np.savez_compressed(path, **arrays)


def load(path: Path, name: str) -> Recording:
    """The recording of one environment out of a file that `save` wrote."""
    with np.load(path) as stored:
        return Recording(*(stored[f"{name}/{field}"] for field in Recording._fields))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--envs", nargs="+", default=["Hopper-v5", "Ant-v5", "HalfCheetah-v5"])
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args(argv)
    given = arguments.copies, arguments.steps
    save(arguments.file, {name: record(original(name), *given) for name in arguments.envs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
