"""Greedy evaluation with a fixed budget: a number of whole episodes, whatever the policy does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o import rollout
from purejaxo2o.agents.base import begin, follow
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
    return _run(lambda obs, key, memory: (act(obs, key), memory), None, env, key, episodes)


def evaluate_agent(agent: Any, state: Any, env: Env, key: Array, *, episodes: int) -> Evaluation:
    """`evaluate` an agent's greedy policy, with what it keeps in mind from step to step."""

    def act(obs: Array, key: Array, memory: Any) -> tuple[Array, Any]:
        return follow(agent, state, obs, key, memory, explore=False)

    return _run(act, begin(agent, state, episodes), env, key, episodes)


def _run(act: Callable[..., tuple[Array, Any]], memory: Any, env: Env, key: Array, episodes: int) -> Evaluation:
    key_reset, key_run = jax.random.split(key)
    state, obs = rollout.reset(env, key_reset, episodes)

    def body(carry: Any, index: Array) -> tuple[Any, None]:
        state, obs, memory, alive, returns, lengths = carry
        key_act, key_step = jax.random.split(jax.random.fold_in(key_run, index))
        action, memory = act(obs, key_act, memory)
        state, out = jax.vmap(env.step)(state, action, jax.random.split(key_step, episodes))
        returns = returns + jnp.where(alive, out.reward, 0.0)
        lengths = lengths + alive
        alive = alive & ~(out.terminated | out.truncated)
        return (state, out.obs, memory, alive, returns, lengths), None

    start = (state, obs, memory, jnp.ones(episodes, bool), jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32))
    (*_, returns, lengths), _ = jax.lax.scan(body, start, jnp.arange(env.horizon))
    return Evaluation(returns.astype(jnp.float32), lengths)
