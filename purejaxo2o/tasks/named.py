"""The tasks that have names of their own."""

from collections.abc import Callable
from typing import Any

from purejaxo2o import envs
from purejaxo2o.data import scores
from purejaxo2o.loop.task import RAW, Task, checked


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


def make(name: str, env: Any, *, reference: tuple[float, float] | None = None, **settings: Any) -> Task:
    """A task that is evaluated where it is trained. env: as `Task`'s.

    reference: returns that score 0 and 100; by default those known of the environment, else scores are returns.
    settings: other fields of `Task`. Raises `O2OError` for a reference that is none."""
    env = envs.make(env)
    if not {"score_low", "score_high"} & settings.keys():
        low, high = checked(reference) if reference is not None else scores.of(env) or RAW
        settings |= {"score_low": low, "score_high": high}
    return Task(name=name, env=env, eval_env=env, **settings)
