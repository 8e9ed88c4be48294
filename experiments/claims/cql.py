"""CQL: the penalty keeps offline values low where the data is silent, and the policy useful."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, metric_at_switch, only_offline, with_agent


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = only_offline(o2o.recipe("cql", task, scale="small"))
    return {"cql": recipe, "no penalty (SAC)": with_agent(recipe, stage="plain")}


CLAIM = Claim(
    method="cql",
    paper="Kumar et al. 2020, arXiv 2006.04779, sections 3 and 6",
    says="Without the penalty, values of actions that the data lacks are overestimated and offline learning fails.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above SAC's", "cql", "no penalty (SAC)", handover("score_at_switch")),
        Contrast(
            "values of recorded actions below SAC's",
            "no penalty (SAC)",
            "cql",
            metric_at_switch("q"),
            unit="of value",
        ),
    ),
)
