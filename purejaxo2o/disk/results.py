"""What was measured, on disk: the records of a run under way, the results of a finished one.

Records lie in the checkpoint that they go with (`checkpoint.py`), results in `results.npz` of a run folder, sealed
with what the run is; see `folder.py`.
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxo2o.disk.files import read_sealed, write_sealed
from purejaxo2o.disk.folder import PART, identity, load_config
from purejaxo2o.loop.identity import differing
from purejaxo2o.loop.result import SEED, Fault, Record, Result
from purejaxo2o.types import O2OError

RECORD_ARRAYS = ("returns", "env_steps", "grad_steps", "finite")
LANES = ("keys", "seeds", "lanes", "program", "width", "chunk", "parts", "processes", "platform")
"""What may differ between folders whose results are joined."""


def record_arrays(records: Sequence[Record]) -> dict[str, Any]:
    """All records so far, arrays named `<segment>/<field>`."""
    arrays: dict[str, Any] = {}
    for index, record in enumerate(records):
        for name in RECORD_ARRAYS:
            arrays[f"{index}/{name}"] = getattr(record, name)
        arrays |= {f"{index}/fault/{name}": value for name, value in vars(record.fault).items()}
        arrays |= {f"{index}/metrics/{name}": value for name, value in record.metrics.items()}
    return arrays


def records_of(arrays: Mapping[str, np.ndarray], count: int) -> list[Record]:
    """The first `count` records of `record_arrays`. Raises `ValueError` if there are fewer."""
    try:
        return [_record(arrays, index) for index in range(count)]
    except KeyError as error:
        raise ValueError(f"it does not hold {count} records ({error})") from None


def _record(arrays: Mapping[str, np.ndarray], index: int) -> Record:
    prefix = f"{index}/metrics/"
    fields: dict[str, Any] = {name: arrays[f"{index}/{name}"] for name in RECORD_ARRAYS}
    metrics = {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}
    return Record(metrics=metrics, fault=_fault(arrays, f"{index}/"), **fields)  # type: ignore[arg-type]


def _fault(arrays: Mapping[str, Any], prefix: str) -> Fault:
    return Fault(**{field.name: arrays[f"{prefix}fault/{field.name}"] for field in dataclasses.fields(Fault)})


RESULT_ARRAYS = ("scores", "episode_scores", "returns", "env_steps", "grad_steps", "phase", "finite")


def write_results(folder: Path, result: Result) -> None:
    """`results.npz`: every array of the result but the run itself, sealed with the folder's identity."""
    arrays = {name: getattr(result, name) for name in RESULT_ARRAYS}
    arrays |= {f"metrics/{name}": value for name, value in result.metrics.items()}
    arrays |= {f"fault/{name}": value for name, value in vars(result.fault).items()}
    arrays |= {"switch": np.int32(result.switch), "phase_names": np.array(result.phase_names)}
    arrays |= {f"metric_names/{i}": np.array(names) for i, names in enumerate(result.metric_names)}
    write_sealed(folder / "results.npz", arrays, {"identity": load_config(folder)["identity"]})


def load_results(folder: str | os.PathLike[str], *more: str | os.PathLike[str]) -> Result:
    """The result of a finished run folder, with the axes of its sweep, without the run (no `policy`; see
    `load_policy`). The parts of a sweep are joined, whichever process wrote them.

    more: folders of the same settings, task and data with other seeds, whose results are joined (see `join`).
    Raises `O2OError` for a folder that holds no run, one that is not finished, results that are damaged or another
    run's, and folders that differ in more than their seeds."""
    paths = [Path(folder), *map(Path, more)]
    results = [_whole(path, load_config(path)) for path in paths]
    if not more:
        return results[0]
    for path in paths[1:]:
        first, other = (_settings(load_config(path)) for path in (paths[0], path))
        if difference := differing(other, first):
            raise O2OError(
                f"{path} cannot be joined with {paths[0]}: {difference}; give folders of the same settings"
            )
    return join([_with_seed(result, load_config(path), path) for result, path in zip(results, paths, strict=True)])


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    known = {"axes": [], "over": {}, "static": [], **config}
    return {name: value for name, value in identity(known).items() if name not in LANES}


