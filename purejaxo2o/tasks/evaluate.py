"""Evaluation of any policy in any environment."""

from collections.abc import Callable
from typing import Any

from purejaxo2o import envs
from purejaxo2o.loop.env import check_env
from purejaxo2o.loop.evaluate import Evaluation, counted, run_episodes
from purejaxo2o.loop.policy import Policy, scaled
from purejaxo2o.loop.task import Task
from purejaxo2o.tasks import TASKS, as_task
from purejaxo2o.types import Array


def evaluate(act: Callable[[Array, Array], Array], env: Any, key: Array, *, episodes: int) -> Evaluation:
    """Run `episodes` episodes of `env` side by side, each until it ends or `env.horizon` is reached.

    act: a trained policy, with what it keeps in mind, or `act(obs [episodes, ...], key) -> action [episodes, ...]`,
        scaled to [-1, 1].
    env: one of ours, or whatever `envs.make` takes, or a task or its name for where it is evaluated. Steps after an
        episode's end count nothing.
    Raises `O2OError` for fewer than one episode, and for an environment that breaks the protocol.
    """
    count = counted(episodes)
    named = isinstance(env, Task) or (isinstance(env, str) and env in TASKS)
    env = as_task(env).eval_env if named else envs.make(env)
    check_env(env)
    if isinstance(act, Policy):
        return run_episodes(
            lambda obs, key, memory: act.act_scaled(obs, memory, key), act.init(count), env, key, count
        )
    own = scaled(act)
    return run_episodes(lambda obs, key, memory: (own(obs, key), memory), None, env, key, count)
