"""Q-chunking (Li, Zhou & Levine 2025, arXiv 2507.07969): FQL on chunks of h actions, carried out without looking.

The chunk A = (a_t, ..., a_{t+h-1}) is one long action; values and policies see the observation before it:

    y      = sum_{i<h} gamma^i r_{t+i} + gamma^h m reduce_i Qt_i(s_{t+h}, A'),   m = 0 if any step terminated
    L_Q    = mean_{i,B} w (Q_i(s_t, A) - y)^2,       w = 1 unless the trajectory ended before the chunk's last step
    L_flow = as in `agents/fql.py` over all h A entries, those of steps after the trajectory's end counted as zero

Rows with w = 0 count in the mean (as zero), so an end inside a chunk teaches the critics nothing: what happens at it
is learned from the chunks that end with it (authors' code). The policy, and A' in the target, is

    "best_of_n":  n samples of the flow, the one that the critics (not their targets) like best (QC)
    "distilled":  the one-step policy of FQL, trained as there, no step of it masked (QC-FQL)

Acting takes all h actions of a chunk one after the other before another one is chosen (`follow`), in evaluations too;
what is left of it is dropped when an episode ends. With h = 1, "distilled" is FQL.
"""

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import init_adam, require_box
from purejaxo2o.agents.fql import FQL, FQLState
from purejaxo2o.models import flow as flows
from purejaxo2o.types import Array, Metrics, Number, Space, Spaces, Transition, number, pytree, static


class Plan(NamedTuple):
    """What is left of a chunk, `E` of them."""

    actions: Array  # [E, h, A], the next one first
    left: Array  # [E] int32


@pytree
class QC(FQL):
    """chunk h. samples n, for "best_of_n"; alpha is for "distilled" alone. Minibatches are chunks `[U, B, h, ...]`
    with `extras["valid"] [U, B, h]`: which of the steps belong to the trajectory (`store.sample_chunks`)."""

    alpha: Number = number(default=100.0, low=0.0)
    chunk: int = static(default=5)  # type: ignore[assignment]
    samples: int = static(default=32)
    policy: Literal["best_of_n", "distilled"] = static(default="best_of_n")

    @property
    def backup_discount(self) -> Number:
        return self.discount**self.chunk

    def init(self, key: Array, spaces: Spaces) -> FQLState:
        require_box(self, spaces)
        state = super().init(key, spaces._replace(action=Space(shape=(self.chunk * spaces.action.size,))))
        if self.policy == "distilled":
            return state
        params = {"flow": state.flow, "actor": None, "critic": state.critic}
        return replace(state, actor=None, shared_opt=init_adam(params))

    # -- acting ------------------------------------------------------------------------------------------

    def proposal(self, state: FQLState, obs: Array, key: Array) -> Array:
        """A chunk as one action, `[..., h A]`."""
        if self.policy == "distilled":
            return super().proposal(state, obs, key)
        noise = self.noise(state, key, (*obs.shape[:-1], self.samples))
        obs = jnp.broadcast_to(obs[..., None, :], (*noise.shape[:-1], obs.shape[-1]))
        actions = self.carried(state.flow, obs, noise)
        best = self.reduced(self.q(state.critic, obs, actions)).argmax(axis=-1)
        return jnp.take_along_axis(actions, best[..., None, None], axis=-2)[..., 0, :]

    def chunks(self, state: FQLState, obs: Array, key: Array) -> Array:
        """`[..., h, A]`."""
        joined = self.proposal(state, obs, key)
        return joined.reshape(*joined.shape[:-1], self.chunk, -1)

    def act(self, state: FQLState, obs: Array, key: Array, *, explore: bool) -> Array:
        """The first action of a new chunk, for those who keep no plan."""
        return self.chunks(state, obs, key)[..., 0, :]

    def begin(self, state: FQLState, count: int) -> Plan:
        """Nothing planned."""
        size = flows.size_of(state.flow, self.actor_hidden) // self.chunk
        return Plan(jnp.zeros((count, self.chunk, size)), jnp.zeros(count, jnp.int32))

    def follow(self, state: FQLState, obs: Array, key: Array, plan: Plan, *, explore: bool) -> tuple[Array, Plan]:
        """The next action of every plan; those with none left make a new one first."""
        empty = plan.left == 0
        # In an evaluation all plans run out together, at steps that do not depend on the seed: there this saves
        # h - 1 of h choices even under `vmap`.
        fresh = jax.lax.cond(empty.any(), lambda: self.chunks(state, obs, key), lambda: plan.actions)
        actions = jnp.where(empty[:, None, None], fresh, plan.actions)
        left = jnp.where(empty, self.chunk, plan.left) - 1
        return actions[:, 0], Plan(jnp.roll(actions, -1, axis=1), left)

    # -- learning ----------------------------------------------------------------------------------------

    def critic_weight(self, batch: Transition) -> Array | float:
        return batch.extras["valid"][:, -1]

    def flow_weight(self, batch: Transition) -> Array | float:
        valid = batch.extras["valid"]
        return jnp.repeat(valid, batch.action.shape[-1] // self.chunk, axis=-1)

    def joined(self, batch: Transition) -> Transition:
        """Chunks `[B, h, ...]` as steps `[B, ...]` with one long action."""
        powers = self.discount ** jnp.arange(self.chunk)
        return Transition(
            obs=batch.obs[:, 0],
            action=batch.action.reshape(len(batch.action), -1),
            reward=(powers * batch.reward).sum(axis=-1),
            next_obs=batch.next_obs[:, -1],
            terminated=batch.terminated.any(axis=-1),
            truncated=batch.truncated.any(axis=-1),
            extras=batch.extras,
        )

    def step(self, state: FQLState, batch: Transition, key: Array) -> tuple[FQLState, Metrics]:
        state, metrics = super().step(state, self.joined(batch), key)
        return state, metrics | {"valid": batch.extras["valid"][:, -1].mean(dtype=metrics["critic_loss"].dtype)}

    def actor_loss(self, actor: Any, state: FQLState, batch: Transition, key: Array) -> tuple[Number, Metrics]:
        return super().actor_loss(actor, state, batch, key) if self.policy == "distilled" else (0.0, {})
