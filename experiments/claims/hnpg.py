"""HNPG: offline rows in the critic open a lock that on-policy gradients do not open."""

from collections.abc import Mapping

import jax

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent
from purejaxo2o.data.collect import collect
from purejaxo2o.envs.lock import CombinationLock, ContinuousLock
from purejaxo2o.tasks import make

HORIZON, ROWS = 5, 10_000
FINAL, AREA = handover("final"), handover("online_auc")


def task() -> o2o.Task:
    return make("continuous lock, 5 steps", ContinuousLock(horizon=HORIZON), domain="toy")


def data(task: o2o.Task) -> o2o.Store:
    """Episodes of the right actions, one in `HORIZON` noise: 0.37 of them stay on the good path."""
    env = task.env
    assert isinstance(env, CombinationLock)
    return collect(env, env.scripted(1 / HORIZON), jax.random.key(1), steps=ROWS, num_envs=10)


def shares(name: str, task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    """The method, and both ends of its range: what is learned from differs, steps and updates do not."""
    recipe = with_agent(o2o.recipe(name, task, scale="small"), discount=1.0)
    recipe = o2o.replace(recipe, {"online.steps": 50_000, "online.segments": 10})
    return {
        name: recipe,
        "on-policy only": with_agent(recipe, offline_share=0.0),
        "offline only": with_agent(recipe, offline_share=1.0),
    }


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    return shares("hnpg", task)


CLAIM = Claim(
    method="hnpg",
    paper="Zhou et al. 2023, arXiv 2311.08384, section 6.1",
    says="On the lock, hybrid natural policy gradients succeed where on-policy ones fail.",
    task=task,
    arms=arms,
    contrasts=(
        Contrast("final score above that of on-policy gradients", "hnpg", "on-policy only", FINAL),
        Contrast("area under the curve above that of on-policy gradients", "hnpg", "on-policy only", AREA),
        Contrast("final score above that of offline rows alone", "hnpg", "offline only", FINAL),
    ),
    data=data,
)
