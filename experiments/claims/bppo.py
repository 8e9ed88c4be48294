"""BPPO: the ratio's clip alone lets a clone be improved on data."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover

OFFLINE = handover("score_at_switch")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("bppo", task, scale="small")
    return {
        "bppo": recipe,
        "the clone": o2o.replace(recipe, {"improve.agent.learning_rate": 0.0}),
        "replaced four times": o2o.replace(recipe, {"improve.steps": 4, "improve.updates": 500}),
    }


CLAIM = Claim(
    method="bppo",
    paper="Zhuang et al. 2023, arXiv 2302.11312, sections 4 and 5 (tables unverified)",
    says="PPO's clipped objective improves a cloned policy offline without any other constraint.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above the clone's", "bppo", "the clone", OFFLINE),
        Contrast("score above that with four replacements", "bppo", "replaced four times", OFFLINE),
    ),
)
