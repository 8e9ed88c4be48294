"""What a run takes at the least, by shapes alone, and which setting makes the largest part of it.

Nothing is compiled: what is far too large is refused within a second, and a compiler is never asked for arrays that
make it abort. What passes here is counted exactly once it is compiled (`memory.py`).
"""

import math
from dataclasses import dataclass
from typing import Any

import jax

from purejaxo2o.data.free_memory import size
from purejaxo2o.drive.kept import equations, within
from purejaxo2o.drive.lanes import one_lane, platform
from purejaxo2o.drive.memory import nbytes
from purejaxo2o.drive.programs import Programs
from purejaxo2o.loop import rollout
from purejaxo2o.loop.feeds import feed
from purejaxo2o.loop.prepare import prepare
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.settings import names
from purejaxo2o.types import O2OError

FACTOR = 100
"""Products within a learner are looked at where they could be large: rows times the widest layer times this."""


@dataclass(frozen=True)
class Part:
    """Some of a run's bytes. culprit: the name of the setting that makes them, None where nobody knows."""

    name: str
    bytes: int
    culprit: str | None = None
    linear: bool = True  # whether half the setting makes half the bytes


def refuse(programs: Programs, limit: int | None, *, saving: bool) -> None:
    """Raise `O2OError` for lanes that cannot fit, with the setting that is in the way. limit: in bytes, as
    `memory.limit` finds it; None refuses nothing."""
    if limit is None:
        return
    lanes = programs.lanes.count or 1
    if platform(programs.lanes.devices) != "cpu":
        lanes //= max(1, len(programs.lanes.devices))
    parts = _lasting(programs, lanes, saving)
    if _total(parts) <= limit:
        parts += max(_passing(programs, limit), key=_total)
    parts, total = [part for part in parts if part.bytes], _total(parts)
    if total > limit:
        listed = ", ".join(f"{part.name} {size(part.bytes)}" for part in parts)
        many = f"{lanes} lane{'s' * (lanes > 1)}"
        remedy = _remedy(parts, limit, programs.recipe)
        raise O2OError(f"memory of at least {size(total)} for {many}: {listed}; there are {size(limit)}: {remedy}")


def _total(parts: list[Part]) -> int:
    return sum(part.bytes for part in parts)


def _remedy(parts: list[Part], limit: int, recipe: Recipe) -> str:
    part = max(parts, key=lambda part: part.bytes)
    if part.name == "dataset":
        return "use a smaller dataset"
    if part.culprit is None:
        return "use smaller networks or minibatches"
    value = recipe.capacity if part.culprit == "store_rows" else names(recipe)[part.culprit]
    same = _total([x for x in parts if x.culprit == part.culprit])
    fits = int(value * (limit - _total(parts) + same) / same) if part.linear else 0
    if fits < 1:
        shown = f"{value:,}" if isinstance(value, int) else value
        return f"make {part.culprit} smaller, which is {shown}"
    return f"the largest {part.culprit} that fits is about {fits:,}"


def _lasting(programs: Programs, lanes: int, saving: bool) -> list[Part]:
    """What lies there all the time."""
    run, recipe = one_lane(programs.run_shapes[-1], programs.run_axes, programs.lanes), programs.recipe
    store, agent = nbytes(run.store), nbytes(run.agent)
    rest = nbytes(run) - store - agent
    lanes *= 2 if saving and platform(programs.lanes.devices) == "cpu" else 1  # a copy while it is written
    widest = _culprit(_largest(run.agent), recipe, "agent.")
    return [
        Part("dataset", nbytes(programs.dataset)),
        Part("stores", store * lanes, "store_rows" if recipe.capacity >= recipe.num_envs else "num_envs"),
        Part("learners", agent * lanes, widest, linear=False),
        Part("environments", rest * lanes, "num_envs"),
    ]


