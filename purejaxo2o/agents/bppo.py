"""BPPO: PPO's clipped objective alone keeps offline improvement near the data (Zhuang et al. 2023, arXiv 2302.11312).

First (`fit`) a policy clones the data, Q and V evaluate what was recorded (`agents/evaluator.py`); then (`improve`)
the policy takes PPO's steps on recorded states, with actions of its own older self, which it replaces after all
minibatches of an update:

    L_clone = -mean log pi(a|s)
    A       = min_i Q_i(s,b) - V(s), b ~ old(.|s), standardised, then times omega where positive, else 1 - omega
    L_pi    = -mean min(rho A, clip(rho, 1 - eps, 1 + eps) A) - c_e H,   rho = pi(b|s) / old(b|s)
    old    <- pi

At minibatch k, counted from 0, eps is clip * clip_decay^min(k + 1, decay_steps) and the rate learning_rate *
max(learning_rate_end, 1 - k / span) * rate_decay^floor(min(k, decay_steps) / 2); gradients are cut at
`max_grad_norm`. The authors replace `old` only where returns in the environment rose. That is not offline, so here it
is always replaced; `agents/uni_o4.py` asks a learned model.

Policies are Gaussians around a tanh mean, their density not squashed; Q sees actions that are clipped into the box.
log-std is clipped to [-5, 2], or with `log_std="tanh"` lies at -5 + 5/2 (1 + tanh), which starts at -2.5. Discrete
actions: categoricals. Every policy has a leading axis of `members`, for Uni-O4's sake.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.agents.base import adam, bound_norm, descend, init_adam, rate_or, relaxation, scan_updates
from purejaxo2o.agents.evaluator import Evaluator, Timeouts, Values
from purejaxo2o.agents.ppo import PPO, PPOState, standardised, surrogate
from purejaxo2o.distributions import Categorical, ClippedNormal
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.networks import Actor, Distribution, Hidden, action_space_of
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Space, Spaces, Transition, number, pytree, static


@pytree
class BPPOState(PPOState):
    """params: the policy that acts, and V: copies of what is trained below. Offline the clock counts minibatches."""

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

    learning_rate: of policies; value_learning_rate: of Q and V, the same if None. Of these are also `values`,
    `timeouts`, `nonnegative`, `critics`, `delay` and `critic_hidden`, the layers of Q (None: as V's, `hidden`)."""

    learning_rate: Number = number(default=1e-4, low=0.0)
    learning_rate_end: Number = number(default=0.0, low=0.0, high=1.0)
    clip: Number = number(default=0.25, low=0.0)
    entropy_weight: Number = number(default=0.0, low=0.0)
    polyak: Number = number(default=0.005, low=0.0, high=1.0)
    expectile: Number = number(default=0.7, above=0.0, below=1.0)
    clip_decay: Number = number(default=0.96, low=0.0, high=1.0)
    rate_decay: Number = number(default=1.0, low=0.0, high=1.0)
    decay_steps: Number = number(default=201, low=0.0)
    asymmetry: Number | None = number(default=0.9, low=0.0, high=1.0)
    stage: Literal["fit", "values", "improve", "online"] = static(default="fit")
    values: Values = static(default="sarsa")
    timeouts: Timeouts = static(default="bootstrap")
    nonnegative: bool = static(default=False)
    critics: int = static(default=1)
    delay: int = static(default=1)
    critic_hidden: Hidden | None = static(default=None)
    log_std: Literal["clipped", "tanh"] = static(default="clipped")
    members: int = static(default=1)
    activation: Literal["relu"] = static(default="relu")  # Q and V are those of `evaluator`, which has no other

    @property
    def needs(self) -> frozenset[str]:
        sarsa = self.values == "sarsa" and self.stage in ("fit", "values")
        return frozenset({"return_to_go", "next_action"} if sarsa else ())

    @property
    def evaluator(self) -> Evaluator:
        """Who learns Q and V."""
        return Evaluator(
            learning_rate=rate_or(self.value_learning_rate, self.learning_rate),
            adam_eps=self.adam_eps,
            discount=self.discount,
            polyak=self.polyak,
            expectile=self.expectile,
            values=self.values,
            timeouts=self.timeouts,
            nonnegative=self.nonnegative,
            critics=self.critics,
            delay=self.delay,
            hidden=self.hidden,
            critic_hidden=self.critic_hidden or self.hidden,
        )

    def actor_network(self, space: Space) -> Actor:
        bounds = (-np.inf, np.inf) if self.log_std == "tanh" else (-5.0, 2.0)
        return Actor(space, self.actor_hidden, kind="clipped", std="state", log_std_range=bounds)

    def policy(self, actor: Any, obs: Array) -> Distribution:
        policy = super().policy(actor, obs)
        if self.log_std == "tanh" and isinstance(policy, ClippedNormal):
            return policy._replace(log_std=2.5 * jnp.tanh(policy.log_std) - 2.5)
        return policy

    def entropy(self, policy: Distribution, key: Array) -> Array:
        """Mean over the batch, exact; the Gaussian's before its samples are clipped."""
        if isinstance(policy, Categorical):
            return super().entropy(policy, key)
        assert isinstance(policy, ClippedNormal)
        return (policy.log_std + 0.5 * np.log(2.0 * np.pi * np.e)).sum(axis=-1).mean()

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[critics, ...]` values of given actions."""
        return self.evaluator.q(critic, obs, action)

    def value(self, value: Any, obs: Array) -> Array:
        return self.evaluator.v(value, obs)

    def init(self, key: Array, spaces: Spaces) -> BPPOState:
        key_members, key_values = jax.random.split(key)
        obs, network = spaces.obs.zeros(), self.actor_network(spaces.action)
        members = jax.vmap(lambda k: network.init(k, obs)["params"])(jax.random.split(key_members, self.members))
        learned = self.evaluator.init(key_values, spaces)
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
        state, metrics = self.evaluator.step(state, batch, state.steps)
        if self.stage == "fit":
            members, opt, clone_metrics = descend(
                lambda members: self.clone_loss(members, batch, key),
                state.members,
                state.members_opt,
                self.learning_rate,
                self.adam_eps,
            )
            state, metrics = replace(state, members=members, members_opt=opt), metrics | clone_metrics
        params = {"actor": jax.tree.map(lambda x: x[0], state.members), "value": state.value}
        return replace(state, params=params, steps=state.steps + 1), metrics

    def clone_loss(self, members: Any, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        """Sum over the members."""
        policies = jax.vmap(self.policy, in_axes=(0, None))(members, batch.obs)
        known = jax.vmap(lambda policy: policy.log_prob(batch.action))(policies)  # [M, B]
        return -known.mean(axis=1).sum(), {"clone_loss": -known.mean()}

    def improve(self, state: BPPOState, batch: Transition, key: Array) -> tuple[BPPOState, Metrics]:
        """One step of every member on recorded states."""
        clip = self.clip * self.clip_decay ** jnp.minimum(state.steps + 1, self.decay_steps)
        keys = jax.random.split(key, self.members)

        def loss(members: Any) -> tuple[Array, Metrics]:
            each = jax.vmap(lambda *own: self.member_loss(state, batch.obs, clip, *own))
            losses, metrics = each(members, state.old, keys)
            return losses.sum(), jax.tree.map(jnp.mean, metrics)

        grads, metrics = jax.grad(loss, has_aux=True)(state.members)
        grads, norm = jax.vmap(bound_norm, in_axes=(0, None))(grads, self.max_grad_norm)
        left = self.rate_decay ** (jnp.minimum(state.steps, self.decay_steps) // 2)
        rate = self.learning_rate * left * relaxation(state.steps, state.span, self.learning_rate_end)
        members, opt = adam(state.members, grads, state.members_opt, rate, self.adam_eps)
        state = replace(state, members=members, members_opt=opt, steps=state.steps + 1)
        return state, metrics | {"grad_norm": norm.mean(), "clip": clip}

    def member_loss(
        self, state: BPPOState, obs: Array, clip: Array, actor: Any, old: Any, key: Array
    ) -> tuple[Array, Metrics]:
        key_action, key_entropy = jax.random.split(key)
        action, log_prob = self.policy(old, obs).sample_and_log_prob(key_action)
        taken = action if action_space_of(old).discrete else jnp.clip(action, -1.0, 1.0)
        value = self.value(state.value, obs)
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

    def enter(self, state: PPOState, key: Array, at: Boundary) -> PPOState:
        """Improvement starts from the clones, with fresh moments and clocks."""
        assert isinstance(state, BPPOState)
        if self.stage != "improve":
            return state
        span = jnp.int32(at.minibatches)
        moments = init_adam(state.members)
        return replace(state, old=state.members, members_opt=moments, steps=jnp.int32(0), span=span)
