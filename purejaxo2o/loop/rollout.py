"""Acting in environments: batched steps, resets, episode bookkeeping, returns-to-go of finished episodes.

Environments never reset themselves. Here the true next observation is recorded first; then an ended episode is
replaced by a start state: a fresh one where resets are cheap, one out of a pool where they are not.
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.loop import store as rows
from purejaxo2o.loop.env import Env
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, Number, Space, Step, Transition, pytree, tree_where

POOL_SIZE = 512
"""Start states of a reset pool. One cached start state, as in brax's wrapper, would narrow the task."""


@pytree
class Episodes:
    """The unfinished episode of each of the `E` environments; every field is `[E]`."""

    length: Array  # int32: steps so far, which are also the newest `length` rows of the store
    total: Array  # float32: undiscounted reward so far, as the environment gave it
    failed: Array  # bool: every reward so far was the task's failure reward


def begin(envs: int) -> Episodes:
    """No steps taken yet."""
    return Episodes(
        length=jnp.zeros(envs, jnp.int32), total=jnp.zeros(envs, jnp.float32), failed=jnp.ones(envs, bool)
    )


def advance(episodes: Episodes, step: Transition, fail_reward: Number | None) -> Episodes:
    """Count one row `[E]`; ended episodes start anew."""
    failed = episodes.failed if fail_reward is None else episodes.failed & (step.reward == fail_reward)
    after = Episodes(length=episodes.length + 1, total=episodes.total + step.reward, failed=failed)
    return tree_where(step.last, begin(step.reward.shape[0]), after)


def reset(env: Env, key: Array, count: int) -> tuple[Any, Array]:
    """`count` independent start states and observations `[count, ...]`."""
    return jax.vmap(env.reset)(jax.random.split(key, count))


def pool(env: Env, key: Array) -> tuple[Any, Array] | None:
    """Start states to draw from while a segment runs; None where fresh resets are cheap."""
    return reset(env, key, POOL_SIZE) if env.pooled_resets else None


def random_action(space: Space, key: Array, leading: tuple[int, ...] = ()) -> Array:
    """Uniform actions `[*leading, ...]`."""
    shape = (*leading, *space.shape)
    if space.n is not None:
        return jax.random.randint(key, shape, 0, space.n)
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def step(
    env: Env,
    state: Any,
    obs: Array,
    action: Array,
    key: Array,
    starts: tuple[Any, Array] | None,
    *,
    length: Array,
) -> tuple[Any, Array, Transition, dict[str, Array]]:
    """Step `E` environments and replace the ended ones.

    length: `[E]` steps of each episode before this one (`Episodes.length`); it is cut at `env.horizon`.
    Returns the next states and observations to act on (after resets), the row `[E, ...]` to record (before
    resets) and the environment's `info`."""
    envs = obs.shape[0]
    key_step, key_reset = jax.random.split(key)
    next_state, out = jax.vmap(env.step)(state, action, jax.random.split(key_step, envs))
    row = Transition(
        obs=obs,
        action=action,
        reward=out.reward.astype(jnp.float32),
        next_obs=out.obs,
        terminated=out.terminated,
        truncated=out.truncated | overdue(env, out, length + 1),
    )
    if starts is None:
        fresh = reset(env, key_reset, envs)
    else:
        index = jax.random.randint(key_reset, (envs,), 0, POOL_SIZE)
        fresh = jax.tree.map(lambda x: x[index], starts)
    next_state, next_obs = tree_where(row.last, fresh, (next_state, out.obs))
    return next_state, next_obs, row, out.info


def overdue(env: Env, out: Step, length: Array) -> Array:
    """Bool: after `length` steps the time limit has come, and the environment has not ended the episode itself."""
    return (length >= env.horizon) & ~out.terminated


def backfill_return_to_go(
    store: Store,
    episodes: Episodes,
    step: Transition,
    *,
    horizon: int,
    discount: Number,
    scale: Number,
    bias: Number,
    fail_reward: Number | None,
) -> Store:
    """Let the newest reward reach back to every row of its episode (`extras["return_to_go"]`).

    Call right after `step` was added, with the `episodes` before it. Adding `discount^k r` to the row `k` steps
    back leaves, once the episode has ended, exactly the discounted sum of the transformed rewards; no branch
    depends on data, so a batch of seeds costs no copy of the store. A finished episode in which every reward
    was `fail_reward` gets the value of failing for ever, `r / (1 - discount)` (Cal-QL's rule).
    """
    index = rows.recent(store, min(horizon, store.rows))
    back = jnp.arange(index.shape[0])[:, None]  # [H, 1]: 0 is the newest row
    inside = back <= episodes.length  # [H, E]
    reward = scale * step.reward + bias
    values = store.data.extras["return_to_go"]
    filled = values[index] + jnp.where(inside, discount**back * reward, 0.0)
    if fail_reward is not None:
        hopeless = step.last & episodes.failed & (step.reward == fail_reward)
        filled = jnp.where(inside & hopeless, (scale * fail_reward + bias) / (1.0 - discount), filled)
    extras = store.data.extras | {"return_to_go": values.at[index].set(filled.astype(values.dtype))}
    return rows.with_extras(store, extras)
