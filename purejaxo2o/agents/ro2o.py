"""RO2O: an ensemble that is smooth and pessimistic around the data (Wen et al. 2023, arXiv 2309.16973).

SAC with N critics, all of them in the target, and three terms at K states near each one of the minibatch. These are
s_k = s + r sigma n_k, n_k uniform on [-1, 1] in every dimension, with noise and radius r of its own for every term:

    values:  w_v mean_B max_k mean_i h(Q_i(s_k,a) - Q_i(s,a)),   h(x) = (1 - eta) x^2 for x > 0, eta x^2 below
    pull:    w_o mean_{i,B,k} (Q_i(s_k,b) - sg[Q_i(s_k,b) - lambda std_j Q_j(s_k,b)])^2,   b ~ pi(.|s_k)
    policy:  w_p mean_B max_k (KL(pi(.|s), pi(.|s_k)) + KL(pi(.|s_k), pi(.|s)))            (before the tanh)

The first two are added to the critics' loss (divided by N: the paper sums over the critics, `agents/sac.py` takes the
mean), the third to the policy's; std divides by N - 1. lambda falls by `uncertainty_decay` a minibatch, not below
`uncertainty_end`, and goes on from where it is at the switch. A minibatch shares the K noises (authors' code).

The authors scale every dimension of the states to unit variance over the dataset. Here states stay as they are and
sigma is the standard deviation of each dimension over the minibatch: the same neighbourhoods, in new data too.

In mazes every critic follows a target of its own, Qt_i - alpha log pi, and the policy maximises mean_i Q_i -
lower_bound std_i Q_i (`pessimism="bound"`) or min_i Q_i (`"policy"`) while it imitates: + bc_weight mean (b - a)^2
over rows and dimensions, b ~ pi.

Online (`stage="online"`) nothing changes in the paper; the authors' code has the three terms commented out
(`online_terms=False`), which is SAC-N.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.sac import SAC, SACState
from purejaxo2o.distributions import TanhNormal
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static


def lopsided(error: Array, asymmetry: Number) -> Array:
    """h: elementwise square, an excess counting `1 - asymmetry`, a shortfall `asymmetry`."""
    return jnp.where(error > 0, 1.0 - asymmetry, asymmetry) * jnp.square(error)


def divergence(one: TanhNormal, other: TanhNormal) -> Array:
    """`[...]` sum of both Kullback-Leibler divergences of the Gaussians before the tanh."""
    gap = jnp.square(one.mean - other.mean)
    first, second = jnp.exp(2.0 * one.log_std), jnp.exp(2.0 * other.log_std)
    return 0.5 * ((first + gap) / second + (second + gap) / first - 2.0).sum(axis=-1)


def spread(q: Array) -> Array:
    """Standard deviation over the critics, `[N, ...] -> [...]`; its gradient is finite where they agree."""
    return jnp.sqrt(q.var(axis=0, ddof=1) + 1e-12)


def largest(x: Array) -> Array:
    """`[K, ...] -> [...]`. `x.max(0)` divides its gradient by how many entries equal the maximum: by none where XLA
    works them out twice and rounds differently, and all is lost (seen on CPUs at optimisation level 0)."""
    return jnp.take_along_axis(x, x.argmax(axis=0, keepdims=True), axis=0)[0]


@pytree
class RO2OState(SACState):
    steps: Array  # int32: minibatches so far, the clock of lambda


@pytree
class RO2O(SAC):
    """value_weight, pull_weight, policy_weight: w_v, w_o, w_p; ..._radius: r of each; neighbours: K.

    asymmetry eta; uncertainty lambda at first, and what it falls to and by. At least two critics, all in the target.

    Metrics of its own: value_jump, pull and policy_jump, the three terms without their weights."""

    value_weight: Number = number(default=1e-4, low=0.0)
    value_radius: Number = number(default=0.01, low=0.0)
    pull_weight: Number = number(default=0.1, low=0.0)
    pull_radius: Number = number(default=0.01, low=0.0)
    policy_weight: Number = number(default=1.0, low=0.0)
    policy_radius: Number = number(default=0.01, low=0.0)
    asymmetry: Number = number(default=0.2, low=0.0)
    uncertainty: Number = number(default=1.0, low=0.0)
    uncertainty_end: Number = number(default=0.1, low=0.0)
    uncertainty_decay: Number = number(default=5e-7, low=0.0)
    lower_bound: Number = number(default=4.0, low=0.0)
    bc_weight: Number = number(default=0.0, low=0.0)
    pessimism: Literal["minimum", "policy", "bound"] = static(default="minimum")
    stage: Literal["offline", "online"] = static(default="offline")
    online_terms: bool = static(default=True)
    neighbours: int = static(default=20)
    critics: int = static(default=10, low=2)
    target_critics: int = static(default=10, low=2)

    def init(self, key: Array, spaces: Spaces) -> RO2OState:
        return RO2OState(**vars(super().init(key, spaces)), steps=jnp.int32(0))

    @property
    def robust(self) -> bool:
        """Whether the three terms are there."""
        return self.online_terms or self.stage == "offline"

    def near(self, obs: Array, radius: Number, key: Array) -> Array:
        """`[K, B, O]` states around those of the minibatch."""
        noise = jax.random.uniform(key, (self.neighbours, 1, obs.shape[-1]), minval=-1.0, maxval=1.0)
        return obs + radius * obs.std(axis=0) * noise

    def next_value(self, state: SACState, batch: Transition, key: Array, key_subset: Array) -> Array:
        """`[B]`, or `[N, B]` where every critic has its own target."""
        if self.pessimism == "minimum":
            return super().next_value(state, batch, key, key_subset)
        action, log_prob = self.policy(state.actor, batch.next_obs).sample_and_log_prob(key)
        return residual(self.q(state.target, batch.next_obs, action), self.temperature(state) * log_prob)

    def policy_value(self, q: Array) -> Array:
        if self.pessimism == "bound":
            return q.mean(axis=0) - self.lower_bound * spread(q)
        return super().policy_value(q)

    def penalty(
        self, critic: Any, state: SACState, batch: Transition, q: Array, key: Array
    ) -> tuple[Number, Metrics]:
        if not self.robust:
            return 0.0, {}
        assert isinstance(state, RO2OState)
        key_value, key_pull, key_action = jax.random.split(key, 3)
        near = self.near(batch.obs, self.value_radius, key_value)
        error = self.q(critic, near, jnp.broadcast_to(batch.action, (*near.shape[:-1], batch.action.shape[-1])))
        jump = largest(lopsided(error - q[:, None], self.asymmetry).mean(axis=0)).mean()
        near = self.near(batch.obs, self.pull_radius, key_pull)
        own = self.q(critic, near, self.policy(state.actor, near).sample(key_action))  # [N, K, B]
        trust = jnp.maximum(self.uncertainty - self.uncertainty_decay * state.steps, self.uncertainty_end)
        pull = jnp.square(own - jax.lax.stop_gradient(own - trust * spread(own))).mean()
        total = (self.value_weight * jump + self.pull_weight * pull) / self.critics
        return total, {"value_jump": jump, "pull": pull}

    def policy_penalty(
        self, actor: Any, state: SACState, batch: Transition, action: Array, key: Array
    ) -> tuple[Number, Metrics]:
        imitation = self.bc_weight * jnp.square(residual(action, batch.action)).mean()
        if not self.robust:
            return imitation, {}
        near = self.near(batch.obs, self.policy_radius, jax.random.fold_in(key, 1))
        jump = largest(divergence(self.policy(actor, batch.obs), self.policy(actor, near))).mean()
        return imitation + self.policy_weight * jump, {"policy_jump": jump}

    def critic_step(self, state: SACState, batch: Transition, key: Array) -> tuple[SACState, Metrics]:
        after, metrics = super().critic_step(state, batch, key)
        assert isinstance(after, RO2OState)
        return replace(after, steps=after.steps + 1), metrics
