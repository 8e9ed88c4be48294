"""Changing settings by dotted name: `replace(recipe, {"*.learning_rate": 1e-4, "online.steps": 20_000})`.

The first part of a name is a field of the recipe (`num_envs`, `reward_scale`), `agent`, or the name of a phase
(`online`, also written `phase.online`). A phase's own value of an agent's setting is `online.agent.learning_rate`; it
goes before `agent.learning_rate` in that phase. `*.learning_rate` is that of the agent, in every phase. What is set
is set: `agent.learning_rate` alone is an error where a phase has its own. So is a name that does not exist, with the
nearest one that does.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.spelling import shown
from purejaxo2o.types import O2OError, check_value, nearest
from purejaxo2o.values import kinds, settled

EVERYWHERE = "*"
"""What a name begins with that sets a setting of the agent in every phase."""


def names(recipe: Recipe) -> dict[str, Any]:
    """Every dotted name that `replace` takes, with its present value."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(recipe):
        if field.name not in ("agent", "phases", "name"):
            found[field.name] = getattr(recipe, field.name)
    _collect("agent", recipe.agent, found)
    for phase in recipe.phases:
        _collect(phase.name, phase, found)
        found |= {f"{phase.name}.agent.{name}": value for name, value in phase.agent.items()}
    return found


def _collect(prefix: str, owner: Any, found: dict[str, Any]) -> None:
    for field in dataclasses.fields(owner):
        if field.name != "name" and not (field.name == "agent" and isinstance(owner, Phase)):
            found[f"{prefix}.{field.name}"] = getattr(owner, field.name)


def knows(recipe: Recipe, name: str) -> bool:
    """Whether `replace` takes the name."""
    return name in names(recipe) or _of_agent(recipe, name)


def is_static(recipe: Recipe, name: str) -> bool:
    """Whether the setting decides shapes or structure (changing it compiles another program)."""
    head, _, tail = canonical(recipe, name).rpartition(".")
    return kinds(type(_owner(recipe, head)))[tail].fixed


def replace(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`recipe` with the named settings changed.

    Python's, NumPy's and JAX's numbers will do, lists for tuples; numbers may be traced, or arrays `[n, ...]` of
    lanes for `jax.vmap`. Raises `O2OError` for unknown names, a name given twice (`online.steps` and
    `phase.online.steps`), values of another kind or out of range, and a setting of the agent of which a phase has its
    own value that stays."""
    made = changed(recipe, changes)
    check_shadowed(recipe, changes)
    return made


def check_shadowed(recipe: Recipe, names: Iterable[str]) -> None:
    """Raise `O2OError` if these names together set `agent.x`, while the `x` of some phase stays as it is."""
    known = {meant for name in names for meant in _meant(recipe, canonical(recipe, name))}
    for name in sorted(known):
        head, _, tail = name.rpartition(".")
        if head != "agent":
            continue
        for phase in recipe.phases:
            own = f"{phase.name}.agent.{tail}"
            if tail in phase.agent and own not in known:
                rest = f"{own}, {shown(phase.agent[tail])}, as it is"
                raise O2OError(
                    f"{name} would leave {rest}",
                    python=f"set '{EVERYWHERE}.{tail}' for every phase, or name {own}, too",
                    shell=f"set '{EVERYWHERE}.{tail}=...' for every phase, or name {own}, too",
                )


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`replace` of names that `check_shadowed` has seen together."""
    for name, value in spelled_out(recipe, changes).items():
        head, _, tail = name.rpartition(".")
        owner: Any = _owner(recipe, head)
        change = {tail: _fit(name, owner, tail, value)}
        if head.endswith(".agent"):
            phase = _owner(recipe, head.removesuffix(".agent"))
            recipe = _with_phase(recipe, dataclasses.replace(phase, agent={**phase.agent, **change}))
        elif not head:
            recipe = dataclasses.replace(recipe, **change)
        elif head == "agent":
            recipe = dataclasses.replace(recipe, agent=dataclasses.replace(owner, **change))
        else:
            recipe = _with_phase(recipe, dataclasses.replace(owner, **change))
    return recipe


def spelled_out(recipe: Recipe, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Each of them once, `*.x` as the names of all whose `x` it sets."""
    if not isinstance(recipe, Recipe):
        raise O2OError(f"{shown(recipe)} is no recipe; make one with o2o.recipe(name, task)")
    if not isinstance(changes, Mapping):
        raise O2OError(f"changes are {shown(changes)}; give a dictionary, e.g. {{'agent.discount': 0.98}}")
    found: dict[str, Any] = {}
    for name, value in changes.items():
        for known in _meant(recipe, canonical(recipe, name)):
            if known in found:
                raise O2OError(
                    f"{known} is there twice, with the values {shown(found[known])} and {shown(value)}; drop one"
                )
            found[known] = value
    return found


def _meant(recipe: Recipe, name: str) -> list[str]:
    head, _, tail = name.rpartition(".")
    if head != EVERYWHERE:
        return [name]
    return [f"agent.{tail}", *(f"{p.name}.agent.{tail}" for p in recipe.phases if tail in p.agent)]


def check_apart(recipe: Recipe, changes: Mapping[str, Any], over: Mapping[str, Any]) -> None:
    """Raise `O2OError` for a name that is both set and varied, however it is written."""
    both = spelled_out(recipe, changes).keys() & spelled_out(recipe, over).keys()
    if both:
        raise O2OError(f"{min(both)} is both set and varied (over); drop one")


def _with_phase(recipe: Recipe, changed: Phase) -> Recipe:
    phases = tuple(changed if p.name == changed.name else p for p in recipe.phases)
    return dataclasses.replace(recipe, phases=phases)


def canonical(recipe: Recipe, name: str) -> str:
    """The name as `names` has it. Raises `O2OError` for one that does not exist."""
    short = name.removeprefix("phase.") if isinstance(name, str) else name
    known = names(recipe)
    if not isinstance(name, str) or not (short in known or _of_agent(recipe, short)):
        raise O2OError(
            f"recipe {recipe.name!r} has no setting {shown(name)}",
            python=nearest(short, known, "all: purejaxo2o.loop.settings.names(recipe)"),
            shell=nearest(short, known, f"all: purejaxo2o list settings {recipe.name}"),
        )
    return short


def _of_agent(recipe: Recipe, name: str) -> bool:
    """Whether the name is `*.x` or `phase.agent.x` of a setting `x` of the agent."""
    head, _, tail = name.rpartition(".")
    heads = {EVERYWHERE, *(f"{phase.name}.agent" for phase in recipe.phases)}
    return head in heads and tail in kinds(type(recipe.agent))


def _owner(recipe: Recipe, head: str) -> Any:
    if not head:
        return recipe
    if head in ("agent", EVERYWHERE) or head.endswith(".agent"):
        return recipe.agent
    return next(p for p in recipe.phases if p.name == head)


def _fit(name: str, owner: Any, field: str, value: Any) -> Any:
    """The value as the field keeps it. Raises `O2OError` if it does not fit."""
    kind = kinds(type(owner))[field]
    if kind.fixed and isinstance(value, jax.Array) and value.ndim and kind.sort not in ("wholes", "numbers"):
        raise O2OError(f"{name} is static (it decides shapes or structure) and cannot be an array; loop over values")
    value = settled(kind, value)
    check_value(name, owner, field, value)
    return float(value) if kind.sort == "number" and isinstance(value, int) else value
