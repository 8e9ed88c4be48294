"""Which defaults a task gets: the domain of an environment, and what the domains change in a recipe."""

import dataclasses
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
from tiny import dataset, shrink, task

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.loop import store
from purejaxo2o.loop.prepare import prepare
from purejaxo2o.loop.task import DOMAINS
from purejaxo2o.tasks.domains import domain_of, fail_reward_of
from purejaxo2o.types import O2OError, Transition, pytree, static

CONSERVATIVE = ("cql", "cal_ql", "naive", "wsrl")


@pytree
class Named:
    """An environment of which only the name matters."""

    name: str = static()


@pytest.mark.parametrize(
    ("name", "domain", "fail_reward"),
    [
        ("host/AdroitHandPen-v1", "adroit", None),
        ("host/AdroitHandDoorBinary-v0", "adroit-binary", -1.0),
        ("host/pen-binary-v0", "adroit-binary", -1.0),
        ("host/mj_envs:relocate-binary-v0", "adroit-binary", -1.0),
        ("host/door-open-v2", "classic", None),  # no hand, but a robot arm
        ("host/FrankaKitchen-v1", "kitchen", None),
        ("maze/AntMaze_UMaze-v4", "maze", 0.0),
        ("maze/AntMaze_UMazeDense-v4", "maze", None),
        ("toy/reach", "toy", None),
    ],
)
def test_the_id_tells_the_domain(name, domain, fail_reward):
    env: Any = Named(name=name)
    assert (domain_of(env), fail_reward_of(env)) == (domain, fail_reward)
    assert domain in DOMAINS


def test_sparse_hands_of_gymnasium_robotics_are_no_binary_ones():
    pytest.importorskip("gymnasium_robotics", reason="Adroit is gymnasium-robotics'")
    for env in (envs.make("host/AdroitHandPenSparse-v1"), envs.make("host/AdroitHandPen-v1", reward_type="sparse")):
        assert (domain_of(env), fail_reward_of(env)) == ("adroit", -0.1)
    assert fail_reward_of(envs.make("host/AdroitHandPen-v1")) is None
    original = gym.make("AdroitHandPenSparse-v1")
    original.reset(seed=0)
    assert original.step(np.zeros(24))[1] == -0.1


@pytest.mark.parametrize("domain", ["adroit_binary", "", None])
def test_an_unknown_domain_is_one_line(domain):
    with pytest.raises(O2OError, match=r"^task 'slope': domain is .*(adroit-binary|known: )") as caught:
        dataclasses.replace(task(), domain=domain)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("domain", "rewards", "steps", "hidden", "actor_hidden", "weight"),
    [
        ("maze", (10.0, -5.0), 1_000_000, (256,) * 4, (256,) * 2, 5.0),
        ("adroit", (1.0, 0.0), 1_000_000, (256,) * 3, (256,) * 3, 1.0),
        ("adroit-binary", (10.0, 5.0), 20_000, (512,) * 3, (512,) * 2, 1.0),
        ("kitchen", (1.0, -4.0), 250_000, (512,) * 3, (512,) * 3, 5.0),
        ("locomotion", (1.0, 0.0), 250_000, (256,) * 2, (256,) * 2, 5.0),
    ],
)
@pytest.mark.parametrize("name", CONSERVATIVE)
def test_published_settings_by_domain(name, domain, rewards, steps, hidden, actor_hidden, weight):
    """Cal-QL's scripts (mazes, binary hands), CORL's files (dense hands), WSRL's scripts (kitchen, locomotion)."""
    recipe = o2o.recipe(name, dataclasses.replace(task(), domain=domain))
    assert (recipe.reward_scale, recipe.reward_bias, recipe.phases[0].steps) == (*rewards, steps)
    agent, maze = recipe.agent, domain == "maze"
    assert (agent.hidden, agent.actor_hidden, agent.lagrange) == (hidden, actor_hidden, maze)
    assert agent.importance_sampling == (domain != "kitchen")
    assert agent.cql_weight == (1.0 if maze and name == "wsrl" else weight)
    assert agent.lagrange_form == ("softplus" if maze and name == "wsrl" else "exp")
    best_of = [recipe.agent_in(phase).target_samples for phase in recipe.phases]
    plain = name in ("naive", "wsrl") and not maze
    assert best_of == [10] * (len(best_of) - 1) + [1 if plain else 10]
    conservative = [recipe.agent_in(phase).stage == "conservative" for phase in recipe.phases]
    assert conservative[-1] == (name in ("cql", "cal_ql"))
    assert all(conservative[:-1])


def test_off2on_asks_for_one_next_action():
    for domain in ("locomotion", "adroit"):
        assert o2o.recipe("off2on", dataclasses.replace(task(), domain=domain)).agent.target_samples == 1


@pytest.mark.parametrize(
    ("name", "settings", "dense", "binary"),
    [
        ("rlpd", ("backup_entropy", "hidden"), (True, (256,) * 2), (False, (256,) * 3)),
        ("iql", ("expectile", "temperature"), (0.7, 0.5), (0.7, 2.5)),
        ("awac", ("temperature",), (0.1,), (0.5,)),
        ("fql", ("alpha", "target_reduction"), (1000.0, "min"), (10.0, "mean")),
        ("edac", ("critics", "diversity_weight"), (20, 10.0), (10, 1.0)),
        ("rebrac", ("actor_penalty", "critic_penalty"), (0.1, 0.5), (0.1, 0.5)),
        ("proto", ("temperature", "target_critics"), (0.5, 2), (2.0, 1)),
    ],
)
def test_the_hands_of_other_methods(name, settings, dense, binary):
    for domain, expected in (("adroit", dense), ("adroit-binary", binary)):
        recipe = o2o.recipe(name, dataclasses.replace(task(), domain=domain))
        assert tuple(getattr(recipe.agent, setting) for setting in settings) == expected
        assert (recipe.reward_scale, recipe.reward_bias) == (1.0, 0.0)


def test_hopeless_trajectories_of_a_binary_hand_are_worth_failing_for_ever():
    """Cal-QL's rule after its transform: -1 is learned as -5, and never to succeed is worth -5 / (1 - 0.99)."""
    rewards, ends = np.array([-1, -1, 0, -1, -1], np.float32), np.array([0, 0, 1, 0, 1], bool)
    terminated = np.array([0, 0, 1, 0, 0], bool)
    wide = np.zeros((5, 1), np.float32)
    columns: Any = (wide, wide, rewards, wide, terminated, ends & ~terminated)
    rows = store.from_transitions(Transition(*columns))
    hand = dataclasses.replace(task(), domain="adroit-binary", fail_reward=-1.0)
    ready = prepare(o2o.recipe("cal_ql", hand), hand, rows)
    parts = ((slice(0, 3), [0, 0, 1]), (slice(3, 5), [0, 0]))
    expected = [ref.return_to_go(10.0 * rewards[part] + 5.0, np.array(end), 0.99, -5.0) for part, end in parts]
    assert expected[1].tolist() == pytest.approx([-500.0] * 2)
    assert ready is not None
    found = ready.data.extras["return_to_go"][:, 0]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5, atol=1e-5)


def test_wsrl_runs_where_the_switch_changes_the_target():
    hopper = dataclasses.replace(task(), domain="locomotion")
    recipe = shrink(o2o.recipe("wsrl", hopper))
    assert [recipe.agent_in(phase).target_samples for phase in recipe.phases] == [2, 2, 1]
    result = o2o.train(jax.random.key(0), recipe, hopper, prepare(recipe, hopper, dataset()))
    assert jnp.isfinite(result.returns).all()
