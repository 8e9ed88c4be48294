"""`purejaxo2o train`, and what it shares with `purejaxo2o sweep` and `study`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from purejaxo2o.cli import output
from purejaxo2o.cli.base import Answer, Command, say, show
from purejaxo2o.cli.given import Reference, literal, pairs, reference_of
from purejaxo2o.types import O2OError

Log = UseAppendAction[tuple[Literal["wandb", "tensorboard", "csv"], ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a recipe on a task, several seeds at once in one program.

    Writes config.json, metrics.jsonl, results.npz, checkpoints/ and curve.png into the output folder and prints
    what the hand-over from offline to online cost. Progress goes to standard error.

    purejaxo2o train wsrl pointmaze-umaze --scale small --seeds 4"""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """The method, e.g. wsrl (purejaxo2o list recipes)."""
    task: Annotated[Positional[str], arg(metavar="TASK")]
    """What is to be learned, e.g. pointmaze-umaze (purejaxo2o list tasks), or the id of a dataset recorded in it."""
    scale: Literal["small", "paper"] = "paper"
    """paper: the published protocol; small: networks and budgets that a laptop runs in minutes."""
    seeds: int = 8
    """How many seeds."""
    seed0: int = 0
    """The first seed: seeds are seed0, seed0 + 1, ...; those of two runs differ if their ranges do."""
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=VALUE ...")] = ()
    """Settings to change, e.g. '*.learning_rate=1e-4' (in every phase) online.steps=20000."""
    dataset: Annotated[str | None, arg(metavar="ID", help_behavior_hint="")] = None
    """Minari id or D4RL .hdf5 file of the offline data, by default the task's own."""
    reference: Reference = None
    """Returns that score 0 and 100, by default the task's; where none are known, scores are raw returns."""
    limit: Annotated[int | None, arg(metavar="STEPS", help_behavior_hint="")] = None
    """Time limit of an environment or D4RL file that declares none."""
    clip: bool = False
    """Accept recorded actions beyond their declared bounds."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Output folder, by default runs/RECIPE-TASK-SCALE."""
    resume: bool = False
    """Continue the run in the output folder from its last checkpoint; begin it where there is none."""
    overwrite: bool = False
    """Replace the run in the output folder."""
    dry_run: bool = False
    """Show what would be trained: phases, settings, sizes, memory, folder. Compiles nothing, writes nothing."""
    log: Log = ()
    """Also log to wandb, tensorboard or csv: a run for each seed, over environment steps. May be given again."""
    save_every: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: when it is cheap)")] = None
    """Segments from one checkpoint to the next; by default as often as it costs less than 5% of the time."""
    width: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all, or 1 where faster)")] = None
    """Runs side by side on each device, the rest after them."""
    chunk: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: as many as fit)")] = None
    """Runs in memory at once, the rest after them."""

    def run(self) -> Answer:
        return self.start({})

    def start(self, over: dict[str, list[Any]]) -> Answer:
        """Train; `over` are the axes of a sweep."""
        from purejaxo2o.drive import grid, trackers
        from purejaxo2o.loop.seeds import numbers_and_keys
        from purejaxo2o.study.members import check_combinations

        out = Path(self.out if self.out is not None else self._place())
        output.check(out, resume=self.resume, overwrite=self.overwrite)
        recipe, task = self._recipe_and_task(over)
        numbers, keys = numbers_and_keys(self._seeds())
        whole = grid.make(recipe, keys, over, numbers)
        self._check_numbers()
        sinks = trackers.make(self.log)
        data_id = self._check_data(recipe, task)
        check_combinations(recipe, task, over, None)
        if self.dry_run:
            from purejaxo2o.cli.planning import plan

            return plan(whole, task, out, dataset=data_id)
        if task.raw:
            say(f"no reference scores are known for {task.name}: scores are raw returns (--reference LOW HIGH)")
        data = self._data(task) if data_id else None
        with output.room(out, overwrite=self.overwrite):
            failures = self._train(whole, task, data, out, sinks)
        return self._answer(out, failures, swept=bool(over))

    def _place(self) -> str:
        """Where runs go by default; names of tasks may hold slashes, or be paths."""
        return f"runs/{self.recipe}-{self.task.replace('/', '-').strip('-')}-{self.scale}"

    def _train(self, whole: Any, task: Any, data: Any, out: Path, sinks: list[Any]) -> list[str]:
        """What went wrong in single runs, a line each."""
        from purejaxo2o.drive.fit import fit
        from purejaxo2o.drive.sweep import sweep

        how: dict[str, Any] = {"out": out, "resume": self.resume, "save_every": self.save_every, "sinks": sinks}
        if self.seeds == 1 and not whole.over:
            result = fit(whole.seeds[0], whole.recipe, task, data, **how)
        else:
            how |= {"width": self.width, "chunk": self.chunk}
            result = sweep(whole.recipe, task, data, seeds=whole.seeds, over=whole.over, **how)
        return [str(failure) for failure in result.failures()]

    def _answer(self, out: Path, failures: list[str], *, swept: bool) -> Answer:
        from purejaxo2o.disk.files import full_disk
        from purejaxo2o.figures import plots, stats

        results = by_setting(out)
        with full_disk(out):
            plots.learning_curves(
                {label: plots.curve(result) for label, result in results.items()},
                out / "curve.png",
                title=f"{self.recipe} · {self.task}" if swept else self.task,
            )
        lines = [summary_table(results), *failures, f"wrote curve.png, results and checkpoints to {out}"]
        return Answer("\n".join(lines), {"out": str(out), "rows": stats.summary(results), "failures": failures})

    def _recipe_and_task(self, over: dict[str, list[Any]]) -> tuple[Any, Any]:
        from purejaxo2o.loop.recipe import check_phases
        from purejaxo2o.loop.settings import replace
        from purejaxo2o.recipes import recipe
        from purejaxo2o.tasks import task

        reference = None if self.reference is None else reference_of(self.reference)
        own = self.limit if self.dataset is None else None  # else it is the other dataset's
        chosen = task(self.task, reference=reference, limit=own, clip=self.clip or None)
        if self.dataset is not None:
            chosen = dataclasses.replace(chosen, dataset=self.dataset, limit=self.limit)
        given = pairs(self.set)
        if both := sorted(given.keys() & over.keys()):
            raise O2OError(f"{both[0]} is both set (--set) and varied (--over); drop one")
        changed = replace(recipe(self.recipe, chosen, self.scale), {n: literal(v) for n, v in given.items()})
        check_phases(changed)  # before minutes go into making a dataset
        return changed, chosen

    def _seeds(self) -> range:
        from purejaxo2o.loop.seeds import LAST, MOST

        if not 1 <= self.seeds <= MOST:
            raise O2OError(f"--seeds is {self.seeds}; it must be at least 1 and at most {MOST}")
        if not 0 <= self.seed0 <= LAST + 1 - self.seeds:
            raise O2OError(f"--seed0 is {self.seed0}; it must be at least 0, and the last seed at most {LAST}")
        return range(self.seed0, self.seed0 + self.seeds)

    def _check_numbers(self) -> None:
        """Also where one seed has no use for them: a slip is a slip."""
        for name in ("width", "chunk", "save_every", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise O2OError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")

    def _check_data(self, recipe: Any, task: Any) -> str | None:
        """The dataset that is learned from, which is there or can be made; None where none is."""
        from purejaxo2o.tasks.datasets import check_available

        if recipe.uses_offline:
            check_available(task)
            return task.dataset
        if self.dataset is not None:
            raise O2OError(f"recipe {self.recipe!r} uses no offline data; drop --dataset {self.dataset}")
        return None

    def _data(self, task: Any) -> Any:
        from purejaxo2o.tasks.datasets import dataset

        return dataset(task)


def summary_table(results: dict[str, Any]) -> str:
    """One row per result, without the columns that no row has a figure for (offline-only runs have no dip)."""
    from purejaxo2o.figures.report import COLUMNS, rows

    found = rows(results)
    return show(found, {name: head for name, head in COLUMNS.items() if any(row[name] != "-" for row in found)})


def by_setting(folder: Path) -> dict[str, Any]:
    """The results of a finished run folder, each `[seeds, S]` or `[S]`, by what was varied; for a single
    setting the recipe's name."""
    from purejaxo2o.disk.results import load_results
    from purejaxo2o.figures.report import by_setting as split

    result = load_results(folder)
    return {name or result.recipe_name: part for name, part in split(result).items()}
