"""EDAC's term by numbers that can be worked out by hand, and where it is SAC."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from test_closed_forms import KEY, NETS, SPACES, after_update, assert_equal, assert_same, batches, field_names

from purejaxo2o.agents.edac import EDAC, alignment
from purejaxo2o.agents.sac import SAC

FEW = {"critics": 3, "target_critics": 3, **NETS}


def test_alignment_of_the_sheet() -> None:
    gradients = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.5**0.5, 0.5**0.5]])
    np.testing.assert_allclose(alignment(gradients), 1.41421, rtol=1e-5)
    np.testing.assert_allclose(alignment(7.0 * gradients[:, None]), [1.41421], rtol=1e-5)  # directions only


def test_alignment_of_equal_opposed_orthogonal_and_vanishing_gradients() -> None:
    one, other = jnp.array([2.0, 0.0]), jnp.array([0.0, 3.0])
    for pair, expected in (([one, one], 2.0), ([one, -one], -2.0), ([one, other], 0.0), ([one, 0 * one], 0.0)):
        np.testing.assert_allclose(alignment(jnp.stack(pair)), expected, atol=1e-6)
    np.testing.assert_allclose(alignment(one[None]), 0.0, atol=1e-6)  # a single critic has no pairs
    slope = jax.grad(lambda g: alignment(g).sum())(jnp.stack([one, 0 * one]))
    assert jnp.isfinite(slope).all()


def test_without_the_term_it_is_sac_with_the_minimum_over_all() -> None:
    rows = batches()
    sac = after_update(SAC(**FEW), rows, dtype=np.float64)
    none = after_update(EDAC(diversity_weight=0.0, **FEW), rows, dtype=np.float64)
    assert_same(sac, none, field_names(sac))
    some = after_update(EDAC(diversity_weight=1.0, **FEW), rows, dtype=np.float64)
    kernels = [s.critic_opt.mu["MLP_0"]["Dense_0"]["kernel"] for s in (sac, some)]
    assert (kernels[0] != kernels[1]).any()


def test_the_term_reaches_critics_only_and_turns_them_apart() -> None:
    rows = batches()
    strong = EDAC(diversity_weight=1e3, learning_rate=1e-2, actor_learning_rate=1e-2, **FEW)
    weak = dataclasses.replace(strong, diversity_weight=0.0)
    still = {"learning_rate": 0.0}
    one, other = (after_update(dataclasses.replace(a, **still), rows) for a in (strong, weak))
    assert_equal(one, other, ["actor", "actor_opt", "temperature_opt"])
    state = strong.init(KEY, SPACES)
    batch = jax.tree.map(lambda x: x[0], rows)

    def aligned(state):
        q = strong.q(state.critic, batch.obs, batch.action)
        return float(strong.penalty(state.critic, state, batch, q, KEY)[1]["alignment"])

    step = jax.jit(lambda state: strong.critic_step(state, batch, KEY)[0])
    before = aligned(state)
    for _ in range(50):
        state = step(state)
    assert aligned(state) < before - 0.1
