"""What rows must satisfy before anything is trained on or written: shapes, types, finite values, ranges, order.

Arrays are NumPy, flat `[N, ...]`; `where(row)` says in words where a row lies, for the error message.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from purejaxo2o.loop import store
from purejaxo2o.loop.store import Store
from purejaxo2o.types import O2OError, Spaces, Transition

BLOCK = 1 << 16


def check_rows(data: Transition, spaces: Spaces, where: Callable[[int], str], *, tolerance: float = 0.0) -> None:
    """Raise `O2OError` for the first thing wrong; actions may leave [-1, 1] by `tolerance`."""
    n = len(data.reward)
    if n == 0:
        raise O2OError("there are no rows; record some first")
    action_dtype = "int32" if spaces.action.discrete else spaces.action.dtype
    expected = {
        "obs": ((n, *spaces.obs.shape), spaces.obs.dtype),
        "action": ((n, *spaces.action.shape), action_dtype),
        "reward": ((n,), "float32"),
        "next_obs": ((n, *spaces.obs.shape), spaces.obs.dtype),
        "terminated": ((n,), "bool"),
        "truncated": ((n,), "bool"),
    }
    for name, (shape, dtype) in expected.items():
        array = getattr(data, name)
        if array.shape != shape or array.dtype != dtype:
            raise O2OError(
                f"{name} is {array.dtype}{list(array.shape)}, the spaces ask for {dtype}{list(shape)}; convert the "
                "rows or give the right spaces"
            )
    for name in ("obs", "action", "reward", "next_obs"):
        row = _first(lambda x: ~np.isfinite(x).reshape(len(x), -1).all(axis=1), getattr(data, name))
        if row is not None:
            raise O2OError(f"{where(row)}: {name} is not finite; drop or repair that trajectory")
    _check_range(data.action, spaces, where, tolerance)
    if not (data.terminated[-1] or data.truncated[-1]):
        raise O2OError(f"{where(n - 1)}: the final row does not end its trajectory; mark it truncated")


def _check_range(action: Any, spaces: Spaces, where: Callable[[int], str], tolerance: float) -> None:
    count = spaces.action.n

    def outside(x: np.ndarray) -> np.ndarray:
        if count is not None:
            return (x < 0) | (x >= count)
        return (np.abs(x) - 1.0).reshape(len(x), -1).max(axis=1) > tolerance

    row, allowed = _first(outside, action), "[-1, 1]" if count is None else f"0 to {count - 1}"
    if row is not None:
        raise O2OError(
            f"{where(row)}: action {np.round(action[row], 4).tolist()} (scaled) leaves {allowed}",
            python="if the environment clips actions itself, load with clip=True, else correct the declared bounds",
            shell="if the environment clips actions itself, give --clip, else correct the declared bounds",
        )


def flags(where: str, name: str, values: np.ndarray) -> np.ndarray:
    """`[N]` bool of flags that a file holds as truth values or as 0 and 1. Raises `O2OError` for other numbers."""
    bad = np.flatnonzero((values != 0) & (values != 1))
    if bad.size:
        raise O2OError(
            f"{where}, step {bad[0]}: {name} is {values[bad[0]]}; a flag is 0 or 1 (false or true): re-record it"
        )
    return values.astype(bool)


def _first(wrong: Callable[[np.ndarray], Any], rows: np.ndarray) -> int | None:
    """The first row that is wrong; block by block, since what is computed of a million rows would be large."""
    for start in range(0, len(rows), BLOCK):
        bad = wrong(rows[start : start + BLOCK])
        if bad.any():
            return start + int(bad.argmax())
    return None


def check_continuous(data: Transition) -> None:
    """Raise `O2OError` where `next_obs` is not the next row's `obs` inside a trajectory."""
    inside = ~(data.terminated | data.truncated)[:-1]
    same = data.next_obs[:-1] == data.obs[1:]
    same = same.all(axis=tuple(range(1, same.ndim)))
    broken = inside & ~same
    if broken.any():
        raise O2OError(
            f"row {int(broken.argmax())}: next_obs is not the obs of the following row, yet the trajectory goes on; "
            "mark the row truncated, or keep the rows in time order"
        )


def check_store(rows: Store, spaces: Spaces) -> None:
    """Raise `O2OError` for the first thing wrong with a full store: shape, dtype, NaN, action range, open end."""
    if rows.envs == 1 and rows.head == 0:  # a dataset, in order: nothing is copied
        data = jax.tree.map(lambda x: np.asarray(x)[:, 0], rows.data)
    else:
        data = jax.tree.map(np.asarray, store.flat(rows))
    check_rows(data, spaces, "row {}".format)
