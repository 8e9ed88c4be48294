"""Dotted names: every one is listed, changes exactly itself, and is refused with a remedy when it does not exist."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import CUTS, HIDDEN, tiny

import purejaxo2o as o2o
from purejaxo2o.loop import settings
from purejaxo2o.loop.prepare import check_settings
from purejaxo2o.loop.task import DOMAINS
from purejaxo2o.types import O2OError
from purejaxo2o.values import kinds


@pytest.fixture
def recipe():
    return tiny("wsrl")[0]


@pytest.mark.parametrize("name", o2o.recipes())
def test_every_recipe_shrinks(name):
    """The yardstick of the other tests: whatever a recipe has, its sizes end up small."""
    recipe, _, data = tiny(name)
    for setting, value in settings.names(recipe).items():
        last = setting.rpartition(".")[2]
        if last.endswith("hidden"):
            assert value == HIDDEN
        elif last in CUTS and value is not None:
            assert value <= CUTS[last]
    assert data.rows == 400


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", o2o.recipes())
@pytest.mark.parametrize("task", ["reach", "pointmaze-umaze", "pendulum"])
def test_every_recipe_builds_for_every_domain(task, name, scale):
    built = o2o.recipe(name, o2o.task(task), scale=scale)
    assert built.name == name
    for phase in built.phases:
        assert phase.steps % (phase.segments * (built.num_envs if phase.acts else 1)) == 0
    assert hash(jax.tree.structure(built)) == hash(jax.tree.structure(o2o.recipe(name, o2o.task(task), scale=scale)))


@pytest.mark.parametrize("name", o2o.recipes())
def test_every_recipe_knows_every_domain(name):
    """Settings that stand in the tables alone are of their kind, too, and paper and small differ in every domain."""
    for domain in DOMAINS:
        task = dataclasses.replace(o2o.task("reach"), domain=domain)
        paper, small = (o2o.recipe(name, task, scale=scale) for scale in ("paper", "small"))
        for recipe in (paper, small):
            check_settings(recipe)
        assert sum(phase.steps for phase in small.phases) < sum(phase.steps for phase in paper.phases)


@pytest.mark.parametrize("name", o2o.recipes())
def test_every_name_can_be_set_to_what_it_is(name):
    recipe = tiny(name)[0]
    values = {name: value for name, value in settings.names(recipe).items() if value is not None}
    assert o2o.replace(recipe, values) == recipe


@pytest.mark.parametrize("name", o2o.recipes())
def test_what_is_set_is_set_in_every_phase(name):
    """`*.x` reaches the agent of every phase; `agent.x` alone does, too, or is refused by the phase's name."""
    recipe = o2o.recipe(name, o2o.task("reach"), scale="small")
    for setting, value in kinds(type(recipe.agent)).items():
        if value.sort != "number" or value.fixed:
            continue
        given = 0.5
        phases = o2o.replace(recipe, {f"*.{setting}": given})
        assert all(getattr(phases.agent_in(phase), setting) == given for phase in phases.phases)
        own = [phase.name for phase in recipe.phases if setting in phase.agent]
        if own:
            with pytest.raises(O2OError, match=rf"{own[0]}\.agent\.{setting}.*'\*\.{setting}'"):
                o2o.replace(recipe, {f"agent.{setting}": given})
            named = {f"agent.{setting}": given, **{f"{phase}.agent.{setting}": given for phase in own}}
            assert o2o.replace(recipe, named) == phases
        else:
            assert o2o.replace(recipe, {f"agent.{setting}": given}) == phases


def test_a_phase_takes_settings_of_its_own(recipe):
    changed = o2o.replace(recipe, {"offline.agent.discount": 0.5, "offline.agent.hidden": [4]})
    found = [(agent.discount, agent.hidden) for agent in map(changed.agent_in, changed.phases)]
    assert found == [(0.5, (4,)), *[(recipe.agent.discount, recipe.agent.hidden)] * 2]
    assert settings.is_static(changed, "offline.agent.hidden")
    assert not settings.is_static(changed, "*.discount")
    with pytest.raises(O2OError, match=r"offline\.agent\.discount'? is there twice|there twice"):
        o2o.replace(changed, {"*.discount": 0.9, "offline.agent.discount": 0.8})
    with pytest.raises(O2OError, match=r"no setting 'offline\.agent\.discuont'"):
        o2o.replace(recipe, {"offline.agent.discuont": 0.5})


