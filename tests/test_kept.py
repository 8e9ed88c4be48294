"""Programs outlive their run: another number compiles nothing, anything else does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import arrays, tiny

import purejaxo2o as o2o
from purejaxo2o.drive import kept
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.types import pytree, static

KEYS = seed_keys(2)


@pytest.fixture
def compilations():
    """Grows with every program that is compiled, or found compiled on disk."""
    found = []

    def note(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield found
    jax.monitoring.unregister_event_duration_listener(note)


def fit(rate, key=KEYS[0], changes=None):
    recipe, task, data = tiny("bc")
    recipe = o2o.replace(recipe, {"agent.learning_rate": rate, "offline.steps": 8} | (changes or {}))
    return o2o.fit(key, recipe, task, data, progress=False)


def test_another_number_or_key_compiles_nothing_and_changes_no_bit(compilations):
    kept.forget()
    other = KEYS[1]  # indexing is a program, too
    fit(1e-3)
    assert len(compilations) >= 4  # start, boundary, segment, evaluation
    compilations.clear()
    again = fit(1e-2, other)
    assert not compilations
    kept.forget()
    fresh = fit(1e-2, other)
    assert compilations
    for one, two in zip(arrays(again), arrays(fresh), strict=True):
        np.testing.assert_array_equal(one, two)


def described(recipe=None, task=None, data=None, *others):
    known = tiny("bc")
    given = (recipe or known[0], task or known[1], data or known[2])
    return kept.identity((KEYS[0], given[0], given[2]), given[1], *others)


def test_an_identity_is_all_that_a_program_depends_on():
    recipe, task, data = tiny("bc")
    same = described()
    assert same == described(o2o.replace(recipe, {"agent.learning_rate": 0.5}))  # passed, not closed over
    others = [
        described(o2o.replace(recipe, {"num_envs": 7})),
        described(o2o.replace(recipe, {"agent.learning_rate": jnp.ones(3)})),
        described(task=dataclasses.replace(task, score_high=2.0)),  # closed over: a constant of the program
        described(task=dataclasses.replace(task, domain="maze")),
        described(data=jax.tree.map(lambda x: x[:7] if x.ndim else x, data)),
        described(None, None, None, "another option"),
    ]
    with jax.default_matmul_precision("float32"):
        others.append(described())
    assert all(other != same for other in others)
    assert len({same, *others}) == len(others) + 1


def test_two_classes_of_equal_structure_are_two():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class One:
        x: float = 1.0

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Other:
        x: float = 1.0

    assert kept.identity((), One()) != kept.identity((), Other())
    assert kept.identity(One(), ()) != kept.identity(Other(), ())


def test_a_method_that_was_replaced_is_another(monkeypatch):
    @pytree
    class Bump:
        def up(self, x):
            return x + 1

    before = kept.identity((), Bump())
    assert before == kept.identity((), Bump())
    monkeypatch.setattr(Bump, "up", lambda self, x: x + 2)
    assert before != kept.identity((), Bump())


def test_what_cannot_be_compared_is_not_kept():
    @pytree
    class Listed:
        names: list = static(default_factory=list)

    assert kept.identity((), Listed()) is None
    assert kept.recall(None).compiled == {}
    kept.forget()
    kept.keep(None, kept.Kept(compiled={0: ()}))
    assert kept.recall(None).compiled == {}


def test_programs_that_ask_the_host_are_told():
    def asks(x):
        return jax.lax.map(lambda y: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), y.dtype), y), x)

    assert kept.calls_back(jax.make_jaxpr(asks)(jnp.ones(3)))
    assert not kept.calls_back(jax.make_jaxpr(jnp.sin)(jnp.ones(3)))


def test_few_sets_are_kept_the_last_ones():
    kept.forget()
    for number in range(kept.MOST + 2):
        kept.keep(number, kept.Kept(compiled={number: ()}))
    assert kept.recall(1).compiled == {}
    assert kept.recall(kept.MOST + 1).compiled == {kept.MOST + 1: ()}
    kept.forget()
