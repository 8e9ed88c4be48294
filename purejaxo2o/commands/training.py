"""`purejaxo2o train` and `purejaxo2o sweep`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from purejaxo2o.commands.base import Answer, Command, literal, pairs, show
from purejaxo2o.types import O2OError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a recipe on a task, several seeds at once in one program.

    Writes config.json, metrics.jsonl, results.npz, checkpoints/ and curve.png into the output folder and prints
    what the hand-over from offline to online cost. Progress goes to standard error.

    purejaxo2o train wsrl pointmaze-umaze --scale small --seeds 4"""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """The method, e.g. wsrl (purejaxo2o list recipes)."""
    task: Annotated[Positional[str], arg(metavar="TASK")]
    """What is to be learned, e.g. pointmaze-umaze (purejaxo2o list tasks)."""
    scale: Literal["small", "paper"] = "paper"
    """paper: the published protocol; small: networks and budgets that a laptop runs in minutes."""
    seeds: int = 8
    """How many seeds."""
    seed0: int = 0
    """The first seed: seeds are seed0, seed0 + 1, ...; those of two runs differ if their ranges do."""
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=VALUE ...")] = ()
    """Settings to change, e.g. agent.learning_rate=1e-4 online.steps=20000."""
    dataset: Annotated[str | None, arg(metavar="ID", help_behavior_hint="")] = None
    """Minari id or D4RL .hdf5 file of the offline data, by default the task's own."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Output folder, by default runs/RECIPE-TASK-SCALE."""
    resume: bool = False
    """Continue the run in the output folder from its last checkpoint; begin it where there is none."""
    save_every: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: when it is cheap)")] = None
    """Segments from one checkpoint to the next; by default as often as it costs less than 5% of the time."""
    width: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all, or 1 where faster)")] = None
    """Runs side by side on each device, the rest after them."""
    chunk: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: as many as fit)")] = None
    """Runs in memory at once, the rest after them."""

    def run(self) -> Answer:
        return self.start({})

    def start(self, over: dict[str, list[float]]) -> Answer:
        """Train; `over` are the axes of a sweep."""
        from purejaxo2o import fit, grid, plots, settings, stats, sweep

        lanes: dict[str, Any] = {
            name: grid.lane_count(f"--{name}", getattr(self, name)) for name in ("width", "chunk")
        }
        recipe, task = self._recipe_and_task()
        settings.check_apart(recipe, pairs(self.set), over)
        keys = self._keys()
        out = Path(self.out or f"runs/{self.recipe}-{self.task}-{self.scale}")
        data = self._data(recipe, task)
        how: dict[str, Any] = {"out": out, "resume": self.resume, "save_every": self.save_every}
        if self.seeds == 1 and not over:
            result = fit(keys[0], recipe, task, data, **how)
        else:
            result = sweep(recipe, task, data, seeds=keys, over=over, **how, **lanes)
        failures = [str(failure) for failure in result.failures()]
        results = by_setting(out)
        plots.learning_curves(
            {label: plots.curve(result) for label, result in results.items()},
            out / "curve.png",
            title=f"{self.recipe} · {self.task}" if over else self.task,
        )
        lines = [summary_table(results), *failures, f"wrote curve.png, results and checkpoints to {out}"]
        return Answer("\n".join(lines), {"out": str(out), "rows": stats.summary(results), "failures": failures})

    def _recipe_and_task(self) -> tuple[Any, Any]:
        from purejaxo2o.phases import check_phases
        from purejaxo2o.recipes import recipe
        from purejaxo2o.settings import replace
        from purejaxo2o.tasks import task

        chosen = task(self.task)
        if self.dataset is not None:
            chosen = dataclasses.replace(chosen, dataset=self.dataset)
        changes = {name: literal(value) for name, value in pairs(self.set).items()}
        changed = replace(recipe(self.recipe, chosen, self.scale), changes)
        check_phases(changed)  # before minutes go into making a dataset
        return changed, chosen

    def _keys(self) -> Any:
        from purejaxo2o.sweep import seed_keys

        if self.seeds < 1:
            raise O2OError(f"--seeds is {self.seeds}; it must be at least 1")
        if self.seed0 < 0:
            raise O2OError(f"--seed0 is {self.seed0}; it must be at least 0")
        return seed_keys(self.seed0 + self.seeds)[self.seed0 :]

    def _data(self, recipe: Any, task: Any) -> Any:
        from purejaxo2o.datasets import dataset

        if recipe.uses_offline:
            return dataset(task)
        if self.dataset is not None:
            raise O2OError(f"recipe {self.recipe!r} uses no offline data; drop --dataset {self.dataset}")
        return None


def summary_table(results: dict[str, Any]) -> str:
    """One row per result, without the columns that no row has a figure for (offline-only runs have no dip)."""
    from purejaxo2o.report import COLUMNS, rows

    found = rows(results)
    return show(found, {name: head for name, head in COLUMNS.items() if any(row[name] != "-" for row in found)})


def by_setting(folder: Path) -> dict[str, Any]:
    """The results of a finished run folder, each `[seeds, S]` or `[S]`, by what was varied; for a single
    setting the recipe's name."""
    from purejaxo2o import archive
    from purejaxo2o.report import by_setting as split

    result = archive.load_results(folder)
    return {name or result.recipe_name: part for name, part in split(result).items()}
