"""The folder that a run lives in, and reading it back.

`config.json` (everything needed to repeat the run), `metrics.jsonl`, `records.npz` (what was measured after each
segment), `checkpoints/<segment>` (the last two), and once finished `results.npz` and `timing.json`. Every file is
written under another name and renamed (`files.py`), so none is ever half there.
"""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o import settings
from purejaxo2o.files import TEMPORARY, write_json
from purejaxo2o.phases import Recipe
from purejaxo2o.recipes import recipe as build_recipe
from purejaxo2o.store import Store
from purejaxo2o.tasks import Task
from purejaxo2o.tasks import task as build_task
from purejaxo2o.types import Array, O2OError

PACKAGES = (
    "purejaxo2o",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "brax",
    "gymnax",
    "mujoco",
    "mujoco-mjx",
    "minari",
    "numpy",
)


def check_free(folder: Path, about: dict[str, Any], *, resume: bool) -> bool:
    """Whether an earlier run is in a folder that `claim` would take; writes nothing.

    about: what is known of the configuration so far. Raises `O2OError` as `claim`."""
    path = folder / "config.json"
    if not path.exists():
        first = path.name + TEMPORARY
        there = folder.iterdir() if folder.exists() else ()
        # Of several processes that share a sweep, another may have begun already.
        if any(entry.name != first and not entry.match("process-*-part-*") for entry in there):
            raise O2OError(f"output folder {folder} is not empty and holds no run; choose another or empty it")
        return False
    if not resume:
        raise O2OError(f"output folder {folder} already holds a run; choose another, or resume it (--resume)")
    try:
        found = identity(json.loads(path.read_text()))
    except ValueError as error:
        raise O2OError(f"{path} is not readable JSON ({error}); choose another output folder") from None
    wanted = identity(json.loads(json.dumps(about)))
    difference = differing({name: found.get(name) for name in wanted}, wanted)
    if difference:
        raise O2OError(f"output folder {folder} holds another run: {difference}; choose another folder")
    return True


def claim(folder: Path, config: dict[str, Any], *, resume: bool) -> bool:
    """Take a folder for a run; returns whether an earlier run in it is to be continued.

    A folder that does not exist, is empty, or holds what a process killed in here left of its first file, begins
    a run, whether to be resumed or not.
    Raises `O2OError` if it holds a run and `resume` is off, or a run of other settings."""
    if not check_free(folder, config, resume=resume):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", config)
        return False
    for leftover in folder.glob(f"*{TEMPORARY}"):  # of a process that was killed while writing
        leftover.unlink()
    return True


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a `config.json` makes two runs one and the same, on one level: all but versions and commit."""
    inner = {name: value for name, value in config.items() if name not in ("settings", "versions", "commit")}
    return inner | config.get("settings", {})


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first name whose values differ, in words (`its x is 1, not 2`); empty when there is none."""
    for name in sorted(set(found) | set(wanted)):
        if found.get(name) != wanted.get(name):
            return f"its {name} is {_short(found.get(name))}, not {_short(wanted.get(name))}"
    return ""


def _short(value: Any) -> str:
    """The keys of a thousand lanes are no help in a message."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def describe(key: Array, recipe: Recipe, task: Task) -> dict[str, Any]:
    """What `config.json` records: names, every setting, the seeds' keys, versions and commit."""
    values = {name: _plain(value) for name, value in settings.names(recipe).items()}
    return {
        "recipe": recipe.name,
        "task": task.name,
        "dataset": task.dataset,
        "settings": values,
        "keys": np.asarray(jax.random.key_data(key)).tolist(),
        "key_impl": str(jax.random.key_impl(key)),
        "platform": jax.default_backend(),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": sys.version.split()[0]},
        "commit": _commit(),
    }


def fingerprint(dataset: Store | None) -> str | None:
    """Rows and checksum of the offline data, so that a run is not resumed on other rows."""
    if dataset is None:
        return None
    checksum = 0
    for array in jax.tree.leaves(dataset.data):
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return f"{int(dataset.size) * dataset.envs} rows, crc32 {checksum:08x}"


def data_rows(config: Mapping[str, Any]) -> int:
    """How many rows of offline data a run has, by its `fingerprint`."""
    return int(config["data"].split()[0]) if config.get("data") else 0


def rebuild(config: Mapping[str, Any]) -> tuple[Recipe, Task]:
    """Recipe and task of a run folder, for recipes and tasks that are known by name."""
    task = build_task(config["task"])
    values = {name: value for name, value in config["settings"].items() if not isinstance(value, dict)}
    # The scales differ in more than values: in what a phase overrides, say.
    bases = (build_recipe(config["recipe"], task, "paper"), build_recipe(config["recipe"], task, "small"))
    recipe = next((base for base in bases if settings.names(base).keys() == values.keys()), bases[0])
    known = settings.names(recipe)
    changed = {name: value for name, value in values.items() if _plain(known.get(name)) != value}
    arrays = {name: jnp.asarray(value) for name, value in changed.items() if _batched(known.get(name), value)}
    return settings.replace(recipe, changed | arrays), task


def _batched(default: Any, value: Any) -> bool:
    return isinstance(value, list) and not isinstance(default, tuple)


def _plain(value: Any) -> Any:
    if hasattr(value, "dtype"):
        return np.asarray(value).tolist()
    return list(value) if isinstance(value, tuple) else value


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree, when the package runs out of one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def load_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """`config.json` of a run folder. Raises `O2OError` if there is none."""
    path = Path(folder) / "config.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise O2OError(f"{path.parent} is not a run folder ({error}); give a folder that `train` wrote") from None
