"""H2O: a simulator that is wrong in places, with real data from just there, beats either and naive mixing.

The simulator of `toy/crossing` is right on the left, where episodes begin, and steers the wrong way on the right,
where the reward is; the real data were recorded on the right alone, by random actions.
"""

from collections.abc import Mapping

import jax
import numpy as np

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, only_offline, with_agent
from purejaxo2o import envs
from purejaxo2o.data.collect import collect, random_policy
from purejaxo2o.loop import store
from purejaxo2o.loop.task import Task

FINAL = handover("final")
STEPS = 10_000


def task() -> o2o.Task:
    """Judged in reality, trained where the steering never turns."""
    real, simulator = envs.make("toy/crossing"), envs.make("toy/crossing", turned=-1.0)
    return Task(
        name="crossing, simulated", env=simulator, eval_env=real, score_low=0.0, score_high=40.0, domain="toy"
    )


def data(task: o2o.Task) -> o2o.Store:
    """Episodes of random actions that begin on the right and never leave it."""
    env = envs.make("toy/crossing", low=0.5, high=2.5)
    rows = collect(env, random_policy(env.action_space), jax.random.key(0), steps=STEPS, num_envs=20)
    flat = jax.tree.map(np.asarray, store.flat(rows))
    episode = np.cumsum(flat.last) - flat.last
    left = np.bincount(episode, weights=(flat.obs[:, 0] < 0) | (flat.next_obs[:, 0] < 0))
    return store.from_transitions(jax.tree.map(lambda x: jax.numpy.asarray(x[left[episode] == 0]), flat))


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("h2o", task, scale="small")
    return {
        "h2o": recipe,
        "mixed without weights": with_agent(recipe, gap_weight=0.0, ratio_power=0.0),
        "simulator only (SAC)": o2o.recipe("sac", task, scale="small"),
        "real data only (CQL)": only_offline(o2o.recipe("cql", task, scale="small")),
    }


CLAIM = Claim(
    method="h2o",
    paper="Niu et al. 2022, arXiv 2206.13464, section 5",
    says="Weighting simulated steps by how real they are beats the simulator alone, the data alone and plain mixing.",
    task=task,
    arms=arms,
    contrasts=(
        Contrast("final score above that of mixing without weights", "h2o", "mixed without weights", FINAL),
        Contrast("final score above that of the simulator alone", "h2o", "simulator only (SAC)", FINAL),
        Contrast("final score above that of the data alone", "h2o", "real data only (CQL)", FINAL),
    ),
    data=data,
    note="A first task, Pendulum with doubled gravity, did not show the phenomenon: SAC on its medium data alone "
    "spun in half of the seeds, with the replay data it needed no simulator.",
)
