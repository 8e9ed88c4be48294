"""The folder that a run lives in, and reading it back.

`config.json` (everything needed to repeat the run), `metrics.jsonl`, `checkpoints/<segment>` (the last two, each with
what was measured until then), and once finished `results.npz` and `timing.json`. Every file is written under another
name and renamed (`files.py`), so none is ever half there. What the run is, its identity, is hashed in `config.json`,
and sealed into checkpoints and results.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxo2o.disk import lock
from purejaxo2o.disk.files import TEMPORARY, read_json, write_json
from purejaxo2o.disk.versions import commit, remark, versions
from purejaxo2o.loop import identity as identities
from purejaxo2o.loop import settings
from purejaxo2o.loop.env import Env, spaces
from purejaxo2o.loop.identity import differing
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.spelling import cut
from purejaxo2o.types import Array, O2OError

OTHER = "choose another output folder"
GIVE = "give a folder that train wrote"
OLD = "was written by an older version of purejaxo2o, which did not seal it, so that it cannot be checked"
FIELDS: dict[str, tuple[type, ...]] = {
    **{"recipe": (str,), "task": (str,), "described": (dict,), "settings": (dict,), "versions": (dict,)},
    **{"keys": (list,), "key_impl": (str,), "platform": (str,), "seeds": (list, type(None)), "identity": (str,)},
}
"""What every `config.json` holds, and of which types."""
PART = {"width": int, "chunk": int, "program": int, "lanes": list}
"""What a folder of a sweep's lanes holds besides."""
SWEEP = {"axes": list, "over": dict, "static": list}


def check_free(folder: Path, config: Mapping[str, Any], *, resume: bool) -> bool:
    """Whether an earlier run is in a folder that `claim` would take; writes nothing.

    config: what is known of the configuration so far. Raises `O2OError` as `claim`."""
    path = folder / "config.json"
    if not path.exists():
        first = path.name + TEMPORARY
        there = folder.iterdir() if folder.exists() else ()
        # Of several processes that share a sweep, another may have begun already.
        known = (f"{lock.NAME}*", "process-*-part-*")
        if any(entry.name != first and not any(map(entry.match, known)) for entry in there):
            raise O2OError(f"output folder {folder} is not empty and holds no run; choose another or empty it")
        return False
    if not resume:
        raise O2OError(f"output folder {folder} already holds a run; choose another, or resume it (--resume)")
    found, wanted = identity(load_config(folder, OTHER)), identity(as_read(config))
    difference = differing({name: found.get(name) for name in wanted}, wanted)
    if difference:
        raise O2OError(f"output folder {folder} holds another run: {difference}; choose another folder")
    return True


def claim(folder: Path, config: Mapping[str, Any], *, resume: bool) -> bool:
    """Take a folder for a run; returns whether an earlier run in it is to be continued.

    A folder that does not exist, is empty, or holds what a process killed in here left of its first file, begins
    a run, whether to be resumed or not.
    Raises `O2OError` if it holds a run and `resume` is off, or a run of other settings."""
    if not check_free(folder, config, resume=resume):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", sealed(as_read(config)))
        return False
    for leftover in folder.glob(f"*{TEMPORARY}"):  # of a process that was killed while writing
        leftover.unlink()
    return True


def changes(folder: Path, config: Mapping[str, Any]) -> str:
    """What has changed since the run in a folder began that does not make it another; see `versions.remark`."""
    return remark(load_config(folder, OTHER), config)


def sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """With the hash of what the run is."""
    return {**config, "identity": _hash(config)}


def _hash(config: Mapping[str, Any]) -> str:
    outside = ("versions", "commit", "identity")
    return identities.digest({name: value for name, value in config.items() if name not in outside})


