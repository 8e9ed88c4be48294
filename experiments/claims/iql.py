"""IQL: a high expectile stitches, the advantage-weighted policy beats cloning, fine-tuning improves it."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("iql", task, scale="small")
    return {
        "iql": recipe,
        "expectile 0.5": with_agent(recipe, expectile=0.5),
        "temperature 0 (cloning)": with_agent(recipe, temperature=0.0),
    }


CLAIM = Claim(
    method="iql",
    paper="Kostrikov et al. 2022, arXiv 2110.06169, sections 4 and 5",
    says="Upper expectiles of the value over the data's actions allow dynamic programming without leaving the data.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast(
            "offline score: expectile 0.9 above the mean (one-step value)",
            "iql",
            "expectile 0.5",
            handover("score_at_switch"),
        ),
        Contrast(
            "offline score: weighted by advantage above cloned",
            "iql",
            "temperature 0 (cloning)",
            handover("score_at_switch"),
        ),
        Contrast(
            "score at the end: weighted by advantage above cloned",
            "iql",
            "temperature 0 (cloning)",
            handover("final"),
        ),
    ),
)
