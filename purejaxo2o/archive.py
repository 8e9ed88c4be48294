"""What was measured, on disk: the records of a run under way, the results of a finished one.

`records.npz` (after each segment) and `results.npz` (at the end) of a run folder; see `runs.py`.
"""

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxo2o.files import read_arrays, write_arrays
from purejaxo2o.result import SEED, Fault, Record, Result
from purejaxo2o.runs import load_config
from purejaxo2o.types import O2OError

RECORD_ARRAYS = ("returns", "env_steps", "grad_steps", "finite")


def write_records(folder: Path, records: list[Record]) -> None:
    """All records so far, arrays named `<segment>/<field>`."""
    arrays: dict[str, Any] = {}
    for index, record in enumerate(records):
        for name in RECORD_ARRAYS:
            arrays[f"{index}/{name}"] = getattr(record, name)
        arrays |= {f"{index}/fault/{name}": value for name, value in vars(record.fault).items()}
        arrays |= {f"{index}/metrics/{name}": value for name, value in record.metrics.items()}
    write_arrays(folder / "records.npz", arrays)


def read_records(folder: Path, count: int) -> list[Record]:
    """The first `count` records. Raises `O2OError` if the file has fewer."""
    try:
        arrays = read_arrays(folder / "records.npz")
        return [_record(arrays, index) for index in range(count)]
    except (OSError, KeyError, ValueError) as error:
        raise O2OError(
            f"{folder / 'records.npz'} does not hold {count} records ({error}); start a new folder"
        ) from None


def _record(arrays: Mapping[str, np.ndarray], index: int) -> Record:
    prefix = f"{index}/metrics/"
    fields: dict[str, Any] = {name: arrays[f"{index}/{name}"] for name in RECORD_ARRAYS}
    metrics = {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}
    return Record(metrics=metrics, fault=_fault(arrays, f"{index}/"), **fields)  # type: ignore[arg-type]


def _fault(arrays: Mapping[str, Any], prefix: str) -> Fault:
    return Fault(**{field.name: arrays[f"{prefix}fault/{field.name}"] for field in dataclasses.fields(Fault)})


RESULT_ARRAYS = ("scores", "episode_scores", "returns", "env_steps", "grad_steps", "phase", "finite")


def write_results(folder: Path, result: Result) -> None:
    """`results.npz`: every array of the result but the run itself."""
    arrays = {name: getattr(result, name) for name in RESULT_ARRAYS}
    arrays |= {f"metrics/{name}": value for name, value in result.metrics.items()}
    arrays |= {f"fault/{name}": value for name, value in vars(result.fault).items()}
    arrays |= {"switch": np.int32(result.switch), "phase_names": np.array(result.phase_names)}
    arrays |= {f"metric_names/{i}": np.array(names) for i, names in enumerate(result.metric_names)}
    write_arrays(folder / "results.npz", arrays)


def load_results(folder: str | os.PathLike[str]) -> Result:
    """The result of a finished run folder, with the axes of its sweep, without the run (no `policy`; see
    `load_policy`). The parts of a sweep are joined, whichever process wrote them.

    Raises `O2OError` for a folder that holds no run, or one that is not finished."""
    path = Path(folder)
    config = load_config(path)
    if "over" not in config:
        return _load(path, config)
    axes = tuple((name, tuple(_hashable(v) for v in config["over"][name])) for name in config["axes"])
    axes = (*axes, (SEED, tuple(range(config["seeds"]))))
    found = _parts(path) if config.get("parts") else [(config, _load(path, config))]
    programs = max(about["program"] for about, _ in found) + 1
    lanes = math.prod(len(values) for _, values in axes) // programs
    order = np.concatenate([np.array(about["lanes"]) + lanes * about["program"] for about, _ in found])
    missing = sorted(set(range(programs * lanes)) - set(order.tolist()))
    if missing:
        raise O2OError(f"{path} lacks lanes {missing[0]} to {missing[-1]}: a part is not there; resume it first")
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


def _parts(folder: Path) -> list[tuple[dict[str, Any], Result]]:
    """Configuration and result of every part of a sweep."""
    paths = sorted(path.parent for path in folder.glob("*part-*/config.json"))
    if not paths:
        raise O2OError(f"{folder} holds no part of its sweep yet; resume it first")
    return [(config := load_config(path), _load(path, config)) for path in paths]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _load(path: Path, config: Mapping[str, Any]) -> Result:
    try:
        arrays = read_arrays(path / "results.npz")
    except (OSError, ValueError):
        raise O2OError(f"{path} holds no finished run (results.npz); resume it first") from None
    phases = tuple(arrays["phase_names"].tolist())
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
