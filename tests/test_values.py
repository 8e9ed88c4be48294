"""Every setting of every recipe: what it is passes, what it cannot be is refused by name, whoever's number it is."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import task

import purejaxo2o as o2o
from purejaxo2o.agents import AWAC, IQL, SAC, FamAWAC
from purejaxo2o.loop import settings
from purejaxo2o.loop.prepare import check, check_settings
from purejaxo2o.types import O2OError, number, pytree, static
from purejaxo2o.values import kinds, plain

TASKS = {"dqn": "dqn", "hyq": "dqn"}


def built(name):
    return o2o.recipe(name, task(TASKS.get(name, "")), "small")


def kind_of(recipe, name):
    """The kind of the field that a dotted name sets."""
    head, _, tail = name.rpartition(".")
    if not head:
        return kinds(type(recipe))[tail]
    if head == "agent" or head.endswith(".agent"):
        return kinds(type(recipe.agent))[tail]
    return kinds(type(recipe.phases[0]))[tail]


def unfit(kind):
    """Values that no field of that kind takes."""
    just = 1e-3
    if kind.sort == "number":
        numbers = [math.nan, math.inf, -math.inf, 1e308, 10**400]
        span = kind.range
        outside = [span.low - just, span.high + just, span.above, span.below]
        numbers += [x for x in outside if math.isfinite(x)]
        return [*numbers, *map(np.float64, numbers[:3]), "1", True, 1j, np.array(["a"]), jnp.array([True]), [1.0]]
    return {
        "whole": [kind.range.low - 1, 2**31, 1.5, math.nan, math.inf, "2", True, (2,), jnp.arange(2)],
        "flag": [0, 1, 1.0, "True", (True,)],
        "choice": ["neither", 1, True],
        "wholes": [(0,), (True,), ("a",), (8.5,), (math.nan,), (2**31,), 8, "8", ((8,),)],
        "numbers": [(math.nan, 1.0), (1.0,), ("a", "b"), (1e308, 1.0), 1.0],
        "text": [1, True],
    }.get(kind.sort, [])


@pytest.mark.parametrize("name", o2o.recipes())
def test_every_field_takes_what_it_is_and_refuses_the_rest_by_name(name):
    recipe = built(name)
    check_settings(recipe)
    for setting, value in settings.names(recipe).items():
        kind = kind_of(recipe, setting)
        assert kind.sort != "other", setting  # else nothing is checked
        changed = settings.changed(recipe, {setting: value})
        assert settings.names(changed)[setting] == value
        bad = unfit(kind) + ([] if kind.optional else [None])
        assert bad
        for wrong in bad:
            with pytest.raises(O2OError) as error:
                o2o.replace(recipe, {setting: wrong})
            assert str(error.value).startswith(f"{setting} "), (setting, wrong)
            assert "\n" not in str(error.value)
            assert len(str(error.value)) < 400


RULES = {
    "discount": ([0, 0.5, 1], [-0.1, 1.1]),
    "polyak": ([0, 1], [-0.1, 1.1]),
    "expectile": ([0.01, 0.99], [0.0, 1.0]),
    "learning_rate": ([0, 1], [-1e-9]),
    "actor_learning_rate": ([0], [-1e-9]),
    "gae_lambda": ([0, 1], [1.01]),
    "target_entropy_scale": ([-2.0, 0.0, 2.0], []),
    "offline_ratio": ([0, 1], [-1, 2]),
    "offline_fraction": ([0, 1], [-1, 2]),
    "reward_scale": ([-1.0, 0.0, 1e6, 2**80], []),
    "reward_bias": ([-1.0, 5.0], []),
    "max_grad_norm": ([0.5], [0.0]),
    "updates": ([0, 1], [-1]),
    "batch_size": ([1], [0]),
}
"""By the last part of a name: what is right and what is wrong, as the papers' mathematics have it."""


@pytest.mark.parametrize("name", o2o.recipes())
def test_ranges_are_those_of_the_mathematics(name):
    recipe = built(name)
    for setting in settings.names(recipe):
        right, wrong = RULES.get(setting.rpartition(".")[2], ([], []))
        for value in right:
            assert settings.names(settings.changed(recipe, {setting: value}))[setting] == value
        for value in wrong:
            with pytest.raises(O2OError, match=rf"^{setting} is .*; it must "):
                o2o.replace(recipe, {setting: value})


