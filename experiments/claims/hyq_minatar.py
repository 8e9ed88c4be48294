"""Hy-Q on images: rows of a good player beside one's own."""

import purejaxo2o as o2o
from experiments.claims import hyq
from experiments.claims.claim import Claim, Contrast, handover

AREA = handover("online_auc")


CLAIM = Claim(
    method="hyq_minatar",
    paper="Song et al. 2023, arXiv 2210.06718, section 6.2",
    says="With images, too, Q-learning on both outdoes Q-learning on either.",
    task=lambda: o2o.task("minatar-breakout"),
    arms=hyq.shares,
    contrasts=(
        Contrast("final score above that of online rows alone", "hyq", "online only (DQN)", hyq.FINAL),
        Contrast("area under the curve above that of online rows alone", "hyq", "online only (DQN)", AREA),
        Contrast("final score above that of offline rows alone", "hyq", "offline only", hyq.FINAL),
    ),
    note="The paper plays Montezuma's Revenge for millions of frames, this is MinAtar's Breakout for six thousand.",
)
