"""BOORL (Hu et al. 2024, arXiv 2405.20984): a bootstrapped ensemble of TD3+BC, acting by sampling a member.

M independent TD3+BC learners; each never sees a tenth of the dataset's rows (its own tenth, drawn once). Acting is a
soft form of Thompson sampling: every member proposes pi_m(s), and one proposal is drawn from

    softmax_m(kappa min_i Q_{m,i}(s, pi_m(s)))

with exploration noise on top; the greedy policy is the mean of the proposals. `stage="free"` (online) is plain TD3
on all rows: no imitation, no masks. On entering such a phase the targets can become the networks
(`reset_targets`: the authors' fine-tuning loads networks and moments and copies the targets).

The members share minibatches: a row that a member must not see is replaced by another of the same minibatch.
"""

from dataclasses import fields, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.delayed import Delayed, DelayedState
from purejaxo2o.agents.losses import imitation_loss, value_loss
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static

CLOCK = ("steps", "span")
LAYOUT: dict[str, Any] = {f.name: None if f.name in CLOCK else 0 for f in fields(DelayedState)}
AXES: Any = DelayedState(**LAYOUT)
"""Every leaf has a leading member axis but the clock, on which the members' turns depend."""


@pytree
class BOORLState:
    members: DelayedState  # leaves [M, ...] but the clock
    salt: Array  # [M] uint32: what decides the rows of a member


def kept(row: Array, salt: Array, share: Number) -> Array:
    """Which rows (by number, any shape) the member of `salt` sees: the same answer at every call."""
    key = jax.random.key(salt)
    flat = jax.vmap(lambda r: jax.random.uniform(jax.random.fold_in(key, r)))(row.reshape(-1))
    return flat.reshape(row.shape) < share


@pytree
class BOORL(Delayed):
    """alpha, bc_weight, bc_weight_end: as TD3+BC's. members M; row_share: of the dataset that a member sees;
    selection_temperature kappa, an inverse one; reset_targets: on entering, of critics and policies."""

    alpha: Number = number(default=2.5, low=0.0)
    bc_weight: Number = number(default=1.0, low=0.0)
    bc_weight_end: Number = number(default=1.0, low=0.0, high=1.0)
    row_share: Number = number(default=0.9, above=0.0, high=1.0)
    selection_temperature: Number = number(default=1.0, low=0.0)
    members: int = static(default=5)
    stage: Literal["conservative", "free"] = static(default="conservative")
    reset_targets: bool = static(default=False)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"row"}) if self.stage == "conservative" else frozenset()

    def init(self, key: Array, spaces: Spaces) -> BOORLState:  # type: ignore[override]
        key_members, key_salt = jax.random.split(key)
        one = super().init
        members = jax.vmap(lambda key: one(key, spaces), out_axes=AXES)(jax.random.split(key_members, self.members))
        return BOORLState(members=members, salt=jax.random.bits(key_salt, (self.members,), jnp.uint32))

    def proposals(self, state: BOORLState, obs: Array) -> tuple[Array, Array]:
        """Actions `[M, ..., A]` and the members' own values of them `[M, ...]`."""

        def one(member: DelayedState) -> tuple[Array, Array]:
            action = self.action(member.actor, obs)
            return action, self.q(member.critic, obs, action).min(axis=0)

        return jax.vmap(one, in_axes=(AXES,))(state.members)

    def act(self, state: BOORLState, obs: Array, key: Array, *, explore: bool) -> Array:  # type: ignore[override]
        actions, values = self.proposals(state, obs)
        if not explore:
            return actions.mean(axis=0)
        key_member, key_noise = jax.random.split(key)
        member = jax.random.categorical(key_member, self.selection_temperature * values, axis=0)
        action = jnp.take_along_axis(actions, member[None, ..., None], axis=0)[0]
        return jnp.clip(action + self.exploration_noise * jax.random.normal(key_noise, action.shape), -1.0, 1.0)

    def own_rows(self, batches: Transition, salt: Array, key: Array) -> Transition:
        """`batches [U, B, ...]` with a kept row of the same minibatch wherever one is not the member's."""
        keep = kept(batches.extras["row"], salt, self.row_share)

        def one(batch: Transition, keep: Array, key: Array) -> Transition:
            count = keep.shape[0]
            other = jax.random.choice(key, count, (count,), p=keep / jnp.maximum(keep.sum(), 1))
            index = jnp.where(keep, jnp.arange(count), other)
            return jax.tree.map(lambda x: x[index], batch)

        return jax.vmap(one)(batches, keep, jax.random.split(key, keep.shape[0]))

    def update(  # type: ignore[override]
        self, state: BOORLState, batches: Transition, key: Array
    ) -> tuple[BOORLState, Metrics]:
        learn = super().update

        def one(member: DelayedState, salt: Array, key: Array) -> tuple[DelayedState, Metrics]:
            key_rows, key_update = jax.random.split(key)
            rows = self.own_rows(batches, salt, key_rows) if self.stage == "conservative" else batches
            return learn(member, rows, key_update)

        keys = jax.random.split(key, self.members)
        members, metrics = jax.vmap(one, in_axes=(AXES, 0, 0), out_axes=(AXES, 0))(state.members, state.salt, keys)
        return BOORLState(members=members, salt=state.salt), jax.tree.map(jnp.mean, metrics)

    def actor_loss(self, actor: Any, state: DelayedState, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        if self.stage == "free":
            return value_loss(self, actor, state, batch)
        weights = {"alpha": self.alpha, "weight": self.bc_weight, "end": self.bc_weight_end}
        return imitation_loss(self, actor, state, batch, **weights)

    def enter(self, state: BOORLState, key: Array, at: Boundary) -> BOORLState:  # type: ignore[override]
        members = super().enter(state.members, key, at)
        if self.reset_targets:
            members = replace(members, actor_target=members.actor, target=members.critic)
        return BOORLState(members=members, salt=state.salt)
