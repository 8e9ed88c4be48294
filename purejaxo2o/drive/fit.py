"""One run from the host: the same `segment` as in `train`, called from Python, with progress, sinks and checkpoints.

One run (`fit`) or a batch of lanes (`sweep.py`) goes through `driver.drive`. The results equal those of `train` up to
XLA's rounding (another program).
"""

import os
from collections.abc import Sequence
from dataclasses import replace

from purejaxo2o.data.checks import check_store
from purejaxo2o.disk import checkpoint, lock
from purejaxo2o.disk.files import full_disk, output_folder
from purejaxo2o.disk.folder import changes, check_free, claim, describe
from purejaxo2o.drive import demand, memory
from purejaxo2o.drive.driver import drive
from purejaxo2o.drive.programs import Programs
from purejaxo2o.drive.progress import Meter
from purejaxo2o.drive.sinks import Sink
from purejaxo2o.drive.watching import NOTHING, Each, Timing, Watch, watched
from purejaxo2o.loop import seeds
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.prepare import check
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import Result
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.tasks import Named, as_task
from purejaxo2o.types import Array

PathLike = str | os.PathLike[str]

__all__ = ["Each", "PathLike", "Timing", "Watch", "check_all", "fit"]


def fit(
    key: Array | int,
    recipe: Recipe,
    task: Task | Named,
    dataset: Store | None = None,
    *,
    out: PathLike | None = None,
    resume: bool = False,
    save_every: int | None = None,
    memory_limit: float | None = None,
    sinks: Sequence[Sink] = (),
    progress: bool | Meter = True,
    each: Each | None = None,
) -> Result:
    """One run, watched: a progress line per segment, rows to `sinks`, checkpoints in `out`.

    task: also by name, as in `o2o.task`.
    key: one key, or the number of a seed, whose key is `seed_keys(number + 1)[number]`.
    resume: continue the run in `out` from its last checkpoint (the same run in every value, else `O2OError`); begin
        it if there is none.
    save_every: segments from one checkpoint to the next; None: as often as it costs less than 5% of the wall time.
        The last segment is always saved.
    memory_limit: bytes that the run may take; None: what the device has.
    each: called after every segment with its number (from 1) and the run, before that is saved; the arrays are reused
        afterwards, so copy what you keep.
    Raises `O2OError` for bad input before anything is compiled or written, for a run that needs more memory than
    there is before anything is computed, and for a disk that is full.
    """
    task = as_task(task)
    check_all(recipe, task, dataset)
    save_every = checkpoint.check_every(save_every)
    number, key = seeds.key_of(key)
    programs = Programs(key, recipe, task, dataset)
    folder = None if out is None else output_folder(out)
    with memory.enough(folder), full_disk(folder), lock.held(folder, (notes := []).append):
        earlier, config = False, {}
        if folder is not None or sinks:
            config = describe(key, recipe, task, dataset, None if number is None else (number,))
        if folder is not None:
            earlier = check_free(folder, config, resume=resume)
            if resume:
                notes.append(changes(folder, config) if earlier else NOTHING)
        with watched(recipe, task, sinks, progress, save_every, notes=notes) as watch:
            if not earlier:  # else it has fitted then
                limit = memory.limit((), memory_limit)
                demand.refuse(programs, limit, saving=folder is not None)
                programs.compile_after(0, watch)
                need = memory.estimate(programs, saving=folder is not None)
                watch.note(str(need))
                memory.refuse_if_too_large(need, limit, recipe)
            if folder is not None:  # a run that cannot be leaves nothing behind
                claim(folder, config, resume=resume)
            watch = replace(watch, each=each)
            return drive(programs, key, recipe, dataset, folder=folder, earlier=earlier, watch=watch, about=config)


def check_all(recipe: Recipe, task: Task, dataset: Store | None) -> None:
    """Raise `O2OError` for whatever cannot run, rows included."""
    check(recipe, task, dataset)
    if dataset is not None:
        check_store(dataset, spaces(task.env))
