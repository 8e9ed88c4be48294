"""Snapshot RL: who starts where a teacher has been need not find the way there."""

from collections.abc import Mapping

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover
from purejaxo2o.loop.extras import return_to_go
from purejaxo2o.loop.store import flat
from purejaxo2o.tasks.snapshots import snapshots

FINAL, AREA = handover("final"), handover("online_auc")


def grouped(task: o2o.Task) -> o2o.Task:
    """Starts at recorded states, those worth much as often as those worth little."""
    data = o2o.dataset(task)
    rows = flat(data)
    worth = return_to_go(rows.reward, rows.terminated, rows.last, discount=0.99)
    return snapshots(task, data, worth=worth)


def ungrouped(task: o2o.Task) -> o2o.Task:
    return snapshots(task, o2o.dataset(task))


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    return dict.fromkeys(
        ("snapshot_rl", "at any recorded state", "ordinary starts"), o2o.recipe("sac", task, scale="small")
    )


CLAIM = Claim(
    method="snapshot_rl",
    paper="S3RL, code sdpkjc/snapshotrl (no paper's table was looked up)",
    says="Training episodes that start at a teacher's states make online RL from scratch learn sooner.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("final score above that of ordinary starts", "snapshot_rl", "ordinary starts", FINAL),
        Contrast("area under the curve above that of ordinary starts", "snapshot_rl", "ordinary starts", AREA),
        Contrast("area under the curve: grouped by worth above not", "snapshot_rl", "at any recorded state", AREA),
    ),
    other_tasks={"snapshot_rl": grouped, "at any recorded state": ungrouped},
    note="The agent is SAC, not TD3; what a state is worth is its recorded return, no teacher's value.",
)
