"""Uni-O4: a model that says which policies may replace their older selves, and a value that survives the switch."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, only_offline, with_agent

OFFLINE, DIP, AREA = handover("score_at_switch"), handover("dip"), handover("online_auc")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("uni_o4", task, scale="small")
    return {
        "uni_o4": recipe,
        "clones alone": only_offline(o2o.replace(recipe, {"improve.agent.learning_rate": 0.0})),
        "always replaced": only_offline(with_agent(recipe, gate="always")),
        "new value online": with_agent(recipe, carry_value=False),
        "naive": o2o.recipe("naive", task, scale="small"),
    }


CLAIM = Claim(
    method="uni_o4",
    paper="Lei et al. 2024, arXiv 2311.03351, sections 3 and 5 (tables unverified)",
    says="Many steps of PPO on data, approved by off-policy evaluation, beat cloning; PPO goes on without a drop.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("offline score above the clones'", "uni_o4", "clones alone", OFFLINE),
        Contrast("offline score above that without evaluation", "uni_o4", "always replaced", OFFLINE),
        Contrast("dip smaller than with a value learned online", "new value online", "uni_o4", DIP),
        Contrast("dip smaller than naive fine-tuning's", "naive", "uni_o4", DIP),
        Contrast("area under the online curve above naive fine-tuning's", "uni_o4", "naive", AREA),
    ),
)
