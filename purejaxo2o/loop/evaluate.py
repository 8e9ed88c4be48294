"""Greedy evaluation with a fixed budget: a number of whole episodes, whatever the policy does."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.loop import rollout
from purejaxo2o.loop.env import Env
from purejaxo2o.loop.result import Fault
from purejaxo2o.loop.streams import EVALUATE, stream
from purejaxo2o.loop.task import Task
from purejaxo2o.types import Array, likeness, pytree, vary_like, whole

MOST = 2**31 - 1
"""Episodes of an evaluation, at most: they are counted in 32 bits."""
STRETCH = 50
"""Steps of an evaluation between two looks at whether all episodes are over, at most."""


class Evaluation(NamedTuple):
    """One entry per episode."""

    returns: Array  # [episodes] undiscounted sum of the environment's own rewards
    lengths: Array  # [episodes] int32 steps until the end


def counted(episodes: Any) -> int:
    """A number of episodes as a Python number. Raises `O2OError` unless it is a whole one from 1 to `MOST`."""
    return whole("episodes", episodes, f"give a whole number from 1 to {MOST}", high=MOST)


def evaluate_agent(agent: Any, state: Any, env: Env, key: Array, *, episodes: int) -> Evaluation:
    """`evaluate` an agent's greedy policy, with what it keeps in mind from step to step."""

    def act(obs: Array, key: Array, memory: Any) -> tuple[Array, Any]:
        return agent.follow(state, obs, key, memory, explore=False)

    return run_episodes(act, agent.begin(state, episodes), env, vary_like(key, agent, state), episodes)


def run_episodes(
    act: Callable[..., tuple[Array, Any]], memory: Any, env: Env, key: Array, episodes: int
) -> Evaluation:
    """Stretch by stretch, until all episodes are over. A loop of known length, so that it can be differentiated."""
    key_reset, key_run = jax.random.split(key)
    state, obs = rollout.reset(env, key_reset, episodes)

    def body(carry: Any, index: Array) -> tuple[Any, None]:
        state, obs, memory, alive, returns, lengths = carry
        key_act, key_step = jax.random.split(jax.random.fold_in(key_run, index))
        action, memory = act(obs, key_act, memory)
        state, out = jax.vmap(env.step)(state, action, jax.random.split(key_step, episodes))
        returns = returns + jnp.where(alive, out.reward, 0.0)
        lengths = lengths + alive
        alive = alive & ~(out.terminated | out.truncated) & (index + 1 < env.horizon)
        return (state, out.obs, memory, alive, returns, lengths), None

    def stretch(carry: Any, first: Array) -> tuple[Any, None]:
        steps = first + jnp.arange(length)
        more = _any_lane(carry[3])
        return jax.lax.cond(more, lambda c: jax.lax.scan(body, c, steps)[0], lambda c: c, carry), None

    length = _stretch_of(env.horizon)
    start = (state, obs, memory, jnp.ones(episodes, bool), jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32))
    (*_, returns, lengths), _ = jax.lax.scan(stretch, vary_like(start, key), jnp.arange(0, env.horizon, length))
    return Evaluation(returns.astype(jnp.float32), lengths)


def _stretch_of(horizon: int) -> int:
    """Steps between two looks at whether anything still runs: few, and such that no step is in vain at the end."""
    return min(range(min(horizon, STRETCH), 0, -1), key=lambda n: -(-horizon // n) * n + horizon // n)


@jax.custom_batching.custom_vmap
def _any_lane(running: Array) -> Array:
    """`[]` bool: something runs in this lane or in one beside it.

    Under `vmap` too it is one flag for all, on which a condition stays a branch: with a flag for each lane it would
    become a selection between both sides."""
    return running.any()


@_any_lane.def_vmap
def _(axis_size: int, in_batched: Any, running: Array) -> tuple[Array, bool]:
    return _any_lane(running), False


@pytree
class Standing:
    """What an evaluation needs of a run."""

    agent: Any
    segment: Array  # int32: segments so far
    fault: Fault


def standing(run: Any) -> Standing:
    """Of a `run.Run`."""
    return Standing(agent=run.agent, segment=run.segment, fault=run.fault)


def judge(key: Array, agent: Any, standing: Standing, task: Task, *, episodes: int) -> Array:
    """Undiscounted returns `[episodes]` of the greedy policy; NaN once the run is frozen.

    key: the run's; agent: `recipe.agent_in` the phase. The same function for every phase whose agents are alike, and
    so compiled once: evaluating takes as long to compile as learning does."""
    key = stream(key, EVALUATE, standing.segment)
    outcome = evaluate_agent(agent, standing.agent, task.eval_env, key, episodes=episodes)
    # What a frozen seed does from here on must not enter any average unnoticed.
    return jnp.where(standing.fault.step < 0, outcome.returns, jnp.nan)


def judge_all(
    key: Array, agents: Sequence[Any], parts: Sequence[Standing], task: Task, *, episodes: int
) -> list[Array]:
    """Returns `[segments, episodes]` of each part's standings `[segments]`, neighbours that are alike in one loop.

    XLA drops what no evaluation reads, so that only policies are kept till the end of the run."""

    def along(agent: Any, part: Standing) -> tuple[Any, Standing]:
        count = part.segment.shape[0]
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), agent), part

    def one(pair: tuple[Any, Standing]) -> Array:
        return judge(key, *pair, task, episodes=episodes)

    found: list[Array] = []
    for _, alike in groupby(map(along, agents, parts), lambda pair: likeness(pair, skip=1)):
        pairs = list(alike)
        ends = np.cumsum([part.segment.shape[0] for _, part in pairs])
        joined = jax.tree.map(lambda *xs: jnp.concatenate(xs), *pairs)
        found += jnp.split(jax.lax.map(one, joined), ends[:-1])
    return found