def as_read(config: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples as lists."""
    return json.loads(json.dumps(config))


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a `config.json` makes two runs one and the same, on one level, by names that say what differs."""
    special = ("settings", "versions", "commit", "identity", "described", "data")
    found = {name: value for name, value in config.items() if name not in special} | config.get("settings", {})
    for name, part in config.get("described", {}).items():
        found |= identities.recipe_names(part) if name == "recipe" else identities.flat(part, name)
    return found | identities.flat(config.get("data"), "data")


def describe(
    key: Array, recipe: Recipe, task: Task, dataset: Store | None = None, seeds: Sequence[int] | None = None
) -> dict[str, Any]:
    """What `config.json` records: names, every setting, what all of it is, seeds and keys, versions and commit.

    seeds: the numbers that the keys belong to, where they have any."""
    return {
        "recipe": recipe.name,
        "task": task.name,
        "dataset": task.dataset,
        "data": described_rows(dataset),
        "settings": {name: _plain(value) for name, value in settings.names(recipe).items()},
        "described": described(recipe, task),
        "seeds": None if seeds is None else list(seeds),
        "keys": np.asarray(jax.random.key_data(key)).tolist(),
        "key_impl": str(jax.random.key_impl(key)),
        "platform": jax.default_backend(),
        "versions": versions(recipe, task),
        "commit": commit(),
    }


def described(recipe: Recipe, task: Task) -> dict[str, Any]:
    """Recipe and task by class, setting and number; and what their environments say about themselves."""
    return {
        "recipe": identities.describe(recipe),
        "task": identities.describe(task),
        "env": _protocol(task.env),
        "eval_env": _protocol(task.eval_env),
    }


def _protocol(env: Env) -> dict[str, Any]:
    """A class may be another one by now under the same name."""
    observations, actions = spaces(env)
    return {"name": env.name, "horizon": env.horizon, "observations": str(observations), "actions": str(actions)}


def described_rows(dataset: Store | None) -> dict[str, Any] | None:
    """Number and checksums of the offline data, so that a run is not resumed on other rows."""
    if dataset is None:
        return None
    arrays = {name: x for name, x in dataset.data._asdict().items() if name != "extras"} | dataset.data.extras
    arrays |= {"size": dataset.size, "head": dataset.head}
    rows = int(dataset.size) * dataset.envs
    return {"rows": rows} | {name: identities.summary(np.asarray(x)) for name, x in sorted(arrays.items())}


def data_rows(config: Mapping[str, Any]) -> int:
    """How many rows of offline data a run has."""
    return int((config.get("data") or {"rows": 0})["rows"])


def _plain(value: Any) -> Any:
    if hasattr(value, "dtype"):
        return np.asarray(value).tolist()
    return list(value) if isinstance(value, tuple) else value


def load_config(folder: str | os.PathLike[str], remedy: str = GIVE) -> dict[str, Any]:
    """`config.json` of a run folder. Raises `O2OError` if there is none, or another one than was written."""
    path = Path(folder) / "config.json"
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise O2OError(f"{cut(str(path.parent))} is not a run folder (config.json: {reason}); {remedy}") from None
    wrong = OLD if isinstance(config, dict) and config and "identity" not in config else _wrong(config)
    if wrong:
        raise O2OError(f"{path} {wrong}; {remedy}")
    return config


def _wrong(config: Any) -> str:
    """What is wrong with what `describe` wrote, in words; empty if nothing is."""
    if not isinstance(config, dict):
        return f"is damaged: it holds {cut(repr(config))} and no table"
    more = {} if (PART | SWEEP).keys().isdisjoint(config) else SWEEP
    more = more if PART.keys().isdisjoint(config) else PART | SWEEP
    for name, kinds in (FIELDS | {name: (kind,) for name, kind in more.items()}).items():
        value = config.get(name)
        too_low = isinstance(value, int) and value < (0 if name == "program" else 1)
        if name not in config or not isinstance(value, kinds) or isinstance(value, bool) or too_low:
            return f"is damaged: its {name} is {cut(repr(value))}"
    if config["identity"] != _hash(config):
        return "is damaged: it is not what was written"
    return _wrong_lanes(config)


def _wrong_lanes(config: Mapping[str, Any]) -> str:
    """Whether seeds, axes and lanes are numbers and names that go together."""
    over, axes, static = (config.get(name, empty) for name, empty in (("over", {}), ("axes", []), ("static", [])))
    if any(not isinstance(name, str) or name not in over for name in (*axes, *static)) or len(axes) != len(over):
        return f"is damaged: its axes are {cut(repr(axes))}"
    if not all(isinstance(values, list) and values for values in over.values()):
        return f"is damaged: its over is {cut(repr(over))}"
    for name in ("seeds", "lanes"):
        numbers = config.get(name)
        if numbers is not None and not all(type(number) is int and number >= 0 for number in numbers):
            return f"is damaged: its {name} are {cut(repr(numbers))}"
    data = config.get("data")
    if data is not None and not (isinstance(data, dict) and type(data.get("rows")) is int and data["rows"] >= 0):
        return f"is damaged: its data is {cut(repr(data))}"
    if "over" in config and len(config["seeds"] or ()) != len(config["keys"]):
        return "is damaged: its seeds are not as many as its keys"
    return ""
