"""FamO2O: a balance chosen for every state does better than one for all of them."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

OFFLINE = handover("score_at_switch")
AREA = handover("online_auc")
FINAL = handover("final")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("famo2o", task, scale="small")
    return {
        "famo2o": recipe,
        "one balance (IQL)": with_agent(recipe, spread=0.0),
    }


CLAIM = Claim(
    method="famo2o",
    paper="Wang et al. 2023, arXiv 2310.17966, sections 4 to 6",
    says="Balances between improvement and constraint that adapt to the state beat a single one, offline and online.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above one balance's", "famo2o", "one balance (IQL)", OFFLINE),
        Contrast("area under the online curve above one balance's", "famo2o", "one balance (IQL)", AREA),
        Contrast("final score above one balance's", "famo2o", "one balance (IQL)", FINAL),
    ),
    note="The single balance is the middle of the range, in the same networks.",
)
