"""AWAC: weighting by advantage beats imitation of everything, offline and after fine-tuning."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

OFFLINE = handover("score_at_switch")
FINAL = handover("final")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("awac", task, scale="small")
    return {
        "awac": recipe,
        "weights all one (cloning)": with_agent(recipe, temperature=1e6),
        "naive": o2o.recipe("naive", task, scale="small"),
    }


CLAIM = Claim(
    method="awac",
    paper="Nair et al. 2020, arXiv 2006.09359, sections 4 and 5",
    says="An actor held to the data implicitly, by advantage weights, learns offline and online without a dip.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above cloning's", "awac", "weights all one (cloning)", OFFLINE),
        Contrast("final score above cloning's", "awac", "weights all one (cloning)", FINAL),
        Contrast("dip smaller than naive fine-tuning's", "naive", "awac", handover("dip")),
    ),
)
