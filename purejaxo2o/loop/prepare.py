"""Before a run: does everything fit together, and which extras must the rows carry?"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.loop import store
from purejaxo2o.loop.agent import Agent, check_phase
from purejaxo2o.loop.env import check_env, spaces
from purejaxo2o.loop.extras import next_action, return_to_go
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.recipe import Recipe, check_phases
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.spelling import shown
from purejaxo2o.types import Array, O2OError, check_value, check_values, nearest
from purejaxo2o.values import kinds


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


def ready(recipe: Recipe, phase: Phase, dataset: Store | None) -> Store | None:
    """The dataset as a phase can draw from it. Raises `O2OError` for one that nobody prepared, and for arrays that do
    not fit together."""
    if dataset is None:
        return None
    store.check(dataset)
    missing = recipe.agent_in(phase).needs - set(dataset.data.extras)
    if missing and phase.uses_offline:
        raise O2OError(f"the dataset lacks the extras {sorted(missing)}; pass o2o.prepare(recipe, task, dataset)")
    return jax.tree.map(jnp.asarray, dataset)  # NumPy's arrays take no traced index


def rows_of(dataset: Store | None) -> int:
    """How many rows a dataset has, 0 without one."""
    return 0 if dataset is None else dataset.rows * dataset.envs


def check(recipe: Recipe, task: Task, dataset: Store | None) -> None:
    """Raise `O2OError` for whatever does not fit together, from shapes and static settings alone."""
    check_phases(recipe)
    check_settings(recipe)
    _check_single(recipe)
    check_agents(recipe)
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
        if phase.mix == "prioritised" and type(recipe.agent).priorities is Agent.priorities:
            raise O2OError(
                f"{phase.name}.mix is 'prioritised', yet {type(recipe.agent).__name__} gives rows no "
                f"priorities; use {phase.name}.mix='by_size' or 'ratio'"
            )
    longest = max((p.rollout + p.history for p in recipe.phases if p.feed != "sampled"), default=0)
    if longest > recipe.capacity:
        what = "a rollout with its history" if any(p.history for p in recipe.phases) else "a rollout"
        raise O2OError(f"{what} of {longest} steps does not fit store_rows={recipe.capacity}; raise store_rows")
    for phase in recipe.phases:
        agent = recipe.agent_in(phase)
        if phase.uses_online and "return_to_go" in agent.needs and agent.chunk is not None:
            raise O2OError(
                f"{type(agent).__name__} learns from chunks and needs return_to_go, which rows of an episode that "
                f"goes on lack; set {phase.name}.mix='offline', or drop one of the two"
            )
    if online_needs(recipe) and recipe.capacity < task.env.horizon:
        raise O2OError(
            f"the replay store holds {recipe.capacity} rows, fewer than one episode of {task.env.horizon}; "
            "returns-to-go need whole episodes: raise the online steps or store_rows"
        )
    if dataset is not None:
        store.check(dataset)
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
    """Each setting is of its kind and in its range, as far as it is known (not traced), and exists."""
    check_values("", recipe)
    for phase in recipe.phases:
        check_values(f"{phase.name}.", phase)
    agent = recipe.agent
    if not isinstance(agent, Agent):
        raise O2OError(f"agent is {shown(agent)}; give an agent, e.g. agent=purejaxo2o.agents.IQL()")
    check_values("agent.", agent)
    for phase in recipe.phases:
        _check_changes(agent, phase)
    for one in (agent, *map(recipe.agent_in, recipe.phases)):
        if isinstance(one.discount, int | float) and not 0.0 <= one.discount <= 1.0:
            raise O2OError(f"agent.discount is {one.discount}; it must lie in [0, 1]")


def check_agents(recipe: Recipe) -> None:
    """The agent's settings go together, in every phase, and with the phase."""
    for one in (recipe.agent, *map(recipe.agent_in, recipe.phases)):
        one.check()
    for phase in recipe.phases:
        check_phase(recipe.agent_in(phase), phase, recipe.num_envs)


def _check_changes(agent: Any, phase: Phase) -> None:
    """What a phase sets of the agent exists there and fits."""
    if not isinstance(phase.agent, Mapping):
        raise O2OError(
            f"{phase.name}.agent is {shown(phase.agent)}; give a dictionary of settings, {{'learning_rate': 1e-4}}"
        )
    known = kinds(type(agent))
    for name, value in phase.agent.items():
        where = f"{phase.name}.agent.{name}"
        if name not in known:
            raise O2OError(f"{where}: {type(agent).__name__} has no setting {name!r}; {nearest(name, known)}")
        check_value(where, agent, name, value)


def _check_single(recipe: Recipe) -> None:
    """A run has one number for each setting: lanes of them are for `vmap`."""
    owners = [("", recipe), ("agent.", recipe.agent), *((f"{phase.name}.", phase) for phase in recipe.phases)]
    found = {f"{where}{name}": getattr(owner, name) for where, owner in owners for name in _numbers(owner)}
    known = kinds(type(recipe.agent))
    for phase in recipe.phases:
        own = {name: x for name, x in phase.agent.items() if known[name].sort == "number" and x is not None}
        found |= {f"{phase.name}.agent.{name}": x for name, x in own.items()}
    for name, value in found.items():
        if jnp.shape(value) != ():
            shape = list(jnp.shape(value))
            raise O2OError(f"{name} has shape {shape}; a run takes one number: vmap over it, or use o2o.sweep")


def _numbers(owner: Any) -> list[str]:
    return [
        name
        for name, kind in kinds(type(owner)).items()
        if kind.sort == "number" and getattr(owner, name) is not None
    ]


def _check_shapes(dataset: Store, task: Task) -> None:
    env = spaces(task.env)
    for name, space in (("obs", env.obs), ("next_obs", env.obs), ("action", env.action)):
        array = getattr(dataset.data, name)
        whole = jnp.issubdtype(array.dtype, jnp.integer)
        if array.shape[2:] != space.shape or whole != jnp.issubdtype(space.zeros().dtype, jnp.integer):
            raise O2OError(
                f"dataset {name} has shape {array.shape[2:]} and type {array.dtype}, task {task.name!r} has "
                f"{space}; load the dataset that belongs to the task"
            )
