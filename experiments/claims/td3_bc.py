"""TD3+BC: imitation is what lets TD3 learn from data, values are what lets it beat imitation."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

OFFLINE = handover("score_at_switch")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("td3_bc", task, scale="small")
    return {
        "td3_bc": recipe,
        "no imitation (TD3)": with_agent(recipe, bc_weight=0.0),
        "no values (cloning)": with_agent(recipe, alpha=0.0),
    }


CLAIM = Claim(
    method="td3_bc",
    paper="Fujimoto & Gu 2021, arXiv 2106.06860, sections 4 and 6",
    says="A behaviour-cloning term in the policy update is enough to make TD3 work offline.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above TD3's", "td3_bc", "no imitation (TD3)", OFFLINE),
        Contrast("offline score above cloning's", "td3_bc", "no values (cloning)", OFFLINE),
    ),
    note="Plain TD3 learns from these mixed data by itself. A likely reason, untested: the policy's loss divides "
    "values by their mean size, tens under rewards of -1 a step, so their differences shrink and imitation decides.",
)
