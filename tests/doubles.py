"""Stand-ins: an agent that counts what it is fed instead of learning, an environment that shows its clock."""

import jax
import jax.numpy as jnp

from purejaxo2o.loop.agent import Agent
from purejaxo2o.types import Space, Step, Transition, pytree, static

MARK = 9.0
"""An observation that the environments here never produce: it marks the rows of a dataset."""


class Idle(Agent):
    """Learns nothing."""

    discount = 0.9

    def init(self, key, spaces):
        return None

    def update(self, state, fed, key):
        return state, {}


@pytree
class Counting(Agent):
    """Counts minibatches (or steps of rollouts, where it is fed nothing else); its metrics say how many of their rows
    were marked, and depend on every array."""

    discount: float = 0.9
    stage: str = static(default="conservative")
    extras: tuple = static(default=())

    @property
    def needs(self):
        return frozenset(self.extras if self.stage == "conservative" else ())

    def init(self, key, spaces):
        return {"updates": jnp.int32(0), "calls": jnp.int32(0), "zero": spaces.action.zeros()}

    def act(self, state, obs, key, *, explore):
        shape, discrete = (*obs.shape[:-1], *state["zero"].shape), state["zero"].dtype == jnp.int32
        if not explore or discrete:
            return jnp.zeros(shape, state["zero"].dtype)
        return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

    def update(self, state, fed, key):
        batches = fed if isinstance(fed, Transition) else fed[1]
        marked = (batches.obs[..., 0] == MARK).sum(axis=1)  # [U]
        count, size = batches.reward.shape
        off_half = jnp.abs(marked - size // 2).max().astype(jnp.float32)
        state = state | {"updates": state["updates"] + count, "calls": state["calls"] + 1}
        everything = jnp.stack([x.astype(jnp.float32).sum() for x in jax.tree.leaves(fed)]).sum()
        metrics = {"share": marked.mean() / size, "off_half": off_half, "rows": jnp.float32(size), "sum": everything}
        return state, metrics

    def priorities(self, state, batches):
        return jnp.ones_like(batches.reward[:, : batches.reward.shape[1] // 3])


HORIZON = 5


@pytree
class Clock:
    """Counts from 0; ends (terminated) at a random count from 1 to 7, or at the time limit of 5 (truncated).

    Observes the count, the end and a random number of the episode; the reward is 1 at an end by itself, else 0."""

    pooled_resets: bool = static(default=False)
    name = "test/Clock"
    obs_space = Space((3,))
    action_space = Space((1,))
    horizon: int = static(default=HORIZON)

    def reset(self, key):
        key_end, key_id = jax.random.split(key)
        end = jax.random.randint(key_end, (), 1, 8).astype(jnp.float32)
        state = jnp.stack([jnp.float32(0), end, jax.random.uniform(key_id)])
        return state, state

    def step(self, state, action, key):
        state = state.at[0].add(1)
        terminated = state[0] >= state[1]
        truncated = (state[0] >= HORIZON) & ~terminated
        return state, Step(state, terminated.astype(jnp.float32), terminated, truncated, {})
