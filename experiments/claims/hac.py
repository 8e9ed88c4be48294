"""HAC: the contrast of HNPG for soft policy iteration, on the lock with discrete actions, where its step is exact."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims import hnpg
from experiments.claims.claim import Claim, Contrast
from purejaxo2o.envs.lock import CombinationLock
from purejaxo2o.tasks import make


def task() -> o2o.Task:
    return make("combination lock, 5 steps", CombinationLock(horizon=hnpg.HORIZON), domain="toy")


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    return hnpg.shares("hac", task)


CLAIM = Claim(
    method="hac",
    paper="Zhou et al. 2023, arXiv 2311.08384, sections 4 and 6.1",
    says="Soft policy iteration on both succeeds where it fails on-policy.",
    task=task,
    arms=arms,
    contrasts=(
        Contrast("final score above that of on-policy iteration", "hac", "on-policy only", hnpg.FINAL),
        Contrast("area under the curve above that of on-policy iteration", "hac", "on-policy only", hnpg.AREA),
        Contrast("final score above that of offline rows alone", "hac", "offline only", hnpg.FINAL),
    ),
    data=hnpg.data,
    note="The paper experiments with HNPG; for HAC it has guarantees alone. With discrete actions these data are "
    "enough by themselves: a third of their episodes show the whole way.",
)
