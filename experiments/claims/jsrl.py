"""JSRL: with few data, a guide into every episode fine-tunes better than IQL alone."""

from collections.abc import Mapping

import jax
import numpy as np

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent
from purejaxo2o.loop import store

ROWS = 3_000
AREA, FINAL = handover("online_auc"), handover("final")


def scarce(task: o2o.Task) -> o2o.Store:
    """The first whole episodes of the task's data, `ROWS` rows or a little less."""
    data = store.flat(o2o.dataset(task))
    ends = np.flatnonzero(np.asarray(data.last)[:ROWS])
    return store.from_transitions(jax.tree.map(lambda x: x[: int(ends[-1]) + 1], data))


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("jsrl", task, scale="small")
    return {
        "jsrl": recipe,
        "no guide (IQL)": with_agent(recipe, guide_horizon=0.0),
        "naive": o2o.recipe("naive", task, scale="small"),
    }


CLAIM = Claim(
    method="jsrl",
    paper="Uchendu et al. 2023, arXiv 2204.02372, section 5 (tables unverified)",
    says="With scarce data a guide policy's curriculum of start states beats fine-tuning alone.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("area under the online curve above that without a guide", "jsrl", "no guide (IQL)", AREA),
        Contrast("final score above that without a guide", "jsrl", "no guide (IQL)", FINAL),
        Contrast("dip smaller than naive fine-tuning's", "naive", "jsrl", handover("dip")),
    ),
    data=scarce,
    note="From 3,000 rows the guide itself succeeds in 9 of 100 episodes: there is little to be led by.",
)
