"""`purejaxo2o sweep`: settings x seeds of one recipe, or a whole study out of a file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from purejaxo2o.cli import output
from purejaxo2o.cli.base import Answer, Command
from purejaxo2o.cli.given import pairs, values
from purejaxo2o.cli.planning import plan_study
from purejaxo2o.cli.train import Log, Train, summary_table
from purejaxo2o.types import O2OError

Pairs = UseAppendAction[tuple[tuple[str, ...], ...]]
OF_THE_FILE = (
    *("over", "set", "scale", "dataset", "reference", "limit", "clip"),
    *("save_every", "width", "chunk"),
)
"""What a study says itself."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Command):
    """Train every combination of some settings with every seed: for one recipe, or for a study from a file.

    One recipe on one task, its axes given by --over, all in one program; files, table and curves as in train:

    purejaxo2o sweep iql pointmaze-umaze --scale small --seeds 4 --over agent.expectile=0.7,0.9

    Or a study, recipes x tasks x settings x seeds, from a file. It shows a table of what is under way and ends with
    a report per task, in OUT/report/TASK:

    purejaxo2o sweep study.toml --out runs/study

    The least that a study file holds, and an axis:

    recipes = ["iql", "wsrl"]

    tasks = ["pointmaze-umaze"]

    recipe.iql.over.agent.expectile = [0.7, 0.9]

    It may also say scale, seeds, seed0, dataset, reference, limit, clip, out, log, [set] (settings of all recipes
    that have them), [over] (axes of all recipes), [recipe.NAME.set] and [recipe.NAME.over]. In Python:
    study = o2o.Study(recipes=[...], ...).
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE|FILE")]
    """The method, e.g. iql (purejaxo2o list recipes), or a study file that ends in .toml or .py."""
    task: Annotated[Positional[str | None], arg(metavar="TASK", help_behavior_hint="(not with a file)")] = None
    """What is to be learned, e.g. pointmaze-umaze (purejaxo2o list tasks), or the id of a dataset recorded in it."""
    over: Annotated[Pairs, arg(metavar="NAME=V1,V2 ...", help_behavior_hint="(not with a file)")] = ()
    """Settings to vary, e.g. '*.learning_rate=1e-4,3e-4' agent.loss=mse,nll "agent.hidden=(64,64),(256,256)"."""
    set: Annotated[Pairs, arg(metavar="NAME=VALUE ...", help_behavior_hint="(not with a file)")] = ()
    """Settings to change, e.g. online.steps=20000."""
    scale: Annotated[
        Literal["small", "paper"] | None,
        arg(metavar="small|paper", help_behavior_hint="(default: paper; not with a file)"),
    ] = None
    """paper: the published protocol; small: networks and budgets that a laptop runs in minutes."""
    seeds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 8, or the file's)")] = None
    """How many seeds."""
    seed0: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 0, or the file's)")] = None
    """The first seed: seeds are seed0, seed0 + 1, ...; those of two runs differ if their ranges do."""
    dataset: Annotated[str | None, arg(metavar="ID", help_behavior_hint="(not with a file)")] = None
    """Minari id or D4RL .hdf5 file of the offline data, by default the task's own."""
    reference: Annotated[
        tuple[float, float] | None, arg(metavar="LOW HIGH", help_behavior_hint="(not with a file)")
    ] = None
    """Returns that score 0 and 100, by default the task's; where none are known, scores are raw returns."""
    limit: Annotated[int | None, arg(metavar="STEPS", help_behavior_hint="(not with a file)")] = None
    """Time limit of an environment or D4RL file that declares none."""
    clip: Annotated[bool, arg(help_behavior_hint="(not with a file)")] = False
    """Accept recorded actions beyond their declared bounds."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Output folder, by default runs/RECIPE-TASK-SCALE, or the file's, or runs/FILE."""
    resume: bool = False
    """Continue what is in the output folder from its last checkpoints; begin what has none."""
    overwrite: bool = False
    """Replace what is in the output folder."""
    dry_run: bool = False
    """Show what would be trained: phases, settings, sizes, memory, folder. Compiles nothing, writes nothing."""
    log: Log = ()
    """Also log to wandb, tensorboard or csv: a run for each seed, over environment steps. May be given again."""
    save_every: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: if cheap; without file)")] = None
    """Segments from one checkpoint to the next; by default as often as it costs less than 5% of the time."""
    width: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the faster; without file)")] = None
    """Runs side by side on each device, the rest after them."""
    chunk: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: what fits; without file)")] = None
    """Runs in memory at once, the rest after them."""

    def run(self) -> Answer:
        if Path(self.recipe).suffix in (".toml", ".py"):
            return self._study()
        if self.task is None:
            raise O2OError(f"sweep {self.recipe} needs a task, e.g. pointmaze-umaze; or give a .toml or .py file")
        axes = pairs(self.over)
        if not axes:
            raise O2OError("a sweep needs at least one --over NAME=V1,V2; to vary seeds only, use train")
        shared = {field.name for field in dataclasses.fields(Train)} - {"recipe", "task", "json"}
        given = {name: getattr(self, name) for name in shared if getattr(self, name) is not None}
        one = Train(recipe=self.recipe, task=self.task, **given)
        return one.start({name: values(name, text) for name, text in axes.items()})

    def _study(self) -> Answer:
        from purejaxo2o.study import run as study
        from purejaxo2o.study.members import plan

        if self.task is not None:
            raise O2OError(f"sweep {self.recipe} takes its tasks from the file; drop {self.task}")
        for name in OF_THE_FILE:
            value = getattr(self, name)
            if value is not None and value is not False and value != ():
                flag = "--" + name.replace("_", "-")
                raise O2OError(f"sweep {self.recipe} takes {name} from the file; drop {flag}, or change the file")
        changes: dict[str, Any] = {"seeds": self.seeds, "seed0": self.seed0, "log": self.log or None, "out": self.out}
        chosen = study.load(self.recipe, **{name: value for name, value in changes.items() if value is not None})
        out = Path(chosen.out or "runs/study")
        output.check(out, resume=self.resume, overwrite=self.overwrite)
        if self.dry_run:
            return plan_study(chosen, plan(chosen), out)
        with output.room(out, overwrite=self.overwrite):
            return _answer(study.run(chosen, out=out, resume=self.resume))


def _answer(outcome: Any) -> Answer:
    """The report of a study: a table and a folder with picture and figures per task, and what failed."""
    from purejaxo2o.figures import stats
    from purejaxo2o.figures.report import report
    from purejaxo2o.study.members import folder_name

    text = []
    for task, results in outcome.results.items():
        picture = report(results, outcome.out / "report" / folder_name(task))
        text.append(f"{task}\n{summary_table(results)}\nwrote {picture}, table.md and figures.json\n")
    text += [f"{recipe} on {task} failed: {line}" for (task, recipe), line in outcome.in_shell.items()]
    text.append(f"runs are in {outcome.out}")
    data = {
        "out": str(outcome.out),
        "tasks": {task: stats.summary(results) for task, results in outcome.results.items()},
        "failed": [
            {"task": task, "recipe": recipe, "error": line} for (task, recipe), line in outcome.in_shell.items()
        ],
    }
    return Answer("\n".join(text), data, code=2 if outcome.failed else 0)
