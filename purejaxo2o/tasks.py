"""What is to be learned: environments, dataset, score reference. `task(name)` looks one up."""

import dataclasses
import operator
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from purejaxo2o import envs
from purejaxo2o.data import scores
from purejaxo2o.data.d4rl_names import is_file
from purejaxo2o.domains import DOMAINS, domain_of, fail_reward_of
from purejaxo2o.envs.base import Env
from purejaxo2o.types import Array, Number, O2OError, nearest, pytree, static

Named = str | os.PathLike[str] | Env
"""What `task` makes a task of: a name, the path of a file, an environment."""


@pytree
class Task:
    """env: trained in; eval_env: evaluated in (the same, unless a sim-to-real gap is the point). Either may be given
        as whatever `envs.make` takes: an id, or an object of gymnax, brax or Gymnasium.

    dataset: id of the offline data (None: the task has none of its own).
    limit, clip: how the dataset is read, see `datasets.read`.
    score_low, score_high: returns that score 0 and 100, finite and in order; by default scores are returns (`raw`).
    domain: which of a recipe's defaults apply, one of `domains.DOMAINS`. What an environment's id does not tell is
        set here: `dataclasses.replace(task, domain="adroit-binary", fail_reward=-1.0)`.
    fail_reward: the environment's reward of a step without success, for tasks whose only other reward marks
        success; None where rewards are dense. Cal-QL's return-to-go needs it.
    """

    name: str = static()
    env: Env
    eval_env: Env
    dataset: str | None = static(default=None)
    limit: int | None = static(default=None)
    clip: bool = static(default=False)
    score_low: Number = scores.RAW[0]
    score_high: Number = scores.RAW[1]
    domain: str = static(default="classic")
    fail_reward: Number | None = None

    def __post_init__(self) -> None:
        for field in ("env", "eval_env"):
            given = getattr(self, field)
            object.__setattr__(self, field, envs.make(given) if isinstance(given, str) else envs.adopt(given))
        if isinstance(self.dataset, os.PathLike):
            object.__setattr__(self, "dataset", os.fspath(self.dataset))
        if self.domain not in DOMAINS:
            raise O2OError(f"task {self.name!r}: domain is {self.domain!r:.80}; {nearest(str(self.domain), DOMAINS)}")
        pair = self.score_low, self.score_high
        # JAX makes tasks, too, of whatever it maps numbers to: tracers, shapes, the axes of a vmap.
        axis = pair[0] is pair[1] and pair[0] in (-1, 0, 1)
        if all(_is_number(value) for value in pair) and not axis:
            scores.checked(pair, f"task {self.name!r}: (score_low, score_high)")

    def check(self) -> None:
        """Raise `O2OError` for scores that are no reference, also where they are arrays; traced ones are unknown."""
        try:
            pairs = np.broadcast(np.asarray(self.score_low), np.asarray(self.score_high))
        except jax.errors.TracerArrayConversionError:
            return
        for low, high in pairs:
            scores.checked((float(low), float(high)), f"task {self.name!r}: (score_low, score_high)")

    @property
    def raw(self) -> bool:
        """Whether a score is the return itself, because no reference is known."""
        return (self.score_low, self.score_high) == scores.RAW

    def score(self, returns: Array) -> Array:
        """Normalised score, 0 to 100 (and beyond): `100 (G - low) / (high - low)`."""
        return 100.0 * (returns - self.score_low) / (self.score_high - self.score_low)


def make(name: str, env: Any, *, reference: tuple[float, float] | None = None, **settings: Any) -> Task:
    """A task that is evaluated where it is trained. env: as `Task`'s.

    reference: returns that score 0 and 100; by default those known of the environment, else scores are returns.
    settings: other fields of `Task`. Raises `O2OError` for a reference that is none."""
    env = envs.make(env)
    if not {"score_low", "score_high"} & settings.keys():
        low, high = scores.checked(reference) if reference is not None else scores.of(env) or scores.RAW
        settings |= {"score_low": low, "score_high": high}
    return Task(name=name, env=env, eval_env=env, **settings)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _pointmaze(size: str, dataset: str) -> Callable[[str], Task]:
    """Episodic and sparse, as AntMaze in the papers: reward 1 ends the episode, the score is the success rate."""

    def build(name: str) -> Task:
        env = envs.make(f"maze/PointMaze_{size}-v3", continuing_task=False)
        low, high = scores.ENVIRONMENTS[env.name]
        return make(name, env, dataset=dataset, score_low=low, score_high=high, domain="maze", fail_reward=0.0)

    return build


def _plain(env_id: str, domain: str, dataset: str | None = None) -> Callable[[str], Task]:
    def build(name: str) -> Task:
        low, high = scores.ENVIRONMENTS[env_id]
        return make(name, envs.make(env_id), dataset=dataset, score_low=low, score_high=high, domain=domain)

    return build


def _robot(env_id: str, dataset: str) -> Callable[[str], Task]:
    """The twin of what recorded Minari's `mujoco/*` data: Gymnasium's v5 on MuJoCo 3.2."""

    def build(name: str) -> Task:
        env, reference = envs.make(env_id, physics="mujoco<=3.4"), scores.reference(dataset)
        assert reference is not None
        return make(name, env, dataset=dataset, score_low=reference[0], score_high=reference[1], domain="locomotion")

    return build


def _robots() -> dict[str, Callable[[str], Task]]:
    return {
        f"{robot.lower()}-{kind}": _robot(f"mjx/{robot}-v5", f"mujoco/{robot.lower()}/{kind}-v0")
        for robot in ("Hopper", "HalfCheetah", "Walker2d", "Ant")
        for kind in ("simple", "medium", "expert")
    }


def _mazes() -> dict[str, Callable[[str], Task]]:
    found = {}
    for size in ("UMaze", "Medium", "Large"):
        name = f"pointmaze-{size.lower()}"
        found[name] = _pointmaze(size, f"purejaxo2o/{name}/mixed-v0")
        found[f"{name}-waypoint"] = _pointmaze(size, f"purejaxo2o/{name}/waypoint-v0")
    return found


TASKS: dict[str, Callable[[str], Task]] = {
    **_mazes(),
    **_robots(),
    "pendulum": _plain("gymnax/Pendulum-v1", "classic"),
    "cartpole": _plain("gymnax/CartPole-v1", "classic"),
    "minatar-breakout": _plain("gymnax/Breakout-MinAtar", "classic", "purejaxo2o/minatar-breakout/paddle-v0"),
    "reach": _plain("toy/reach", "toy"),
    **{
        name: _plain(f"toy/{name}", "toy", f"purejaxo2o/{name}/epsilon-greedy-v0")
        for name in ("combination-lock", "continuous-lock")
    },
}


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
        reference = scores.checked(reference)
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
    from purejaxo2o.recorded import task_from_minari

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


def checked_limit(limit: Any) -> int | None:
    """A time limit in steps, or None. Raises `O2OError` for anything else."""
    try:
        steps = None if limit is None or isinstance(limit, bool) else operator.index(limit)
    except TypeError:
        steps = None
    if limit is not None and (steps is None or steps < 1):
        raise O2OError(
            f"limit is {limit!r}",
            python="give a number of steps, at least 1, or None",
            shell="give --limit a number of steps, at least 1",
        )
    return steps


def _refuse(what: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise O2OError(
                f"{what} has its own {name}",
                python=f"drop {name}={value!r}; it is for datasets and for environments by their ids",
                shell=f"drop --{name} {value}; it is for datasets and for environments by their ids",
            )
