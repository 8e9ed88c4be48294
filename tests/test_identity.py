"""What a run is: whatever changes its numbers changes its identity, and only the same run is resumed or loaded."""

import dataclasses
import json
import sys
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DISCRETE, Slope, dataset, task, tiny

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.agents.cql import CQL
from purejaxo2o.disk.folder import changes, check_free, claim, describe
from purejaxo2o.disk.restore import restore
from purejaxo2o.drive.policies import load_policies, load_policy
from purejaxo2o.loop import identity
from purejaxo2o.recipes import RECIPES
from purejaxo2o.tasks import make
from purejaxo2o.types import PYTREES, O2OError, pytree, static

KEY = jax.random.key(3)
NAMES = {"name"}
"""Of a recipe and of its phases, which are compared as `recipe` and `phases`."""


def other(value):
    """Another value of its kind, whether it makes sense or not."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        return (*value, 7)
    if isinstance(value, Mapping):
        return {**value, "discount": 0.123}
    if dataclasses.is_dataclass(value):
        first = dataclasses.fields(value)[0].name
        return changed(value, first, other(getattr(value, first)))
    return 0.5 if value is None else jnp.asarray(value) + 1


def changed(owner, name, value):
    """A copy with one field changed, unchecked."""
    copy = object.__new__(type(owner))
    for field in dataclasses.fields(owner):
        object.__setattr__(copy, field.name, value if field.name == name else getattr(owner, field.name))
    return copy


def variants(recipe):
    """Every recipe that differs in one field, and how the field is called."""
    for field in dataclasses.fields(recipe):
        if field.name not in ("agent", "phases", *NAMES):
            yield field.name, changed(recipe, field.name, other(getattr(recipe, field.name)))
    for field in dataclasses.fields(recipe.agent):
        agent = changed(recipe.agent, field.name, other(getattr(recipe.agent, field.name)))
        yield f"agent.{field.name}", changed(recipe, "agent", agent)
    for index, phase in enumerate(recipe.phases):
        for field in dataclasses.fields(phase):
            if field.name not in NAMES:
                phases = list(recipe.phases)
                phases[index] = changed(phase, field.name, other(getattr(phase, field.name)))
                yield f"{phase.name}.{field.name}", changed(recipe, "phases", tuple(phases))


def named(recipe):
    return identity.recipe_names(json.loads(json.dumps(identity.describe(recipe))))


@pytest.mark.parametrize("name", RECIPES)
def test_every_field_of_a_recipe_is_part_of_it(name):
    recipe = o2o.recipe(name, task("dqn") if name in DISCRETE else task(), "small")
    before, count = named(recipe), 0
    for field, variant in variants(recipe):
        assert identity.differing(named(variant), before).startswith(f"its {field}"), field
        count += 1
    assert count > 20
    class_changed = changed(recipe, "agent", CQL()) if name != "cql" else changed(recipe, "agent", task())
    assert identity.differing(named(class_changed), before).startswith("its agent.class is")
    found = restore(json.loads(json.dumps(identity.describe(recipe))))
    assert jax.tree.structure(found) == jax.tree.structure(recipe)
    assert named(found) == before


ENVS = (
    "toy/reach",
    "maze/PointMaze_UMaze-v3",
    "gymnax/Pendulum-v1",
    "brax/hopper",
    "toy/combination-lock",
    "host/Pendulum-v1",
)


@pytest.mark.parametrize("name", ENVS)
def test_every_field_of_a_task_and_its_environment_is_part_of_it(name):
    env = envs.make(name)
    whole = make("some", env, fail_reward=-1.0)

    def flat(task):
        return identity.flat(json.loads(json.dumps(identity.describe(task))), "task")

    before = flat(whole)
    for field in dataclasses.fields(whole):
        if field.name not in ("env", "eval_env"):
            variant = changed(whole, field.name, other(getattr(whole, field.name)))
            assert identity.differing(flat(variant), before).startswith(f"its task.{field.name}")
    for field in dataclasses.fields(env):
        value = getattr(env, field.name)
        value = value.replace(max_steps_in_episode=3) if field.name == "params" else other(value)
        variant = changed(whole, "env", changed(env, field.name, value))
        assert identity.differing(flat(variant), before).startswith(f"its task.env.{field.name}")
    found = restore(json.loads(json.dumps(identity.describe(whole))))
    assert jax.tree.structure(found) == jax.tree.structure(whole)
    assert flat(found) == before


def test_an_object_of_brax_is_described_and_not_all_that_it_imports():
    """Such an object holds a module."""
    brax = pytest.importorskip("brax.envs")
    one, again, other = (brax.get_environment(name) for name in ("fast", "fast", "inverted_pendulum"))
    one, again, other = (identity.describe(make("some", env).env) for env in (one, again, other))
    assert one == again != other
    assert len(identity.text_of(other)) < 100_000


@pytree
class Held:
    """Every kind of value that a setting may have."""

    number: float = 1.0
    big: np.ndarray = None
    small: np.ndarray = None
    named: dict = dataclasses.field(default_factory=dict)
    function: object = static(default=None)
    kinds: object = static(default=None)


def closed(scale):
    return lambda x: scale * x


PAIRS = {
    "a whole number and a number": (Held(number=1), Held(number=1.0)),
    "a number and a flag": (Held(number=1), Held(number=True)),
    "not a number": (Held(number=float("nan")), Held(number=float("inf"))),
    "types of arrays": (Held(small=np.zeros(3, np.float32)), Held(small=np.zeros(3, np.int32))),
    "shapes of arrays": (Held(small=np.zeros((3, 1))), Held(small=np.zeros((1, 3)))),
    "a value among many": (Held(big=np.arange(5000)), Held(big=np.where(np.arange(5000) == 77, -1, np.arange(5000)))),
    "keys": (Held(small=jax.random.key(0)), Held(small=jax.random.key(1))),
    "functions": (Held(function=jnp.tanh), Held(function=jnp.exp)),
    "functions without a name": (Held(function=lambda x: x + 1), Held(function=lambda x: x + 2)),
    "what a function has closed over": (Held(function=closed(1)), Held(function=closed(2))),
    "classes": (Held(kinds=int), Held(kinds=float)),
    "names in a dictionary": (Held(named={"a": 1}), Held(named={"b": 1})),
    "a name like a mark": (Held(named={"@class": "int"}), Held(named={"class": "int"})),
}


@pytest.mark.parametrize("case", PAIRS)
def test_different_values_are_described_differently_and_equal_ones_alike(case):
    one, two = (identity.text_of(identity.describe(value)) for value in PAIRS[case])
    assert one != two
    assert one == identity.text_of(identity.describe(PAIRS[case][0]))
    assert identity.digest(identity.describe(PAIRS[case][0])) != identity.digest(identity.describe(PAIRS[case][1]))


def test_what_holds_itself_is_refused():
    circle = {}
    circle |= {"again": circle, "and again": circle}
    with pytest.raises(O2OError, match="holds itself"):
        identity.describe(Held(named=circle))


class Opaque:
    """An object that is no dataclass, and knows another that knows it."""

    def __init__(self, size):
        self.size, self.other = size, type("Other", (), {})()
        self.other.back = [self, self]


def test_objects_of_any_kind_are_told_apart():
    one, two, three = (identity.text_of(identity.describe(Held(kinds=Opaque(size)))) for size in (1, 2, 1))
    assert one == three != two


UNTRUSTED = {
    "a function": {"@class": "os:system"},
    "a module": {"@class": "antigravity:Fly"},
    "a class of the library's own": {"@class": "purejaxo2o.disk.files:Path"},
    "a module of the package that is none": {"@class": "purejaxo2o.nowhere:Thing"},
    "other fields": {"@class": "purejaxo2o.envs.toy:Reach", "command": "true"},
    "a file": {"@class": "purejaxo2o.envs.twin:Twin", "xml_file": "/etc/passwd"},
    "a module in a name": {
        "@class": "purejaxo2o.envs.host:HostEnv",
        "name": "host/antigravity:Fly-v0",
        "horizon": 3,
        "options": [],
    },
    "a module in Gymnasium's id": {"@class": "purejaxo2o.envs.registered:Registered", "id": "antigravity:Fly-v0"},
    "code": {"@code": "os:system"},
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_a_description_decides_nothing_that_runs(case):
    with pytest.raises(O2OError):
        restore(UNTRUSTED[case])
    assert "antigravity" not in sys.modules


# -- resuming ----------------------------------------------------------------------------------------------


@pytree
class Numbered(Slope):
    """With a number of its own."""

    bonus: float = 0.0


@pytree
class Turned(Slope):
    """Another environment; its task has the same name."""


OWN = make("slope", Numbered(), domain="toy", fail_reward=-1.0)


def phases(recipe, **fields):
    return dataclasses.replace(recipe, phases=(dataclasses.replace(recipe.phases[0], **fields), *recipe.phases[1:]))


def spoiled(data):
    return dataclasses.replace(data, data=data.data._replace(reward=data.data.reward.at[3, 0].add(0.5)))


CHANGES = {
    "a phase's number": (
        lambda r, t, d: (phases(r, agent={"discount": 0.9}), t, d),
        r"offline\.agent\.discount",
    ),
    "a phase's choice": (
        lambda r, t, d: (phases(r, agent={"hidden": (4,)}), t, d),
        r"offline\.agent\.hidden",
    ),
    "the agent's class": (
        lambda r, t, d: (dataclasses.replace(r, agent=o2o.recipe("td3_bc", t).agent), t, d),
        "agent.class",
    ),
    "a setting": (
        lambda r, t, d: (o2o.replace(r, {"agent.expectile": 0.61}), t, d),
        r"agent\.expectile is 0\.9, not 0\.61",
    ),
    "the environment's number": (
        lambda r, t, d: (r, dataclasses.replace(t, env=Numbered(bonus=1.0)), d),
        r"task\.env\.bonus is 0\.0, not 1\.0",
    ),
    "the environment": (
        lambda r, t, d: (r, dataclasses.replace(t, eval_env=Turned()), d),
        r"task\.eval_env\.class is 'test_identity:Numbered', not 'test_identity:Turned'",
    ),
    "the reward of failing": (
        lambda r, t, d: (r, dataclasses.replace(t, fail_reward=0.0), d),
        r"task\.fail_reward is -1\.0, not 0\.0",
    ),
    "the scores": (
        lambda r, t, d: (r, dataclasses.replace(t, score_high=2.0), d),
        r"task\.score_high is 1\.0, not 2\.0",
    ),
    "a row": (lambda r, t, d: (r, t, spoiled(d)), r"data\.reward is"),
}


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    """A folder that a run has taken and not filled."""
    recipe, _, data = tiny("iql")
    folder = tmp_path_factory.mktemp("claimed") / "run"
    claim(folder, describe(KEY, recipe, OWN, data), resume=False)
    return folder


@pytest.mark.parametrize("case", CHANGES)
def test_resuming_with_any_change_is_refused_by_name(case, claimed):
    change, message = CHANGES[case]
    recipe, own, data = change(tiny("iql")[0], OWN, dataset())
    with pytest.raises(O2OError, match=rf"run holds another run: its {message}") as error:
        o2o.fit(KEY, recipe, own, data, out=claimed, resume=True, progress=False)
    assert "\n" not in str(error.value)
    assert [path.name for path in claimed.iterdir()] == ["config.json"]


def test_the_same_again_is_the_same(claimed):
    config = describe(KEY, tiny("iql")[0], OWN, dataset())
    assert check_free(claimed, config, resume=True)
    assert changes(claimed, config) == ""


def test_other_versions_are_said_in_one_line(claimed):
    config = describe(KEY, tiny("iql")[0], OWN, dataset())
    config["versions"] |= {"jax": "0.0.1", "code of test_identity:Numbered": "0" * 64}
    line = changes(claimed, config | {"commit": "f" * 40})
    assert check_free(claimed, config, resume=True)
    for part in (f"jax {jax.__version__} is now 0.0.1", "code of test_identity:Numbered", "its numbers may differ"):
        assert part in line
    assert "\n" not in line


# -- loading -----------------------------------------------------------------------------------------------


@pytree
class Left(Slope):
    """Rewards being left; a task of the library's name."""

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step._replace(reward=-step.reward)


