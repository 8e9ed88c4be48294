"""RLPD: offline rows in every minibatch replace pre-training; LayerNorm keeps the critics from diverging."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

AREA = handover("online_auc")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("rlpd", task, scale="small")
    return {
        "rlpd": recipe,
        "no offline rows": o2o.replace(recipe, {"online.offline_fraction": 0.0}),
        "no LayerNorm": with_agent(recipe, layer_norm=False),
    }


CLAIM = Claim(
    method="rlpd",
    paper="Ball et al. 2023, arXiv 2302.02948, sections 4 and 5",
    says="Half offline, half online minibatches make sparse tasks solvable from scratch; LayerNorm is needed for it.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("area under the curve: half offline above none", "rlpd", "no offline rows", handover("online_auc")),
        Contrast(
            "area under the curve: with LayerNorm above without", "rlpd", "no LayerNorm", handover("online_auc")
        ),
        Contrast("final score: half offline above none", "rlpd", "no offline rows", handover("final")),
    ),
    note="LayerNorm guards against values that explode with many updates a step: 20 in the paper, 2 here, "
    "where nothing explodes without it.",
)
