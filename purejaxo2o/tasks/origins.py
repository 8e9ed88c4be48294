"""Where a dataset says that it was recorded: the twin of that environment, or that environment itself (`host/...`).

Nothing in a data file names code or files that are used: environments are made from ids that are registered, and from
the class of an entry point only where the caller has imported its module.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from purejaxo2o import envs
from purejaxo2o.envs.goal_maze import MAZES, GoalMaze, MazeMap, layout
from purejaxo2o.loop.env import Env
from purejaxo2o.spelling import shown
from purejaxo2o.types import O2OError

if TYPE_CHECKING:  # Minari and Gymnasium are imported when a dataset is opened
    from gymnasium.envs.registration import EnvSpec

    from purejaxo2o.data.reading import DatasetInfo

OLD, NEW = "mujoco<=3.4", "mujoco>=3.5"
FOR_THE_SCREEN = {
    *("render_mode", "width", "height", "camera_id", "camera_name", "default_camera_config", "max_geom"),
    *("visual_options", "mujoco_xml_file_path"),
}
"""Constructor arguments of MuJoCo environments that change nothing but pictures."""
OURS = {"physics", "max_episode_steps"}
"""What we say besides an environment's own arguments."""
HARMLESS = {
    *("RescaleAction", "ClipAction", "FlattenObservation", "DtypeObservation"),
    *("TimeLimit", "OrderEnforcing", "PassiveEnvChecker"),
    *("RecordEpisodeStatistics", "RecordVideo", "RenderCollection", "HumanRendering", "Monitor", "DataCollector"),
}
"""Wrappers that change nothing that we see: actions come scaled, observations flat, time limits are read."""
MARKS: dict[Any, Any] = {"0": 0, "1": 1}
"""How some maps write walls."""
IN_PYTHON = "say in Python where it was recorded: task_from_minari(ID, env=...)"
"""The remedy for those who type commands, which take no environment."""


class Origin(NamedTuple):
    """An environment by its name here, not made yet. `host/...` where it has no twin."""

    where: str  # the dataset, for messages
    spec: "EnvSpec"
    name: str
    settings: dict[str, Any]
    physics: str | None  # that the dataset states

    @property
    def walls(self) -> np.ndarray | None:
        """`[H, W]` bool of a maze."""
        if not self.name.startswith("maze/"):
            return None
        maze = self.name.partition("_")[2].rpartition("-")[0].removesuffix("Dense")
        try:
            return layout(maze, self.settings.get("maze_map")).walls
        except O2OError as error:
            raise error.within(self.where) from None

    def make(self, info: "DatasetInfo", physics: str | None, limit: int | None) -> Env:
        """The environment. physics, limit: instead of what the dataset says.

        Raises `O2OError` for wrappers that change what is seen, for arguments that name files, for an argument that
        the twin lacks, and where neither a twin nor Gymnasium has it."""
        from purejaxo2o.data.env_specs import check_arguments

        for wrapper in self.spec.additional_wrappers or ():
            if wrapper.name not in HARMLESS:
                raise O2OError(
                    f"{self.where} was recorded through {wrapper.name}, which no twin has",
                    python="pass env=",
                    shell=IN_PYTHON,
                )
        check_arguments(self.where, self.settings)
        for name in sorted(self.settings.keys() & OURS):
            raise O2OError(f"{self.where}: kwargs has {name}=, which is no constructor's; correct or drop it")
        limit = limit or _limit(self.spec)
        if self.name.startswith("host/"):
            return _host(self, physics, limit)
        limited = {} if limit is None else {"max_episode_steps": limit}
        engine = physics or self.physics or assumed_physics(info, self.spec)
        try:
            return envs.make(self.name, **self.settings, **limited, physics=engine)
        except O2OError as error:
            raise error.within(self.where) from None


def origin(info: "DatasetInfo", spec: "EnvSpec") -> Origin:
    """Of the environment `spec` that the dataset declares. Makes and imports nothing."""
    where = f"dataset {info.id!r}"
    arguments = {name: value for name, value in spec.kwargs.items() if name not in FOR_THE_SCREEN}
    twin = _named(where, spec.id, arguments)
    if twin is None and not str(spec.entry_point).startswith("gymnasium"):  # whose width may be that of a road
        arguments = {name: value for name, value in spec.kwargs.items() if name != "render_mode"}
    name, settings = twin or (f"host/{spec.id}", arguments)
    return Origin(where, spec, name, {key: _tuples(value) for key, value in settings.items()}, stated_physics(info))


def contradictions(recorded: Origin, env: Env) -> Iterator[str]:
    """How an environment differs from `recorded`, in words; starts, goals and time limits do not count."""
    theirs, ours = recorded.walls, env.walls if isinstance(env, GoalMaze) else None
    kind, own = (_kind(name, walls is not None) for name, walls in ((recorded.name, theirs), (env.name, ours)))
    if kind != own:
        yield f"{recorded.name} there, {env.name} here"
    elif theirs is not None and isinstance(ours, np.ndarray) and not np.array_equal(theirs, ours):
        yield f"its walls are {drawn(theirs)}, those here {drawn(ours)}"
    physics = getattr(env, "physics", None)
    if None not in (recorded.physics, physics) and recorded.physics != physics:
        yield f"{recorded.physics} there, {physics} here"