def _with_seed(result: Result, config: Mapping[str, Any], path: Path) -> Result:
    """A single run as a sweep over its seed."""
    if result.axes:
        return result
    if not config["seeds"]:
        raise O2OError(f"{path} holds a single run whose key has no number; train with seeds by number to join runs")
    measured = jax.tree.map(lambda x: np.asarray(x)[None], result)
    return dataclasses.replace(measured, axes=((SEED, tuple(config["seeds"])),))


def join(results: Sequence[Result]) -> Result:
    """One result of the same sweep over different seeds, in order of the seeds' numbers; without the runs.

    Raises `O2OError` for results of other recipes, tasks, settings or lengths, and for a seed that is in two."""
    if not results:
        raise O2OError("join got no results; give at least one")
    measured = [dataclasses.replace(result, run=None, agent=None, program_axes=()) for result in results]
    for result in measured:
        if not result.axes or result.axes[-1][0] != SEED:
            raise O2OError("join takes results with a seed axis; give those of sweeps, or folders to load_results")
        if (wanted := _likeness(measured[0])) != (found := _likeness(result)):
            pair = next((a, b) for a, b in zip(found, wanted, strict=True) if a != b)
            raise O2OError(f"results cannot be joined: {pair[0]!r} and {pair[1]!r}; give those of the same settings")
    seeds = [seed for result in measured for seed in result.axes[-1][1]]
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise O2OError(f"seed {twice[0]} is in two of the results; join each seed once")
    at, order = len(measured[0].axes) - 1, np.argsort(seeds)
    whole = jax.tree.map(
        lambda *xs: np.concatenate(xs, axis=at).take(order, axis=at),
        *(dataclasses.replace(result, axes=()) for result in measured),
    )
    return dataclasses.replace(whole, axes=(*measured[0].axes[:-1], (SEED, tuple(sorted(seeds)))))


def _likeness(result: Result) -> tuple[Any, ...]:
    names = tuple(sorted(result.metrics)), result.phase_names, result.metric_names
    shape = tuple(np.shape(result.returns)[len(result.axes) :])
    return result.recipe_name, result.task_name, result.axes[:-1], shape, result.switch, *names


def _whole(path: Path, config: Mapping[str, Any]) -> Result:
    if "over" not in config:
        return _load(path, config)
    axes = tuple((name, tuple(map(hashable, config["over"][name]))) for name in config["axes"])
    axes = (*axes, (SEED, tuple(config["seeds"])))
    found = _parts(path, config) if config.get("parts") else [(config, _load(path, config))]
    programs = max(about["program"] for about, _ in found) + 1
    lanes = math.prod(len(values) for _, values in axes) // programs
    order = np.concatenate([np.array(about["lanes"]) + lanes * about["program"] for about, _ in found])
    if missing := sorted(set(range(programs * lanes)) - set(order.tolist())):
        raise O2OError(f"{path} lacks lanes {missing[0]} to {missing[-1]}: a part is not there; resume it first")
    if len(order) != programs * lanes:
        raise O2OError(f"{path} holds a lane twice: one of its parts is a copy; remove the copy")
    joined = jax.tree.map(lambda *xs: np.concatenate(xs)[np.argsort(order)], *(result for _, result in found))
    static = [i for i, (name, _) in enumerate(axes) if name in config["static"]]
    return with_axes(joined, axes, tuple(static))


