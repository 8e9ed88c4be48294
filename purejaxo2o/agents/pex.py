"""Policy expansion (Zhang, Xu & Yu 2023, arXiv 2302.00935): the offline policy stays, a new one learns beside it.

IQL until `expanded`; from then on both policies propose an action and the critics choose:

    a_1 = mode pi_off(s),   a_2 ~ pi(.|s),   P(a_j) = softmax_j(kappa min_i Q_i(s, a_j))
    L_pi = -mean min(exp(beta (min_i Qt_i(s,c) - V(s))), 100) log pi(c|s),   c ~ P at the batch's observations

V and Q learn as in IQL, from recorded actions. The chooser asks the critics, the advantage their targets (authors'
code). The greedy policy is the authors' too: with probability `evaluation_noise` the new policy is sampled in place
of its mode, and as often, on its own, the choice is sampled in place of the better of the two.

On entering the first phase with `expanded` the policy is frozen as pi_off, a fresh one is made, and all Adam moments
start anew; critics, targets and V are carried. One step's order is that of `agents/iql.py`.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import init_adam
from purejaxo2o.agents.iql import IQL, IQLState
from purejaxo2o.networks import action_space_of
from purejaxo2o.phases import Phase
from purejaxo2o.types import Array, Number, Space, Spaces, Transition, pytree, static, tree_where


@pytree
class PEXState(IQLState):
    frozen: Any  # pi_off; the same as the policy until the expansion
    grown: Array  # bool: the expansion has been made
    obs_space: Space = static()  # what the new policy is made for


@pytree
class PEX(IQL):
    """selection_temperature: kappa >= 0, an inverse temperature. evaluation_noise in [0, 1]; 0 evaluates greedily."""

    selection_temperature: Number = 10.0
    evaluation_noise: Number = 0.1
    expanded: bool = static(default=False)

    def init(self, key: Array, spaces: Spaces) -> PEXState:
        state = super().init(key, spaces)
        return PEXState(**vars(state), frozen=state.actor, grown=jnp.array(False), obs_space=spaces.obs)

    def preferences(self, state: PEXState, obs: Array, first: Array, second: Array) -> Array:
        """`[..., 2]` logits of the frozen policy's and the new policy's action."""
        q = jnp.stack([self.q(state.critic, obs, a).min(axis=0) for a in (first, second)], axis=-1)
        return self.selection_temperature * q

    def act(self, state: IQLState, obs: Array, key: Array, *, explore: bool) -> Array:
        if not self.expanded:
            return super().act(state, obs, key, explore=explore)
        assert isinstance(state, PEXState)
        key_sample, key_choice, key_noise = jax.random.split(key, 3)
        policy = self.policy(state.actor, obs)
        first, second = self.policy(state.frozen, obs).mode(), policy.sample(key_sample)
        rows = second.shape if action_space_of(state.actor).discrete else second.shape[:-1]
        noisy = jax.random.uniform(key_noise, (2, *rows)) < (1.0 if explore else self.evaluation_noise)
        second = tree_where(noisy[0], second, policy.mode())
        logits = self.preferences(state, obs, first, second)
        choice = jnp.where(noisy[1], jax.random.categorical(key_choice, logits), logits.argmax(axis=-1))
        return tree_where(choice == 0, first, second)

    def imitated(self, state: IQLState, batch: Transition, q_target: Array, key: Array) -> tuple[Array, Array]:
        if not self.expanded:
            return super().imitated(state, batch, q_target, key)
        action = self.act(state, batch.obs, key, explore=True)
        return action, self.q(state.target, batch.obs, action).min(axis=0)

    def enter(self, state: IQLState, key: Array, phase: Phase) -> IQLState:
        if not self.expanded:
            return state
        assert isinstance(state, PEXState)
        network = self.actor_network(action_space_of(state.actor))
        actor = network.init(key, state.obs_space.zeros())["params"]
        grown = replace(
            state,
            actor=actor,
            frozen=state.actor,
            actor_opt=init_adam(actor),
            critic_opt=init_adam(state.critic),
            value_opt=init_adam(state.value),
            grown=jnp.array(True),
        )
        return tree_where(state.grown, state, grown)
