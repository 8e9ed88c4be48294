"""`purejaxo2o sweep`: settings x seeds of one recipe."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from purejaxo2o.cli.base import Answer
from purejaxo2o.cli.given import pairs, values
from purejaxo2o.cli.train import Train
from purejaxo2o.types import O2OError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Train):
    """Train a recipe on a task with every combination of some settings and every seed.

    Numbers are batched in one program, other settings get a program each. Files, table and curves are those of train.
    Several recipes or tasks at once are a study (purejaxo2o study).

    purejaxo2o sweep iql pointmaze-umaze --scale small --seeds 4 --over agent.expectile=0.7,0.9"""

    over: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=V1,V2 ...")] = ()
    """Settings to vary, e.g. '*.learning_rate=1e-4,3e-4' agent.loss=mse,nll "agent.hidden=(64,64),(256,256)"."""

    def run(self) -> Answer:
        if Path(self.recipe).suffix in (".toml", ".py"):
            raise O2OError(f"{self.recipe} is a file; a study is run by: purejaxo2o study {self.recipe}")
        axes = pairs(self.over)
        if not axes:
            raise O2OError("a sweep needs at least one --over NAME=V1,V2; to vary seeds only, use train")
        return self.start({name: values(name, text) for name, text in axes.items()})
