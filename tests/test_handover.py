"""The hand-over's figures against hand-made curves, and free of the noise of evaluating."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o.loop.handover import handover
from purejaxo2o.types import O2OError

STEPS = jnp.array([0, 0, 0, 100, 200, 400], jnp.int32)  # two offline evaluations, then three online ones
SWITCH = 2


def figures(scores, steps=STEPS, switch=SWITCH):
    return {k: float(v) for k, v in handover(jnp.array(scores, jnp.float32), steps, switch).items()}


def test_handover_of_a_dip_that_recovers():
    assert figures([0, 30, 50, 20, 60, 80]) == {
        "score_at_switch": 50,
        "lowest": 20,
        "dip": 30,
        "recovery_steps": 200,
        "online_auc": (35 * 100 + 40 * 100 + 70 * 200) / 400,
        "regret": pytest.approx(1 - 0.5375),
        "final": 80,
        "best": 80,
    }


def test_recovery_is_counted_from_the_switch_in_online_steps():
    warm = jnp.array([0, 0, 1000, 1100, 1200, 1400])  # somebody acted before the switch
    assert figures([0, 30, 50, 40, 20, 50], warm)["recovery_steps"] == 400


@pytest.mark.parametrize(
    ("scores", "dip", "recovery"),
    [
        ([0, 0, 50, 50, 60, 55], 0, 0),  # never below
        ([0, 0, 50, 20, 30, 49], 30, np.nan),  # never back
        ([0, 0, 50, 40, 60, 10], 40, np.nan),  # back, but the lowest point came later
        ([0, 0, 50, 20, np.nan, 90], np.nan, np.nan),  # a hole hides where the lowest point was
    ],
)
def test_dip_and_recovery(scores, dip, recovery):
    found = figures(scores)
    np.testing.assert_equal((found["dip"], found["recovery_steps"]), (dip, recovery))


def test_without_an_online_part_online_figures_are_nan():
    found = figures([0, 30, 50], jnp.zeros(3, jnp.int32), switch=2)
    assert (found["score_at_switch"], found["final"], found["best"]) == (50, 50, 50)
    assert all(np.isnan(found[k]) for k in ("lowest", "dip", "recovery_steps", "online_auc", "regret"))


def test_from_scratch_and_evaluations_without_steps():
    found = figures([0, 100], jnp.array([0, 10]), switch=0)
    assert (found["dip"], found["recovery_steps"], found["online_auc"]) == (0, 0, 50)
    assert np.isnan(figures([0, 100], jnp.array([0, 0]), switch=0)["online_auc"])


def test_handover_composes_with_jit_and_vmap():
    scores = jax.random.uniform(jax.random.key(0), (2, 3, 6)) * 100
    steps = jnp.broadcast_to(STEPS, scores.shape)
    nested = jax.jit(jax.vmap(jax.vmap(lambda s, e: handover(s, e, SWITCH))))(scores, steps)
    for name, direct in handover(scores, STEPS, SWITCH).items():
        np.testing.assert_allclose(nested[name], direct, rtol=1e-5)
        assert nested[name].shape == (2, 3)
        assert nested[name].dtype == jnp.float32


@pytest.mark.parametrize(("switch", "steps"), [(6, STEPS), (-1, STEPS), (2, STEPS[:-1])])
def test_handover_refuses_bad_input(switch, steps):
    with pytest.raises(O2OError):
        handover(jnp.zeros(6), steps, switch)


def test_the_noise_of_evaluating_makes_no_dip():
    """A policy that stays at a success rate of 0.9, judged by 64 episodes: the plain minimum of 20 evaluations is
    some eight points low, the crossed one is right."""
    rates = np.full(21, 0.9)
    plain, crossed = noisy(rates)
    assert plain["dip"] > 6
    assert abs(crossed["dip"]) < 0.5
    assert plain["lowest"] < 84
    assert abs(crossed["lowest"] - 90) < 0.5


def test_a_dip_beyond_the_noise_is_measured_as_deep_as_it_is():
    rates = np.full(21, 0.9)
    rates[3] = 0.5
    plain, crossed = noisy(rates)
    assert abs(crossed["dip"] - 40) < 0.5
    assert abs(crossed["lowest"] - 50) < 0.5
    assert abs(plain["dip"] - 40) < 0.5


def test_what_only_rises_has_no_dip():
    rates = np.linspace(0, 0.9, 21)
    plain, crossed = noisy(rates)
    assert plain["dip"] == crossed["dip"] == 0


def noisy(rates):
    """Mean figures of 2,000 runs that are judged by 64 episodes: of scores alone, and with the episodes."""
    episodes = 100.0 * (np.random.default_rng(0).random((2000, len(rates), 64)) < rates[:, None])
    scores, steps = jnp.asarray(episodes.mean(-1)), jnp.arange(len(rates))
    both = handover(scores, steps, 0), handover(scores, steps, 0, episode_scores=jnp.asarray(episodes))
    return [{name: float(x.mean()) for name, x in found.items()} for found in both]


def test_one_episode_cannot_be_halved():
    scores = jnp.array([50.0, 20.0, 60.0])
    plain, one = (
        handover(scores, jnp.arange(3), 0),
        handover(scores, jnp.arange(3), 0, episode_scores=scores[:, None]),
    )
    assert plain == one


def test_episodes_of_other_evaluations_are_refused():
    with pytest.raises(O2OError, match="episode_scores has 2 evaluations, scores 3"):
        handover(jnp.zeros(3), jnp.arange(3), 0, episode_scores=jnp.zeros((2, 5)))
