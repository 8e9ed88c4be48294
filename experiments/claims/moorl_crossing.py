"""MOORL on sources that conflict, with its nominal five inner steps.

`claims/moorl.py` runs two inner steps on sources that overlap, the maze's mixed data and experience in the same maze.
The paper's reason for a meta step is that offline and online data differ: what the inner steps adapt to one source
alone may spoil what the other needs, and half a step towards it spoils half as much. Here the sources share no state
and want opposite actions: `toy/crossing` steers the wrong way left of 0, where episodes begin, and the right way on
the right, where the reward is and where all data were recorded.

Expected, before any run: with the meta step the values fluctuate less from segment to segment, and the final score is
above that of the same inner steps without it, and above that of the replay alone, which seldom finds the reward.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import purejaxo2o as o2o
from experiments.claims import h2o
from experiments.claims.claim import Claim, Contrast, handover, with_agent
from purejaxo2o import envs
from purejaxo2o.result import Result
from purejaxo2o.tasks import Task

FINAL = handover("final")
STEPS, INNER = 4_000, 5


def task() -> o2o.Task:
    real = envs.make("toy/crossing")
    return Task(name="crossing", env=real, eval_env=real, score_low=0.0, score_high=40.0, domain="toy")


def fluctuation(result: Result) -> Any:
    """Of the mean value between segments in the second half of the run, `[seeds]`: the root of the mean square of its
    second differences, to which a steady rise adds nothing."""
    values = np.asarray(result.metrics["q"])
    bends = np.diff(values[..., values.shape[-1] // 2 :], 2, axis=-1)
    return np.sqrt(np.square(bends).mean(axis=-1))


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    recipe = o2o.recipe("moorl", task, scale="small")
    explore, learn = recipe.phases
    learn = replace(learn, updates=INNER, steps=STEPS, segments=20)
    recipe = replace(recipe, phases=(explore, learn))
    return {
        "moorl": recipe,
        "no meta step (SAC in turns)": with_agent(recipe, meta_rate=1.0),
        "replay only": with_agent(recipe, meta_rate=1.0, source_probability=0.0),
    }


CLAIM = Claim(
    method="moorl_crossing",
    paper="arXiv 2506.09574, section 5 (notes; the tables are unverified)",
    says="Where the sources conflict, meta-learning over them is stable and beats using them without it.",
    task=task,
    arms=arms,
    contrasts=(
        Contrast(
            "values fluctuate less than without the meta step",
            "no meta step (SAC in turns)",
            "moorl",
            fluctuation,
            unit="of value",
        ),
        Contrast("final score above that without the meta step", "moorl", "no meta step (SAC in turns)", FINAL),
        Contrast("final score above that of the replay alone", "moorl", "replay only", FINAL),
    ),
    data=h2o.data,
)
