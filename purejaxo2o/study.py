"""A study: recipes x tasks x settings x seeds, written down in one file and run as one sweep per recipe and task.

    recipes = ["iql", "wsrl"]
    tasks = ["pointmaze-umaze"]
    scale = "small"
    seeds = 8
    [set]                                # for every recipe that has the setting
    offline.steps = 2_000
    [recipe.iql.over]                    # an axis of one recipe
    agent.expectile = [0.7, 0.9]

A TOML file holds the arguments of `Study`; a Python file makes one and calls it `study`. `load` reads either and
checks every combination; `run` trains them, member by member, and survives the failure of any.
"""

import dataclasses
import os
import runpy
import sys
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from purejaxo2o import lock, places, trackers
from purejaxo2o.datasets import dataset
from purejaxo2o.files import full_disk, output_folder
from purejaxo2o.fit import PathLike
from purejaxo2o.phases import Recipe
from purejaxo2o.recipes import Scale
from purejaxo2o.seeds import LAST
from purejaxo2o.spelling import shown
from purejaxo2o.store import Store
from purejaxo2o.study_folder import Outcome, claim
from purejaxo2o.study_members import Member, plan
from purejaxo2o.study_table import Watch, watch
from purejaxo2o.study_tasks import within
from purejaxo2o.sweep import sweep
from purejaxo2o.tasks import Task
from purejaxo2o.types import O2OError, nearest, whole

