"""Changing settings by dotted name: `replace(recipe, {"agent.learning_rate": 1e-4, "online.steps": 20_000})`.

The first part of a name is a field of the recipe (`num_envs`, `reward_scale`), `agent`, or the name of a phase
(`online`, also written `phase.online`). A phase's own value of an agent's setting, where a recipe has one, is
`online.override.learning_rate`; it goes before `agent.learning_rate` in that phase. A name that does not exist is
an error with the nearest one that does.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from purejaxo2o.loop.phases import Phase, Recipe
from purejaxo2o.spelling import shown
from purejaxo2o.types import O2OError, check_value, nearest
from purejaxo2o.values import kinds, settled


def names(recipe: Recipe) -> dict[str, Any]:
    """Every dotted name that `replace` takes, with its present value."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(recipe):
        if field.name not in ("agent", "phases", "name"):
            found[field.name] = getattr(recipe, field.name)
    _collect("agent", recipe.agent, found)
    for phase in recipe.phases:
        _collect(phase.name, phase, found)
        found |= {f"{phase.name}.override.{name}": value for name, value in phase.override.items()}
    return found


def _collect(prefix: str, owner: Any, found: dict[str, Any]) -> None:
    for field in dataclasses.fields(owner):
        if field.name not in ("name", "override", "override_static"):
            found[f"{prefix}.{field.name}"] = getattr(owner, field.name)


def is_static(recipe: Recipe, name: str) -> bool:
    """Whether the setting decides shapes or structure (changing it compiles another program)."""
    head, _, tail = canonical(recipe, name).rpartition(".")
    return not head.endswith(".override") and kinds(type(_owner(recipe, head)))[tail].fixed


def replace(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`recipe` with the named settings changed.

    Python's, NumPy's and JAX's numbers will do, lists for tuples; numbers may be traced, or arrays `[n, ...]` of
    lanes for `jax.vmap`. Raises `O2OError` for unknown names, a name given twice (`online.steps` and
    `phase.online.steps`), and values of another kind or out of range."""
    for name, value in _canonical_names(recipe, changes).items():
        head, _, tail = name.rpartition(".")
        if head.endswith(".override"):
            phase = _owner(recipe, head.removesuffix(".override"))
            value = _fit(name, recipe.agent, tail, value)
            recipe = _with_phase(recipe, dataclasses.replace(phase, override=phase.override | {tail: value}))
            continue
        owner: Any = _owner(recipe, head)
        changed = dataclasses.replace(owner, **{tail: _fit(name, owner, tail, value)})
        if not head:
            recipe = changed
        elif head == "agent":
            recipe = dataclasses.replace(recipe, agent=changed)
        else:
            recipe = _with_phase(recipe, changed)
    return recipe


def _canonical_names(recipe: Recipe, changes: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(recipe, Recipe):
        raise O2OError(f"{shown(recipe)} is no recipe; make one with o2o.recipe(name, task)")
    if not isinstance(changes, Mapping):
        raise O2OError(f"changes are {shown(changes)}; give a dictionary, e.g. {{'agent.learning_rate': 1e-4}}")
    found: dict[str, Any] = {}
    for name, value in changes.items():
        known = canonical(recipe, name)
        if known in found:
            raise O2OError(
                f"{known} is there twice, with the values {shown(found[known])} and {shown(value)}; drop one"
            )
        found[known] = value
    return found


def check_apart(recipe: Recipe, changes: Mapping[str, Any], over: Mapping[str, Any]) -> None:
    """Raise `O2OError` for a name that is both set and varied, however it is written."""
    both = _canonical_names(recipe, changes).keys() & _canonical_names(recipe, over).keys()
    if both:
        raise O2OError(f"{min(both)} is both set and varied (over); drop one")


def _with_phase(recipe: Recipe, changed: Phase) -> Recipe:
    phases = tuple(changed if p.name == changed.name else p for p in recipe.phases)
    return dataclasses.replace(recipe, phases=phases)


def canonical(recipe: Recipe, name: str) -> str:
    """The name as `names` has it. Raises `O2OError` for one that does not exist."""
    short = name.removeprefix("phase.") if isinstance(name, str) else name
    known = names(recipe)
    if not isinstance(name, str) or short not in known:
        raise O2OError(
            f"recipe {recipe.name!r} has no setting {shown(name)}",
            python=nearest(short, known, "all: purejaxo2o.loop.settings.names(recipe)"),
            shell=nearest(short, known, f"all: purejaxo2o list settings {recipe.name}"),
        )
    return short


def _owner(recipe: Recipe, head: str) -> Any:
    if not head:
        return recipe
    if head == "agent":
        return recipe.agent
    return next(p for p in recipe.phases if p.name == head)


def _fit(name: str, owner: Any, field: str, value: Any) -> Any:
    """The value as the field keeps it. Raises `O2OError` if it does not fit."""
    known = kinds(type(owner))
    if field not in known:  # of a phase's override, which no check has seen yet
        raise O2OError(f"{name}: {type(owner).__name__} has no setting {field!r}; {nearest(field, known)}")
    kind = known[field]
    if kind.fixed and isinstance(value, jax.Array) and value.ndim and kind.sort not in ("wholes", "numbers"):
        raise O2OError(f"{name} is static (it decides shapes or structure) and cannot be an array; loop over values")
    value = settled(kind, value)
    check_value(name, owner, field, value)
    return float(value) if kind.sort == "number" and isinstance(value, int) else value
