"""PEX: a policy beside the frozen one fine-tunes without losing what the offline policy can do.

The room of `shift.py`. The data are driven both ways; online only one of them is taken, no data are kept, and both
are scored. Expected, before it was measured: fine-tuned on one way alone, IQL's policy is overwritten and loses the
other way, as naive fine-tuning's does; PEX's frozen policy still knows it, and the critics still prefer what it
proposes.
"""

from collections.abc import Mapping
from dataclasses import replace

import purejaxo2o as o2o
from experiments.claims import shift
from experiments.claims.claim import Claim, Contrast, handover

ROWS = 5_000


def task() -> o2o.Task:
    """Trained one way, scored both ways."""
    both = shift.room("room, one way of two", *shift.AROUND)
    return replace(both, env=shift.room("room, one way", shift.AROUND[0]).env)


def forgetful(recipe: o2o.Recipe) -> o2o.Recipe:
    """The recipe with online rows alone from the switch on."""
    phases = (replace(phase, mix="online") if phase.acts else phase for phase in recipe.phases)
    return replace(recipe, phases=tuple(phases))


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    return {
        "pex": forgetful(o2o.recipe("pex", task, scale="small")),
        "iql": forgetful(o2o.recipe("iql", task, scale="small")),
        "naive": o2o.recipe("naive", task, scale="small"),
    }


CLAIM = Claim(
    method="pex",
    paper="Zhang, Xu & Yu 2023, arXiv 2302.00935, sections 4 and 5",
    says="Keeping the offline policy and adding one avoids the drop and learns faster than fine-tuning it.",
    task=task,
    arms=arms,
    contrasts=(
        Contrast("dip smaller than IQL's", "iql", "pex", handover("dip")),
        Contrast("dip smaller than naive fine-tuning's", "naive", "pex", handover("dip")),
        Contrast("area under the online curve above IQL's", "pex", "iql", handover("online_auc")),
    ),
    data=lambda task: shift.recorded(ROWS, *shift.AROUND, sigma=0.3, epsilon=0.1),
    note="No offline rows online, in any arm. On pointmaze-umaze with the data kept, PEX's area was IQL's (-0.14 "
    "[-1.68, 1.05]): IQL loses little at a switch and ends near 90, there is nothing for a second policy to save.",
)