def test_changes_of_an_agent_are_a_tree():
    """Numbers are leaves, whatever else there is decides the structure, and an agent's fields say which is which."""
    phase = o2o.Phase(name="x", steps=1, agent={"stage": "online", "learning_rate": 1e-4, "critics": 3})
    recipe = o2o.Recipe(name="x", agent=tiny("sac")[0].agent, phases=(phase,))
    assert jax.tree.leaves(recipe.phases[0].agent) == [1e-4]
    more = o2o.Phase(name="x", steps=1, agent={"learning_rate": 1, "critics": 3})
    assert jax.tree.leaves(o2o.Recipe(name="x", agent=recipe.agent, phases=(more,)).phases[0].agent) == [1]
    doubled = jax.tree.map(lambda x: 2 * x, recipe)
    assert dict(doubled.phases[0].agent) == {"stage": "online", "learning_rate": 2e-4, "critics": 3}


SCHEDULED = {"rebrac": "minibatches", "spot": "minibatches", "proto": "minibatches", "jsrl": "minibatches"}
SCHEDULED |= {"td3_bc": "minibatches", "ppo": "updates", "props": "updates"}


def scheduled(name, num_envs):
    """The recipe with that many environments, whose last phase makes four iterations a segment."""
    recipe = tiny(name)[0]
    last = recipe.phases[-1]
    steps = last.segments * num_envs * (last.rollout if last.feed != "sampled" else 1) * 4
    recipe = o2o.replace(recipe, {"num_envs": num_envs, f"{last.name}.steps": steps})
    return recipe if recipe.store_rows is None else o2o.replace(recipe, {"store_rows": steps})


@pytest.mark.parametrize("num_envs", [1, 2, 5])
@pytest.mark.parametrize("name", SCHEDULED)
def test_agents_are_told_what_comes(name, num_envs):
    recipe = scheduled(name, num_envs)
    last, at = recipe.phases[-1], recipe.boundary(len(recipe.phases) - 1)
    assert at.updates == 4 * last.segments
    assert at.minibatches == 4 * last.segments * last.updates


@pytest.mark.parametrize("name", SCHEDULED)
def test_schedules_end_with_their_phase(name):
    """A phase's clock ends where its span does, also with several environments."""
    recipe, (_, task, data) = scheduled(name, 5), tiny(name)
    run = jax.jit(o2o.train)(jax.random.key(0), recipe, task, data if recipe.uses_offline else None).run
    at = recipe.boundary(len(recipe.phases) - 1)
    assert int(run.agent.steps) == int(run.agent.span) == getattr(at, SCHEDULED[name])


def test_replace_changes_one_thing(recipe):
    before = settings.names(recipe)
    for name, value in {
        "agent.discount": 0.5,
        "agent.hidden": (4,),
        "online.steps": 80,
        "phase.online.updates": 3,
        "reward_scale": 2.0,
        "num_envs": 2,
        "store_rows": 30,
    }.items():
        after = settings.names(o2o.replace(recipe, {name: value}))
        short = name.removeprefix("phase.")
        assert {n for n in before if after[n] != before[n]} == {short}
        assert after[short] == value
    assert settings.names(recipe) == before  # the original is untouched


def test_replace_adapts_kinds(recipe):
    changed = o2o.replace(
        recipe, {"agent.hidden": [4, 4], "online.steps": 80.0, "agent.discount": 1, "store_rows": 9}
    )
    assert changed.agent.hidden == (4, 4)
    assert o2o.replace(recipe, {"agent.hidden": []}).agent.hidden == ()  # a linear function
    assert changed.phases[2].steps == 80
    assert type(changed.agent.discount) is float
    assert o2o.replace(changed, {"store_rows": None}).store_rows is None
    array = o2o.replace(recipe, {"agent.learning_rate": jnp.array([1e-3, 1e-4])})
    np.testing.assert_allclose(array.agent.learning_rate, [1e-3, 1e-4])


def test_static_or_number(recipe):
    for name in ("agent.hidden", "agent.critics", "online.steps", "online.offline_fraction", "num_envs"):
        assert settings.is_static(recipe, name)
    for name in ("agent.learning_rate", "agent.discount", "online.offline_ratio", "reward_bias"):
        assert not settings.is_static(recipe, name)


