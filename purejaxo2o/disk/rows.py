"""Rows of results: dictionaries of numbers, strings, arrays over lanes and nested dictionaries."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from purejaxo2o.types import O2OError

Row = Mapping[str, Any]


def plain(value: Any) -> Any:
    """`value` in JSON's types: arrays become lists, NaN and infinities None. Raises `O2OError` for others."""
    if isinstance(value, Mapping):
        return {str(name): plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise O2OError(f"a row holds a {type(value).__name__}; pass numbers, strings, arrays or dictionaries of them")


def flat(row: Row, *, lanes: bool = True) -> dict[str, Any]:
    """Scalars and strings by name, nested names joined with `/`; arrays `a` become `a/0`, `a/1`, ..., or
    their mean (`lanes=False`; NaN where any lane is)."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}/{k}": v for k, v in flat(value, lanes=lanes).items()}
        elif value is None or isinstance(value, str):
            cells[name] = "" if value is None else value
        else:
            array = np.asarray(value)
            if array.ndim == 0:
                cells[name] = array.item()
            elif lanes:
                cells |= {f"{name}/{'/'.join(map(str, i))}": array[i].item() for i in np.ndindex(array.shape)}
            else:
                cells[name] = float(array.mean())
    return cells
