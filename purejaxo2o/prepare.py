"""Before a run: does everything fit together, and which extras must the rows carry?"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o import store
from purejaxo2o.data.transforms import next_action, return_to_go
from purejaxo2o.envs.base import check_env, spaces
from purejaxo2o.phases import Recipe, check_phases
from purejaxo2o.store import Store
from purejaxo2o.tasks import Task
from purejaxo2o.types import Array, O2OError, check_choices


def online_needs(recipe: Recipe) -> tuple[str, ...]:
    """Extras that the replay store must carry."""
    return tuple(sorted(set().union(*(recipe.agent_in(p).needs for p in recipe.phases if p.uses_online))))


def offline_needs(recipe: Recipe) -> tuple[str, ...]:
    """Extras that the dataset must carry."""
    return tuple(sorted(set().union(*(recipe.agent_in(p).needs for p in recipe.phases if p.uses_offline))))


def prepare(recipe: Recipe, task: Task, dataset: Store | None) -> Store | None:
    """The dataset with the extras that the recipe's agents need, computed where they can be."""
    needs = offline_needs(recipe)
    if dataset is None or not recipe.uses_offline:
        return None
    extras = {name: dataset.data.extras[name] for name in needs if name in dataset.data.extras}
    if "return_to_go" in needs:  # always anew: it depends on this recipe's rewards and discount

        def one(reward: Array, terminated: Array, last: Array) -> Array:
            learned = recipe.learned_reward(reward)
            fail = None if task.fail_reward is None else recipe.learned_reward(task.fail_reward)
            return return_to_go(learned, terminated, last, discount=recipe.agent.discount, fail_reward=fail)

        data = dataset.data
        extras["return_to_go"] = jax.vmap(one, in_axes=1, out_axes=1)(data.reward, data.terminated, data.last)
    if "next_action" in needs:  # of the same trajectory; the last row of one has none, which `last` tells

        def following(action: Array, last: Array) -> Array:
            return next_action(action, last)[0]

        extras["next_action"] = jax.vmap(following, in_axes=1, out_axes=1)(dataset.data.action, dataset.data.last)
    if "row" in needs:  # which row of the dataset this is
        extras["row"] = jnp.arange(dataset.rows * dataset.envs).reshape(dataset.rows, dataset.envs)
    return store.with_extras(dataset, extras)


def rows_of(dataset: Store | None) -> int:
    """How many rows a dataset has, 0 without one."""
    return 0 if dataset is None else dataset.rows * dataset.envs


def check(recipe: Recipe, task: Task, dataset: Store | None) -> None:
    """Raise `O2OError` for whatever does not fit together, from shapes and static settings alone."""
    check_settings(recipe)
    check_phases(recipe)
    if not isinstance(task, Task):
        raise O2OError(f"task is {task!r:.80}; give a Task: o2o.task(name)")
    task.check()
    for env in (task.env, task.eval_env):
        check_env(env)
    env, own = spaces(task.env), spaces(task.eval_env)
    if env != own:
        raise O2OError(f"task {task.name!r} trains with spaces {env} and evaluates with {own}; make them equal")
    jax.eval_shape(lambda: recipe.agent.init(jax.random.key(0), env))
    missing = set(online_needs(recipe)) - {"return_to_go"}
    if missing:
        raise O2OError(
            f"recipe {recipe.name!r} needs {sorted(missing)} of online rows, which the rollout cannot make; "
            "use it in offline phases only"
        )
    for phase in recipe.phases:
        if phase.mix == "prioritised" and not hasattr(recipe.agent_in(phase), "priorities"):
            raise O2OError(
                f"phase {phase.name!r} has mix='prioritised', yet {type(recipe.agent).__name__} gives rows no "
                "priorities; use mix='by_size' or 'ratio'"
            )
    longest = max((p.rollout + p.history for p in recipe.phases if p.feed != "sampled"), default=0)
    if longest > recipe.capacity:
        what = "a rollout with its history" if any(p.history for p in recipe.phases) else "a rollout"
        raise O2OError(f"{what} of {longest} steps does not fit store_rows={recipe.capacity}; raise store_rows")
    if online_needs(recipe) and recipe.capacity < task.env.horizon:
        raise O2OError(
            f"the replay store holds {recipe.capacity} rows, fewer than one episode of {task.env.horizon}; "
            "returns-to-go need whole episodes: raise the online steps or store_rows"
        )
    if not recipe.uses_offline:
        return
    if dataset is None:
        raise O2OError(
            f"recipe {recipe.name!r} learns from offline data and got none",
            python="pass dataset=o2o.dataset(task)",
            shell="name a dataset (--dataset ID) or a task that has one",
        )
    missing = set(offline_needs(recipe)) - {"return_to_go", "next_action", "row"} - set(dataset.data.extras)
    if missing:
        raise O2OError(f"the dataset lacks the extras {sorted(missing)} that {recipe.name!r} needs; add them")
    _check_shapes(dataset, task)


def check_settings(recipe: Recipe) -> None:
    """Choices exist; sizes are at least 1; numbers that are known (not traced) are finite and in range."""
    owners = [("agent", recipe.agent), *((f"agent in phase {p.name!r}", recipe.agent_in(p)) for p in recipe.phases)]
    for phase in recipe.phases:
        check_choices(f"phase {phase.name!r}: ", phase)
    for where, owner in owners:
        check_choices(f"{where}: ", owner)
        for field in dataclasses.fields(owner):
            value, fixed = getattr(owner, field.name), bool(field.metadata.get("static"))
            _check_setting(f"{where}: {field.name}", field.name, value, fixed)


def _check_setting(where: str, name: str, value: Any, fixed: bool) -> None:
    sizes = value if isinstance(value, tuple) else (value,)
    if (
        fixed
        and any(isinstance(v, int) and not isinstance(v, bool) and v < 1 for v in sizes)
        and not _is_number(name)
    ):
        raise O2OError(f"{where} is {value}; sizes must be at least 1")
    if isinstance(value, float) and not math.isfinite(value):
        raise O2OError(f"{where} is {value}; it must be a finite number")
    high = {"discount": 1.0, "polyak": 1.0, "expectile": 1.0}.get(name, math.inf)
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0.0 <= value <= high:
        raise O2OError(f"{where} is {value}; it must lie in [0, {high:g}]")


def _is_number(name: str) -> bool:
    """Settings that are numbers rather than sizes may be written as a Python int, 0 included."""
    return name.endswith(("_rate", "_weight", "_gap", "_scale", "temperature", "discount", "polyak", "expectile"))


def _check_shapes(dataset: Store, task: Task) -> None:
    env = spaces(task.env)
    for name, space in (("obs", env.obs), ("next_obs", env.obs), ("action", env.action)):
        array = getattr(dataset.data, name)
        discrete = jnp.issubdtype(array.dtype, jnp.integer) and name == "action"
        if array.shape[2:] != space.shape or discrete != (name == "action" and space.discrete):
            raise O2OError(
                f"dataset {name} has shape {array.shape[2:]} and type {array.dtype}, task {task.name!r} has "
                f"{space}; load the dataset that belongs to the task"
            )
