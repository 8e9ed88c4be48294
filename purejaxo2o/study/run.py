"""Reading a study from its file, and training all of its members."""

import dataclasses
import runpy
import sys
import tomllib
import traceback
from pathlib import Path
from typing import Any

import jax

from purejaxo2o.disk import lock
from purejaxo2o.disk.files import full_disk, output_folder
from purejaxo2o.drive import trackers
from purejaxo2o.drive.fit import PathLike
from purejaxo2o.drive.sweep import sweep
from purejaxo2o.loop.store import Store
from purejaxo2o.spelling import shown
from purejaxo2o.study.folder import Outcome, claim
from purejaxo2o.study.members import Member, plan
from purejaxo2o.study.study import Study
from purejaxo2o.study.table import Watch, watch
from purejaxo2o.study.tasks import within
from purejaxo2o.tasks.datasets import dataset
from purejaxo2o.types import O2OError, nearest


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
            plan(study)
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


def run(
    study: Study | PathLike, *, out: PathLike | None = None, resume: bool = False, progress: bool | Watch = True
) -> Outcome:
    """Train all members of a study, one sweep each; every task's dataset is loaded once.

    study: a `Study`, or the path of a file that holds one (`load`).
    out: instead of the study's own folder (runs/study if it has none). resume: go on in it; finished members are
    read back. progress: a live table on a terminal, else a line per segment, both on standard error.
    A member that fails is left out of the results and named in `failed`; the others go on. Raises `O2OError`
    before any work for a study that cannot run, for a folder that holds runs (without `resume`) or another study.
    """
    study = study if isinstance(study, Study) else load(study)
    members = plan(study)
    trackers.make(study.log)  # a missing package is told before anything runs
    outcome = Outcome(output_folder(out or study.out or "runs/study"))
    seeds = range(study.seed0, study.seed0 + study.seeds)
    rows: dict[str, Store] = {}
    with (
        full_disk(outcome.out),
        lock.held(outcome.out, _say),
        watch(members) if progress is True else progress or Watch() as watching,
    ):
        claim(outcome.out, study, members, resume=resume)
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
