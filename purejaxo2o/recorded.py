"""The task of a dataset: the twin of the environment that recorded it, or that environment itself (`host/...`).

What a dataset declares decides everything: environment and its constructor's arguments, time limit, the MuJoCo
version, reference scores. Where it declares nothing, the remedy is an argument of `task_from_minari`.
"""

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from purejaxo2o import envs
from purejaxo2o.data import scores
from purejaxo2o.envs.base import Env, spaces
from purejaxo2o.envs.goal_maze import MAZES, MazeMap, layout
from purejaxo2o.envs.locomotion import Runner
from purejaxo2o.tasks import TASKS, Task
from purejaxo2o.types import O2OError

if TYPE_CHECKING:  # Minari and Gymnasium are imported when a dataset is opened
    from gymnasium.envs.registration import EnvSpec

    from purejaxo2o.data.reading import DatasetInfo

OLD, NEW = "mujoco<=3.4", "mujoco>=3.5"
FOR_THE_SCREEN = {
    *("render_mode", "width", "height", "camera_id", "camera_name", "default_camera_config", "max_geom"),
    *("visual_options", "mujoco_xml_file_path"),
}
"""Constructor arguments that change nothing but pictures."""
DOMAINS = {
    **dict.fromkeys(("PointMaze_", "AntMaze_"), "maze"),
    **{"AdroitHand": "adroit", "FrankaKitchen": "kitchen", "Humanoid": "locomotion"},
}
"""By the beginning of an environment's id; Gymnasium's runners are known by their twins."""
MARKS: dict[Any, Any] = {"0": 0, "1": 1}
"""How some maps write walls."""
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
    env: for datasets that declare no environment, or one that can be had neither as a twin nor on the host.

    Raises `O2OError` if the dataset is missing, if there is no such environment, for an argument that the twin lacks,
    for other spaces than the dataset's, and where no reference is known.
    """
    from purejaxo2o import datasets

    info = datasets.info(dataset_id)
    train_env = eval_env = env
    if train_env is None:
        train_env = eval_env = _twin(info, info.env_spec, physics) if info.env_spec else _own(info)
        if info.eval_env_spec:
            eval_env = _twin(info, info.eval_env_spec, physics)
    assert eval_env is not None
    have, need = spaces(train_env), info.spaces
    if have != need:
        raise O2OError(
            f"dataset {dataset_id!r} has observations {need.obs} and actions {need.action}, {train_env.name} has "
            f"{have.obs} and {have.action}; pass the environment that recorded it: env="
        )
    low, high = reference or info.reference or _known(dataset_id, train_env)
    domain = domain_of(train_env)
    sparse = domain == "maze" and "Dense" not in train_env.name
    return Task(
        name=dataset_id,
        env=train_env,
        eval_env=eval_env,
        dataset=dataset_id,
        score_low=low,
        score_high=high,
        domain=domain,
        fail_reward=0.0 if sparse else None,
    )


def _own(info: "DatasetInfo") -> Env:
    """The environment of a dataset that `purejaxo2o collect` made: no Gymnasium id, but a source of ours."""
    source = info.provenance.get("source")
    if source in TASKS:
        return TASKS[source](source).env
    if source in envs.names():
        return envs.make(source)
    raise O2OError(f"dataset {info.id!r} declares no environment; pass it: env=envs.make(...)")


def _twin(info: "DatasetInfo", spec: "EnvSpec", physics: str | None) -> Env:
    from purejaxo2o.data.env_specs import check_arguments

    where = f"dataset {info.id!r}"
    arguments = {k: v for k, v in spec.kwargs.items() if k not in FOR_THE_SCREEN}
    check_arguments(where, arguments)
    for wrapper in spec.additional_wrappers or ():
        if wrapper.name not in HARMLESS:
            raise O2OError(f"{where} was recorded through {wrapper.name}, which no twin has; pass env=")
    limit = {} if spec.max_episode_steps is None else {"max_episode_steps": spec.max_episode_steps}
    named = _named(where, spec.id, arguments)
    if named is None:
        return _host(where, spec.id, _tuples(arguments) | limit, physics)
    name, settings = named
    return envs.make(name, **_tuples(settings), **limit, physics=physics or recorded_physics(info, spec.id))


def _host(where: str, env_id: str, settings: dict[str, Any], physics: str | None) -> Env:
    """The environment itself, run by Gymnasium."""
    if physics is not None:
        raise O2OError(f"{where} was recorded in {env_id}, which has no twin, so physics= cannot be chosen; drop it")
    try:
        return envs.make(f"host/{env_id}", **settings)
    except O2OError as error:
        have = ", ".join(n for n in envs.names() if n.startswith(("mjx/", "maze/")))
        raise O2OError(
            f"{where} was recorded in {env_id}, which has no twin (there are {have}) and cannot be run by Gymnasium "
            f"either ({error}); install the package that registers it, or pass env="
        ) from None


def _named(where: str, env_id: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The twin's id, and the settings that are left for it; None if there is no twin."""
    short = env_id.rpartition("/")[2]
    if short.startswith(("PointMaze_", "AntMaze_")):
        return _maze(where, short, dict(arguments))
    name = "mjx/" + re.sub("-v[23]$", "-v4", short)  # the same task, on an older binding
    if short in ("Ant-v2", "Ant-v3"):  # MuJoCo 2 left these forces at zero
        arguments = arguments | {"use_contact_forces": True, "contact_force_range": (0.0, 0.0)}
    return (name, arguments) if name in envs.names() else None


