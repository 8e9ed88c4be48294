"""BOORL: members, their rows, the choice among their proposals."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import KEY, NETS, SPACES, batches, run_update
from tiny import tiny

from purejaxo2o.agents.boorl import BOORL, kept
from purejaxo2o.agents.td3 import TD3
from purejaxo2o.agents.td3_bc import TD3BC
from purejaxo2o.loop.prepare import prepare

OBS = jnp.zeros((4000, 3))


def rows(minibatches: int = 1) -> Any:
    made = batches(minibatches)
    count = made.reward.size
    return made._replace(extras={"row": np.arange(count).reshape(made.reward.shape)})


def assert_trees(one: Any, other: Any, tolerance: float = 1e-6) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def member(state: Any, index: int) -> Any:
    """One member's state, with the clock that all share."""
    clock = {"steps": state.members.steps, "span": state.members.span}
    bare = dataclasses.replace(state.members, steps=None, span=None)
    return dataclasses.replace(jax.tree.map(lambda x: x[index], bare), **clock)


@pytest.mark.parametrize(("stage", "alone"), [("conservative", TD3BC(**NETS)), ("free", TD3(**NETS))])
def test_members_are_independent_learners(stage: Any, alone: Any) -> None:
    """With every row kept, each member is TD3+BC (online: TD3) with a key of its own."""
    agent = BOORL(members=3, row_share=1.0, stage=stage, **NETS)
    state = agent.init(KEY, SPACES)
    after, metrics = run_update(agent, state, rows(2), KEY)
    keys = [jax.random.split(k)[1] for k in jax.random.split(KEY, 3)]
    results = [run_update(alone, member(state, i), rows(2), keys[i]) for i in range(3)]
    for i, (expected, _) in enumerate(results):
        assert_trees(member(after, i), expected, 1e-5)
    np.testing.assert_allclose(metrics["actor_loss"], np.mean([m["actor_loss"] for _, m in results]), rtol=1e-4)


def test_masks_are_fixed_independent_and_of_the_share() -> None:
    numbers, salts = jnp.arange(20_000), jnp.array([1, 2], jnp.uint32)
    one, other = (kept(numbers, salt, 0.9) for salt in salts)
    for mask in (one, other):
        assert mask.mean() == pytest.approx(0.9, abs=0.01)
    assert (one == kept(numbers.reshape(2, -1), salts[0], 0.9).reshape(-1)).all()
    assert (one & other).mean() == pytest.approx(0.81, abs=0.01)


def test_a_member_never_sees_what_is_not_its_own() -> None:
    agent = BOORL(row_share=0.5, **NETS)
    batch = jax.tree.map(lambda x: np.repeat(x, 16, axis=1), rows(4))
    batch = batch._replace(extras={"row": np.arange(batch.reward.size).reshape(batch.reward.shape)})
    for salt in (jnp.uint32(5), jnp.uint32(6)):
        own = agent.own_rows(batch, salt, KEY)
        assert kept(own.extras["row"], salt, 0.5).all()
        keep = kept(batch.extras["row"], salt, 0.5)
        np.testing.assert_array_equal(own.extras["row"][keep], batch.extras["row"][keep])
        assert (np.sort(own.extras["row"] // 64, axis=None) == np.repeat(np.arange(4), 64)).all()


def test_choice_is_a_softmax_over_the_members_own_values() -> None:
    agent = BOORL(members=2, selection_temperature=10.0, exploration_noise=0.0, **NETS)
    state = agent.init(KEY, SPACES)
    actor = jax.tree.map(jnp.zeros_like, state.members.actor)
    actor["mean"]["bias"] = jnp.array([[-0.5, -0.5], [0.5, 0.5]])
    critic = jax.tree.map(jnp.zeros_like, state.members.critic)
    critic["MLP_0"]["Dense_1"]["bias"] = jnp.array([[[1.0], [3.0]], [[1.1], [2.0]]])  # [M, 2, 1]: minima 1.0 and 1.1
    state = dataclasses.replace(state, members=dataclasses.replace(state.members, actor=actor, critic=critic))
    assert (agent.act(state, OBS, KEY, explore=True)[:, 0] > 0).mean() == pytest.approx(0.731, abs=0.03)
    np.testing.assert_allclose(agent.act(state, OBS, KEY, explore=False), 0.0, atol=1e-7)  # the mean of both
    assert agent.act(state, OBS[0], KEY, explore=True).shape == (2,)


def test_members_differ_and_rows_are_numbered() -> None:
    recipe, task, data = tiny("boorl")
    state = recipe.agent.init(KEY, SPACES)
    kernels = state.members.actor["mean"]["kernel"]
    assert (jnp.abs(kernels[0] - kernels[1]) > 0).any()
    assert len(set(np.asarray(state.salt).tolist())) == recipe.agent.members
    ready = prepare(recipe, task, data)
    assert ready is not None
    np.testing.assert_array_equal(ready.data.extras["row"][:, 0], np.arange(data.rows))
    assert recipe.agent_in(recipe.phases[-1]).needs == frozenset()
