"""JSRL: who acts when, how the guide's share shrinks, and that the losses are the learner's own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_closed_forms import KEY, NETS, SPACES, batches

from purejaxo2o.agents import IQL, JSRL, SAC
from purejaxo2o.agents.jsrl import JumpStart
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.types import pytree

ONLINE = Boundary(index=1, updates=110, minibatches=110)
AGENT = JSRL(**NETS, guide_horizon=4.0, stage="guided")


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def apart(agent=AGENT):
    """A guide that goes to -1, a learner that goes to +1, at the start of the online phase."""

    def pointing(state, mean):
        actor = jax.tree.map(jnp.zeros_like, state.actor)
        return dataclasses.replace(
            state,
            actor=actor | {"log_std": jnp.full(2, -5.0)} | {"mean": actor["mean"] | {"bias": jnp.full(2, mean)}},
        )

    state = agent.init(KEY, SPACES)
    state = dataclasses.replace(state, learner=pointing(state.learner, -5.0))
    state = agent.enter(state, KEY, ONLINE)
    return dataclasses.replace(state, learner=pointing(state.learner, 5.0))


def signs(agent, state, steps, explore=True, count=1):
    """Signs of the actions `[steps, count]` of one episode."""
    memory, found = agent.begin(state, count), []
    for key in jax.random.split(KEY, steps):
        action, memory = agent.follow(state, jnp.zeros((count, 3)), key, memory, explore=explore)
        found.append(np.sign(np.asarray(action[:, 0])))
    return np.array(found)


def test_the_guide_takes_the_first_steps_and_no_more():
    assert signs(AGENT, apart(), 6)[:, 0].tolist() == [-1, -1, -1, -1, 1, 1]


def test_evaluations_and_unguided_phases_are_the_learners():
    assert (signs(AGENT, apart(), 3, explore=False) == 1).all()
    plain = dataclasses.replace(AGENT, stage="alone")
    assert (signs(plain, apart(), 3) == 1).all()


@pytest.mark.parametrize(("steps", "horizon"), [(0, 60), (9, 60), (10, 54), (55, 30), (100, 0), (110, 0)])
def test_horizons_of_the_sheet(steps, horizon):
    """60, 54, ..., 0 in eleven equal shares of a phase of 110 minibatches."""
    agent = dataclasses.replace(AGENT, guide_horizon=60.0)
    state = dataclasses.replace(apart(agent), steps=jnp.int32(steps))
    assert float(agent.horizon(state, KEY, ())) == pytest.approx(horizon, abs=1e-4)


def test_random_horizons_are_drawn_once_an_episode():
    agent = dataclasses.replace(AGENT, guide_horizon=10.0, curriculum="random")
    found = signs(agent, apart(agent), 10, count=2000)
    led = (found < 0).sum(axis=0)
    assert (np.diff(found, axis=0) >= 0).all()  # once the learner acts, it goes on
    np.testing.assert_allclose(np.bincount(led, minlength=11) / 2000, 1 / 11, atol=0.03)


def test_the_learner_is_exactly_iql():
    state = apart()
    got, metrics = AGENT.update(state, batches(), KEY)
    expected, losses = IQL(**NETS).update(state.learner, batches(), KEY)
    assert_same(got.learner, expected)
    assert metrics.keys() == losses.keys()
    assert_same(got.guide, state.guide)
    assert int(got.steps) == batches().reward.shape[0]


@pytest.mark.parametrize("fresh", [False, True])
def test_at_the_switch_the_guide_is_frozen_and_the_learner_goes_on_or_starts_anew(fresh):
    agent = dataclasses.replace(AGENT, fresh_learner=fresh)
    state = agent.init(KEY, SPACES)
    taught = dataclasses.replace(state, learner=IQL(**NETS).update(state.learner, batches(), KEY)[0])
    entered = agent.enter(taught, KEY, ONLINE)
    assert_same(entered.guide, taught.learner)
    assert_same(entered.learner, state.fresh if fresh else taught.learner)
    later = agent.update(entered, batches(), KEY)[0]
    after = dataclasses.replace(ONLINE, index=2, before=agent)
    again = agent.enter(later, KEY, after)  # a second guided phase changes nothing
    assert_same(again.guide, entered.guide)
    assert_same(again.learner, later.learner)


def test_it_goes_around_any_agent():
    @pytree
    class Jumped(JumpStart, SAC):
        pass

    agent = Jumped(**NETS, stage="guided")
    state = agent.enter(agent.init(KEY, SPACES), KEY, ONLINE)
    action, _ = agent.follow(state, jnp.zeros((1, 3)), KEY, agent.begin(state, 1), explore=True)
    assert action.shape == (1, 2)
