"""WSRL: a warm-up with the frozen policy is what makes dropping the offline data safe.

The room of `shift.py`, starts and goals anywhere on the left. Expected, before it was measured: without the warm-up
the first thousand updates see a dozen episodes, and values of all other starts and goals come from nowhere once the
data are gone; so the score dips further than with two thousand rows of the frozen policy. Four updates a step, as in
the paper; the fewer, the less is forgotten.
"""

from collections.abc import Mapping
from dataclasses import replace

import purejaxo2o as o2o
from experiments.claims import shift
from experiments.claims.claim import Claim, Contrast, handover
from purejaxo2o.recipes import budget

ROWS, UPDATES = 5_000, 4


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("wsrl", task, scale="small")
    offline, warmup, online = recipe.phases
    online = replace(online, updates=UPDATES)
    # The same environment steps without the warm-up, and the same evaluations.
    cold = replace(online, steps=budget.ONLINE, segments=budget.ONLINE // budget.SEGMENT)
    return {
        "wsrl": replace(recipe, phases=(offline, warmup, online)),
        "no warm-up": replace(recipe, phases=(offline, cold)),
        "naive": o2o.recipe("naive", task, scale="small"),
    }


CLAIM = Claim(
    method="wsrl",
    paper="Zhou et al. 2024, arXiv 2412.07762, sections 4 to 6",
    says="Online data from the frozen policy lets the critic recalibrate, so that no offline data need be kept.",
    task=lambda: shift.room("room, both ways", *shift.AROUND),
    arms=arms,
    contrasts=(
        Contrast("dip smaller than without the warm-up", "no warm-up", "wsrl", handover("dip")),
        Contrast("dip smaller than naive fine-tuning's", "naive", "wsrl", handover("dip")),
        Contrast("area under the online curve above naive's", "wsrl", "naive", handover("online_auc")),
    ),
    data=lambda task: shift.recorded(ROWS, *shift.AROUND, sigma=0.5, epsilon=0.4),
    note="On pointmaze-umaze, with two updates a step, the warm-up saved 3.3 [-6.4, 14.5] points of dip.",
)
