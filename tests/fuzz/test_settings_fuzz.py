"""Every setting of every recipe with values that it was not made for: one line, or a recipe that trains.

A case is one recipe: each of its settings is given odd values through `o2o.replace` and the checks that a run begins
with, and as the axis of a sweep. What is taken must be numbers where numbers are meant; a few of the recipes that are
taken are traced through the whole of `o2o.train`.
"""

import os
import random
from typing import Any

import bench
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bench import Fault
from odd_settings import AXIS, EXTRA, VALUES, WRONG
from tiny import CUTS, tiny

import purejaxo2o as o2o
from purejaxo2o.drive import grid
from purejaxo2o.loop import settings
from purejaxo2o.loop.prepare import check, check_settings
from purejaxo2o.loop.recipe import check_phases

pytestmark = pytest.mark.slow

ALL = bool(os.environ.get("PUREJAXO2O_FUZZ_ALL"))
PAIRS, AXES, CHECKED, TRACED = (10**6, 10**6, 20, 2) if ALL else (80, 24, 2, 1)
"""Of each recipe: settings with a value, with an axis; how many of the accepted are checked whole, and traced."""


CASES = {name: name for name in o2o.recipes()}


def attempt(label: str, folder: Any) -> list[Fault]:
    recipe, task, data = tiny(label)
    random_ = random.Random(label)
    names, found, taken = sorted(settings.names(recipe)), [], []
    pairs = [(name, value) for name in names for value in VALUES]
    some = random_.sample(pairs, min(PAIRS, len(pairs)))
    some += [(name, random_.choice(list(VALUES))) for name in (*EXTRA, *WRONG)]
    for name, value in some:
        known = [name] if name in names else []
        changed, faults, refused = _ended(
            lambda name=name, value=value: _replaced(recipe, name, VALUES[value]), known
        )
        found += _named(f"{name} = {value}", faults)
        if changed is not None:
            taken.append((name, value, changed))
            found += _named(f"{name} = {value}", _no_numbers(changed))
    axes = [(name, value) for name in names for value in AXIS]
    for name, value in random_.sample(axes, min(AXES, len(axes))):
        _, faults, _ = _ended(lambda name=name, value=value: _axis(recipe, name, AXIS[value]), [name])
        found += _named(f"over {name} = {value}", faults)
    whole = []
    for name, value, changed in random_.sample(taken, min(CHECKED, len(taken))):
        _, faults, refused = _ended(lambda changed=changed: check(changed, task, data), [name])
        found += _named(f"check {name} = {value}", faults)
        if not refused and not faults and _small(changed):
            whole.append((name, value, changed))
    key = jax.random.key(0)
    traced = TRACED * (list(CASES).index(label) % 2)  # every other recipe: it takes seconds
    for name, value, changed in whole[:traced]:
        _, faults, refused = _ended(lambda changed=changed: jax.eval_shape(o2o.train, key, changed, task, data))
        faults += [Fault("refused while tracing, taken by the checks", "")] if refused else []
        found += _named(f"trace {name} = {value}", faults)
    return found


def _replaced(recipe: Any, name: str, value: Any) -> Any:
    """The recipe with one setting changed, as far as it can be checked without a task."""
    changed = o2o.replace(recipe, {name: value})
    check_settings(changed)
    check_phases(changed)
    return changed


def _axis(recipe: Any, name: str, values: Any) -> Any:
    made = grid.make(recipe, jax.random.split(jax.random.key(0), 2), {name: values})
    for program in made.programs():
        made.batch(program, [0])
    return made


def _ended(call: Any, naming: Any = ()) -> tuple[Any, list[Fault], bool]:
    """As `bench.outcome`; a refusal has to hold one of `naming`, the dotted names of settings."""
    return bench.outcome(call, naming)


def _named(what: str, faults: list[Fault]) -> list[Fault]:
    return [Fault(fault.kind, f"{what}: {fault.detail}") for fault in faults]


def _no_numbers(recipe: Any) -> list[Fault]:
    """Leaves of a recipe that was taken which are no finite numbers in float32."""
    found = []
    np.seterr(over="ignore")
    for path, leaf in jax.tree_util.tree_leaves_with_path(recipe):
        key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        kind = "key" if key else np.asarray(leaf).dtype.kind
        name = jax.tree_util.keystr(path)
        if isinstance(leaf, bool) or kind not in "iuf":
            found.append(Fault("taken though it is no number", f"{name} is {type(leaf).__name__}"))
        elif not np.isfinite(np.asarray(leaf, np.float32)).all():
            found.append(Fault("taken though float32 has no such number", f"{name} is {leaf}"))
    return found


def _small(recipe: Any) -> bool:
    """Whether it can be traced, in seconds: not thousands of networks, and no arrays, which are for lanes."""
    if any(np.ndim(leaf) for leaf in jax.tree.leaves(recipe)):
        return False
    sizes = [value for name, value in settings.names(recipe).items() if name.rpartition(".")[2] in CUTS]
    return all(not isinstance(size, int) or size <= 2_000 for size in sizes)


def test_settings_are_refused_in_one_line_or_train():
    assert len(CASES) * (PAIRS + AXES + len(EXTRA) + len(WRONG)) >= 2_000
    found = bench.failures("test_settings_fuzz", CASES)
    assert not found, bench.listed(found, len(CASES))
