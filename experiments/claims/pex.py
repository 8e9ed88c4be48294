"""PEX: a policy beside the frozen one fine-tunes better than overwriting it, and nothing is lost at the switch."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover

AREA = handover("online_auc")
FINAL = handover("final")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("pex", task, scale="small")
    return {
        "pex": recipe,
        "iql": o2o.recipe("iql", task, scale="small"),
        "naive": o2o.recipe("naive", task, scale="small"),
    }


CLAIM = Claim(
    method="pex",
    paper="Zhang, Xu & Yu 2023, arXiv 2302.00935, sections 4 and 5",
    says="Keeping the offline policy and adding one avoids the drop and learns faster than fine-tuning it.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("area under the online curve above IQL's", "pex", "iql", AREA),
        Contrast("final score above IQL's", "pex", "iql", FINAL),
        Contrast("dip smaller than naive fine-tuning's", "naive", "pex", handover("dip")),
    ),
    note="IQL alone loses little at the switch and ends near 90: there is nothing for a second policy to save.",
)
