"""Settings and states as JAX sees them."""

import jax
import pytest

from purejaxo2o.agents import CQL, CalQL
from purejaxo2o.types import pytree, static


def twins(number):
    """As many classes alike in everything but their identity."""

    def made(i):
        class Setting:
            rate: float = 1.0
            size: int = static(default=2)

        Setting.__name__ = f"Setting{i}"
        return pytree(Setting)

    return [made(i) for i in range(number)]


def test_structures_of_two_classes_differ():
    one, other = (jax.tree.structure(cls()) for cls in twins(2))
    assert one != other
    assert jax.tree.structure(CQL()) != jax.tree.structure(CalQL())


def test_a_jitted_function_takes_no_class_for_another():
    """As registered dataclasses, a sixth of these come back as another class: enough bits of the hashes agree."""
    function = jax.jit(lambda setting: setting)
    for cls in twins(200):
        assert type(function(cls())) is cls


def test_static_fields_are_structure_and_the_others_leaves_with_names():
    (cls,) = twins(1)
    tree = cls(rate=3.0, size=4)
    assert [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree)] == [(".rate", 3.0)]
    assert jax.tree.structure(tree) == jax.tree.structure(cls(rate=5.0, size=4))
    assert jax.tree.structure(tree) != jax.tree.structure(cls(size=5))
    assert jax.tree.map(lambda x: x + 1, tree) == cls(rate=4.0, size=4)
    with pytest.raises(AttributeError):
        tree.rate = 1.0
