"""Record datasets: a policy drives many environments at once on the device, rows come out in trajectories.

A function `act(obs, key)` has no memory. A `Behaviour` also gets a `Clock`, so that it can hold an action for a while
or pick a mood for a whole episode and yet be a pure function. A trained policy (`loop.policy.Policy`) acts with what
its agent keeps in mind.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o import envs
from purejaxo2o.loop import rollout
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.env import check_env
from purejaxo2o.loop.policy import Policy, scaled
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Act, Array, Number, O2OError, Space, Transition, tree_where

NUM_ENVS = 50
"""Environments side by side at most, unless told otherwise."""
POOL_SIZE = 256
"""Start states drawn once per recording for environments with expensive resets."""


class Clock(NamedTuple):
    """When and where a behaviour acts."""

    lane: Array  # [] int32, which of the parallel environments
    episode: Array  # [] key, the same during an episode and new for the next
    time: Array  # [] int32, steps since the episode began


Behaviour = Callable[[Array, Array, Clock], Array]
"""`act(obs, key, clock) -> action` for one observation; pure."""


@dataclasses.dataclass(frozen=True)
class Memoryless:
    """A policy as a behaviour (equal for equal policies, so that recording again compiles nothing)."""

    policy: Act

    def __call__(self, obs: Array, key: Array, clock: Clock) -> Array:
        return scaled(self.policy)(obs, key)


@dataclasses.dataclass(frozen=True)
class Remembering:
    """A trained policy whose agent keeps something in mind during an episode."""

    policy: Policy


def random_policy(space: Space) -> Act:
    """Uniformly random actions of `space`."""

    def act(obs: Array, key: Array) -> Array:
        return rollout.random_action(space, key)

    return act


def noisy(policy: Act, *, sigma: Number = 0.0, epsilon: Number = 0.0) -> Act:
    """`policy` (a box one) plus Gaussian noise of standard deviation `sigma`, clipped to [-1, 1].

    With probability `epsilon` per step the action is uniformly random instead."""

    def act(obs: Array, key: Array) -> Array:
        key_policy, key_noise, key_random, key_pick = jax.random.split(key, 4)
        action = scaled(policy)(obs, key_policy)
        action = jnp.clip(action + sigma * jax.random.normal(key_noise, action.shape), -1.0, 1.0)
        uniform = jax.random.uniform(key_random, action.shape, minval=-1.0, maxval=1.0)
        return jnp.where(jax.random.bernoulli(key_pick, epsilon), uniform, action)

    return act


def held(policy: Act, *, steps: int) -> Behaviour:
    """Ask `policy` with a new key only every `steps` steps: for a random policy, one action held that long."""

    def act(obs: Array, key: Array, clock: Clock) -> Array:
        return scaled(policy)(obs, jax.random.fold_in(clock.episode, clock.time // steps))

    return act


def mixture(*parts: tuple[Behaviour, int]) -> Behaviour:
    """`(behaviour, weight)` pairs: each environment keeps to one of them, in proportion to the weights."""
    pattern = [i for i, (_, weight) in enumerate(parts) for _ in range(weight)]

    def act(obs: Array, key: Array, clock: Clock) -> Array:
        choice = jnp.asarray(pattern)[clock.lane % len(pattern)]
        return jax.lax.switch(choice, [behaviour for behaviour, _ in parts], obs, key, clock)

    return act


def lanes(steps: int, horizon: int) -> int:
    """How many environments to record `steps` steps with: `NUM_ENVS`, or fewer, so that each has time for an episode.

    Whole episodes fit into each where `steps` is a multiple of lanes times `horizon`."""
    return max(1, min(NUM_ENVS, steps // horizon))


def collect(env: Any, policy: Act, key: Array, *, steps: int, num_envs: int | None = None) -> Store:
    """Exactly `steps` rows of `policy` in `env`, as a full store of trajectories (`collect_with`).

    num_envs: parallel environments; by default so many that episodes fit (`lanes`)."""
    num_envs = lanes(steps, env.horizon) if num_envs is None else num_envs
    behaviour: Behaviour | Remembering = Memoryless(policy)
    if isinstance(policy, Policy) and jax.eval_shape(lambda: policy.init(1)) is not None:
        behaviour = Remembering(policy)
    return collect_with(env, behaviour, key, steps=steps, num_envs=num_envs)


def collect_with(
    env: Any,
    behaviour: Behaviour | Remembering,
    key: Array,
    *,
    steps: int,
    num_envs: int = 50,
    continuing: bool = False,
) -> Store:
    """Exactly `steps` rows of `behaviour` in `num_envs` parallel copies of `env`, deterministic in `key`.

    Rows are sorted environment by environment in time order, `next_obs` is what the step produced before any reset,
    and where the recording stops in the middle of an episode its last row is marked truncated. With `continuing`
    a success (`info["success"]`) also cuts the trajectory (truncated), but nothing is reset: the environment goes on,
    seen again through `env.observe(state)`, which shows a new target. Raises `O2OError` for sizes that do not fit.
    """
    if not 1 <= num_envs <= steps:
        raise O2OError(
            f"steps={steps} with num_envs={num_envs}: give at least one step per environment, at least one"
        )
    if continuing and not hasattr(env, "observe"):
        raise O2OError(f"{env.name} has no observe(state), which a continuing recording needs; use continuing=False")
    env = envs.make(env)
    check_env(env)
    length = -(-steps // num_envs)
    rows = _record(env, behaviour, key, length=length, num_envs=num_envs, continuing=continuing)
    rows = jax.tree.map(lambda x: x[:steps], rows)
    truncated = rows.truncated.at[-1].set(rows.truncated[-1] | ~rows.terminated[-1])
    return stores.from_transitions(rows._replace(truncated=truncated))


@functools.partial(jax.jit, static_argnames=("behaviour", "length", "num_envs", "continuing"))
def _record(
    env: Any, behaviour: Behaviour | Remembering, key: Array, *, length: int, num_envs: int, continuing: bool
) -> Transition:
    """Leaves `[num_envs * length, ...]`, environment by environment."""
    key_pool, key_start, key_run = jax.random.split(key, 3)
    restart = _restarter(env, key_pool)

    fresh_memory = behaviour.policy.init(num_envs) if isinstance(behaviour, Remembering) else None

    def act(obs: Array, keys: Array, clock: Clock, memory: Any) -> tuple[Array, Any]:
        if isinstance(behaviour, Remembering):
            return behaviour.policy.act_scaled(obs, memory, keys[0])
        return jax.vmap(behaviour)(obs, keys, clock), memory

    def step(
        state: Any, obs: Array, clock: Clock, length: Array, action: Array, keys: Array
    ) -> tuple[Any, Transition]:
        key_step, key_reset, key_episode = keys
        state, result = env.step(state, action, key_step)
        truncated = result.truncated | rollout.overdue(env, result, length + 1)
        ended, following = result.terminated | truncated, result.obs
        if continuing:
            truncated = truncated | (result.info["success"] & ~result.terminated)
            following = env.observe(state)
        reward = result.reward.astype(jnp.float32)
        row = Transition(obs, action, reward, result.obs, result.terminated, truncated)
        state, following = tree_where(ended, restart(key_reset), (state, following))
        fresh = Clock(clock.lane, key_episode, jnp.int32(0))
        clock = tree_where(row.last, fresh, clock._replace(time=clock.time + 1))
        return (state, following, clock, jnp.where(ended, 0, length + 1)), row

    def iteration(carry: Any, t: Array) -> tuple[Any, Transition]:
        (state, obs, clock, since), memory = carry
        keys = jax.random.split(jax.random.fold_in(key_run, t), num_envs)
        keys = jax.vmap(lambda key: jax.random.split(key, 4))(keys)  # [E, 4]
        action, memory = act(obs, keys[:, 0], clock, memory)
        lanes, rows = jax.vmap(step)(state, obs, clock, since, action, keys[:, 1:])
        return (lanes, tree_where(rows.last, fresh_memory, memory)), rows

    key_reset, key_episode = jax.random.split(key_start)
    lanes = Clock(jnp.arange(num_envs), jax.random.split(key_episode, num_envs), jnp.zeros(num_envs, jnp.int32))
    starts = jax.vmap(restart)(jax.random.split(key_reset, num_envs))
    carry = (*starts, lanes, jnp.zeros(num_envs, jnp.int32))  # the last: steps since the reset
    _, rows = jax.lax.scan(iteration, (carry, fresh_memory), jnp.arange(length))
    rows = rows._replace(truncated=rows.truncated.at[-1].set(rows.truncated[-1] | ~rows.terminated[-1]))
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), rows)


def _restarter(env: Any, key: Array) -> Callable[[Array], tuple[Any, Array]]:
    """`env.reset`, or a draw from start states made here and now if resets are expensive."""
    if not env.pooled_resets:
        return env.reset
    pool = rollout.reset(env, key, POOL_SIZE)

    def draw(key: Array) -> tuple[Any, Array]:
        index = jax.random.randint(key, (), 0, POOL_SIZE)
        return jax.tree.map(lambda x: x[index], pool)

    return draw
