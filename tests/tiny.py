"""Every recipe at the smallest sizes that still run all of its phases, on a task that costs nothing to simulate."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

import purejaxo2o as o2o
from purejaxo2o.data import collect
from purejaxo2o.envs.toy import Reach
from purejaxo2o.loop import settings
from purejaxo2o.tasks import make
from purejaxo2o.types import Space, pytree

UNOPTIMISED = {"xla_backend_optimization_level": 0}
"""Compiler options for programs that run a few times at most: compiling them well takes longer than running them."""

CUTS = {
    "steps": 40,
    "segments": 4,
    "batch_size": 8,
    "updates": 2,
    "eval_episodes": 2,
    "critics": 2,
    "target_critics": 2,
    "target_samples": 2,
    "cql_actions": 2,
    "num_envs": 2,
    "rollout": 5,
    "history": 5,
    "pace": 1,
    "behaviour_epochs": 2,
    "behaviour_minibatches": 1,
    "epochs": 2,
    "minibatches": 1,
    "flow_steps": 3,
    "samples": 3,
    "chunk": 3,
    "members": 2,
    "models": 2,
    "ope_horizon": 3,
    "ope_starts": 8,
    "fit_steps": 2,
    "policy_steps": 2,
    "cg_steps": 3,
    "halvings": 3,
}
"""Upper limits by the last part of a setting's name."""
HIDDEN = (8, 8)
ROWS = 400


@pytree
class Slope(Reach):
    """`toy/reach` whose reward also shows where one is, so that any difference in behaviour shows in the return."""

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step._replace(reward=step.reward + 0.1 * state.value)


@pytree
class Stairs(Slope):
    """`Slope` with three actions: left, stay, right."""

    action_space = Space(n=3)

    def step(self, state, action, key):
        return super().step(state, jnp.array([[-1.0], [0.0], [1.0]])[action], key)


DISCRETE = {"dqn", "hyq"}
"""Recipes that take discrete actions alone."""


@cache
def task(name: str = "") -> o2o.Task:
    """A task that the recipe can take."""
    return make("slope", Stairs() if name in DISCRETE else Slope(), domain="toy")


@cache
def dataset(name: str = "") -> o2o.Store:
    """`ROWS` rows of uniformly random actions."""
    env = task(name).env
    return collect.collect(env, collect.random_policy(env.action_space), jax.random.key(1), steps=ROWS, num_envs=10)


def shrink(recipe: o2o.Recipe) -> o2o.Recipe:
    """`recipe` with every size cut to `CUTS` and every network to `HIDDEN`."""
    changes = {}
    for name, value in settings.names(recipe).items():
        last = name.rpartition(".")[2]
        if last.endswith("hidden"):
            changes[name] = HIDDEN
        elif last in CUTS and value is not None:
            changes[name] = min(value, CUTS[last])
    return o2o.replace(recipe, changes)


@cache
def tiny(name: str) -> tuple[o2o.Recipe, o2o.Task, o2o.Store]:
    """The published recipe `name`, shrunk, with its task and data."""
    kind = name if name in DISCRETE else ""
    return shrink(o2o.recipe(name, task(kind))), task(kind), dataset(kind)


def arrays(tree) -> list[np.ndarray]:
    """Every leaf on the host, random keys as their bits."""
    leaves = jax.tree.leaves(tree)
    typed = [hasattr(x, "dtype") and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) for x in leaves]
    return [np.asarray(jax.random.key_data(x) if key else x) for x, key in zip(leaves, typed, strict=True)]


def distance(one, other) -> float:
    """The largest difference between two pytrees of equal structure; NaN equals NaN."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    pairs = [(a.astype(float), b.astype(float)) for a, b in zip(arrays(one), arrays(other), strict=True)]
    assert all(a.shape == b.shape and (np.isnan(a) == np.isnan(b)).all() for a, b in pairs)
    return max(float(np.nan_to_num(np.abs(a - b)).max(initial=0.0)) for a, b in pairs)


def lane(tree, index):
    """One entry of every leaf's leading axis."""
    return jax.tree.map(lambda x: x[index], tree)
