"""How good, how diverse and how clean a dataset is. Rows are NumPy, flat `[N, ...]`, in trajectories.

TQ and SACo are those of Schweighofer et al. 2022 (arXiv 2111.04714, `ml-jku/OfflineRL`).
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from purejaxo2o.data.scores import normalise
from purejaxo2o.loop.extras import trajectory_returns
from purejaxo2o.types import O2OError, Transition

if TYPE_CHECKING:
    from purejaxo2o.data.reading import DatasetInfo

EDGES = 100
"""Edges per dimension, evenly spaced between the extremes of the reference, that tell states and actions apart."""
SATURATED = 0.999
"""From this absolute value on an action counts as at its bound."""


class Trajectories(NamedTuple):
    """One entry per trajectory, in the order of the rows."""

    start: np.ndarray  # [K] int, its first row
    length: np.ndarray  # [K] int, steps
    total: np.ndarray  # [K] float64, undiscounted return
    terminated: np.ndarray  # [K] bool; else truncated
    cut: np.ndarray  # [K] bool; truncated before the time limit, by the end of the recording

    @property
    def whole(self) -> np.ndarray:
        """`[K]` bool: not cut, and of a finite return, so that the return is that of an episode."""
        return ~self.cut & np.isfinite(self.total)


def trajectories(rows: Transition, limit: int | None = None) -> Trajectories:
    """What is truncated before `limit` steps, if that is known, was cut by the end of the recording.

    Raises `O2OError` if the final row does not end its trajectory."""
    total, length = trajectory_returns(rows.reward, rows.last)
    ends = np.cumsum(length)
    terminated = np.asarray(rows.terminated)[ends - 1]
    return Trajectories(ends - length, length, total, terminated, ~terminated & (length < (limit or 0)))


def limit_of(info: "DatasetInfo") -> int | None:
    """Rows of an episode that runs out of time, as far as a dataset tells.

    None, too, for tasks that go on: their trajectories end where the recorder likes, mostly at a goal."""
    limit = info.provenance.get("time_limit")
    if isinstance(limit, int) and limit > 0:
        return limit
    spec = info.env_spec
    if spec is None or spec.max_episode_steps is None or spec.kwargs.get("continuing_task"):
        return None
    return spec.max_episode_steps - bool(info.metadata.get("time_outs_dropped"))


def summary(found: Trajectories, reference: tuple[float, float] | None) -> dict[str, Any]:
    """How many trajectories, how many of them cut, and the means of the whole ones (None if there is none)."""
    whole = found.whole
    facts: dict[str, Any] = {"episodes": len(found.total), "cut": int(found.cut.sum())}
    mean = float(found.total[whole].mean()) if whole.any() else None
    facts |= {"mean_return": mean, "mean_length": float(found.length[whole].mean()) if whole.any() else None}
    if reference is not None:
        facts["mean_score"] = None if mean is None else normalise(mean, *reference)
    return facts


def by_return(found: Trajectories) -> np.ndarray:
    """Indices of the whole trajectories from the best to the worst."""
    order = np.argsort(-found.total, kind="stable")
    return order[found.whole[order]]


def trajectory_quality(returns: np.ndarray, low: float, high: float) -> float:
    """TQ: mean return, 0 where it is `low` (of a random policy), 1 where it is `high` (the best online policy)."""
    return normalise(float(np.mean(returns)), low, high) / 100


def state_action_pairs(rows: Transition, like: Transition | None = None) -> int:
    """Number of different state-action pairs.

    Continuous dimensions are told apart by `EDGES` evenly spaced edges between their extremes in `like` (default:
    `rows`), so that counts can be compared; images and discrete actions as they are."""
    own, other = _state_action(rows), _state_action(rows if like is None else like)
    if own.keys() != other.keys():
        raise O2OError("the reference has other observations or actions; give one of the same environment")
    digits = [_digits(own[name], other[name]) for name in own]
    return len(np.unique(_hashes(digits)))


def coverage(rows: Transition, reference: Transition) -> float:
    """SACo: state-action pairs of `rows` per pair of `reference`, the replay buffer of an online agent, say.

    Duplicates change nothing. A number without its reference means nothing; give both."""
    return state_action_pairs(rows, reference) / state_action_pairs(reference, reference)


def duplicates(rows: Transition) -> int:
    """Rows that are, bit for bit, one of the rows before them."""
    columns = [np.ascontiguousarray(x).reshape(len(rows.reward), -1) for x in rows[:6]]
    words = [c.view(f"u{c.dtype.itemsize}") for c in columns]
    return len(rows.reward) - len(np.unique(_hashes(words)))


def not_finite(rows: Transition) -> dict[str, int]:
    """Rows with a NaN or an infinite number, by field."""
    fields = {"obs": rows.obs, "action": rows.action, "reward": rows.reward, "next_obs": rows.next_obs}
    return {name: int((~np.isfinite(_flat(x)).all(axis=1)).sum()) for name, x in fields.items()}


def saturation(action: np.ndarray) -> np.ndarray:
    """`[A]` share of steps at which each action dimension is at a bound."""
    return (np.abs(action) >= SATURATED).mean(axis=0)


def _state_action(rows: Transition) -> dict[tuple[str, int], np.ndarray]:
    """Every scalar of observation and action by name, `[N]`."""
    fields = {"obs": _flat(rows.obs), "action": _flat(rows.action)}
    return {(name, i): x[:, i] for name, x in fields.items() for i in range(x.shape[1])}


def _digits(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.uint64)[:, None]
    finite = like[np.isfinite(like)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    return np.digitize(values, np.linspace(low, high, EDGES)).astype(np.uint64)[:, None]


def _hashes(columns: list[np.ndarray]) -> np.ndarray:
    """`[N]` uint64 hash of each row of unsigned columns `[N, ...]`: different rows of 1M collide in 1 set of 1e7."""
    total, index = np.zeros(len(columns[0]), np.uint64), 0
    with np.errstate(over="ignore"):
        for column in columns:
            for i in range(column.shape[1]):
                index += 1
                total += _mixed(column[:, i].astype(np.uint64) ^ _mixed(np.full(1, index, np.uint64)))
    return total


def _mixed(x: np.ndarray) -> np.ndarray:
    """Every bit depends on every bit (the finaliser of splitmix64, Steele et al. 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _flat(x: Any) -> np.ndarray:
    array = np.asarray(x)
    return array.reshape(len(array), -1)
