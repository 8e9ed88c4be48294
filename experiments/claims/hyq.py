"""Hy-Q: the combination lock opens with offline and online rows together, and with neither alone."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent
from purejaxo2o.data.collect import collect
from purejaxo2o.envs.lock import CombinationLock
from purejaxo2o.loop import phases
from purejaxo2o.recipes import budget
from purejaxo2o.tasks import make

HORIZON, ROWS = 10, 2_000
FINAL = handover("final")


def task() -> o2o.Task:
    return make("combination lock, 10 steps", CombinationLock(horizon=HORIZON), domain="toy")


def data(task: o2o.Task) -> o2o.Store:
    """Episodes of the right actions, one in `HORIZON` random: 0.4 of them stay on the good path."""
    env = task.env
    assert isinstance(env, CombinationLock)
    return collect(env, env.scripted(1 / HORIZON), jax.random.key(1), steps=ROWS, num_envs=10)


def shares(task: o2o.Task, **changes: Any) -> Mapping[str, o2o.Recipe]:
    """The method and both ends of its range, with `changes` to the agent."""
    recipe, dqn = (with_agent(o2o.recipe(name, task, scale="small"), **changes) for name in ("hyq", "dqn"))
    alone = phases.offline(budget.ONLINE - budget.RANDOM_WARMUP, segments=22, batch_size=128)
    return {
        "hyq": recipe,
        "online only (DQN)": dqn,
        "offline only": dataclasses.replace(recipe, phases=(alone,)),
    }


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    return shares(task, discount=1.0)


CLAIM = Claim(
    method="hyq",
    paper="Song et al. 2023, arXiv 2210.06718, section 6",
    says="Q-learning on both solves horizons at which online-only and offline-only Q-learning fail.",
    task=task,
    arms=arms,
    contrasts=(
        Contrast("final score above that of online rows alone", "hyq", "online only (DQN)", FINAL),
        Contrast("final score above that of offline rows alone", "hyq", "offline only", FINAL),
    ),
    data=data,
)
