"""Reference scores, so that returns of different tasks can be compared.

D4RL's table (`Farama-Foundation/D4RL`, `d4rl/infos.py`): the return of a random policy and of an expert. It is
keyed by D4RL ids (`hopper-medium-v2`) and, because the scale is the same, by Gymnasium's environments (`Hopper-v5`).
Environment versions differ between the two, so a Minari score is on D4RL's scale without being comparable to a
published D4RL number. Where a dataset declares its environment, that decides, whatever folder the dataset lies in.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from purejaxo2o.loop.task import checked
from purejaxo2o.types import Array

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

Returns = TypeVar("Returns", float, np.ndarray, Array)

DOMAINS: dict[str, tuple[float, float]] = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
    "antmaze": (0.0, 1.0),  # 1 once, at the goal, where the episode ends
    "antmaze-eval": (0.0, 1.0),
    "pen": (96.262799, 3076.8331017826877),
    "hammer": (-274.856578, 12794.134825156867),
    "door": (-56.512833, 2880.5693087298737),
    "relocate": (-6.425911, 4233.877797728884),
    "kitchen": (0.0, 4.0),  # completed subtasks
    "flow-ring": (-165.22, 24.42),
    "flow-merge": (118.67993, 330.03179),
    "minigrid-fourrooms": (0.01442, 2.89685),
    "bullet-halfcheetah": (-1275.766996, 2381.6725),
    "bullet-hopper": (20.058972, 1441.8059623430963),
    "bullet-ant": (373.705955, 2650.495),
    "bullet-walker2d": (16.523877, 1623.6476303317536),
}
"""Scores shared by every dataset of a domain, however it was recorded."""

EXACT: dict[str, tuple[float, float]] = {
    "maze2d-open-v0": (0.01, 20.66),
    "maze2d-umaze-v1": (23.85, 161.86),
    "maze2d-medium-v1": (13.13, 277.39),
    "maze2d-large-v1": (6.7, 273.99),
    "maze2d-open-dense-v0": (11.17817, 27.166538620695782),
    "maze2d-umaze-dense-v1": (68.537689, 193.66285642381482),
    "maze2d-medium-dense-v1": (44.264742, 297.4552547777125),
    "maze2d-large-dense-v1": (30.569041, 303.4857382709002),
    "bullet-maze2d-open-v0": (8.75, 64.15),
    "bullet-maze2d-umaze-v0": (32.46, 153.99),
    "bullet-maze2d-medium-v0": (14.87, 238.05),
    "bullet-maze2d-large-v0": (1.82, 285.92),
    "minigrid-fourrooms-v0": (0.01442, 2.89685),
    "carla-lane-v0": (-0.8503839912088142, 1023.5784385429523),
    "carla-town-v0": (-114.81579500772153, 2440.1772022247314),
}
"""Scores of single D4RL ids."""

ENVIRONMENTS: dict[str, tuple[float, float]] = {
    "gymnax/Pendulum-v1": (-1200.0, -150.0),  # uniformly random; a converged SAC
    "gymnax/CartPole-v1": (20.0, 500.0),  # uniformly random; the time limit
    "gymnax/Breakout-MinAtar": (0.4, 10.0),  # uniformly random; DQN after five million frames (Young & Tian 2019)
    "toy/reach": (0.0, 1.0),
    "toy/combination-lock": (0.0, 1.0),  # 1 once, at the last step; a random policy gets about 0.05, lured
    "toy/continuous-lock": (0.0, 1.0),
    "maze/PointMaze_UMaze-v3": (0.0, 1.0),  # episodic variant: 1 once, at the goal; the score is the success rate
    "maze/PointMaze_Medium-v3": (0.0, 1.0),
    "maze/PointMaze_Large-v3": (0.0, 1.0),
}
"""Scores of our own tasks, by environment id."""

GYMNASIUM: dict[str, str] = {
    **{robot: robot.lower() for robot in ("HalfCheetah", "Hopper", "Walker2d", "Ant")},
    **{f"AdroitHand{task}": task.lower() for task in ("Pen", "Hammer", "Door", "Relocate")},
}
"""Domain of D4RL by Gymnasium's id without its version."""

RECORDINGS = re.compile(
    r"-(random(-expert)?|medium(-replay|-expert)?|expert|full-replay|human(-longhorizon)?|cloned|complete|partial|mixed|controller"
    r"|(umaze|medium|large)(-diverse|-play)?)?(-v\d+)?$"
)
"""What follows the domain in a D4RL id."""


def reference(name: str) -> tuple[float, float] | None:
    """Random and expert return `(low, high)` for a D4RL id, a Minari id or a bare domain; None if unknown."""
    if name in EXACT:
        return EXACT[name]
    *folders, leaf = name.split("/")
    for part in reversed(folders):
        if part in DOMAINS:
            return DOMAINS[part]
    if folders:
        return None
    return DOMAINS.get(leaf) or DOMAINS.get(RECORDINGS.sub("", leaf, count=1))


def of_dataset(
    name: str, metadata: Mapping[str, Any], spec: "EnvSpec | None", declared: tuple[Any, Any] | None
) -> tuple[float, float] | None:
    """Reference of the dataset `name`: what it declares itself, else what is known of the environment that it was
    recorded in (`spec`, or the one noted by `purejaxo2o collect`). Only where there is none does its name decide.

    Raises `O2OError` for declared scores that are no reference."""
    if declared is not None:
        return checked(declared, f"dataset {name!r}: its (ref_min_score, ref_max_score)")
    if spec is not None:
        return of_gymnasium(spec.id, spec.kwargs)
    provenance = metadata.get("provenance")
    noted = provenance.get("environment") if isinstance(provenance, Mapping) else None
    return of_environment(noted) if isinstance(noted, str) else reference(name)


def of_environment(name: str) -> tuple[float, float] | None:
    """Random and expert return of an environment of ours by its id, a twin's those of its D4RL domain."""
    family, _, short = name.partition("/")
    if family in ("mjx", "host"):
        return of_gymnasium(short, {})
    if family == "maze" and "Dense" not in short:
        return DOMAINS["antmaze"]  # of episodic ones
    return ENVIRONMENTS.get(name)


def of(env: Any) -> tuple[float, float] | None:
    """Random and expert return of an environment; None if unknown, as in a maze that goes on and pays repeatedly."""
    return None if getattr(env, "continuing_task", False) else of_environment(env.name)


def of_gymnasium(env_id: str, arguments: Mapping[str, Any]) -> tuple[float, float] | None:
    """The same of a Gymnasium environment with `arguments` of its constructor."""
    kind = re.sub(r"-v\d+$", "", env_id.rpartition("/")[2])
    if kind.startswith(("PointMaze_", "AntMaze_")):
        dense = arguments.get("reward_type", "dense" if kind.endswith("Dense") else "sparse") != "sparse"
        return None if dense or arguments.get("continuing_task", True) else DOMAINS["antmaze"]
    if kind == "FrankaKitchen":
        return DOMAINS["kitchen"] if len(arguments.get("tasks_to_complete", ())) == 4 else None
    return DOMAINS.get(GYMNASIUM.get(kind, ""))


def normalise(returns: Returns, low: float, high: float) -> Returns:
    """`100 * (returns - low) / (high - low)`: 0 for a random policy, 100 for an expert (D4RL's score).

    Raises `O2OError` as `checked`."""
    low, high = checked((low, high))
    return 100.0 * (returns - low) / (high - low)
