"""The Gymnasium environment that one of ours equals, for the metadata of what is recorded in it."""

from typing import Any

from gymnasium.envs.registration import EnvSpec, WrapperSpec, registry

from purejaxo2o.envs.ant_maze import AntMaze
from purejaxo2o.envs.maze import PointMaze
from purejaxo2o.envs.twin import Twin

SCALED = WrapperSpec("RescaleAction", "gymnasium.wrappers:RescaleAction", {"min_action": -1.0, "max_action": 1.0})
"""Our actions lie in [-1, 1]; the identity where the original's do, too."""


def original(env: Any) -> tuple[EnvSpec | None, tuple[str, ...]]:
    """What to declare as `env_spec` and `requirements`; `(None, ())` for environments that equal none."""
    if isinstance(env, PointMaze | AntMaze):
        known = getattr(env, "plan", None) is None  # walls that are traced belong to no registered maze
        return (maze_spec(env), ("gymnasium-robotics>=1.4", env.physics)) if known else (None, ())
    if isinstance(env, Twin):
        known = registry[env.name.removeprefix("mjx/")]
        spec = EnvSpec(
            known.id,
            known.entry_point if isinstance(known.entry_point, str) else None,
            max_episode_steps=env.horizon,
            kwargs=dict(known.kwargs),
            additional_wrappers=(SCALED,),
        )
        return spec, ("gymnasium>=1.0", env.physics)
    return None, ()


def maze_spec(env: PointMaze | AntMaze) -> EnvSpec:
    """What gymnasium-robotics would register, written by hand; with the registered time limit, for evaluation."""
    place = "gymnasium_robotics.envs.maze"
    ant = isinstance(env, AntMaze)
    module = f"{place}.ant_maze_{env.version}:AntMazeEnv" if ant else f"{place}.point_maze:PointMazeEnv"
    return EnvSpec(
        id=env.name.removeprefix("maze/"),
        entry_point=module,
        max_episode_steps=type(env)(maze=env.maze).horizon,
        kwargs={
            "maze_map": [list(row) for row in env.layout.rows],
            "reward_type": env.reward_type,
            "continuing_task": env.continuing_task,
            "reset_target": env.reset_target,
        },
    )
