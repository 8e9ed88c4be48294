"""What is to be learned, by name: `task("pointmaze-umaze")`, `names()`."""

import dataclasses
import os
from typing import Any

from purejaxo2o import envs
from purejaxo2o.data.d4rl_names import is_file
from purejaxo2o.loop.env import Env
from purejaxo2o.loop.task import Task, checked, checked_limit
from purejaxo2o.tasks.domains import domain_of, fail_reward_of
from purejaxo2o.tasks.named import TASKS, make
from purejaxo2o.tasks.recorded import task_from_minari
from purejaxo2o.types import O2OError, nearest

__all__ = ["TASKS", "Named", "as_task", "make", "names", "task"]

Named = str | os.PathLike[str] | Env
"""What `task` makes a task of: a name, the path of a file, an environment."""


def names() -> tuple[str, ...]:
    """Every task that `task` knows."""
    return tuple(TASKS)


def task(
    name: Named,
    *,
    reference: tuple[float, float] | None = None,
    limit: int | None = None,
    clip: bool | None = None,
    physics: str | None = None,
) -> Task:
    """The task called `name` (`names`), or that of a local Minari dataset or D4RL file (`recorded.task_from_minari`),
    or of an environment, by its id or itself, which has no dataset.

    reference: returns of a random policy and of an expert, which score 0 and 100; by default the task's own, and
        without any scores are returns.
    limit: time limit of an episode in steps, of the environment and of a D4RL file whose ends are not marked; by
        default as declared.
    clip: accept recorded actions beyond their declared bounds; by default False.
    physics: the MuJoCo versions that a twin equals, `"mujoco<=3.4"` or `"mujoco>=3.5"`.
    Raises `O2OError` for an unknown name, with the nearest known one, and for arguments that do not fit."""
    if reference is not None:
        reference = checked(reference)
    limit = checked_limit(limit)
    if isinstance(name, str | os.PathLike):
        found = _named(os.fspath(name), limit, physics)
    else:
        _refuse("an environment that is made already", limit=limit, physics=physics)
        found = _of_object(name)
    changes: dict[str, Any] = {} if reference is None else dict(zip(SCORES, reference, strict=True))
    return dataclasses.replace(found, **changes, clip=bool(clip)) if changes or clip else found


def as_task(given: "Task | Named") -> Task:
    """The task that is meant where one is wanted: itself, or what `task` makes of a name or an environment."""
    return given if isinstance(given, Task) else task(given)


SCORES = ("score_low", "score_high")
LIMITS = {"gymnax": "max_steps_in_episode", "brax": "horizon"}
"""What families of environments call their time limit, where it has another name."""


def _named(name: str, limit: int | None, physics: str | None) -> Task:
    from purejaxo2o.data.folder import local_ids

    if name in TASKS:
        _refuse(f"task {name!r}", limit=limit, physics=physics)
        return TASKS[name](name)
    is_env = name.startswith("host/") or name in envs.names()
    if is_env and name not in local_ids():
        family = name.partition("/")[0]
        if family == "toy":
            _refuse(f"environment {name!r}", limit=limit)
        settings = {LIMITS.get(family, "max_episode_steps"): limit, "physics": physics}
        return _of(name, envs.make(name, **{key: value for key, value in settings.items() if value is not None}))
    if "/" in name or is_file(name) or name in local_ids():
        return task_from_minari(name, limit=limit, physics=physics)
    raise O2OError(f"unknown task {name!r}; {nearest(name, TASKS)}")


def _of_object(given: Any) -> Task:
    env = envs.make(given)
    if not hasattr(env, "reset"):
        raise O2OError(f"{given!r:.80} is no task; give a task, its name, or an environment")
    return _of(env.name, env)


def _of(name: str, env: Env) -> Task:
    return make(name, env, domain=domain_of(env), fail_reward=fail_reward_of(env))


def _refuse(what: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise O2OError(
                f"{what} has its own {name}",
                python=f"drop {name}={value!r}; it is for datasets and for environments by their ids",
                shell=f"drop --{name} {value}; it is for datasets and for environments by their ids",
            )