def with_axes(result: Result, axes: tuple[Any, ...], program_axes: tuple[int, ...]) -> Result:
    """Lanes `[n, ...]`, program by program, laid out along the axes of a sweep."""
    sizes = [len(values) for _, values in axes]
    outer = [size for i, size in enumerate(sizes) if i in program_axes]
    inner = [size for i, size in enumerate(sizes) if i not in program_axes]

    def shape(x: Any) -> Any:
        x = x.reshape(*outer, *inner, *x.shape[1:])
        return np.moveaxis(x, range(len(outer)), program_axes) if outer else x

    return dataclasses.replace(jax.tree.map(shape, result), axes=axes, program_axes=program_axes)


def _parts(folder: Path, config: Mapping[str, Any]) -> list[tuple[dict[str, Any], Result]]:
    """Configuration and result of every part of a sweep."""
    paths = sorted(path.parent for path in folder.glob("*part-*/config.json"))
    if not paths:
        raise O2OError(f"{folder} holds no part of its sweep yet; resume it first")
    found = [(load_config(path), path) for path in paths]
    for part, path in found:
        one, other = (
            {name: value for name, value in identity(x).items() if name not in (*PART, "parts")}
            for x in (part, config)
        )
        if difference := differing(one, other):
            raise O2OError(f"{path} is the part of another sweep: {difference}; put the sweep's own back")
    return [(part, _load(path, part)) for part, path in found]


def hashable(value: Any) -> Any:
    """A setting's value as it was before JSON made lists of tuples."""
    return tuple(map(hashable, value)) if isinstance(value, list) else value


def _load(path: Path, config: Mapping[str, Any]) -> Result:
    name = path / "results.npz"
    try:
        arrays, about = read_sealed(name)
    except FileNotFoundError:
        raise O2OError(f"{path} holds no finished run (no results.npz); resume it first") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise O2OError(
            f"{path} holds no finished run ({name} is damaged: {reason}); resume it to write it again"
        ) from None
    if about.get("identity") != config["identity"]:
        raise O2OError(f"{name} belongs to another run than the folder; resume the run to write it again")
    try:
        return _result(arrays, config)
    except (KeyError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise O2OError(f"{name} is damaged ({reason}); resume the run to write it again") from None


def _result(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> Result:
    phases = tuple(arrays["phase_names"].tolist())
    _check_forms(arrays, (len(config["lanes"]),) if "lanes" in config else ())
    return Result(
        **{name: arrays[name] for name in RESULT_ARRAYS},  # type: ignore[arg-type]
        metrics={name[8:]: x for name, x in arrays.items() if name.startswith("metrics/")},  # type: ignore[misc]
        fault=_fault(arrays, ""),
        run=None,
        agent=None,
        phase_names=phases,
        metric_names=tuple(tuple(arrays[f"metric_names/{i}"].tolist()) for i in range(len(phases))),
        switch=int(arrays["switch"]),
        recipe_name=config["recipe"],
        task_name=config["task"],
    )


def _check_forms(arrays: Mapping[str, np.ndarray], lanes: tuple[int, ...]) -> None:
    """Raise `ValueError` unless all are numbers `[*lanes, S]`, those of episodes `[*lanes, S, episodes]`.

    A seal says that they are what somebody wrote, not that it was a result."""
    wanted = (*lanes, arrays["scores"].shape[-1] if arrays["scores"].ndim else 0)
    for name, array in arrays.items():
        if name == "phase_names" or name.startswith("metric_names/"):
            fits = (array.ndim == 1 and array.dtype.kind == "U") or not array.size
        elif name == "switch":
            fits = array.dtype.kind == "i" and not array.shape and 0 <= array < wanted[-1]
        else:
            shape = array.shape[:-1] if name in ("returns", "episode_scores") else array.shape
            fits = array.dtype.kind in "fiub" and shape == wanted
        if not fits:
            raise ValueError(f"its {name[:100]} is {array.dtype}{list(array.shape)}, which no result has")
    if (phase := arrays["phase"]).size and not 0 <= phase.min() <= phase.max() < arrays["phase_names"].size:
        raise ValueError("its phases have no names")
