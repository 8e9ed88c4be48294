"""The uncertainty of figures over seeds: interquartile means, bootstrap intervals, a row per method.

NumPy on the host: deterministic (a seed is an argument), vectorised over resamples, percentile intervals (Efron &
Tibshirani 1993, section 13.3). A NaN among the inputs makes the answer NaN; only `summary` leaves diverged seeds
out, and it says how many.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from purejaxo2o.loop.handover import handover
from purejaxo2o.types import Array, O2OError

Statistic = Callable[..., Any]
"""`statistic(x, axis=...)` reduces one axis, like `numpy.mean`, `numpy.median` and `iqm`."""
CHUNK = 4_000_000  # resampled numbers held at once, so that many seeds of long curves fit in memory


class Interval(NamedTuple):
    """An estimate and its interval, each `[...]` like one row of the data; NaN limits mean there are none."""

    point: Any
    low: Any = np.nan
    high: Any = np.nan

    def __str__(self) -> str:
        """Of scalars: `62.2 [56.9, 66.6]`, `12,500`, `∞`, `-` for NaN; digits as the largest number needs."""
        largest = max((abs(x) for x in self if np.isfinite(x)), default=0.0)
        digits = 0 if largest >= 1000 else 1 if largest >= 10 else 2 if largest >= 1 else 3
        point, low, high = (f"{x:,.{digits}f}".replace("inf", "∞").replace("nan", "-") for x in self)
        return point if np.isnan([self.low, self.high]).all() else f"{point} [{low}, {high}]"


class Scored(Protocol):
    """What `summary` reads of a `Result`: `scores`, `env_steps`, `finite` are `[..., S]`, `episode_scores`
    `[..., S, episodes]`."""

    @property
    def scores(self) -> Any: ...
    @property
    def episode_scores(self) -> Any: ...
    @property
    def env_steps(self) -> Any: ...
    @property
    def finite(self) -> Any: ...
    @property
    def switch(self) -> int: ...
    @property
    def recipe_name(self) -> str: ...
    @property
    def task_name(self) -> str: ...


def iqm(x: Any, axis: int = -1) -> Any:
    """Interquartile mean (Agarwal et al. 2021): drops the `n // 4` lowest and highest along `axis`.

    Takes NumPy and JAX arrays (then jittable). Non-finite input gives NaN instead of being trimmed away."""
    xp: Any = jnp if isinstance(x, jax.Array) else np
    x = xp.moveaxis(xp.asarray(x), axis, -1)
    count = x.shape[-1]
    middle = xp.sort(x, axis=-1)[..., count // 4 : count - count // 4].mean(-1)
    return xp.where(xp.isfinite(x).all(-1), middle, xp.nan)[()]


def bootstrap_interval(
    x: ArrayLike,
    statistic: Statistic = np.mean,
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of `statistic` over seeds, axis 0 of `x [n]` or `x [n, ...]`; the result is `[...]`.

    Whole rows are resampled, so a curve keeps its shape. One seed has no spread: its limits are NaN.
    Raises `O2OError` for no seeds, `samples < 1` or a confidence outside (0, 1)."""
    x = _runs("x", x)
    picks = _picks(np.random.default_rng(seed), len(x), samples)
    return _interval(statistic(x, axis=0), _resampled(x, picks, statistic), confidence, len(x))