BAD = {
    "mistyped": (
        {"agent.learning_rat": 1.0},
        r"'wsrl' has no setting 'agent\.learning_rat'; did you mean 'agent\.learn",
    ),
    "mistyped phase": ({"onlin.steps": 40}, r"no setting 'onlin\.steps'; did you mean 'online\.steps'"),
    "nothing like it": ({"zzzzzzzz": 1}, r"no setting 'zzzzzzzz'; known: agent\."),
    "the name itself": ({"name": "other"}, r"no setting 'name'"),
    "text for a number": ({"agent.learning_rate": "fast"}, r"agent\.learning_rate takes a number, got 'fast'"),
    "a flag for a number": ({"agent.learning_rate": True}, r"agent\.learning_rate takes a number, got True"),
    "a part of a step": ({"online.steps": 40.5}, r"online\.steps takes a whole number, got 40\.5"),
    "text for a size": ({"online.steps": "40"}, r"online\.steps takes a whole number, got '40'"),
    "an array for a size": ({"online.steps": np.arange(2)}, r"online\.steps"),
    "a jax array for a size": ({"online.steps": jnp.arange(2)}, r"online\.steps is static .* cannot be an array"),
    "a number for a flag": ({"agent.layer_norm": 1}, r"agent\.layer_norm takes True or False, got 1"),
    "a number for text": ({"online.mix": 3}, r"online\.mix is 3; known: by_size, fraction"),
    "a number for a tuple": ({"agent.hidden": 8}, r"agent\.hidden takes a tuple like \(8, 8\), got 8"),
    "no finite number": ({"reward_scale": float("inf")}, r"^reward_scale is inf; it must be a finite number"),
    "nothing in float32": ({"reward_scale": 1e308}, r"^reward_scale is 1e\+308, infinite as float32.* finite number"),
    "zero in float32": ({"reward_scale": 1e-60}, r"^reward_scale is 1e-60, 0 as float32"),
    "400 digits": ({"reward_bias": 10**400}, r"^reward_bias is 1000.*0000; it must be a finite number"),
    "5000 digits": ({"online.steps": 10**5000}, r"^online\.steps is a number of thousands of digits; it must lie in"),
    "a share above one": ({"online.offline_ratio": 2}, r"^online\.offline_ratio is 2; it must lie in \[0, 1\]"),
    "a name in two spellings": (
        {"offline.updates": 1, "phase.offline.updates": 2},
        r"^offline\.updates is there twice, with the values 1 and 2; drop one",
    ),
    "no size": ({"agent.hidden": None}, r"^agent\.hidden takes a tuple like \(8, 8\), got None"),
    "an array of text": ({"agent.learning_rate": np.array(["a"])}, r"takes a number, got an array of <U1"),
    "an array of NaN": (
        {"agent.learning_rate": np.array([np.nan])},
        r"learning_rate is array\(\[nan\]\); it must be a fin",
    ),
    "an array of objects": ({"agent.learning_rate": np.array([print])}, r"takes a number, got an array of object"),
    "an array of nothing": ({"agent.learning_rate": np.array([])}, r"is an empty array"),
    "a random key": ({"agent.learning_rate": jax.random.key(0)}, r"takes a number, got an array of key"),
    "a number for a name": ({1: 2}, r"'wsrl' has no setting 1; known: "),
    "an unknown choice": ({"online.mix": "halves"}, r"online\.mix is 'halves'; known: by_size, fraction"),
    "an unknown form": ({"agent.temperature_form": "sofplus"}, r"agent\.temperature_form is 'sofplus'.*'softplus'\?"),
    "an unknown act": ({"online.act": "polcy"}, r"online\.act is 'polcy'; did you mean 'policy'\?"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_with_the_remedy(recipe, case):
    changes, message = BAD[case]
    with pytest.raises(O2OError, match=message) as error:
        o2o.replace(recipe, changes)
    assert "\n" not in str(error.value)


def test_changes_are_a_dictionary(recipe):
    for changes in ([1], None, "agent.polyak=1"):
        with pytest.raises(O2OError, match=r"^changes are .*; give a dictionary"):
            o2o.replace(recipe, changes)
    with pytest.raises(O2OError, match=r"^'wsrl' is no recipe"):
        o2o.replace("wsrl", {})


def test_set_or_varied(recipe):
    settings.check_apart(recipe, {"agent.polyak": 0.1}, {"agent.discount": [0.9]})
    with pytest.raises(O2OError, match=r"^online\.updates is both set and varied \(over\); drop one"):
        settings.check_apart(recipe, {"online.updates": 1}, {"phase.online.updates": [1, 2]})


def test_unknown_names_come_with_the_nearest():
    _, task, _ = tiny("wsrl")
    with pytest.raises(O2OError, match=r"unknown recipe 'wslr'; did you mean 'wsrl'"):
        o2o.recipe("wslr", task)
    with pytest.raises(O2OError, match=r"unknown scale 'medium'; use 'small' or 'paper'"):
        o2o.recipe("wsrl", task, scale="medium")
    with pytest.raises(O2OError, match=r"unknown task 'pointmaze-umase'; did you mean 'pointmaze-umaze"):
        o2o.task("pointmaze-umase")
    with pytest.raises(O2OError, match=r"unknown task 'q'; known: ant-expert"):
        o2o.task("q")
    assert o2o.task("mjx/Hopper-v5").env.name == "mjx/Hopper-v5"  # an environment is a task without data
    with pytest.raises(O2OError, match=r"task 'slope' has no dataset; collect one"):
        o2o.dataset(task)