@pytest.mark.parametrize("kind", [np.float32, np.float64, jnp.float32, lambda x: np.array(x), lambda x: jnp.array(x)])
def test_whoevers_number_it_is(kind):
    recipe = built("iql")
    for setting, value in settings.names(recipe).items():
        if isinstance(value, bool | str) or value is None:
            continue
        own = np.array(value) if isinstance(value, tuple) else kind(value)
        after = settings.names(settings.changed(recipe, {setting: own}))[setting]
        np.testing.assert_allclose(after, value, rtol=1e-6)
        assert type(after) is type(value), setting


def test_settings_settle_where_they_are_made():
    """Equal settings are equal and hash alike, so that nothing is compiled twice."""
    plain = IQL(hidden=(8, 8), layer_norm=True, learning_rate=0.5)
    other = IQL(hidden=np.array([8, 8]), layer_norm=np.bool_(True), learning_rate=np.float32(0.5))
    assert other == plain == IQL(hidden=[8.0, jnp.int32(8)], layer_norm=True, learning_rate=jnp.float32(0.5))
    assert jax.tree.structure(other) == jax.tree.structure(plain)
    assert hash(jax.tree.structure(other)) == hash(jax.tree.structure(plain))
    phase = o2o.Phase(name="offline", steps=np.int64(40), segments=4.0, agent={"learning_rate": np.float32(0.5)})
    assert phase == o2o.Phase(name="offline", steps=40, segments=4, agent={"learning_rate": 0.5})
    recipe = o2o.Recipe(name="x", agent=plain, phases=[phase], num_envs=np.int32(1))
    assert recipe.phases == (phase,)
    assert type(recipe.num_envs) is int


def test_trees_of_settings_are_left_alone():
    """Axes for `vmap`, shapes and arrays take the places of numbers, and come out as they went in."""
    agent = IQL()
    axes = jax.tree.map(lambda x: 0, agent)
    assert type(dataclasses.replace(axes, polyak=0).polyak) is int

    @pytree
    class State:
        losses: dict[str, jax.Array]
        parts: tuple[jax.Array, ...]

    scalar = jnp.float32(1)
    state = State(losses={"a": scalar}, parts=(scalar,))
    assert state.losses["a"] is state.parts[0] is scalar
    arrays = jax.tree.map(np.float32, agent)
    assert type(arrays.polyak) is np.float32


def test_traced_values_pass_unchecked_and_lanes_with_them():
    recipe = built("iql")

    def rate(x):
        changed = settings.changed(recipe, {"agent.learning_rate": x, "agent.expectile": -x})
        check_settings(changed)
        return changed.agent.learning_rate

    np.testing.assert_array_equal(jax.jit(jax.vmap(rate))(jnp.arange(3.0)), [0, 1, 2])
    lanes = settings.changed(recipe, {"agent.learning_rate": np.arange(3.0)})
    with pytest.raises(
        O2OError, match=r"^agent\.learning_rate has shape \[3\]; a run takes one number: vmap over it"
    ):
        check(lanes, task(), None)
    with pytest.raises(O2OError, match=r"agent\.steps|agent\.hidden is static .* cannot be an array"):
        jax.jit(lambda x: o2o.replace(recipe, {"agent.hidden": x}))(jnp.arange(2))


def test_rules_that_span_two_fields_are_the_agents_own():
    recipe = built("famo2o_awac")
    assert isinstance(recipe.agent, FamAWAC)
    low = o2o.replace(recipe, {"agent.temperature": 1.0})
    with pytest.raises(O2OError, match=r"agent\.spread is .*make the spread smaller"):
        check(low, task(), None)
    check_settings(o2o.replace(low, {"agent.spread": 0.5}))
    turned = dataclasses.replace(built("awac"), agent=AWAC(log_std_range=(2.0, -5.0)))
    with pytest.raises(O2OError, match=r"agent\.log_std_range is \(2\.0, -5\.0\); write the lower end first"):
        check(turned, task(), None)


