"""The folder that a study lives in, and what comes out of it.

`study.json` (seeds, and every member's settings, axes and dataset), and a run folder `<task>/<recipe>` per member.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from purejaxo2o.disk.files import read_json, write_json
from purejaxo2o.disk.folder import described, identity
from purejaxo2o.disk.rows import plain
from purejaxo2o.figures.report import by_setting
from purejaxo2o.loop import settings
from purejaxo2o.loop.result import Result
from purejaxo2o.spelling import shown
from purejaxo2o.study.members import Member
from purejaxo2o.study.study import Study
from purejaxo2o.types import O2OError


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a study.

    results: `{task: {"recipe" or "recipe: setting=value, ...": Result [seed, S]}}`, in the study's order, on the
        host and without the trained networks (`policies.load_policies` restores those from a member's folder).
    failed: `{(task, recipe): one line}` for members that did not finish. in_shell: the same for those who type
        commands."""

    out: Path
    results: dict[str, dict[str, Result]] = dataclasses.field(default_factory=dict)
    failed: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    in_shell: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)

    def add(self, member: Member, result: Result) -> None:
        """Take in what a member's sweep returned, `[*axes, seed, S]`."""
        found = self.results.setdefault(member.task.name, {})
        # Stores and networks of all members together would not fit in memory.
        measured = jax.device_get(dataclasses.replace(result, run=None, agent=None))
        label = member.recipe.name
        found |= {f"{label}: {name}" if name else label: part for name, part in by_setting(measured).items()}


def claim(folder: Path, study: Study, members: Sequence[Member], *, resume: bool) -> None:
    """Take a folder for a study and record it there.

    Raises `O2OError` if runs are in it and `resume` is off, or if it holds another study. A study may have grown
    by members since."""
    path, record = folder / "study.json", json.loads(json.dumps(plain(_record(study, members))))
    taken = [path, *(folder / member.folder for member in members)]
    if not resume and any(place.exists() for place in taken):
        raise O2OError(f"output folder {folder} already holds runs; choose another, or resume them (--resume)")
    if path.exists():
        _compare(folder, _read(path), record)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, record)


def _record(study: Study, members: Sequence[Member]) -> dict[str, Any]:
    found = {
        member.folder: {
            "task": member.task.name,
            "recipe": member.recipe.name,
            "dataset": member.task.dataset if member.data is None else "given as rows",
            "settings": settings.names(member.recipe),
            "over": member.over,
            "described": _described(member),
        }
        for member in members
    }
    return {"seeds": study.seeds, "seed0": study.seed0, "members": found}


def _described(member: Member) -> dict[str, Any]:
    """Recipe and task on one level, classes and numbers of the environments included."""
    parts = {"described": described(member.recipe, member.task)}
    return {name: value for name, value in identity(parts).items() if name not in settings.names(member.recipe)}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise O2OError(f"{path} is not readable JSON ({reason}); choose another output folder") from None
    tables = [found, *(found.get(name) for name in ("members",))] if isinstance(found, dict) else [None]
    tables += list(tables[-1].values()) if isinstance(tables[-1], dict) else []
    if not all(isinstance(table, dict) for table in tables):
        raise O2OError(f"{path} is damaged: it holds no study; choose another output folder")
    return found


def _compare(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Whatever both name is the same in both."""
    pairs = [(name, found.get(name), wanted[name]) for name in ("seeds", "seed0")]
    for name, member in wanted["members"].items():
        old = found.get("members", {}).get(name, member)
        pairs += [(f"{name}: {key}", old.get(key), member[key]) for key in ("dataset", "over")]
        for table in ("settings", "described"):
            new, known = member[table], old.get(table) or {}
            pairs += [(f"{name}: {key}", known.get(key), new[key]) for key in sorted(new)]
    for name, old, new in pairs:
        if old != new:
            raise O2OError(
                f"output folder {folder} holds another study: its {name} is {shown(old)}, not {shown(new)}; "
                "choose another folder (--out)"
            )
