"""Compiled programs that outlive their run: the next run that differs in numbers only compiles nothing.

What a program was made from is its identity: structures with the classes of all their nodes (structures of two
classes may be equal in JAX), shapes and types of what is passed, the very values of what is closed over, devices and
options. Methods count with their code; other functions are taken to be what they were, as `jax.jit` takes them.
Programs that call back to the host are not kept, for what they call may have changed.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MOST = 4
"""Sets of programs, each of one recipe's phases, that are kept; the one that was used longest ago goes first."""


@dataclass
class Kept:
    """Whatever is the same for runs of one identity."""

    shapes: dict[str, Any] = field(default_factory=dict)
    compiled: dict[Any, tuple[Any, ...]] = field(default_factory=dict)


_SETS: OrderedDict[Any, Kept] = OrderedDict()


def recall(identity: Any) -> Kept:
    """The set of an identity, or an empty one. None is nobody's identity."""
    found = _SETS.get(identity)
    if found is None:
        return Kept()
    _SETS.move_to_end(identity)
    return found


def keep(identity: Any, programs: Kept) -> None:
    """Keep a set for the runs to come."""
    if identity is None:
        return
    _SETS[identity] = programs
    _SETS.move_to_end(identity)
    while len(_SETS) > MOST:
        _SETS.popitem(last=False)


def forget() -> None:
    """Drop everything, as `jax.clear_caches` does with what JAX keeps."""
    _SETS.clear()


def identity(passed: Any, closed_over: Any, *others: Any) -> Any:
    """Hashable; None if something has no value that could be compared.

    passed: a pytree of arguments, of which structure, shapes and types count; closed_over: a pytree that counts with
    all its values; others: hashable."""
    try:
        parts = _arguments(passed), _contents(closed_over), others, _surroundings()
        hash(parts)
    except (TypeError, AttributeError):
        return None
    return parts


def _arguments(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return _classes(structure), tuple((np.shape(x), jnp.result_type(x)) for x in leaves)


def _contents(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return _classes(structure), tuple(_content(x) for x in leaves)


def _content(leaf: Any) -> Any:
    if isinstance(leaf, bool | int | float | complex):
        return type(leaf), repr(leaf)
    if not hasattr(leaf, "dtype"):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf.dtype, _content(jax.random.key_data(leaf))
    array = np.ascontiguousarray(leaf)
    weak = bool(getattr(leaf, "weak_type", False))
    return type(leaf), weak, array.dtype, array.shape, hashlib.sha256(array.tobytes()).digest()


def _classes(structure: Any) -> Any:
    """A structure with the class of every node."""
    node = structure.node_data()
    if node is None:
        return structure.num_leaves
    kind, static = node
    static = tuple(static) if isinstance(static, list) else static
    return kind, _code(kind), static, tuple(map(_classes, structure.children()))


def _code(kind: type) -> tuple[Any, ...]:
    """The code of a class's methods, which notebooks replace in place."""
    members = ((name, getattr(x, "fget", x)) for base in kind.__mro__ for name, x in vars(base).items())
    return tuple((name, function.__code__) for name, function in members if hasattr(function, "__code__"))


def _surroundings() -> Any:
    """JAX's settings, which a program depends on as well."""
    known = jax.config.values
    settings = tuple((name, getattr(jax.config, name, None)) for name in sorted(known))
    return settings, os.environ.get("XLA_FLAGS"), jax.default_backend()


def calls_back(jaxpr: Any) -> bool:
    """Whether a traced program asks the host for anything."""
    return any("callback" in equation.primitive.name for equation in equations(jaxpr))


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a jaxpr and of those within it, each once."""
    seen, left = set(), [jaxpr]
    while left:
        now = left.pop()
        now = getattr(now, "jaxpr", now)
        if id(now) in seen:
            continue
        seen.add(id(now))
        for equation in now.eqns:
            yield equation
            left += within(equation)


def within(equation: Any) -> list[Any]:
    """The jaxprs that an equation holds."""

    def is_jaxpr(value: Any) -> bool:
        return hasattr(value, "eqns") or hasattr(value, "jaxpr")

    return [x for x in jax.tree.leaves(tuple(equation.params.values()), is_leaf=is_jaxpr) if is_jaxpr(x)]
