"""Statistics against closed forms and hand-made curves."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as scipy_stats

from purejaxo2o.figures import stats
from purejaxo2o.types import O2OError


@dataclasses.dataclass
class Result:
    scores: Any
    env_steps: Any
    finite: Any
    switch: int
    recipe_name: str = "wsrl"
    task_name: str = "pointmaze-umaze"

    @property
    def episode_scores(self):
        """One episode an evaluation: its score is the curve's."""
        return np.asarray(self.scores)[..., None]


def test_iqm():
    x = np.random.default_rng(0).normal(size=(11, 4))
    np.testing.assert_allclose(stats.iqm(x, axis=0), scipy_stats.trim_mean(x, 0.25, axis=0))
    np.testing.assert_allclose(jax.jit(stats.iqm)(jnp.array(x)), stats.iqm(x), rtol=1e-5)
    assert stats.iqm(np.array([0.0, 1.0, 2.0, 300.0])) == 1.5
    assert stats.iqm(np.array([1.0, 2.0, 6.0])) == 3.0
    assert np.isnan(stats.iqm(np.array([0.0, 1.0, 2.0, np.nan])))  # not trimmed away


def test_bootstrap_interval_is_deterministic_and_as_wide_as_theory_says():
    n = 100
    x = scipy_stats.norm.ppf((np.arange(n) + 0.5) / n, loc=10, scale=2)
    interval = stats.bootstrap_interval(x, samples=4000)
    assert interval == stats.bootstrap_interval(x, samples=4000)
    assert interval != stats.bootstrap_interval(x, samples=4000, seed=1)
    half = 1.96 * x.std() / np.sqrt(n)
    np.testing.assert_allclose(interval, [10, 10 - half, 10 + half], atol=0.05)
    narrow = stats.bootstrap_interval(x, samples=4000, confidence=0.5)
    assert interval.low < narrow.low < 10 < narrow.high < interval.high


def test_bootstrap_interval_covers_the_truth_at_the_nominal_rate():
    data = np.random.default_rng(3).normal(size=(30, 400))  # 400 studies of 30 seeds
    interval = stats.bootstrap_interval(data, samples=500)
    coverage = np.mean((interval.low <= 0) & (interval.high >= 0))
    assert 0.90 < coverage < 0.98


def test_bootstrap_of_curves_does_not_depend_on_chunks(monkeypatch):
    x = np.random.default_rng(1).normal(size=(5, 3, 2))
    whole = stats.bootstrap_interval(x, stats.iqm, samples=50)
    monkeypatch.setattr(stats, "CHUNK", 7 * x.size)
    np.testing.assert_array_equal(whole, stats.bootstrap_interval(x, stats.iqm, samples=50))
    assert whole.low.shape == (3, 2)
    column = stats.bootstrap_interval(x[:, 2, 1], stats.iqm, samples=50)
    np.testing.assert_array_equal([v[2, 1] for v in whole], column)  # whole rows are resampled


def test_bootstrap_edges():
    np.testing.assert_equal(tuple(stats.bootstrap_interval([7.0])), (7.0, np.nan, np.nan))
    assert stats.bootstrap_interval([3.0, 3.0]) == (3, 3, 3)
    assert np.isnan(stats.bootstrap_interval([1.0, np.nan])).all()
    assert stats.bootstrap_interval([1.0, np.inf, np.inf], np.median) == (np.inf, 1.0, np.inf)
    for bad in ({"samples": 0}, {"confidence": 95}, {"x": []}, {"x": 3.0}):
        with pytest.raises(O2OError):
            stats.bootstrap_interval(**({"x": [1.0, 2.0]} | bad))


def test_stratified_bootstrap_resamples_within_tasks():
    constant = {"easy": [90.0] * 4, "hard": [10.0] * 4}
    assert stats.stratified_bootstrap(constant, np.mean) == (50, 50, 50)  # no spread within a task
    mixed = {"easy": np.arange(8.0), "hard": [10.0, 20.0]}
    interval = stats.stratified_bootstrap(mixed)
    assert interval.point == stats.iqm(np.r_[mixed["easy"], mixed["hard"]])
    assert interval.low < interval.point < interval.high
    with pytest.raises(O2OError, match="task"):
        stats.stratified_bootstrap({})


def test_probability_of_improvement():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0])
    interval = stats.probability_of_improvement(a, b)
    assert interval.point == pytest.approx((1 + 0 + 1 + 0.5 + 1 + 1) / 6)
    assert 0 <= interval.low < interval.point < interval.high <= 1
    assert stats.probability_of_improvement(a + 9, b) == (1, 1, 1)
    back = stats.probability_of_improvement(b, a)
    assert back.point == pytest.approx(1 - interval.point)
    tasks = stats.probability_of_improvement(np.stack([a, a + 9], 1), np.stack([b, b], 1))
    assert tasks.point == pytest.approx((interval.point + 1) / 2)
    assert np.isnan(stats.probability_of_improvement([1.0, np.nan], b).point)
    with pytest.raises(O2OError, match="tasks"):
        stats.probability_of_improvement(np.zeros((3, 2)), b)


def test_probability_of_improvement_against_explicit_resampling():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.5, 1, 12), generator.normal(0, 1, 9)
    low, high = stats.probability_of_improvement(a, b, samples=4000)[1:]
    drawn = [
        (a[generator.integers(12, size=12)][:, None] > b[generator.integers(9, size=9)]).mean() for _ in range(4000)
    ]
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975]), atol=0.03)


def test_pairing_removes_what_the_seeds_share():
    b = np.linspace(0, 100, 10)
    a = b + 5
    assert stats.difference_interval(a, b, paired=True) == pytest.approx((5, 5, 5))
    apart = stats.difference_interval(a, b[:8], paired=False)
    assert apart.low < 0 < apart.high
    with pytest.raises(O2OError, match="paired"):
        stats.difference_interval(a, b[:8], paired=True)


def test_summary_counts_what_it_leaves_out():
    scores = np.array([[0, 0, 50, 20, 60, 80], [0, 0, 40, 10, 20, 30], [0, 0, 50, 20, np.nan, 80], [9] * 6])
    finite = np.ones(scores.shape, bool)
    finite[3, 4] = False
    (row,) = stats.summary({"WSRL": Result(scores, np.tile([0, 0, 0, 100, 200, 400], (4, 1)), finite, 2)})
    assert (row["method"], row["recipe"], row["task"]) == ("WSRL", "wsrl", "pointmaze-umaze")
    assert (row["seeds"], row["diverged"], row["recovered"]) == (4, 2, 1)
    assert (row["final"], row["final_low"], row["final_high"]) == (55, 30, 80)
    assert row["recovery_steps"] == np.inf  # the median of 200 and never
    assert row["recovery_steps_low"] == 200


def test_summary_of_settings_single_runs_and_offline_runs():
    scores = jnp.arange(12.0).reshape(2, 2, 3)
    sweep = Result(scores, jnp.zeros((2, 2, 3)), jnp.ones((2, 2, 3), bool), 2)
    single = Result(scores[0, 0], jnp.zeros(3), jnp.ones(3, bool), 2)
    dead = dataclasses.replace(single, finite=jnp.zeros(3, bool))
    rows = stats.summary({"a": sweep, "b": single, "c": dead})
    assert [r["method"] for r in rows] == ["a[0]", "a[1]", "b", "c"]
    assert [r["final"] for r in rows[:3]] == [3.5, 9.5, 2.0]
    assert [r["diverged"] for r in rows] == [0, 0, 0, 1]
    assert all(np.isnan(r["recovery_steps"]) for r in rows)
    assert np.isnan(rows[3]["final"])
