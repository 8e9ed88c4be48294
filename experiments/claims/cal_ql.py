"""Cal-QL: calibrated values need not be unlearned online."""

from collections.abc import Mapping
from dataclasses import replace

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover
from purejaxo2o.agents import CQL


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("cal_ql", task, scale="small")
    return {"cal_ql": recipe, "no bound (CQL)": replace(recipe, agent=CQL(**vars(recipe.agent)))}


CLAIM = Claim(
    method="cal_ql",
    paper="Nakamoto et al. 2023, arXiv 2303.05479, sections 4 and 6",
    says="Conservative values below those of the data cause a drop at the switch; bounding them by it avoids this.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("dip smaller than CQL's", "no bound (CQL)", "cal_ql", handover("dip")),
        Contrast("area under the online curve above CQL's", "cal_ql", "no bound (CQL)", handover("online_auc")),
    ),
)
