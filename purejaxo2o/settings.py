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

from purejaxo2o.phases import Phase, Recipe
from purejaxo2o.types import O2OError, check_choices, nearest


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
    head, _, tail = _canonical(recipe, name).rpartition(".")
    if head.endswith(".override"):
        return False
    owner: Any = _owner(recipe, head)
    return bool({f.name: f for f in dataclasses.fields(owner)}[tail].metadata.get("static"))


def replace(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`recipe` with the named settings changed. Raises `O2OError` for unknown names and unfit values."""
    for name, value in changes.items():
        name = _canonical(recipe, name)
        head, _, tail = name.rpartition(".")
        if head.endswith(".override"):
            phase = _owner(recipe, head.removesuffix(".override"))
            override = phase.override | {tail: _fit(name, 0.0, value, False)}
            recipe = _with_phase(recipe, dataclasses.replace(phase, override=override))
            continue
        owner: Any = _owner(recipe, head)
        optional = next(f.default is None for f in dataclasses.fields(owner) if f.name == tail)
        value = _fit(name, getattr(owner, tail), value, is_static(recipe, name), optional)
        changed = dataclasses.replace(owner, **{tail: value})
        check_choices(f"{head}." if head else "", changed)
        if not head:
            recipe = changed
        elif head == "agent":
            recipe = dataclasses.replace(recipe, agent=changed)
        else:
            recipe = _with_phase(recipe, changed)
    return recipe


def _with_phase(recipe: Recipe, changed: Phase) -> Recipe:
    phases = tuple(changed if p.name == changed.name else p for p in recipe.phases)
    return dataclasses.replace(recipe, phases=phases)


def _canonical(recipe: Recipe, name: str) -> str:
    short = name.removeprefix("phase.")
    known = names(recipe)
    if short not in known:
        raise O2OError(f"recipe {recipe.name!r} has no setting {name!r}; {nearest(short, known)}")
    return short


def _owner(recipe: Recipe, head: str) -> Any:
    if not head:
        return recipe
    if head == "agent":
        return recipe.agent
    return next(p for p in recipe.phases if p.name == head)


def _fit(name: str, old: Any, new: Any, static: bool, optional: bool = False) -> Any:
    """Check a value against the kind of setting it is for; lists become tuples."""
    if new is None and optional:
        return None
    if isinstance(new, list) and isinstance(old, tuple):
        new = tuple(new)
    if not static:
        if isinstance(new, bool | str) or not (isinstance(new, int | float) or hasattr(new, "dtype")):
            raise O2OError(f"{name} takes a number, got {new!r}")
        return float(new) if isinstance(new, int | float) else new
    if isinstance(new, jax.Array):
        raise O2OError(f"{name} is static (it decides shapes or structure) and cannot be an array; loop over values")
    if isinstance(old, bool) != isinstance(new, bool) and old is not None:
        raise O2OError(f"{name} is {old!r}; cannot set it to {new!r}")
    if isinstance(old, int) and not isinstance(old, bool):
        if not (new is None or (isinstance(new, int | float) and float(new).is_integer())):
            raise O2OError(f"{name} takes a whole number, got {new!r}")
        return None if new is None else int(new)
    if isinstance(old, str | tuple) and not isinstance(new, type(old)):
        raise O2OError(f"{name} takes a {type(old).__name__} like {old!r}, got {new!r}")
    return new
