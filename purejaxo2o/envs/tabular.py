"""Small Markov decision processes with known tables, and what can be computed from them exactly.

`H` steps, `S` states, `A` actions; rewards are 0 or 1 with a mean in [0, 1], and, like the law of the next state,
depend on the step. As an environment (`toy/random-mdp`) the observation is one-hot in step and state, `[H + S]`, and
the episode terminates after `H` steps. A policy is a table `[H, S, A]` of probabilities.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Array, O2OError, Space, Step, pytree

NAME = "toy/random-mdp"


class TabularState(NamedTuple):
    """Everything that changes in an episode."""

    state: Array  # [] int32
    time: Array  # [] int32


class Log(NamedTuple):
    """Episodes, leaves `[N, H]`."""

    state: Array
    action: Array
    reward: Array
    next_state: Array


@pytree
class Tabular:
    """transition: `[H, S, A, S]`, sums to 1 at the end. reward: means `[H, S, A]` in [0, 1]. start: `[S]`."""

    transition: Array
    reward: Array
    start: Array

    name = NAME
    pooled_resets = False

    @property
    def horizon(self) -> int:
        return self.reward.shape[0]

    @property
    def obs_space(self) -> Space:
        return Space(shape=(self.horizon + self.reward.shape[1],))

    @property
    def action_space(self) -> Space:
        return Space(n=self.reward.shape[2])

    def reset(self, key: Array) -> tuple[TabularState, Array]:
        state = TabularState(_draw(key, self.start), jnp.int32(0))
        return state, self._observe(state)

    def step(self, state: TabularState, action: Array, key: Array) -> tuple[TabularState, Step]:
        key_reward, key_next = jax.random.split(key)
        where = (state.time, state.state, action)
        reward = jax.random.bernoulli(key_reward, self.reward[where]).astype(jnp.float32)
        after = TabularState(_draw(key_next, self.transition[where]), state.time + 1)
        return after, Step(self._observe(after), reward, after.time >= self.horizon, jnp.zeros((), bool), {})

    def _observe(self, state: TabularState) -> Array:
        time = jax.nn.one_hot(state.time, self.horizon)  # nowhere once the episode is over
        return jnp.concatenate([time, jax.nn.one_hot(state.state, self.reward.shape[1])])


def _draw(key: Array, probabilities: Array) -> Array:
    return jax.random.categorical(key, jnp.log(probabilities)).astype(jnp.int32)


def random(states: int = 5, actions: int = 3, horizon: int = 4, seed: int = 0) -> Tabular:
    """Next states from a Dirichlet of weight 0.5 each (few likely ones), mean rewards uniform, one start state."""
    for name, size in (("states", states), ("actions", actions), ("horizon", horizon)):
        if size < 1:
            raise O2OError(f"{NAME}: {name}={size}; give at least 1")
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(states, 0.5), (horizon, states, actions)).astype(np.float32)
    reward = rng.uniform(size=(horizon, states, actions)).astype(np.float32)
    start = jax.nn.one_hot(0, states)
    return Tabular(transition=jnp.asarray(transition), reward=jnp.asarray(reward), start=start)


def settings(name: str) -> dict[str, Any]:
    """Settings of `make`."""
    return dict.fromkeys(("states", "actions", "horizon", "seed"), int)


def load(name: str, **changes: Any) -> Tabular:
    """The random one."""
    return random(**changes)


# ---- exact solutions ---------------------------------------------------------------------------------------------


def greedy(q: Array) -> Array:
    """The policy `[..., A]` of the largest entries; of equal ones the first."""
    return jax.nn.one_hot(q.argmax(axis=-1), q.shape[-1])


def uniform(mdp: Tabular) -> Array:
    """Every action equally likely, `[H, S, A]`."""
    return jnp.full(mdp.reward.shape, 1.0 / mdp.reward.shape[-1])


def induction(reward: Array, transition: Array) -> tuple[Array, Array]:
    """Q `[H, S, A]` and V `[H, S]` of the greedy policy by backward induction, Q kept in [0, H - h]."""

    def back(later: Array, now: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        reward, transition, left = now
        q = jnp.clip(reward + transition @ later, 0.0, left)
        return q.max(axis=-1), (q, q.max(axis=-1))

    horizon, states, _ = reward.shape
    left = horizon - jnp.arange(horizon, dtype=reward.dtype)
    return jax.lax.scan(back, jnp.zeros(states, reward.dtype), (reward, transition, left), reverse=True)[1]


def optimal(mdp: Tabular) -> tuple[Array, Array]:
    """Q* `[H, S, A]` and V* `[H, S]`."""
    return induction(mdp.reward, mdp.transition)


def following(q: Array) -> Array:
    """`[H, S]`: `max_a q_{h+1}`, 0 after the last step."""
    return jnp.concatenate([q[1:].max(axis=-1), jnp.zeros_like(q[:1, :, 0])])


def evaluate(mdp: Tabular, policy: Array) -> tuple[Array, Array]:
    """Q and V of a policy, as `optimal`."""

    def back(later: Array, now: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        reward, transition, chosen = now
        q = reward + transition @ later
        v = (chosen * q).sum(axis=-1)
        return v, (q, v)

    steps = (mdp.reward, mdp.transition, policy)
    return jax.lax.scan(back, jnp.zeros_like(mdp.start), steps, reverse=True)[1]


def value(mdp: Tabular, policy: Array) -> Array:
    """Expected sum of rewards of an episode."""
    return mdp.start @ evaluate(mdp, policy)[1][0]


def occupancy(mdp: Tabular, policy: Array) -> Array:
    """`[H, S, A]`: the probability of every pair at every step."""

    def forward(states: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        transition, chosen = now
        pairs = states[:, None] * chosen
        return jnp.einsum("sa,sat->t", pairs, transition), pairs

    return jax.lax.scan(forward, mdp.start, (mdp.transition, policy))[1]


# ---- data --------------------------------------------------------------------------------------------------------


def episodes(mdp: Tabular, policy: Array, key: Array, count: int) -> Log:
    """`count` episodes of a policy."""

    def one(key: Array) -> Log:
        def step(state: TabularState, key: Array) -> tuple[TabularState, Log]:
            key_action, key_step = jax.random.split(key)
            action = _draw(key_action, policy[state.time, state.state])
            after, step = mdp.step(state, action, key_step)
            return after, Log(state.state, action, step.reward, after.state)

        key_start, key_steps = jax.random.split(key)
        return jax.lax.scan(step, mdp.reset(key_start)[0], jax.random.split(key_steps, mdp.horizon))[1]

    return jax.vmap(one)(jax.random.split(key, count))


class Counts(NamedTuple):
    """What the tables of a log are: visits `[H, S, A]`, their rewards' sum, and where they led `[H, S, A, S]`."""

    visits: Array
    reward: Array
    following: Array

    @property
    def mean_reward(self) -> Array:
        """0 where nobody has been."""
        return self.reward / jnp.maximum(self.visits, 1.0)

    @property
    def transition(self) -> Array:
        """Frequencies; all 0 where nobody has been."""
        return self.following / jnp.maximum(self.visits, 1.0)[..., None]


def no_counts(mdp: Tabular) -> Counts:
    return Counts(jnp.zeros_like(mdp.reward), jnp.zeros_like(mdp.reward), jnp.zeros_like(mdp.transition))


def count(counts: Counts, log: Log) -> Counts:
    """With the episodes of `log`."""
    step = jnp.broadcast_to(jnp.arange(log.state.shape[-1]), log.state.shape)
    pair = (step, log.state, log.action)
    return Counts(
        counts.visits.at[pair].add(1.0),
        counts.reward.at[pair].add(log.reward),
        counts.following.at[(*pair, log.next_state)].add(1.0),
    )


def expected_counts(mdp: Tabular, policy: Array, number: float) -> Counts:
    """Of `number` episodes of a policy, without any chance: the tables are then exact wherever the policy goes."""
    visits = number * occupancy(mdp, policy)
    return Counts(visits, visits * mdp.reward, visits[..., None] * mdp.transition)
