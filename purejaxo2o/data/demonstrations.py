"""Whole episodes of an environment that can plan: few, good trajectories to imitate."""

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.envs.xland import GridWorld
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, O2OError, Transition


def demonstrations(env: GridWorld, key: Array, episodes: int) -> Store:
    """`episodes` episodes, each in another world, of `env.planned`'s shortest ways.

    Raises `O2OError` where the planner does not reach the goal (doors, keys) and for fewer than one episode."""
    if episodes < 1:
        raise O2OError(f"episodes={episodes}; give at least 1")

    def episode(key: Array) -> Transition:
        state, obs = env.reset(key)

        def body(carry: tuple, _: None) -> tuple[tuple, Transition]:
            state, obs = carry
            action = env.planned(state)
            state, out = env.step(state, action, key)
            row = Transition(obs, action, out.reward, out.obs, out.terminated, out.truncated, {})
            return (state, out.obs), row

        return jax.lax.scan(body, (state, obs), length=env.horizon)[1]

    rows = jax.tree.map(np.asarray, jax.jit(jax.vmap(episode))(jax.random.split(key, episodes)))
    ends = rows.terminated.argmax(axis=1)
    if not rows.terminated.any(axis=1).all():
        raise O2OError(f"{env.name}: there is no way to the goal over floor alone; use Empty or FourRooms")
    inside = np.arange(env.horizon) <= ends[:, None]
    return stores.from_transitions(jax.tree.map(lambda x: jnp.asarray(x[inside]), rows))