def test_an_example_is_right():
    wrong = dataclasses.replace(built("iql"), agent=IQL(hidden=8))
    with pytest.raises(O2OError, match=r"^agent\.hidden takes a tuple like \(256, 256\), got 8$"):
        check(wrong, task(), None)


def test_own_settings_declare_their_range():
    @pytree
    class Own(SAC):
        bonus: o2o.types.Number = number(default=1.0, above=0.0)
        depth: int = static(default=0, low=0, high=3)
        free: o2o.types.Number = 0.0

    recipe = dataclasses.replace(built("sac"), agent=Own())
    after = o2o.replace(recipe, {"agent.bonus": 1e-3, "agent.depth": 3, "agent.free": -7})
    assert (after.agent.bonus, after.agent.depth, after.agent.free) == (1e-3, 3, -7.0)
    for name, value, text in (
        ("bonus", 0, "be above 0"),
        ("depth", 4, r"lie in \[0, 3\]"),
        ("free", math.nan, "be a finite"),
    ):
        with pytest.raises(O2OError, match=rf"^agent\.{name} is .*must {text}"):
            o2o.replace(recipe, {f"agent.{name}": value})
        made = dataclasses.replace(recipe, agent=Own(**{name: value}))
        with pytest.raises(O2OError, match=rf"^agent\.{name} is .*must {text}"):  # the same without `replace`
            check(made, task(), None)


PHASES = {
    "reserved": ({"name": "agent"}, r"no phase can be named 'agent'"),
    "dotted": ({"name": "a.b"}, r"no phase can be named 'a\.b'"),
    "a size for sizes": (
        {"agent": {"hidden": 8}},
        r"offline\.agent\.hidden takes a tuple like \(256, 256\), got 8",
    ),
    "text for steps": ({"steps": "40"}, r"offline\.steps takes a whole number, got '40'"),
    "a flag for rows": ({"batch_size": True}, r"offline\.batch_size takes a whole number, got True"),
    "unknown setting of the agent": (
        {"agent": {"lr": 1.0}},
        r"offline\.agent\.lr: IQL has no setting 'lr'; did .*'learning_r",
    ),
    "negative setting of the agent": (
        {"agent": {"polyak": -1.0}},
        r"offline\.agent\.polyak is -1\.0; it must lie in \[0, 1\]",
    ),
    "no dictionary": ({"agent": 3}, r"offline\.agent is 3; give a dictionary"),
    "unknown static": (
        {"agent": {"hiden": (8,)}},
        r"offline\.agent\.hiden: IQL has no setting 'hiden'; did you mean 'hidden'",
    ),
    "beyond int32": (
        {"steps": 2**31 - 8, "segments": 1, "updates": 2},
        r"4294967280 minibatches .* than can be counted",
    ),
}


@pytest.mark.parametrize("case", PHASES)
def test_phases_made_by_hand_are_checked_before_anything_is_traced(case):
    changes, message = PHASES[case]
    phase = dataclasses.replace(o2o.Phase(name="offline", steps=40), **changes)
    recipe = o2o.Recipe(name="own", agent=IQL(), phases=(phase,))
    with pytest.raises(O2OError, match=message) as error:
        check(recipe, task(), None)
    assert "\n" not in str(error.value)


def test_what_is_no_recipe_or_agent():
    phase = o2o.Phase(name="offline", steps=40)
    for recipe, message in (
        (None, "NoneType is no recipe"),
        (o2o.Recipe(name="x", agent=IQL(), phases=phase), "no tuple of o2o.Phase"),
        (o2o.Recipe(name="x", agent=IQL, phases=[phase]), "agent is <class .*; give an agent"),
        (o2o.Recipe(name="x", phases=[phase]), "agent is None; give an agent"),
    ):
        with pytest.raises(O2OError, match=message):
            check(recipe, task(), None)


def test_a_narrow_number_is_the_one_that_was_written():
    assert plain(np.float32(0.9)) == 0.9
    assert plain(jnp.array([0.1, 3e-4], jnp.float32)) == (0.1, 3e-4)
    assert plain(np.float16(0.1)) == 0.1
    assert np.isinf(plain(np.float32(np.inf)))
