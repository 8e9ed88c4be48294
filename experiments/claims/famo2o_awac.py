"""FamO2O around AWAC: a balance chosen for every state does better than one for all of them."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

OFFLINE = handover("score_at_switch")
AREA = handover("online_auc")
ONE = "one balance (AWAC)"


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("famo2o_awac", task, scale="small")
    return {"famo2o_awac": recipe, ONE: with_agent(recipe, spread=0.0)}


CLAIM = Claim(
    method="famo2o_awac",
    paper="Wang et al. 2023, arXiv 2310.17966, sections 4 to 6",
    says="Balances that adapt to the state beat a single one around AWAC, too.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above one balance's", "famo2o_awac", ONE, OFFLINE),
        Contrast("area under the online curve above one balance's", "famo2o_awac", ONE, AREA),
    ),
    note="The single balance is the middle of the range, in the same networks.",
)
