"""What is to be learned: environments, dataset, score reference. `task(name)` looks one up."""

from collections.abc import Callable
from typing import Any

from purejaxo2o import envs
from purejaxo2o.data import scores
from purejaxo2o.envs.base import Env
from purejaxo2o.types import Array, Number, O2OError, nearest, pytree, static


@pytree
class Task:
    """env: trained in; eval_env: evaluated in (the same, unless a sim-to-real gap is the point). Either may be given
        as whatever `envs.make` takes: an id, or an object of gymnax, brax or Gymnasium.

    dataset: id of the offline data (None: the task has none of its own).
    score_low, score_high: returns that score 0 and 100.
    domain: which of a recipe's defaults apply ("maze", "locomotion", "classic", "toy").
    fail_reward: the environment's reward of a step without success, for tasks whose only other reward marks
        success; None where rewards are dense. Cal-QL's return-to-go needs it.
    """

    name: str = static()
    env: Env
    eval_env: Env
    dataset: str | None = static(default=None)
    score_low: Number = 0.0
    score_high: Number = 1.0
    domain: str = static(default="classic")
    fail_reward: Number | None = None

    def __post_init__(self) -> None:
        for field in ("env", "eval_env"):
            given = getattr(self, field)
            object.__setattr__(self, field, envs.make(given) if isinstance(given, str) else envs.adopt(given))

    def score(self, returns: Array) -> Array:
        """Normalised score, 0 to 100 (and beyond): `100 (G - low) / (high - low)`."""
        return 100.0 * (returns - self.score_low) / (self.score_high - self.score_low)


def make(name: str, env: Any, **settings: Any) -> Task:
    """A task that is evaluated where it is trained. env: as `Task`'s."""
    return Task(name=name, env=env, eval_env=env, **settings)


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


def task(name: str) -> Task:
    """The task called `name`, or that of a local Minari dataset or D4RL file (`recorded.task_from_minari`).

    Raises `O2OError` with the nearest known name."""
    if "/" in name or name.endswith(".hdf5"):
        from purejaxo2o.data.folder import local_ids
        from purejaxo2o.recorded import task_from_minari

        if name in envs.names() and name not in local_ids():
            raise O2OError(
                f"{name!r} is an environment, not a task; name a task or the id of a dataset recorded in it"
            )
        return task_from_minari(name)
    if name not in TASKS:
        raise O2OError(f"unknown task {name!r}; {nearest(name, TASKS)}")
    return TASKS[name](name)
