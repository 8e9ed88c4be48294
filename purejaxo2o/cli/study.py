"""`purejaxo2o study`: recipes x tasks x settings x seeds out of a file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from purejaxo2o.cli import output
from purejaxo2o.cli.base import Answer, Command
from purejaxo2o.cli.planning import plan_study
from purejaxo2o.cli.train import Log, summary_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study(Command):
    """Train recipes x tasks x settings x seeds, as a file says.

    It shows a table of what is under way and ends with a report per task, in OUT/report/TASK:

    purejaxo2o study study.toml --out runs/study

    The least that a study file holds, and an axis:

    recipes = ["iql", "wsrl"]

    tasks = ["pointmaze-umaze"]

    recipe.iql.over.agent.expectile = [0.7, 0.9]

    It may also say scale, seeds, seed0, dataset, reference, limit, clip, out, log, [set] (settings of all recipes
    that have them), [over] (axes of all recipes), [recipe.NAME.set] and [recipe.NAME.over]. In Python:
    study = o2o.Study(recipes=[...], ...).
    """

    file: Annotated[Positional[str], arg(metavar="FILE")]
    """A study file that ends in .toml or .py."""
    seeds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the file's, or 8)")] = None
    """How many seeds."""
    seed0: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the file's, or 0)")] = None
    """The first seed: seeds are seed0, seed0 + 1, ...; those of two runs differ if their ranges do."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Output folder, by default the file's, or runs/FILE."""
    resume: bool = False
    """Continue what is in the output folder from its last checkpoints; begin what has none."""
    overwrite: bool = False
    """Replace what is in the output folder."""
    dry_run: bool = False
    """Show what would be trained. Compiles nothing, writes nothing."""
    log: Log = ()
    """Also log to wandb, tensorboard or csv: a run for each seed, over environment steps. May be given again."""

    def run(self) -> Answer:
        from purejaxo2o.study import run as study
        from purejaxo2o.study.members import plan

        changes: dict[str, Any] = {"seeds": self.seeds, "seed0": self.seed0, "log": self.log or None, "out": self.out}
        chosen = study.load(self.file, **{name: value for name, value in changes.items() if value is not None})
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
