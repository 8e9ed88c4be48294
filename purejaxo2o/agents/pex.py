"""Policy expansion (Zhang, Xu & Yu 2023, arXiv 2302.00935): the offline policy stays, a new one learns beside it.

IQL in the stage "single"; in "expanded" both policies propose an action and the critics choose:

    a_1 = mode pi_off(s),   a_2 ~ pi(.|s),   P(a_j) = softmax_j(kappa min_i Q_i(s, a_j))
    L_pi = -mean min(exp(beta (min_i Qt_i(s,c) - V(s))), 100) log pi(c|s),   c ~ P at the batch's observations

V and Q learn as in IQL, from recorded actions. The chooser asks the critics, the advantage their targets (authors'
code). A Gaussian's a_2 may lie outside the box. What acts and what critics are asked about is clipped, as rows are
stored; what the policy imitates is a_2 as it was drawn (`imitates="drawn"`). An imitation of clipped draws
(`imitates="clipped"`) under a density that knows of no clipping narrows the policy step by step. The greedy policy is
the authors' too: with probability `evaluation_noise` the new policy is sampled in place of its mode, and as often, on
its own, the choice is sampled in place of the better of the two.

On entering "expanded" the policy is frozen as pi_off, a fresh one is made, and all Adam moments
start anew; critics, targets and V are carried. One step's order is that of `agents/iql.py`.

Deviation: the authors clip nothing but in the simulator. Their rows hold a_2 as it was drawn, and their critics are
asked about it.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import init_adam
from purejaxo2o.agents.iql import IQL, IQLState
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.networks import action_space_of
from purejaxo2o.types import Array, Number, Space, Spaces, Transition, number, pytree, static, tree_where


@pytree
class PEXState(IQLState):
    frozen: Any  # pi_off; the same as the policy until the expansion
    obs_space: Space = static()  # what the new policy is made for


@pytree
class PEX(IQL):
    """selection_temperature: kappa >= 0, an inverse temperature. evaluation_noise in [0, 1]; 0 evaluates greedily.
    imitates: what of the new policy's draws beyond the box, see above."""

    selection_temperature: Number = number(default=10.0, low=0.0)
    evaluation_noise: Number = number(default=0.1, low=0.0, high=1.0)
    stage: Literal["single", "expanded"] = static(default="single")
    imitates: Literal["drawn", "clipped"] = static(default="drawn")

    def init(self, key: Array, spaces: Spaces) -> PEXState:
        state = super().init(key, spaces)
        return PEXState(**vars(state), frozen=state.actor, obs_space=spaces.obs)

    def preferences(self, state: PEXState, obs: Array, first: Array, second: Array) -> Array:
        """`[..., 2]` logits of the frozen policy's and the new policy's action."""
        q = jnp.stack([self.q(state.critic, obs, a).min(axis=0) for a in (first, second)], axis=-1)
        return self.selection_temperature * q

    def act(self, state: IQLState, obs: Array, key: Array, *, explore: bool) -> Array:
        if self.stage == "single":
            return super().act(state, obs, key, explore=explore)
        return self.within(state, self.composed(state, obs, key, explore=explore))

    def within(self, state: IQLState, action: Array) -> Array:
        """The action in the box."""
        return action if action_space_of(state.actor).discrete else jnp.clip(action, -1.0, 1.0)

    def composed(self, state: IQLState, obs: Array, key: Array, *, explore: bool) -> Array:
        """An action of both policies together, as it was drawn."""
        assert isinstance(state, PEXState)
        key_sample, key_choice, key_noise = jax.random.split(key, 3)
        policy = self.policy(state.actor, obs)
        first, (second, _) = self.policy(state.frozen, obs).mode(), policy.sample_and_log_prob(key_sample)
        rows = second.shape if action_space_of(state.actor).discrete else second.shape[:-1]
        noisy = jax.random.uniform(key_noise, (2, *rows)) < (1.0 if explore else self.evaluation_noise)
        second = tree_where(noisy[0], second, policy.mode())
        logits = self.preferences(state, obs, first, self.within(state, second))
        choice = jnp.where(noisy[1], jax.random.categorical(key_choice, logits), logits.argmax(axis=-1))
        return tree_where(choice == 0, first, second)

    def imitated(self, state: IQLState, batch: Transition, q_target: Array, key: Array) -> tuple[Array, Array]:
        if self.stage == "single":
            return super().imitated(state, batch, q_target, key)
        drawn = self.composed(state, batch.obs, key, explore=True)
        action = self.within(state, drawn)
        value = self.q(state.target, batch.obs, action).min(axis=0)
        return (drawn if self.imitates == "drawn" else action), value

    def enter(self, state: IQLState, key: Array, at: Boundary) -> IQLState:
        if self.stage == "single" or not at.begins("expanded"):
            return state
        assert isinstance(state, PEXState)
        network = self.actor_network(action_space_of(state.actor))
        actor = network.init(key, state.obs_space.zeros())["params"]
        return replace(
            state,
            actor=actor,
            frozen=state.actor,
            actor_opt=init_adam(actor),
            critic_opt=init_adam(state.critic),
            value_opt=init_adam(state.value),
        )
