"""H2O: a simulator with twice the gravity and real data together beat either, and naive mixing, in reality."""

import dataclasses
from collections.abc import Mapping

import purejaxo2o as o2o
from experiments import pendulum
from experiments.claims.claim import Claim, Contrast, handover, only_offline, with_agent
from purejaxo2o import envs

FINAL = handover("final")


def task() -> o2o.Task:
    """Judged on Pendulum, trained where gravity is doubled; the data are Pendulum's."""
    real, heavy = o2o.task("pendulum"), envs.make("gymnax/Pendulum-v1", g=20.0)
    name = "pendulum, simulated with twice the gravity"
    return dataclasses.replace(real, name=name, env=heavy, dataset=pendulum.MEDIUM)


def data(task: o2o.Task) -> o2o.Store:
    pendulum.record()
    return o2o.dataset(task)


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
    note="The task does not show the phenomenon. Nothing in H2O keeps the policy to these data, a mediocre policy's "
    "(beta is 0.01): SAC on them alone ends at 42, 49, -36 and -37 (seeds 0 to 3), the last two spinning, and "
    "twice the gravity corrects nothing. With the replay data of that policy's training SAC on the data alone "
    "reaches 100, and so do H2O and plain mixing.",
)
