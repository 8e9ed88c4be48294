"""PROTO: a trust region that follows the policy loses nothing at the switch and holds nothing back at the end."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

DIP = handover("dip")
AREA = handover("online_auc")
FINAL = handover("final")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("proto", task, scale="small")
    return {
        "proto": recipe,
        "no trust region (SAC)": with_agent(recipe, trust_weight=0.0),
        "held to the offline policy": with_agent(recipe, anchor_polyak=0.0, trust_decay=0.0),
    }


CLAIM = Claim(
    method="proto",
    paper="Li et al. 2023, arXiv 2305.15669, sections 3 and 4",
    says="Regularisation towards an evolving policy, relaxed over time, is stable at first and optimal at last.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("dip smaller than without the trust region", "no trust region (SAC)", "proto", DIP),
        Contrast(
            "area under the online curve above that without the trust region", "proto", "no trust region (SAC)", AREA
        ),
        Contrast("final score: followed and relaxed above fixed", "proto", "held to the offline policy", FINAL),
    ),
    note="All three differences point the claimed way or nowhere, and 8 seeds do not tell them from chance: without "
    "a trust region some seeds fall far and others not at all.",
)
