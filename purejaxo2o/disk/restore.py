"""From a description (`identity.py`) to the value, without trusting the file that it comes from."""

import dataclasses
import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxo2o.loop.identity import ARRAY, CLASS, CODE, KEY, LIST, NUMBER, OURS, path_of
from purejaxo2o.types import PYTREES, O2OError, Space

FAMILIES = ("gymnax", "xminigrid")
"""Packages whose parameters our environments hold."""
IMPORTED = (f"{OURS}.agents.", f"{OURS}.envs.", f"{OURS}.tasks.snapshots")
"""Where the modules are that `restore` may import."""
REGISTERED = f"{OURS}.envs.registered:Registered"
"""An environment that Gymnasium knows, by its id."""
FILES = ("file", "path")
"""Parts of the names of settings that name a file."""


def restore(description: Any) -> Any:
    """The value of a description.

    A description may come from anybody, so it decides nothing that runs: its classes are those that this process
    has made with `pytree` already, or purejaxo2o's. Raises `O2OError` naming what cannot be restored."""
    if isinstance(description, list):
        return tuple(map(restore, description))
    if not isinstance(description, Mapping):
        return description
    if NUMBER in description:
        return float(description[NUMBER])
    if ARRAY in description and "values" in description:
        kind, _, shape = description[ARRAY].partition("[")
        return jnp.asarray(np.array(restore(description["values"])).reshape(json.loads(f"[{shape}")), kind)
    if LIST in description:
        return [restore(part) for part in description[LIST]]
    if CLASS in description:
        return _instance(description)
    for mark in (ARRAY, KEY, CODE):
        if mark in description:
            raise O2OError(f"config.json describes {str(description[mark])[:100]} without holding it")
    return {name.removeprefix("@"): restore(part) for name, part in description.items()}


def _instance(description: Mapping[str, Any]) -> Any:
    path = description[CLASS]
    if path == REGISTERED:
        return _registered(description)
    kind = _class(path)
    fields = {name: part for name, part in description.items() if name != CLASS}
    known = {field.name for field in dataclasses.fields(kind)}
    if fields.keys() != known:
        raise O2OError(f"{path} has other fields by now: {', '.join(sorted(fields.keys() ^ known))}")
    for name, part in fields.items():
        _check_no_file(path, name, part)
    return kind(**{name: restore(part) for name, part in fields.items()})


def _registered(description: Mapping[str, Any]) -> Any:
    """What this process's registry says of the id; `rebuild` compares it with the rest of the description."""
    from purejaxo2o.envs import host

    env_id = description.get("id")
    if not isinstance(env_id, str) or ":" in env_id:
        raise O2OError(f"{REGISTERED} names a module ({str(env_id)[:100]!r})")
    return host.registered(env_id)


def _class(path: str) -> Any:
    """A class of settings. Nothing is imported but this package and the libraries of its own environments."""
    module, _, name = str(path).partition(":")
    if module.startswith(IMPORTED) and module not in sys.modules:
        _import(module)
    if path in PYTREES:
        return PYTREES[path]
    if path == path_of(Space):
        return Space
    if module.split(".")[0] in FAMILIES:
        _import(module.split(".")[0])
        found = getattr(sys.modules.get(module), name, None)
        if getattr(found, "_flax_dataclass", False):
            return found
    raise O2OError(f"{path} is not among the classes that this process has imported")


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise O2OError(f"{module} cannot be imported ({error})") from None


def _check_no_file(path: str, name: str, part: Any) -> None:
    """Neither a file nor a module is opened because a description names it."""
    pairs = [(name, part)]
    if name == "options" and isinstance(part, list):
        pairs = [(str(pair[0]), pair[1]) for pair in part if isinstance(pair, list) and len(pair) == 2]
    for label, value in pairs:
        if isinstance(value, str) and any(word in label for word in FILES):
            raise O2OError(f"{path} names a file ({label}={value[:100]!r})")
    if name == "name" and isinstance(part, str) and part.startswith("host/") and ":" in part:
        raise O2OError(f"{path} names a module ({part[:100]!r})")