def stratified_bootstrap(
    scores: Mapping[str, ArrayLike],
    statistic: Statistic = iqm,
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of `statistic` over all runs of all tasks, runs resampled within each task.

    scores: `{task: [runs]}`; numbers of runs may differ, and every run then weighs the same. This is the
    aggregate of Agarwal et al. 2021. Raises `O2OError` as `bootstrap_interval`, and for no tasks."""
    if not scores:
        raise O2OError("scores holds no tasks; pass {task: scores of its runs}")
    generator = np.random.default_rng(seed)
    tasks = [_runs(name, x, ndim=1) for name, x in scores.items()]
    pooled = np.concatenate([x[_picks(generator, len(x), samples)] for x in tasks], axis=1)
    fewest = min(len(x) for x in tasks)
    return _interval(statistic(np.concatenate(tasks), axis=0), statistic(pooled, axis=1), confidence, fewest)


def probability_of_improvement(
    a: ArrayLike, b: ArrayLike, *, samples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """How likely a run of `a` scores above a run of `b`, ties counting half; in [0, 1].

    a `[n_a]` or `[n_a, tasks]`, b `[n_b]` or `[n_b, tasks]`: averaged over tasks, runs resampled within each
    (Agarwal et al. 2021, section 4.4). Raises `O2OError` as `bootstrap_interval`, and for different tasks."""
    _check_samples(samples)
    left, right = (np.atleast_2d(_runs(name, x).T).T for name, x in (("a", a), ("b", b)))
    if left.ndim != 2 or left.shape[1:] != right.shape[1:]:
        raise O2OError(f"a is {np.shape(a)}, b {np.shape(b)}; pass [runs] or [runs, tasks] of the same tasks")
    wins = 0.5 + 0.5 * np.sign(left[:, None] - right[None])  # [n_a, n_b, tasks]; the sign of NaN is NaN
    generator = np.random.default_rng(seed)
    # The share of each run in a resample, [samples, tasks, runs]: averaging wins is then a matrix product.
    drawn = [
        generator.multinomial(len(x), np.full(len(x), 1 / len(x)), (samples, x.shape[1])) / len(x)
        for x in (left, right)
    ]
    resampled = np.einsum("sta,abt,stb->s", drawn[0], wins, drawn[1], optimize=True) / wins.shape[2]
    return _interval(wins.mean(), resampled, confidence, min(len(left), len(right)))


def difference_interval(
    a: ArrayLike,
    b: ArrayLike,
    paired: bool,
    *,
    statistic: Statistic = np.mean,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of `statistic(a) - statistic(b)` over seeds, axis 0 of `[n_a, ...]` and `[n_b, ...]`.

    paired: run `i` of both shares its seed (the same offline checkpoint, say), and pairs are resampled whole.
    Raises `O2OError` as `bootstrap_interval`, and for pairs of unequal number."""
    a, b = _runs("a", a), _runs("b", b)
    if paired and len(a) != len(b):
        raise O2OError(f"paired comparison of {len(a)} with {len(b)} seeds; use equal seeds or paired=False")
    generator = np.random.default_rng(seed)
    picks = _picks(generator, len(a), samples)
    others = picks if paired else _picks(generator, len(b), samples)
    resampled = _resampled(a, picks, statistic) - _resampled(b, others, statistic)
    return _interval(statistic(a, axis=0) - statistic(b, axis=0), resampled, confidence, min(len(a), len(b)))


def summary(results: Mapping[str, Scored], statistic: Statistic = np.mean, seed: int = 0) -> list[dict[str, Any]]:
    """One row per result: the hand-over figures over its seeds as `figure`, `figure_low`, `figure_high`.

    The axis before the evaluations holds seeds; axes before that hold settings, which get a row each, named
    `label[i, ...]`. `diverged` counts the seeds with non-finite scores or training; no figure includes them.
    `recovered` counts the seeds that came back from their dip or had none, and `recovery_steps` is a median
    in which a seed that never recovers counts as infinite (averaging the recovered alone would flatter).
    """
    rows = []
    for label, result in results.items():
        scores = np.atleast_2d(np.asarray(result.scores))
        steps = np.broadcast_to(np.asarray(result.env_steps), scores.shape)
        episodes = np.asarray(result.episode_scores).reshape(*scores.shape, -1)
        finite: np.ndarray = np.all(np.isfinite(scores) & np.asarray(result.finite), axis=-1)
        for index in np.ndindex(scores.shape[:-2]):
            name = f"{label}[{', '.join(map(str, index))}]" if index else label
            row = {"method": name, "recipe": result.recipe_name, "task": result.task_name}
            alive = np.flatnonzero(finite[index])
            row |= {"seeds": scores.shape[-2], "diverged": scores.shape[-2] - len(alive)}
            one, at, each = (jnp.asarray(x[index][alive]) for x in (scores, steps, episodes))
            figures = handover(one, at, result.switch, episode_scores=each)
            rows.append(row | _columns(figures, statistic, seed))
    return rows


def _columns(figures: Mapping[str, Array], statistic: Statistic, seed: int) -> dict[str, Any]:
    """Columns of `summary` from the `[n]` hand-over figures of the seeds that stayed finite."""
    numbers = {name: np.asarray(x, float) for name, x in figures.items()}
    recovery, online = numbers["recovery_steps"], np.isfinite(numbers["lowest"])
    numbers["recovery_steps"] = np.where(online & np.isnan(recovery), np.inf, recovery)
    row: dict[str, Any] = {"recovered": int(np.isfinite(recovery).sum())}
    for name, x in numbers.items():
        reduce = np.median if name == "recovery_steps" else statistic
        interval = bootstrap_interval(x, reduce, seed=seed) if len(x) else Interval(np.nan)
        row |= zip((name, f"{name}_low", f"{name}_high"), map(float, interval), strict=True)
    return row


def _runs(name: str, x: ArrayLike, ndim: int | None = None) -> np.ndarray:
    x = np.asarray(x, float)
    if x.ndim == 0 or len(x) == 0 or ndim not in (None, x.ndim):
        raise O2OError(f"{name} has shape {x.shape}; its first axis must hold at least one run")
    return x


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise O2OError(f"samples is {samples}; it must be at least 1 (2000 is customary)")


def _picks(generator: np.random.Generator, runs: int, samples: int) -> np.ndarray:
    """`[samples, runs]` indices, each row a resample with replacement."""
    _check_samples(samples)
    return generator.integers(runs, size=(samples, runs))


def _resampled(x: np.ndarray, picks: np.ndarray, statistic: Statistic) -> np.ndarray:
    """`[samples, ...]` statistics of the picked rows."""
    size = max(1, CHUNK // x.size)
    return np.concatenate([statistic(x[picks[i : i + size]], axis=1) for i in range(0, len(picks), size)])


def _interval(point: Any, resampled: np.ndarray, confidence: float, runs: int) -> Interval:
    if not 0.0 < confidence < 1.0:
        raise O2OError(f"confidence is {confidence}; it must lie in (0, 1), e.g. 0.95")
    if runs == 1:
        return Interval(point, *np.full((2, *np.shape(point)), np.nan))
    tail = (1.0 - confidence) / 2
    # Outward rounding to an actual resample: no interpolation, so infinite values stay infinite and not NaN.
    low = np.quantile(resampled, tail, axis=0, method="lower")
    high = np.quantile(resampled, 1.0 - tail, axis=0, method="higher")
    return Interval(point, low, high)