Names = Mapping[str, Any]
"""Values by dotted setting name, as in `o2o.replace`; nested tables count as dots."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Every recipe on every task, for every combination of its settings' values and every seed.

    recipes: names, or `Recipe` objects with names of their own.
    tasks: names, or `Task` objects with names of their own.
    scale: of the recipes given by name, "paper" or "small".
    seeds, seed0: seeds `seed0` to `seed0 + seeds - 1`.
    dataset: instead of the tasks' own: a Minari id or a `Store` if there is one task, else such by task name.
    reference, limit: of tasks given by name, as in `o2o.task`; several tasks take them by task name.
    clip: accept recorded actions beyond their declared bounds, in all of these.
    set: settings changed in every recipe that has them.
    over: axes, `{setting: values}`, of every recipe.
    recipe: what is special to one recipe, `{name: {"set": {...}, "over": {...}}}`. It goes before `set` and `over`.
    out: where the runs go, by default the file's name under `runs/`.
    log: trackers that get a run for each seed of each setting, of "wandb", "tensorboard", "csv".
    Raises `O2OError` for fields of the wrong type; `members` for everything that does not fit together.
    """

    recipes: Sequence[str | Recipe]
    tasks: Sequence[str | Task]
    scale: Scale = "paper"
    seeds: int = 8
    seed0: int = 0
    dataset: str | Store | Mapping[str, str | Store] | None = None
    reference: Sequence[float] | Mapping[str, Sequence[float]] | None = None
    limit: int | Mapping[str, int] | None = None
    clip: bool = False
    set: Names = dataclasses.field(default_factory=dict)
    over: Names = dataclasses.field(default_factory=dict)
    recipe: Mapping[str, Mapping[str, Names]] = dataclasses.field(default_factory=dict)
    out: PathLike | None = None
    log: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_fields(self)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The sweeps that make up the study, task by task. Building them checks every combination: raises
        `O2OError` for unknown names, values that do not fit and axes that cannot run."""
        return plan(self)


def _check_fields(study: Study) -> None:
    """Raise `O2OError` for the first field of the wrong type or range."""
    for name, kind in (("recipes", Recipe), ("tasks", Task)):
        value = getattr(study, name)
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise O2OError(f"{name} is {shown(value)}; give a non-empty list of names")
        for entry in value:
            if not isinstance(entry, str | kind):
                raise O2OError(f"{name} holds {shown(entry)}; give names (or, in Python, {kind.__name__} objects)")
    for name, low in (("seeds", 1), ("seed0", 0)):
        number = whole(name, getattr(study, name), f"it must be a whole number of at least {low}", low=low, high=LAST)
        object.__setattr__(study, name, number)  # Python's own, be it NumPy's or JAX's
    if study.seed0 + study.seeds - 1 > LAST:
        raise O2OError(f"seed0 is {study.seed0}; the last of {study.seeds} seeds must be at most {LAST}")
    if study.scale not in ("small", "paper"):
        raise O2OError(f"scale is {shown(study.scale)}; {nearest(study.scale, ('small', 'paper'))}")
    if not isinstance(study.clip, bool):
        raise O2OError(f"clip is {shown(study.clip)}; give true or false")
    if not isinstance(study.out, str | os.PathLike | None):
        raise O2OError(f"out is {shown(study.out)}; give the path of a folder")
    if study.out is not None:
        places.check_folder(study.out, "out")
    if isinstance(study.log, str) or not isinstance(study.log, Sequence):
        raise O2OError(f"log is {shown(study.log)}; give a list of {', '.join(trackers.KINDS)}")
    for name in study.log:
        if name not in trackers.KINDS:
            raise O2OError(f"log holds {shown(name)}; {nearest(name, trackers.KINDS)}")
    for name in ("set", "over", "recipe"):
        _check_table(name, getattr(study, name))
    for name, own in study.recipe.items():
        _check_table(f"recipe.{name}", own)
        for key, table in own.items():
            if key not in ("set", "over"):
                raise O2OError(f"[recipe.{name}]: unknown key {key!r}; {nearest(key, ('set', 'over'))}")
            _check_table(f"recipe.{name}.{key}", table)


def _check_table(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise O2OError(f"{name} is {shown(value)}; it must be a table, [{name}]")


def load(path: PathLike, **changes: Any) -> Study:
    """The study of a `.toml` or `.py` file, with some of its fields changed (`seeds=2`), checked through and through.

    Raises `O2OError` naming the file, the key, the value and the remedy."""
    path = Path(path)
    readers = {".toml": _toml, ".py": _python}
    if path.suffix not in readers:
        raise O2OError(f"study file {path} is neither .toml nor .py; give one of these")
    if not path.is_file():
        raise O2OError(f"study file {path} does not exist; give the path of a .toml or .py file")
    with within(str(path)):
        try:
            study = readers[path.suffix](path)
            study = dataclasses.replace(study, **{"out": study.out or Path("runs") / path.stem} | changes)
            _ = study.members
        except RecursionError:
            raise O2OError("tables or lists lie too deep within each other; a study needs four levels") from None
    return study


def _toml(path: Path) -> Study:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise O2OError(f"cannot be read ({error.strerror}); give a file that can") from None
    except ValueError as error:  # no TOML, no UTF-8, or an integer of thousands of digits
        raise O2OError(f"no TOML ({error}); setting names are bare or quoted, lists are [1, 2]") from None
    except RecursionError:
        raise O2OError("lists or tables lie too deep in each other; a study has at most lists of lists") from None
    fields = {field.name: field for field in dataclasses.fields(Study)}
    for key in document:
        if key not in fields:
            raise O2OError(f"unknown key {key!r}; {nearest(key, fields)}")
    for key in ("recipes", "tasks"):
        if key not in document:
            raise O2OError(f'{key} is missing; write a list of names, e.g. {key} = ["..."]')
    return Study(**document)


def _python(path: Path) -> Study:
    try:
        found = runpy.run_path(str(path), run_name="study").get("study")
    except O2OError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's file may raise; its traceback stays the cause
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f" in line {lines[-1]}" if lines else ""
        raise O2OError(f"{type(error).__name__}{where}: {error}; correct the file") from error
    if not isinstance(found, Study):
        raise O2OError(f"study is {shown(found)}; the file must define study = o2o.Study(recipes=[...], tasks=[...])")
    return found


def run(study: Study, *, out: PathLike | None = None, resume: bool = False, progress: bool | Watch = True) -> Outcome:
    """Train all members of a study, one sweep each; every task's dataset is loaded once.

    out: instead of the study's own folder (runs/study if it has none). resume: go on in it; finished members are
    read back. progress: a live table on a terminal, else a line per segment, both on standard error.
    A member that fails is left out of the results and named in `failed`; the others go on. Raises `O2OError`
    before any work for a study that cannot run, for a folder that holds runs (without `resume`) or another study.
    """
    members = study.members
    trackers.make(study.log)  # a missing package is told before anything runs
    outcome = Outcome(output_folder(out or study.out or "runs/study"))
    seeds = range(study.seed0, study.seed0 + study.seeds)
    rows: dict[str, Store] = {}
    with (
        full_disk(outcome.out),
        lock.held(outcome.out, _say),
        watch(members) if progress is True else progress or Watch() as watching,
    ):
        claim(outcome.out, study, resume=resume)
        for index, member in enumerate(members):
            watching.begin(index)
            try:
                data = _data(member, rows)
                result = sweep(
                    member.recipe,
                    member.task,
                    data,
                    seeds=seeds,
                    over=member.over,
                    out=outcome.out / member.folder,
                    resume=resume,
                    progress=watching.meter(index),
                    sinks=trackers.make(study.log),
                )
            except (O2OError, jax.errors.JaxRuntimeError) as error:  # unreadable data, too little memory
                line = str(error).splitlines()[0]
                outcome.failed[member.task.name, member.recipe.name] = line
                outcome.in_shell[member.task.name, member.recipe.name] = getattr(error, "in_shell", line)
                watching.failed(index, line)
            else:
                outcome.add(member, result)
                watching.finished(index, result.scores[..., -1])
    return outcome


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _data(member: Member, rows: dict[str, Store]) -> Store | None:
    """The offline rows of a member; those of the task before make room."""
    if not member.uses_data or member.data is not None:
        return member.data if member.uses_data else None
    if member.task.name not in rows:
        rows.clear()
        rows[member.task.name] = dataset(member.task)
    return rows[member.task.name]
