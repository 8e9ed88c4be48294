"""FQL: a flow's modes and the values together give a better policy than either without the other."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

OFFLINE = handover("score_at_switch")
AREA = handover("online_auc")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("fql", task, scale="small")
    return {
        "fql": recipe,
        "one flow step (no modes)": with_agent(recipe, flow_steps=1),
        "no values (cloning)": with_agent(recipe, alpha=1e6),
    }


CLAIM = Claim(
    method="fql",
    paper="Park, Li & Levine 2025, arXiv 2502.02538, sections 4 and 5",
    says="Values on top of an expressive clone give good policies offline, and go on improving online as they are.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above cloning's", "fql", "no values (cloning)", OFFLINE),
        Contrast("area under the online curve above cloning's", "fql", "no values (cloning)", AREA),
        Contrast("offline score: 10 flow steps above 1", "fql", "one flow step (no modes)", OFFLINE),
    ),
    note="With one step of Euler's method the flow ends at the mean of the data: an imitation without modes.",
)