def _passing(programs: Programs, limit: int) -> list[list[Part]]:
    """What lies there for a while, side by side in each list: minibatches with a learner's products; evaluations."""
    recipe, task, lanes = programs.recipe, programs.task, programs.lanes
    alone = one_lane(recipe, programs.recipe_axes, lanes)
    key = jax.eval_shape(lambda: jax.random.key(0))
    judged = jax.eval_shape(lambda key: rollout.reset(task.eval_env, key, recipe.eval_episodes), key)
    found = [[Part("evaluation", nbytes(judged), "eval_episodes")]]
    for index, phase in enumerate(recipe.phases):
        if not phase.updates:
            continue
        run = one_lane(programs.run_shapes[index + 1], programs.run_axes, lanes)

        def fed(run: Any, recipe: Recipe, dataset: Any, key: Any, phase: Any = phase) -> Any:
            return feed(run, recipe, phase, prepare(recipe, task, dataset), key)

        def learned(run: Any, recipe: Recipe, dataset: Any, key: Any, phase: Any = phase, fed: Any = fed) -> Any:
            return recipe.agent_in(phase).update(run.agent, fed(run, recipe, dataset, key), key)

        arguments = run, alone, programs.dataset, key
        rows = jax.eval_shape(fed, *arguments)
        shape = _largest(rows)
        parts = [Part(f"minibatches of {phase.name!r}", nbytes(rows), _culprit(shape, recipe, f"{phase.name}."))]
        widest = max((d for x in jax.tree.leaves(run.agent) for d in x.shape), default=1)
        if 4 * FACTOR * math.prod(shape) * widest * lanes.width > limit:
            traced = jax.make_jaxpr(learned)(*arguments)
            culprit = _culprit(_largest_product(traced), recipe, f"{phase.name}.", "agent.")
            linear = culprit is not None and not isinstance(names(recipe)[culprit], tuple)
            parts.append(Part(f"products in {phase.name!r}", _products(traced), culprit, linear))
        found.append(parts)
    return found


def _largest(tree: Any) -> tuple[int, ...]:
    """The shape of the largest array."""
    return max((x.shape for x in jax.tree.leaves(tree)), key=math.prod, default=())


def _largest_product(jaxpr: Any) -> tuple[int, ...]:
    """The shape of the largest result of a matrix product."""
    found = (e.outvars[0].aval.shape for e in equations(jaxpr) if e.primitive.name == "dot_general")
    return max(found, key=math.prod, default=())


def _products(jaxpr: Any) -> int:
    """The most bytes of operands and results of matrix products that are there at one time, equation by equation. No
    compiler can do without those."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    last, factors = {}, set()
    for index, equation in enumerate(jaxpr.eqns):
        used = [x for x in equation.invars if not hasattr(x, "val")]
        last |= dict.fromkeys(used, index)
        if equation.primitive.name == "dot_general":
            factors |= {*used, *equation.outvars}
    last |= dict.fromkeys((x for x in jaxpr.outvars if not hasattr(x, "val")), len(jaxpr.eqns))
    there = most = 0
    for index, equation in enumerate(jaxpr.eqns):
        made = {x for x in equation.outvars if x in factors}
        there += sum(nbytes(x.aval) for x in made)
        most = max(most, there + max(map(_products, within(equation)), default=0))
        over = {x for x in (*equation.invars, *made) if not hasattr(x, "val") and last.get(x, index) == index}
        there -= sum(nbytes(x.aval) for x in over if x in factors and x not in jaxpr.invars)
    return most


def _culprit(shape: tuple[int, ...], recipe: Recipe, *prefixes: str) -> str | None:
    """The setting with the largest of an array's sizes in it, or in a product of which that is one."""
    sizes = {
        name: max(v for v in (value if isinstance(value, tuple) else (value,)))
        for name, value in names(recipe).items()
        if name.startswith(prefixes) and _is_size(value)
    }
    within = {name: value for name, value in sizes.items() if any(d % value == 0 for d in shape) and value > 1}
    exact = {name: value for name, value in within.items() if value in shape}
    chosen = exact or within
    return max(chosen, key=lambda name: chosen[name]) if chosen else None


def _is_size(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return bool(parts) and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in parts)
