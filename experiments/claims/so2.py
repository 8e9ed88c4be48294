"""SO2: noise on the next action and frequent updates repair the values of an offline ensemble."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

AREA = handover("online_auc")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("so2", task, scale="small")
    return {
        "so2": recipe,
        "one update a step": o2o.replace(recipe, {"online.updates": 1}),
        "no perturbation": with_agent(recipe, target_noise=0.0),
    }


CLAIM = Claim(
    method="so2",
    paper="Zhang et al. 2024, arXiv 2312.07685, sections 4 and 5",
    says="Perturbed value updates, many a step, make fine-tuning of a pessimistic ensemble efficient.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast(
            "area under the online curve: 4 updates a step above 1",
            "so2",
            "one update a step",
            AREA,
        ),
        Contrast("area under the online curve: perturbed above not", "so2", "no perturbation", AREA),
    ),
    note="The gain is that of more updates; the perturbed targets neither help nor hurt with four critics, which "
    "disagree already (untested: with fewer).",
)
