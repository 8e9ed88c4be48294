"""The combination lock of Hy-Q (Song et al. 2023, arXiv 2210.06718; its code's sizes), and that of HNPG.

`H` steps, 10 actions, latent states A, B and C. Start in A or B. In A and in B one action per step keeps out of C
(A and B then swap with probability 1/2), every other one leads to C for ever. The right action at the last step pays
1; a wrong one out of A or B pays 0.1 with probability 1/2 at any step, which lures greedy learners away. A random
policy is paid 1 with probability 10^-H.

Observation `[n]`, `n` the power of two from `H + 4` on: a Hadamard matrix times noise N(0, 0.1^2) with 1 added at the
latent state and at the step. The episode terminates after `H` steps.

HNPG's (Zhou et al. 2023, arXiv 2311.08384, as coded): the action is a vector of 10 numbers in [-1, 1] (theirs are
unbounded), of which softmax(numbers / 0.1) draws the discrete one. The lure is paid at the last step alone, and there
with probability 1/2 to everybody who is not paid 1, also in C.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Act, Array, Number, O2OError, Space, Step, pytree, static

NAME, CONTINUOUS = "toy/combination-lock", "toy/continuous-lock"
LATENT, ACTIONS = 3, 10
GOOD, LOST = 2, 2  # latent states below GOOD are A and B; LOST is C
SWAP, LURE, LURED, NOISE = 0.5, 0.1, 0.5, 0.1
TEMPERATURE = 0.1


class LockState(NamedTuple):
    """Everything that changes in an episode."""

    latent: Array  # [] int32
    time: Array  # [] int32


@pytree
class CombinationLock:
    """`horizon`: H. `seed`: of the combination."""

    horizon: int = static(default=10)
    seed: int = static(default=0)

    name = NAME
    pooled_resets = False
    action_space = Space(n=ACTIONS)

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise O2OError(f"{self.name}: horizon={self.horizon}; give at least 1")

    @property
    def obs_space(self) -> Space:
        return Space(shape=(_size(self.horizon),))

    @property
    def combination(self) -> np.ndarray:
        """`[H, 2]`: the right action of every step in A and in B."""
        return np.random.default_rng(self.seed).integers(0, ACTIONS, (self.horizon, GOOD))

    def reset(self, key: Array) -> tuple[LockState, Array]:
        """A or B, equally likely."""
        key_latent, key_obs = jax.random.split(key)
        state = LockState(jax.random.randint(key_latent, (), 0, GOOD), jnp.zeros((), jnp.int32))
        return state, self._observe(state, key_obs)

    def step(self, state: LockState, action: Array, key: Array) -> tuple[LockState, Step]:
        """`info["good"]`: still in A or B."""
        key_swap, key_lure, key_obs = jax.random.split(key, 3)
        good = state.latent < GOOD
        wanted = jnp.asarray(self.combination, jnp.int32)[state.time, jnp.minimum(state.latent, GOOD - 1)]
        right, last = good & (action == wanted), state.time + 1 >= self.horizon
        latent = jnp.where(right, state.latent ^ jax.random.bernoulli(key_swap, SWAP), LOST)
        after = LockState(latent, state.time + 1)
        lured = self._may_be_lured(good, last) & ~right & jax.random.bernoulli(key_lure, LURED)
        reward = jnp.where(right & last, 1.0, jnp.where(lured, LURE, 0.0))
        step = Step(self._observe(after, key_obs), reward, last, jnp.zeros((), bool), {"good": latent < GOOD})
        return after, step

    def _may_be_lured(self, good: Array, last: Array) -> Array:
        """Whether a wrong action may be paid."""
        return good

    def _observe(self, state: LockState, key: Array) -> Array:
        size = _size(self.horizon)
        noise = jnp.where(jnp.arange(size) < self.horizon + LATENT, NOISE, 0.0) * jax.random.normal(key, (size,))
        marked = noise.at[state.latent].add(1.0).at[LATENT + state.time].add(1.0)
        return jnp.asarray(_hadamard(size), jnp.float32) @ marked

    def scripted(self, epsilon: Number) -> Act:
        """The right action; with probability `epsilon` a uniformly random one."""

        def act(obs: Array, key: Array) -> Array:
            key_pick, key_random = jax.random.split(key)
            random = jax.random.randint(key_random, (), 0, ACTIONS)
            return jnp.where(jax.random.bernoulli(key_pick, epsilon), random, self._right(obs))

        return act

    def _right(self, obs: Array) -> Array:
        """The right action, read off the observation."""
        size = _size(self.horizon)
        marked = jnp.asarray(_hadamard(size), jnp.float32).T @ obs / size
        latent = jnp.minimum(marked[:LATENT].argmax(), GOOD - 1)
        time = jnp.minimum(marked[LATENT : LATENT + self.horizon].argmax(), self.horizon - 1)
        return jnp.asarray(self.combination, jnp.int32)[time, latent]


@pytree
class ContinuousLock(CombinationLock):
    """The same chain, its actions drawn from a vector of preferences."""

    name = CONTINUOUS
    action_space = Space(shape=(ACTIONS,))

    def step(self, state: LockState, action: Array, key: Array) -> tuple[LockState, Step]:
        key_draw, key_step = jax.random.split(key)
        drawn = jax.random.categorical(key_draw, jnp.clip(action, -1.0, 1.0) / TEMPERATURE)
        return super().step(state, drawn, key_step)

    def _may_be_lured(self, good: Array, last: Array) -> Array:
        return last

    def scripted(self, epsilon: Number) -> Act:
        """1 for the right action and 0 for the others; with probability `epsilon` uniform on [0, 1] for all."""

        def act(obs: Array, key: Array) -> Array:
            key_pick, key_random = jax.random.split(key)
            random = jax.random.uniform(key_random, (ACTIONS,))
            return jnp.where(
                jax.random.bernoulli(key_pick, epsilon), random, jax.nn.one_hot(self._right(obs), ACTIONS)
            )

        return act


LOCKS: dict[str, type[CombinationLock]] = {lock.name: lock for lock in (CombinationLock, ContinuousLock)}


def _size(horizon: int) -> int:
    return 2 ** int(np.ceil(np.log2(horizon + LATENT + 1)))


@functools.lru_cache
def _hadamard(size: int) -> np.ndarray:
    """Sylvester's, entries +-1."""
    found = np.ones((1, 1))
    while len(found) < size:
        found = np.block([[found, found], [found, -found]])
    return found


def settings(name: str) -> dict[str, Any]:
    """Settings of `make`."""
    return {"horizon": int, "seed": int}


def load(name: str, **changes: Any) -> CombinationLock:
    """The lock `name`."""
    return LOCKS[name](**changes)
