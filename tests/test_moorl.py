"""MOORL: a Reptile step around SAC; with rate 1 it is SAC on alternating sources."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.agents import MOORL, SAC
from purejaxo2o.agents.base import polyak_average
from purejaxo2o.types import O2OError, Space, Spaces, Transition

SPACES = Spaces(Space(shape=(3,)), Space(shape=(2,)))
SIZES = {"hidden": (8, 8), "actor_hidden": (8, 8)}
AGENT = MOORL(**SIZES, learning_rate=1e-2)


@pytest.fixture(scope="module")
def batches():
    keys = jax.random.split(jax.random.key(0), 4)
    flags = jnp.zeros((2, 16), bool)
    return Transition(
        jax.random.normal(keys[0], (2, 16, 3)),
        jax.random.uniform(keys[1], (2, 16, 2), minval=-1.0),
        jax.random.normal(keys[2], (2, 16)),
        jax.random.normal(keys[3], (2, 16, 3)),
        flags,
        flags,
        {},
    )


def test_the_papers_arithmetic():
    """(x-1)^2/2 offline, (x+1)^2/2 online, SGD 0.1, two inner steps, beta 0.5: 0 -> 0.095 -> -0.009025."""
    x = 0.0
    for goal in (1.0, -1.0):
        inner = x
        for _ in range(2):
            inner -= 0.1 * (inner - goal)
        x = float(polyak_average(x, inner, 0.5))
    assert x == pytest.approx(-0.009025)


@pytest.mark.parametrize(("probability", "rows"), [(1.0, slice(8)), (0.0, slice(8, None))])
def test_rate_one_is_sac_on_the_source_that_was_drawn(batches, probability, rows):
    agent = dataclasses.replace(AGENT, meta_rate=1.0, source_probability=probability)
    state, key = agent.init(jax.random.key(1), SPACES), jax.random.key(2)
    got, metrics = agent.update(state, batches, key)
    assert metrics["from_data"] == probability
    sac = SAC(**SIZES, learning_rate=1e-2)
    keys = jax.random.split(jax.random.split(key)[1], 2)
    for u in range(2):
        state, _ = sac.update(state, jax.tree.map(lambda x, u=u: x[u : u + 1, rows], batches), keys[u])
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_meta_step_goes_part_of_the_way(batches):
    state, key = AGENT.init(jax.random.key(1), SPACES), jax.random.key(2)
    whole = dataclasses.replace(AGENT, meta_rate=1.0).update(state, batches, key)[0]
    some = dataclasses.replace(AGENT, meta_rate=0.25).update(state, batches, key)[0]
    for name in ("actor", "critic"):
        old, new, got = (jax.tree.leaves(getattr(s, name)) for s in (state, whole, some))
        for a, b, c in zip(old, new, got, strict=True):
            np.testing.assert_allclose(c, 0.75 * a + 0.25 * b, rtol=1e-5, atol=1e-7)
    for name in ("target", "actor_opt", "critic_opt", "log_temperature"):  # carried on from the inner steps
        jax.tree.map(np.testing.assert_array_equal, getattr(some, name), getattr(whole, name))


def test_a_phase_that_mixes_otherwise_is_refused():
    recipe, task, data = tiny("moorl")
    with pytest.raises(O2OError, match=r"MOORL takes the first 0\.5 of every minibatch for offline rows"):
        jax.eval_shape(o2o.train, jax.random.key(0), o2o.replace(recipe, {"online.mix": "online"}), task, data)
