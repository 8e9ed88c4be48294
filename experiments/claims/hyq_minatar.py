"""Hy-Q on images: rows of a good player beside one's own."""

import dataclasses
from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover
from purejaxo2o import phases
from purejaxo2o.recipes import budget

FINAL, AREA = handover("final"), handover("online_auc")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("hyq", task, scale="small")
    alone = phases.offline(budget.ONLINE - budget.RANDOM_WARMUP, segments=22, batch_size=128)
    return {
        "hyq": recipe,
        "online only (DQN)": o2o.recipe("dqn", task, scale="small"),
        "offline only": dataclasses.replace(recipe, phases=(alone,)),
    }


CLAIM = Claim(
    method="hyq_minatar",
    paper="Song et al. 2023, arXiv 2210.06718, section 6.2",
    says="With images, too, Q-learning on both outdoes Q-learning on either.",
    task=lambda: o2o.task("minatar-breakout"),
    arms=arms,
    contrasts=(
        Contrast("final score above that of online rows alone", "hyq", "online only (DQN)", FINAL),
        Contrast("area under the curve above that of online rows alone", "hyq", "online only (DQN)", AREA),
        Contrast("final score above that of offline rows alone", "hyq", "offline only", FINAL),
    ),
    note="The paper plays Montezuma's Revenge for millions of frames, this is MinAtar's Breakout for six thousand.",
)
