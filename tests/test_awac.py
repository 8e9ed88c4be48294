"""AWAC by numbers that can be worked out by hand."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import ACT, KEY, NETS, SPACES, assert_equal, batches, constant, run_update

from purejaxo2o.agents.awac import AWAC, weights


def test_weights_of_the_sheet() -> None:
    scores = jnp.array([0.5, 0.0, -0.5])
    np.testing.assert_allclose(weights(scores, 0.5, "exponential", 100.0), [2.718282, 1, 0.367879], rtol=1e-5)
    softmax = weights(scores, 0.5, "softmax", 100.0)
    np.testing.assert_allclose(softmax, [1.995723, 0.734185, 0.270092], rtol=1e-5)
    np.testing.assert_allclose(softmax.sum(), 3.0, rtol=1e-6)


def test_one_large_advantage_takes_all_of_a_batch_in_one_form_only() -> None:
    scores = jnp.array([60.0, 0.0, 0.0])
    np.testing.assert_allclose(weights(scores, 1.0, "exponential", 100.0), [100, 1, 1])  # the exponential is clipped
    np.testing.assert_allclose(weights(scores, 1.0, "softmax", 100.0), [3, 0, 0], atol=1e-6)


@pytest.mark.parametrize("form", ["exponential", "softmax"])
def test_weights_pass_no_gradient(form: Any) -> None:
    slope = jax.grad(lambda a: (weights(a, 0.5, form, 100.0) * jnp.arange(3.0)).sum())(jnp.array([0.5, 0.0, -0.5]))
    assert (slope == 0).all()


def still(form: Any) -> tuple[AWAC, Any]:
    """Action-blind critics (so every advantage is zero) and a policy around zero with unit variance."""
    agent = AWAC(weighting=form, learning_rate=0.0, discount=0.9, **NETS)
    state = agent.init(KEY, SPACES)
    tables = {
        "critic": constant(state.critic, [1.0, 2.0]),
        "target": constant(state.target, [3.0, 5.0]),
        "actor": jax.tree.map(jnp.zeros_like, state.actor),
    }
    return agent, dataclasses.replace(state, **tables)


@pytest.mark.parametrize("form", ["exponential", "softmax"])
def test_without_advantages_it_clones_and_bootstraps_with_the_lower_target(form: Any) -> None:
    agent, state = still(form)
    rows = batches()
    metrics = run_update(agent, state, rows, KEY)[1]
    log_prob = -0.5 * jnp.square(rows.action).sum(-1) - 0.5 * ACT * math.log(2 * math.pi)
    np.testing.assert_allclose(metrics["actor_loss"], -log_prob.mean(), rtol=1e-5)
    y = rows.reward + 0.9 * np.where(rows.terminated, 0.0, 3.0)
    np.testing.assert_allclose(
        metrics["critic_loss"], jnp.square(1.0 - y).mean() + jnp.square(2.0 - y).mean(), rtol=1e-5
    )


def test_losses_reach_their_own_networks_only() -> None:
    agent = AWAC(**NETS)
    state, rows = agent.init(KEY, SPACES), batches()
    base = run_update(agent, state, rows, KEY)[0]
    resting = run_update(dataclasses.replace(agent, actor_learning_rate=0.0), state, rows, KEY)[0]
    assert_equal(base, resting, ["critic", "critic_opt", "target"])
    frozen = dataclasses.replace(agent, learning_rate=0.0, actor_learning_rate=1e-2)
    one = run_update(frozen, state, rows, KEY)[0]
    other = run_update(frozen, state, rows._replace(reward=rows.reward + 5.0), KEY)[0]
    assert_equal(one, other, ["actor", "actor_opt"])


def test_the_mean_is_unbounded_and_actions_are_not() -> None:
    agent, state = still("exponential")
    state.actor["mean"]["bias"] = jnp.array([3.0, -0.5])
    policy = agent.policy(state.actor, jnp.zeros((1, 3)))
    np.testing.assert_allclose(policy.mean, [[3.0, -0.5]])
    np.testing.assert_allclose(agent.act(state, jnp.zeros((1, 3)), KEY, explore=False), [[1.0, -0.5]])
    assert jnp.abs(agent.act(state, jnp.zeros((500, 3)), KEY, explore=True)).max() <= 1.0
