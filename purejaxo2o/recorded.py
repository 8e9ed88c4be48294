"""The task of a Minari dataset: the twin of the environment that recorded it.

What a dataset declares decides everything: environment and its constructor's arguments, time limit, the MuJoCo
version, reference scores. Where it declares nothing, the remedy is an argument of `task_from_minari`.
"""

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from purejaxo2o import envs
from purejaxo2o.data import scores
from purejaxo2o.envs.base import Env, spaces
from purejaxo2o.envs.goal_maze import MAZES, GoalMaze, layout
from purejaxo2o.envs.locomotion import Runner
from purejaxo2o.tasks import Task
from purejaxo2o.types import O2OError

if TYPE_CHECKING:  # Minari and Gymnasium are imported when a dataset is opened
    from gymnasium.envs.registration import EnvSpec

    from purejaxo2o.data.minari import DatasetInfo

OLD, NEW = "mujoco<=3.4", "mujoco>=3.5"
FOR_THE_SCREEN = {
    *("render_mode", "width", "height", "camera_id", "camera_name", "default_camera_config", "max_geom"),
    *("visual_options", "mujoco_xml_file_path"),
}
"""Constructor arguments that change nothing but pictures."""
HARMLESS = {"RescaleAction", "ClipAction", "FlattenObservation", "RecordEpisodeStatistics", "DataCollector"}
"""Wrappers that change nothing that we see: actions come scaled, observations flat."""


def task_from_minari(
    dataset_id: str,
    *,
    physics: str | None = None,
    reference: tuple[float, float] | None = None,
    env: Env | None = None,
) -> Task:
    """Train where a local dataset was recorded, and be evaluated in its `eval_env_spec` if it has one.

    physics: `"mujoco<=3.4"` or `"mujoco>=3.5"`; by default as the dataset's requirements or provenance say. D4RL's
        data, and environments before v4, are of the older kind; others that say nothing are taken for the newer,
        as if recorded with today's MuJoCo.
    reference: returns that score 0 and 100; by default the dataset's own, else D4RL's for its domain.
    env: for datasets that declare no environment, or one that has no twin here.

    Raises `O2OError` if the dataset is missing, if there is no twin, for an argument that the twin lacks, for
    other spaces than the dataset's, and where no reference is known.
    """
    from purejaxo2o.data import minari

    info = minari.info(dataset_id)
    train_env = eval_env = env
    if train_env is None:
        train_env = eval_env = _twin(info, info.env_spec, physics)
        if info.metadata.get("eval_env_spec"):
            eval_env = _twin(info, _spec(info.metadata["eval_env_spec"]), physics)
    assert eval_env is not None
    have, need = spaces(train_env), info.spaces
    if have != need:
        raise O2OError(
            f"dataset {dataset_id!r} has observations {need.obs} and actions {need.action}, {train_env.name} has "
            f"{have.obs} and {have.action}; pass the environment that recorded it: env="
        )
    low, high = reference or info.reference or _known(dataset_id, train_env)
    maze = isinstance(train_env, GoalMaze)
    return Task(
        name=dataset_id,
        env=train_env,
        eval_env=eval_env,
        dataset=dataset_id,
        score_low=low,
        score_high=high,
        domain="maze" if maze else "locomotion" if isinstance(train_env, Runner) else "classic",
        fail_reward=0.0 if maze and train_env.reward_type == "sparse" else None,
    )


def _twin(info: "DatasetInfo", spec: "EnvSpec | None", physics: str | None) -> Env:
    where = f"dataset {info.id!r}"
    if spec is None:
        raise O2OError(f"{where} declares no environment; pass it: env=envs.make(...)")
    name, settings = _named(where, spec.id, {k: v for k, v in spec.kwargs.items() if k not in FOR_THE_SCREEN})
    for wrapper in spec.additional_wrappers or ():
        if wrapper.name not in HARMLESS:
            raise O2OError(f"{where} was recorded through {wrapper.name}, which no twin has; pass env=")
    if spec.max_episode_steps is not None:
        settings["max_episode_steps"] = spec.max_episode_steps
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    settings["physics"] = physics or recorded_physics(info, spec.id)
    return envs.make(name, **settings)


def _named(where: str, env_id: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The twin's id, and the settings that are left for it."""
    short = env_id.rpartition("/")[2]
    if short.startswith(("PointMaze_", "AntMaze_")):
        body, _, maze = short.rpartition("-")[0].partition("_")
        dense = arguments.pop("reward_type", "dense" if maze.endswith("Dense") else "sparse") == "dense"
        version = "v3" if body == "PointMaze" else short.rpartition("-")[2]
        name = f"maze/{body}_{maze.removesuffix('Dense')}{'Dense' if dense else ''}-{version}"
        plan = arguments.pop("maze_map", None)
        if plan is not None and not _is_map_of(maze.removesuffix("Dense"), plan):
            arguments["maze_map"] = tuple(map(tuple, plan))
    else:
        name = "mjx/" + re.sub("-v[23]$", "-v4", short)  # the same task, on an older binding
        if short in ("Ant-v2", "Ant-v3"):  # MuJoCo 2 left these forces at zero
            arguments |= {"use_contact_forces": True, "contact_force_range": (0.0, 0.0)}
    if name not in envs.names():
        have = ", ".join(n for n in envs.names() if n.startswith("mjx/"))
        raise O2OError(
            f"{where} was recorded in {env_id}, which has no twin (there are {have} and the mazes); pass env=, for "
            f"example envs.make('host/{env_id}')"
        )
    return name, arguments


def _is_map_of(maze: str, plan: list[list[Any]]) -> bool:
    """Whether a recorded map is the one that its environment is registered with."""
    if maze not in MAZES:
        return False
    pairs = zip(layout(maze), layout(maze, tuple(map(tuple, plan))), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def recorded_physics(info: "DatasetInfo", env_id: str) -> str:
    """The physics switch that follows from what a dataset says about its MuJoCo."""
    stated = [str(text).replace(" ", "") for text in info.metadata.get("requirements") or ()]
    provenance = info.metadata.get("provenance") or {}
    version = (provenance.get("versions") or {}).get("mujoco") if isinstance(provenance, dict) else None
    stated += [f"mujoco=={version}"] if version else []
    for text in stated:
        if text.startswith("mujoco-py"):
            return OLD
        found = re.match(r"mujoco(?:==|~=|<=|>=)(\d+)\.(\d+)", text)
        if found:
            return NEW if (int(found[1]), int(found[2])) >= (3, 5) else OLD
    mujoco_py = re.search("-v[23]$", env_id) and not env_id.startswith("PointMaze")
    return OLD if mujoco_py or info.id.startswith("D4RL/") else NEW


def _spec(text: Any) -> "EnvSpec":
    from gymnasium.envs.registration import EnvSpec

    return (
        text if isinstance(text, EnvSpec) else EnvSpec.from_json(text if isinstance(text, str) else json.dumps(text))
    )


def _known(dataset_id: str, env: Env) -> tuple[float, float]:
    """Our own reference of an environment; a continuing maze pays more than once."""
    if env.name in scores.ENVIRONMENTS and not (isinstance(env, GoalMaze) and env.continuing_task):
        return scores.ENVIRONMENTS[env.name]
    raise O2OError(
        f"dataset {dataset_id!r} has no reference scores, and none are known for {env.name}; pass the returns of a "
        "random policy and of an expert: reference=(low, high)"
    )