LEFT = make("reach", Left(), domain="toy")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run in an environment of one's own, whose task has the name of one of the library's."""
    recipe, _, data = tiny("bc")
    out = tmp_path_factory.mktemp("own") / "run"
    return out, o2o.fit(KEY, recipe, LEFT, data, out=out, progress=False)


def test_a_run_keeps_the_environment_that_it_had(trained):
    out, result = trained
    loaded = load_policies(out)
    assert isinstance(loaded.task.env, Left)
    obs = np.array([0.3], np.float32)
    np.testing.assert_allclose(loaded.policy(0)(obs, KEY), result.policy()(obs, KEY), atol=1e-6)
    given = load_policies(out, task=LEFT, recipe=tiny("bc")[0])
    assert given.task is LEFT


def test_another_task_or_recipe_is_refused_by_name(trained):
    out, _ = trained
    recipe = tiny("bc")[0]
    cases = [
        ({"task": o2o.task("reach")}, r"its task\.env\.class is '\w*:Left', not 'purejaxo2o\.envs\.toy:Reach'"),
        ({"recipe": o2o.replace(recipe, {"agent.learning_rate": 0.5})}, r"its agent\.learning_rate is"),
        ({"task": "reach"}, r"task is 'reach'; give a Task"),
    ]
    for given, message in cases:
        with pytest.raises(O2OError, match=message) as error:
            load_policy(out, **given)
        assert "\n" not in str(error.value)


def test_a_class_that_is_not_there_is_asked_for(trained, monkeypatch):
    """As in a new process, where nothing has imported it: the library's `reach` must not take its place."""
    out, result = trained
    monkeypatch.delitem(PYTREES, identity.path_of(Left))
    with pytest.raises(
        O2OError, match=r"the task of \S*run cannot be rebuilt \(\S*:Left is not among .*task=\.\.\."
    ) as e:
        load_policies(out)
    assert "\n" not in str(e.value)
    obs = np.array([0.3], np.float32)
    action = load_policy(out, task=LEFT)(obs, KEY)
    np.testing.assert_allclose(action, result.policy()(obs, KEY), atol=1e-6)
