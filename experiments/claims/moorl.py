"""MOORL: the meta step makes training on two sources stable, and better than their mixture."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent
from purejaxo2o.loop.result import Result

FINAL = handover("final")


def unsteadiness(result: Result) -> Any:
    """Standard deviation of the mean value over the second half of the run's segments, `[seeds]`."""
    values = np.asarray(result.metrics["q"])
    return values[..., values.shape[-1] // 2 :].std(axis=-1)


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("moorl", task, scale="small")
    return {
        "moorl": recipe,
        "no meta step (SAC in turns)": with_agent(recipe, meta_rate=1.0),
        "replay only": with_agent(recipe, meta_rate=1.0, source_probability=0.0),
    }


CLAIM = Claim(
    method="moorl",
    paper="arXiv 2506.09574, section 5 (notes; the tables are unverified)",
    says="Meta-learning over offline and online data is stable and beats using them without it.",
    task=lambda: o2o.task("pointmaze-umaze"),
    arms=arms,
    contrasts=(
        Contrast("values steadier than without the meta step", "no meta step (SAC in turns)", "moorl", unsteadiness),
        Contrast("final score above that without the meta step", "moorl", "no meta step (SAC in turns)", FINAL),
        Contrast("final score above that of the replay alone", "moorl", "replay only", FINAL),
    ),
    note="The meta step halves every move of policy and critics, so in 6,000 steps they get less far; and values "
    "that are still on their way count as unsteady here. A likely reason, untested: the paper runs a million steps. "
    "`moorl_crossing` has sources that conflict and five inner steps.",
)
