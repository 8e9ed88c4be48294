"""SPOT: a density keeps the policy on the support; letting go of it online pays."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

OFFLINE = handover("score_at_switch")
FINAL = handover("final")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("spot", task, scale="small")
    return {
        "spot": recipe,
        "no support term (TD3)": with_agent(recipe, support_weight=0.0),
        "not relaxed online": o2o.replace(recipe, {"online.agent.support_weight_end": 1.0}),
    }


CLAIM = Claim(
    method="spot",
    paper="Wu et al. 2022, arXiv 2202.06239, sections 4 and 5",
    says="A constraint on the density of actions, relaxed online, gives good policies offline and fast fine-tuning.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above TD3's", "spot", "no support term (TD3)", OFFLINE),
        Contrast("final score: relaxed online above not", "spot", "not relaxed online", FINAL),
    ),
    note="Offline as for td3_bc: plain TD3 learns from these mixed data by itself, and what holds the policy to the "
    "data costs; relaxing it online is what pays. Where most actions are unknown the term does pay: `spot_narrow`.",
)