def _maze(where: str, short: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Of `PointMaze_UMazeDense-v3` or `AntMaze_Medium-v4`, whose versions differ in what is observed."""
    body, _, maze = short.rpartition("-")[0].partition("_")
    maze, version = maze.removesuffix("Dense"), "v3" if body == "PointMaze" else short.rpartition("-")[2]
    dense = settings.pop("reward_type", "dense" if "Dense" in short else "sparse") == "dense"
    name = f"maze/{body}_{maze}{'Dense' if dense else ''}-{version}"
    if name not in envs.names():
        return None
    plan = settings.pop("maze_map", None)
    if plan is not None and not (isinstance(plan, list | tuple) and all(isinstance(r, list | tuple) for r in plan)):
        raise O2OError(
            f"{where} has maze_map={plan!r}, no rows of cells; pass the environment that recorded it: env="
        )
    if plan is not None:
        plan = tuple(tuple(MARKS.get(cell, cell) for cell in row) for row in plan)
    if plan is not None and not _is_map_of(maze, plan):
        settings["maze_map"] = plan
    return name, settings


def _is_map_of(maze: str, plan: MazeMap) -> bool:
    """Whether a recorded map is the one that its environment is registered with."""
    if maze not in MAZES:
        return False
    pairs = zip(layout(maze), layout(maze, plan), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def _tuples(value: Any) -> Any:
    """Lists as tuples, also those within; arguments of environments come as JSON."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value


def domain_of(env: Env) -> str:
    """Which of a recipe's defaults apply."""
    family, _, short = env.name.rpartition("/")
    if family == "toy":
        return family
    known = (domain for start, domain in DOMAINS.items() if short.startswith(start))
    return next(known, "locomotion" if isinstance(env, Runner) else "classic")


def recorded_physics(info: "DatasetInfo", env_id: str) -> str:
    """The physics switch that follows from what a dataset says about its MuJoCo."""
    stated = [str(text).replace(" ", "") for text in info.metadata.get("requirements") or ()]
    version = info.provenance.get("versions", {}).get("mujoco")
    stated += [f"mujoco=={version}"] if version else []
    for text in stated:
        if text.startswith("mujoco-py"):
            return OLD
        found = re.match(r"mujoco(?:==|~=|<=|>=)(\d+)\.(\d+)", text)
        if found:
            return NEW if (int(found[1]), int(found[2])) >= (3, 5) else OLD
    mujoco_py = re.search("-v[23]$", env_id) and not env_id.startswith("PointMaze")
    return OLD if mujoco_py or info.id.startswith("D4RL/") else NEW


def _known(dataset_id: str, env: Env) -> tuple[float, float]:
    """Our own reference of an environment; a continuing maze pays more than once."""
    known = scores.of_environment(env.name)
    if known and not getattr(env, "continuing_task", False):
        return known
    raise O2OError(
        f"dataset {dataset_id!r} has no reference scores, and none are known for {env.name}; pass the returns of a "
        "random policy and of an expert: reference=(low, high)"
    )
