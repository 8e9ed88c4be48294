"""Greedy evaluation with a fixed budget: a number of whole episodes, whatever the policy does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o import rollout
from purejaxo2o.envs.base import Env
from purejaxo2o.types import Array


class Evaluation(NamedTuple):
    """One entry per episode."""

    returns: Array  # [episodes] undiscounted sum of the environment's own rewards
    lengths: Array  # [episodes] int32 steps until the end


def evaluate(act: Callable[[Array, Array], Array], env: Env, key: Array, *, episodes: int) -> Evaluation:
    """Run `episodes` episodes of `env` side by side, each until it ends or `env.horizon` is reached.

    `act(obs [episodes, ...], key) -> action [episodes, ...]`. Steps after an episode's end count nothing.
    """
    key_reset, key_run = jax.random.split(key)
    state, obs = rollout.reset(env, key_reset, episodes)

    def body(carry: Any, index: Array) -> tuple[Any, None]:
        state, obs, alive, returns, lengths = carry
        key_act, key_step = jax.random.split(jax.random.fold_in(key_run, index))
        action = act(obs, key_act)
        state, out = jax.vmap(env.step)(state, action, jax.random.split(key_step, episodes))
        returns = returns + jnp.where(alive, out.reward, 0.0)
        lengths = lengths + alive
        alive = alive & ~(out.terminated | out.truncated)
        return (state, out.obs, alive, returns, lengths), None

    start = (state, obs, jnp.ones(episodes, bool), jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32))
    (_, _, _, returns, lengths), _ = jax.lax.scan(body, start, jnp.arange(env.horizon))
    return Evaluation(returns.astype(jnp.float32), lengths)
