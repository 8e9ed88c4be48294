"""BOORL: acting by sampling a member of the ensemble beats a single learner online."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

AREA = handover("online_auc")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("boorl", task, scale="small")
    return {
        "boorl": recipe,
        "one member": with_agent(recipe, members=1, row_share=1.0),
    }


CLAIM = Claim(
    method="boorl",
    paper="Hu et al. 2024, arXiv 2405.20984, sections 4 and 5",
    says="Sampling what to do from an ensemble avoids both the drop of optimism and the slowness of pessimism.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("area under the online curve above a single learner's", "boorl", "one member", AREA),
        Contrast("dip smaller than a single learner's", "one member", "boorl", handover("dip")),
    ),
    note="A single TD3+BC learner hardly dips here (under 4 points), so there is nothing for the ensemble to save.",
)
