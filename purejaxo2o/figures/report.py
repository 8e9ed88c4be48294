"""From results to a table and a picture."""

import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from purejaxo2o.disk.files import full_disk, output_folder, write_json
from purejaxo2o.disk.rows import plain
from purejaxo2o.figures import stats
from purejaxo2o.figures.tables import markdown_table
from purejaxo2o.loop.result import SEED, Result
from purejaxo2o.types import O2OError

COLUMNS = {
    "method": "method",
    "seeds": "seeds",
    "diverged": "diverged",
    "score_at_switch": "before switch",
    "lowest": "lowest after",
    "dip": "dip",
    "final": "final",
    "online_auc": "online AUC",
}
FIGURES = ("score_at_switch", "lowest", "dip", "final", "online_auc")


def rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per method: every figure as mean and 95% bootstrap interval over seeds, ready to print."""
    return [shown(row, FIGURES) for row in stats.summary(results)]


def shown(row: Mapping[str, Any], figures: Iterable[str]) -> dict[str, Any]:
    """A row of `stats.summary` with these figures as text, mean and interval."""
    texts = {name: str(stats.Interval(row[name], row[f"{name}_low"], row[f"{name}_high"])) for name in figures}
    return {**row, **texts}


def report(
    results: Result | Mapping[str, Result], out: str | os.PathLike[str], *, title: str = "", note: str = ""
) -> Path:
    """Write `table.md`, `figures.json` and `curves.png` into the folder `out`; returns the picture's path.

    results: one `Result` or several by label, with axes `[seed, S]` or `[S]`. title: above the picture, by default
    the task. note: a line under the table.
    Raises `O2OError` for no results, for what is none, for results with other axes, and for a folder that
    cannot be written to."""
    from purejaxo2o.figures import plots  # matplotlib, only where something is drawn

    named = {results.recipe_name: results} if isinstance(results, Result) else results
    if not (isinstance(named, Mapping) and all(isinstance(result, Result) for result in named.values())):
        raise O2OError(
            f"report takes a Result, or several by label ({{label: result}}), no {type(results).__name__} of others; "
            "purejaxo2o.disk.results.load_results(folder, ...) reads those of run folders"
        )
    if not named:
        raise O2OError("report got no results; give at least one")
    curves = {label: plots.curve(result) for label, result in named.items() if np.ndim(result.scores) <= 2}
    if not curves:
        raise O2OError("results with settings axes have no single curve; index them first, e.g. result per setting")
    folder = output_folder(out)
    with full_disk(folder, "make room or allow writing there, or choose another folder (--out)"):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "figures.json", plain(stats.summary(named)))
        below = f"\n{note}\n" if note else ""
        (folder / "table.md").write_text(f"{markdown_table(rows(named), COLUMNS)}\n{below}")
        task = next(iter(named.values())).task_name
        return plots.learning_curves(curves, folder / "curves.png", title=title or task)


def by_setting(result: Result) -> dict[str, Result]:
    """The results `[seeds, S]` of a sweep by what was varied, e.g. `agent.expectile=0.9`; of one without axes, or
    without settings among them, itself under an empty name."""
    varied = [axis for axis in result.axes if axis[0] != SEED]
    if not varied:
        return {"": result}
    found = {}
    for values in itertools.product(*(values for _, values in varied)):
        chosen = {name: value for (name, _), value in zip(varied, values, strict=True)}
        found[", ".join(setting_text(name, value) for name, value in chosen.items())] = result.select(chosen)
    return found


def setting_text(name: str, value: Any) -> str:
    """`agent.expectile=0.7`: short, yet never the same for two values."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{name}={value:g}"
    return f"{name}={value}"
