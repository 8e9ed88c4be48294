"""A claim: which arms are trained, and which of their figures must lie apart.

Arms share seeds, task, data and budget and differ in one thing. The tasks were chosen by where a paper says that the
phenomenon lives, before anybody looked at who wins. Settings may be tried on the seeds `TRIED`; what is committed
comes from `CONFIRMED`, which nobody tunes on.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

import purejaxo2o as o2o
from experiments.studies.spread import of_seed
from purejaxo2o.figures.stats import Interval, difference_interval
from purejaxo2o.loop.result import Result

SEEDS = 8
TRIED, CONFIRMED = range(0, 8), range(100, 108)
"""Seed numbers: to try things on, and for the final run."""

Figure = Callable[[Result], Any]
Data = Callable[[o2o.Task], o2o.Store]
Verdict = Literal["holds", "not at this scale", "fails"]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """`figure` of arm `more` minus that of arm `less`, run by run of the same seed; the claim is that it is above
    zero. says: in words."""

    says: str
    more: str
    less: str
    figure: Figure
    unit: str = "points"

    def from_run_to_run(self, seeds: int) -> float | None:
        """Standard deviation of the mean difference over `seeds` between runs of the same seeds, for figures whose
        spread was measured (`experiments/studies/spread.py`)."""
        spread = of_seed(self.figure.name) if isinstance(self.figure, Handover) else None
        return None if spread is None else spread * float(np.sqrt(2 / seeds))

    def values(self, results: Mapping[str, Result]) -> dict[str, np.ndarray]:
        """The figure of both arms, `[seeds]`."""
        return {arm: np.asarray(self.figure(results[arm]), float) for arm in (self.more, self.less)}

    def measure(self, results: Mapping[str, Result]) -> Interval:
        """Mean difference with its 95% bootstrap interval over seeds; NaN if a run of either diverged."""
        return difference_interval(*self.values(results).values(), paired=True)


@dataclasses.dataclass(frozen=True)
class Claim:
    """paper: who says it, and where. says: their claim. arms: recipes by name, the method itself first.

    data: what the arms learn from offline. other_data: the same of single arms whose difference it is; other_tasks:
    what becomes of the task in such arms. note: what a reader must know to judge the outcome (a cut, an adjustment, a
    diagnosis)."""

    method: str
    paper: str
    says: str
    task: Callable[[], o2o.Task]
    arms: Callable[[o2o.Task], Mapping[str, o2o.Recipe]]
    contrasts: tuple[Contrast, ...]
    data: Data = lambda task: o2o.dataset(task)
    other_data: Mapping[str, Data] = dataclasses.field(default_factory=dict)
    other_tasks: Mapping[str, Callable[[o2o.Task], o2o.Task]] = dataclasses.field(default_factory=dict)
    note: str = ""


def verdict(difference: Interval) -> Verdict:
    """By where the interval lies: above zero, across it (or nowhere, after a divergence), below."""
    if difference.low > 0:
        return "holds"
    return "fails" if difference.high < 0 else "not at this scale"


@dataclasses.dataclass(frozen=True)
class Handover:
    """One of `Result.handover`'s figures, a value per seed."""

    name: str

    def __call__(self, result: Result) -> Any:
        return result.handover[self.name]


def handover(name: str) -> Handover:
    """The figure of this name, e.g. `dip`."""
    return Handover(name)


def metric_at_switch(name: str) -> Figure:
    """A training metric in the last segment before the switch."""
    return lambda result: result.metrics[name][..., result.switch]


def only_offline(recipe: o2o.Recipe) -> o2o.Recipe:
    """The recipe up to the switch."""
    return dataclasses.replace(recipe, phases=tuple(phase for phase in recipe.phases if not phase.acts))


def with_agent(recipe: o2o.Recipe, **changes: Any) -> o2o.Recipe:
    """The recipe with some of its agent's settings changed, in every phase."""
    return o2o.replace(recipe, {f"agent.{name}": value for name, value in changes.items()})
