"""EDAC: the diversity term turns gradients apart, lowers values off the data, and so makes few critics enough."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, metric_at_switch, with_agent

ALIGNMENT = metric_at_switch("alignment")
OFFLINE = handover("score_at_switch")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("edac", task, scale="small")
    return {
        "edac": recipe,
        "no diversity (SAC-N)": with_agent(recipe, diversity_weight=0.0),
    }


CLAIM = Claim(
    method="edac",
    paper="An et al. 2021, arXiv 2110.01548, sections 3 to 5",
    says="With gradients of the critics turned apart, a small ensemble is as pessimistic as a large one.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("critics' gradients less aligned", "no diversity (SAC-N)", "edac", ALIGNMENT, unit=""),
        Contrast("offline values lower", "no diversity (SAC-N)", "edac", metric_at_switch("q"), unit="of value"),
        Contrast(
            "offline score above SAC-N's of the same size",
            "edac",
            "no diversity (SAC-N)",
            OFFLINE,
        ),
    ),
    note="The mechanism is there, its benefit is not: on these broad data the minimum of as many undiversified "
    "critics is not too optimistic (the paper's case is narrow data and fewer critics), so more pessimism "
    "only costs.",
)
