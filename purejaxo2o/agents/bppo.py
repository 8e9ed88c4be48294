"""BPPO: PPO's clipped objective alone keeps offline improvement near the data (Zhuang et al. 2023, arXiv 2302.11312).

First (`fit`) a policy clones the data, Q and V evaluate what was recorded; then (`improve`) the policy takes PPO's
steps on recorded states, with actions of its own older self, which it replaces after all minibatches of an update:

    L_clone = -mean log pi(a|s)
    L_V     = mean (R - V(s))^2,   L_Q = sum_i mean (Q_i(s,a) - r - gamma (1 - terminated) min_j Qt_j(s',a'))^2
    A       = min_i Q_i(s,b) - V(s), b ~ old(.|s), standardised, then times omega where positive, else 1 - omega
    L_pi    = -mean min(rho A, clip(rho, 1 - eps, 1 + eps) A) - c_e H,   rho = pi(b|s) / old(b|s)
    old    <- pi

R and a' are recorded returns and next actions; `values="iql"` learns Q and V as IQL does. eps at minibatch k is
clip * clip_decay^min(k, clip_steps); gradients are cut at `max_grad_norm`, the learning rate falls to 0. The authors
replace `old` only where returns in the environment rose. That is not offline, so here it is always replaced;
`agents/uni_o4.py` asks a learned model.

Policies are Gaussians around a tanh mean, their density not squashed; Q sees actions that are clipped into the box.
Discrete actions: categoricals. Every policy has a leading axis of `members`, for Uni-O4's sake.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import (
    adam,
    bound_norm,
    descend,
    init_adam,
    polyak_average,
    rate_or,
    relaxation,
    scan_updates,
    td_target,
)
from purejaxo2o.agents.iql import IQL
from purejaxo2o.agents.ppo import PPO, PPOState, standardised, surrogate
from purejaxo2o.networks import Actor, action_space_of
from purejaxo2o.phases import Phase
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Space, Spaces, Transition, pytree, static


@pytree
class BPPOState(PPOState):
    """params: the policy that acts, and V: copies of what is trained below. While improving, the clock counts
    minibatches."""

    members: Any  # [M, ...] pi
    old: Any  # [M, ...]
    members_opt: Any
    critic: Any
    target: Any
    value: Any
    critic_opt: Any
    value_opt: Any


@pytree
class BPPO(PPO):
    """stage: what an update does; "values" is `fit` without policies. asymmetry: omega, None: advantages as they are.

    learning_rate: of policies; value_learning_rate: of Q and V, the same if None."""

    learning_rate: Number = 1e-4
    learning_rate_end: Number = 0.0
    clip: Number = 0.25
    entropy_weight: Number = 0.0
    polyak: Number = 0.005
    expectile: Number = 0.7
    clip_decay: Number = 0.96
    clip_steps: Number = 200
    asymmetry: Number | None = 0.7
    stage: Literal["fit", "values", "improve", "online"] = static(default="fit")
    values: Literal["iql", "sarsa"] = static(default="sarsa")
    members: int = static(default=1)
    activation: Literal["relu"] = static(default="relu")  # Q and V are those of `evaluator`, which has no other

    @property
    def needs(self) -> frozenset[str]:
        sarsa = self.values == "sarsa" and self.stage in ("fit", "values")
        return frozenset({"return_to_go", "next_action"} if sarsa else ())

    @property
    def evaluator(self) -> IQL:
        """Who learns Q and V. Its own policy is not used."""
        return IQL(
            learning_rate=rate_or(self.value_learning_rate, self.learning_rate),
            discount=self.discount,
            expectile=self.expectile if self.values == "iql" else 0.5,
            hidden=self.hidden,
        )

    def actor_network(self, space: Space) -> Actor:
        return Actor(space, self.actor_hidden, kind="clipped", std="state", log_std_range=(-5.0, 2.0))

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[2, ...]` values of given actions."""
        return self.evaluator.q(critic, obs, action)

    def init(self, key: Array, spaces: Spaces) -> BPPOState:
        key_members, key_values = jax.random.split(key)
        obs, network = spaces.obs.zeros(), self.actor_network(spaces.action)
        members = jax.vmap(lambda k: network.init(k, obs)["params"])(jax.random.split(key_members, self.members))
        learned = vars(self.evaluator.init(key_values, spaces))
        learned = {name: learned[name] for name in ("critic", "target", "value", "critic_opt", "value_opt")}
        params = {"actor": jax.tree.map(lambda x: x[0], members), "value": learned["value"]}
        base = {"params": params, "opt": init_adam(params), "steps": jnp.int32(0), "span": jnp.int32(1)}
        return BPPOState(**base, members=members, old=members, members_opt=init_adam(members), **learned)

    def update(self, state: PPOState, rollout: Transition, key: Array) -> tuple[PPOState, Metrics]:
        """`rollout`: minibatches `[U, B, ...]` of the data."""
        assert isinstance(state, BPPOState)
        if self.stage != "improve":
            return scan_updates(self.fit, state, rollout, key)
        key_steps, key_old = jax.random.split(key)
        after, metrics = scan_updates(self.improve, state, rollout, key_steps)
        after, old_metrics = self.replace_old(after, rollout, key_old)
        return after, metrics | old_metrics

    def fit(self, state: BPPOState, batch: Transition, key: Array) -> tuple[BPPOState, Metrics]:
        """One minibatch `[B, ...]`: V, Q with the new V, targets, policies."""
        state, metrics = self.value_fit(state, batch)
        if self.stage == "fit":
            members, opt, clone_metrics = descend(
                lambda members: self.clone_loss(members, batch, key),
                state.members,
                state.members_opt,
                self.learning_rate,
            )
            state, metrics = replace(state, members=members, members_opt=opt), metrics | clone_metrics
        params = {"actor": jax.tree.map(lambda x: x[0], state.members), "value": state.value}
        return replace(state, params=params), metrics

    def value_fit(self, state: BPPOState, batch: Transition) -> tuple[BPPOState, Metrics]:
        learner, recorded = self.evaluator, self.values == "sarsa"
        goal = batch.extras["return_to_go"] if recorded else self.q(state.target, batch.obs, batch.action).min(axis=0)
        value, value_opt, metrics = learner.value_step(state, batch, goal)
        if recorded:
            following = self.q(state.target, batch.next_obs, batch.extras["next_action"]).min(axis=0)
        else:
            following = learner.value(value, batch.next_obs)
        y = td_target(batch.reward, batch.terminated, following, self.discount)
        critic, critic_opt, critic_metrics = learner.critic_step(state, batch, y)
        target = polyak_average(state.target, critic, self.polyak)
        state = replace(state, critic=critic, target=target, critic_opt=critic_opt, value=value, value_opt=value_opt)
        return state, metrics | critic_metrics

    def clone_loss(self, members: Any, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        """Sum over the members."""
        policies = jax.vmap(self.policy, in_axes=(0, None))(members, batch.obs)
        known = jax.vmap(lambda policy: policy.log_prob(batch.action))(policies)  # [M, B]
        return -known.mean(axis=1).sum(), {"clone_loss": -known.mean()}

    def improve(self, state: BPPOState, batch: Transition, key: Array) -> tuple[BPPOState, Metrics]:
        """One step of every member on recorded states."""
        clip = self.clip * self.clip_decay ** jnp.minimum(state.steps, self.clip_steps)
        keys = jax.random.split(key, self.members)

        def loss(members: Any) -> tuple[Array, Metrics]:
            each = jax.vmap(lambda *own: self.member_loss(state, batch.obs, clip, *own))
            losses, metrics = each(members, state.old, keys)
            return losses.sum(), jax.tree.map(jnp.mean, metrics)

        grads, metrics = jax.grad(loss, has_aux=True)(state.members)
        grads, norm = jax.vmap(bound_norm, in_axes=(0, None))(grads, self.max_grad_norm)
        rate = self.learning_rate * relaxation(state.steps, state.span, self.learning_rate_end)
        members, opt = adam(state.members, grads, state.members_opt, rate)
        state = replace(state, members=members, members_opt=opt, steps=state.steps + 1)
        return state, metrics | {"grad_norm": norm.mean(), "clip": clip}

    def member_loss(
        self, state: BPPOState, obs: Array, clip: Array, actor: Any, old: Any, key: Array
    ) -> tuple[Array, Metrics]:
        key_action, key_entropy = jax.random.split(key)
        action, log_prob = self.policy(old, obs).sample_and_log_prob(key_action)
        taken = action if action_space_of(old).discrete else jnp.clip(action, -1.0, 1.0)
        value = self.evaluator.value(state.value, obs)
        advantage = standardised(residual(self.q(state.critic, obs, taken).min(axis=0), value))
        if self.asymmetry is not None:
            advantage *= jnp.where(advantage > 0, self.asymmetry, 1.0 - self.asymmetry)
        policy = self.policy(actor, obs)
        ratio = jnp.exp(residual(policy.log_prob(action), log_prob))
        entropy = self.entropy(policy, key_entropy)
        loss = -surrogate(ratio, advantage, clip).mean() - self.entropy_weight * entropy
        return loss, {"actor_loss": loss, "entropy": entropy}

    def replace_old(self, state: BPPOState, batches: Transition, key: Array) -> tuple[BPPOState, Metrics]:
        """What the steps of one update lead to."""
        best = jax.tree.map(lambda x: x[0], state.members)
        return replace(state, old=state.members, params=state.params | {"actor": best}), {}

    def enter(self, state: PPOState, key: Array, phase: Phase) -> PPOState:
        """Improvement starts from the clones, with fresh moments and clocks."""
        assert isinstance(state, BPPOState)
        if self.stage != "improve":
            return state
        span = jnp.int32(phase.steps * phase.updates)
        moments = init_adam(state.members)
        return replace(state, old=state.members, members_opt=moments, steps=jnp.int32(0), span=span)
