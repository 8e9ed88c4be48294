"""QC: chunks of actions explore and learn faster than single ones; the best of several is better than any."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent

OFFLINE = handover("score_at_switch")
FINAL = handover("final")
AREA = handover("online_auc")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("qc", task, scale="small")
    return {
        "qc": recipe,
        "chunks of 1": with_agent(recipe, chunk=1),
        "one sample (cloning)": with_agent(recipe, samples=1),
    }


CLAIM = Claim(
    method="qc",
    paper="Li, Zhou & Levine 2025, arXiv 2507.07969, sections 4 and 5",
    says="Learning and acting with chunks of actions makes fine-tuning with sparse rewards more efficient.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("area under the online curve: chunks of 5 above 1", "qc", "chunks of 1", AREA),
        Contrast("final score: chunks of 5 above 1", "qc", "chunks of 1", FINAL),
        Contrast("offline score: best of 8 above a single sample", "qc", "one sample (cloning)", OFFLINE),
    ),
    note="Best of 8 with 5 flow steps (paper: 32 and 10), to fit two cores; a chunk is 0.05 s of the ball's time.",
)