def drawn(walls: np.ndarray) -> str:
    """A map in one line, row after row, `#` for a wall."""
    return " ".join("".join("#" if wall else "." for wall in row) for row in walls)


def _kind(name: str, maze: bool) -> str:
    """What must be equal besides the walls: of `maze/PointMaze_UMazeDense-v3` the body, the rewards, the version."""
    short = name.partition("/")[2].lower()
    return re.sub(r"_[a-z_]*?(dense)?-", r"_\1-", short) if maze else short


def _limit(spec: "EnvSpec") -> int | None:
    """The shortest of the time limits that are declared, also by a wrapper."""
    wrapped = [dict(w.kwargs or {}).get("max_episode_steps") for w in spec.additional_wrappers or ()]
    limits = [value for value in (spec.max_episode_steps, *wrapped) if isinstance(value, int) and value > 0]
    return min(limits, default=None)


def _host(origin: Origin, physics: str | None, limit: int | None) -> Env:
    """The environment itself, run by Gymnasium."""
    env_id, where = origin.spec.id, origin.where
    if physics is not None:
        raise O2OError(
            f"{where} was recorded in {env_id}, which has no twin, so physics= cannot be chosen",
            python="drop it",
            shell="drop --physics",
        )
    _register(origin)
    limited = {} if limit is None else {"max_episode_steps": limit}
    try:
        return envs.make(f"host/{env_id}", **origin.settings, **limited)
    except O2OError as error:
        install = f"import or install what registers it{_entry(origin)}"
        raise O2OError(
            f"{where} was recorded in {env_id}, which has no twin (purejaxo2o list envs) and cannot be run by "
            f"Gymnasium either ({error})",
            python=f"{install}, or pass env=",
            shell=f"{install}, or {IN_PYTHON}",
        ) from None


def _register(origin: Origin) -> None:
    """Give Gymnasium the class of an entry point that the caller has imported, under the id that the dataset uses."""
    import gymnasium as gym

    from purejaxo2o.data.env_specs import loaded_entry

    found = loaded_entry(origin.spec)
    if found is not None and origin.spec.id not in gym.registry:
        gym.register(origin.spec.id, entry_point=found)


def _entry(origin: Origin) -> str:
    entry = origin.spec.entry_point
    return f" ({entry.partition(':')[0]}, says the dataset)" if isinstance(entry, str) else ""


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
    if plan is not None:
        plan = _plan(where, plan)
        if not _is_map_of(where, maze, plan):
            settings["maze_map"] = plan
    return name, settings


def _plan(where: str, plan: Any) -> MazeMap:
    if not (isinstance(plan, list | tuple) and plan and all(isinstance(row, list | tuple) for row in plan)):
        raise _no_map(where, plan, "rows of cells")
    rows = tuple(tuple(MARKS.get(cell, cell) if isinstance(cell, str) else cell for cell in row) for row in plan)
    if len({len(row) for row in rows}) != 1 or not all(isinstance(cell, int | str) for row in rows for cell in row):
        raise _no_map(where, plan, "rows of one length")
    return rows


def _no_map(where: str, plan: Any, wanted: str) -> O2OError:
    return O2OError(
        f"{where}: its maze_map is {shown(plan)}, no {wanted}",
        python="correct it or pass env=",
        shell=f"correct it in the dataset's metadata.json, or {IN_PYTHON}",
    )


def _is_map_of(where: str, maze: str, plan: MazeMap) -> bool:
    """Whether a recorded map is the one that its environment is registered with."""
    if maze not in MAZES:
        return False
    try:
        pairs = zip(layout(maze), layout(maze, plan), strict=True)
    except O2OError as error:
        raise error.within(where) from None
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def _tuples(value: Any) -> Any:
    """Lists as tuples, also those within; arguments of environments come as JSON."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value


def stated_physics(info: "DatasetInfo") -> str | None:
    """The physics switch that follows from what a dataset says about its MuJoCo; None if it says nothing."""
    stated = [str(text).replace(" ", "") for text in info.metadata.get("requirements") or ()]
    version = info.provenance.get("versions", {}).get("mujoco")
    stated += [f"mujoco=={version}"] if version else []
    for text in stated:
        if text.startswith("mujoco-py"):
            return OLD
        found = re.match(r"mujoco(?:==|~=|<=|>=)(\d+)\.(\d+)", text)
        if found:
            return NEW if (int(found[1]), int(found[2])) >= (3, 5) else OLD
    return None


def assumed_physics(info: "DatasetInfo", spec: "EnvSpec") -> str:
    """The physics switch of a dataset that says nothing about its MuJoCo."""
    mujoco_py = re.search("-v[23]$", spec.id) and not spec.id.startswith("PointMaze")
    return OLD if mujoco_py or info.id.startswith("D4RL/") else NEW
