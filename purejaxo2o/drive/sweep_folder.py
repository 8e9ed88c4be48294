"""The folder of a sweep: who may write there, and what makes it this sweep's."""

import contextlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxo2o.disk import lock
from purejaxo2o.disk.folder import changes, check_free, describe
from purejaxo2o.drive.grid import Grid
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task


def take(folder: Path, config: dict[str, Any], resume: bool, closing: contextlib.ExitStack) -> list[str]:
    """Lock the folder until the end, and look whether it is free, or holds this sweep; returns what is to be said.

    Each of several processes has a lock and folders of its own. Raises `O2OError` if another sweep is there."""
    index, notes = jax.process_index(), []
    name = f"{lock.NAME}-{index}" if index else lock.NAME
    closing.enter_context(lock.held(folder, notes.append, name=name))
    earlier = index == 0 and check_free(folder, config, resume=resume)
    for part in folder.glob(f"process-{index}-part-*") if jax.process_count() > 1 else ():
        check_free(part, config, resume=resume)
    return [*notes, changes(folder, config)] if earlier else notes


def about(whole: Grid, task: Task, dataset: Store | None) -> dict[str, Any]:
    """What is the same for all parts of a sweep, and makes it another sweep if it differs."""
    return describe(whole.keys, whole.recipe, task, dataset, whole.seeds) | {
        "axes": list(whole.over),
        "over": {name: [_plain(value) for value in values] for name, values in whole.over.items()},
        "static": list(whole.static),
        "processes": jax.process_count(),
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
