"""Hybrid policy evaluation, the critic that HNPG and HAC share (Zhou et al. 2023, arXiv 2311.08384, algorithm 2).

An on-policy method's critic, fitted to a rollout of the policy (on) and to the dataset (off) in K rounds, one for
each minibatch that it is fed:

    f_k   = argmin_f  rho E_off (f(s,a) - r - gamma (1 - terminated) E_{a'~pi} f_{k-1}(s',a'))^2
                      + (1 - rho) E_on (f(s,a) - y)^2,                            rho = 1 / (1 + lambda)
    f_bar = mean of the last `averaged` f_k

y is the rollout's discounted return, without any bootstrap: if the dataset misleads the first term (no coverage, a
class of functions that cannot hold its fixed point), the second still tells the truth about the policy. Offline rows
in turn know rewards that the policy has never seen. f_0 is the critic that the last update left.

`fit_steps` Adam steps over a whole minibatch and the whole rollout stand for the argmin; each round starts with fresh
moments (authors' code). E_pi is exact for a categorical, else the mean of `samples` actions.

Deviations: returns are discounted sums instead of sums that stop with probability 1 - gamma, the same in the mean;
where a truncation or the end of the rollout cuts an episode, f_0 stands for what is missing. A return whose episode
terminates has no bootstrap in it. One rollout serves all rounds (authors' code), and one network all time steps: the
authors' code has one per step of the horizon.
"""

from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, td_target
from purejaxo2o.distributions import Categorical
from purejaxo2o.loop.agent import Agent
from purejaxo2o.loop.phases import Phase
from purejaxo2o.networks import Actor, Distribution, Hidden, action_space_of, apply, ensemble, q_values
from purejaxo2o.shapes import assert_batch, residual
from purejaxo2o.types import Array, Metrics, Number, O2OError, Space, Spaces, Transition, number, pytree, static

Targets = tuple[Array, Array, Array]
"""Observations, actions and what their values should be, with equal leading axes."""


def returns(reward: Array, terminated: Array, last: Array, following: Array, discount: Number) -> Array:
    """Discounted sums of rewards `[T, ...]` up to the episode's end; `following`, the value of the next state, stands
    for whatever a truncation or the end of the rollout cut off."""

    def back(later: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, terminated, last, following = now
        total = reward + discount * jnp.where(terminated, 0.0, jnp.where(last, following, later))
        return total, total

    return jax.lax.scan(back, following[-1], (reward, terminated, last, following), reverse=True)[1]


def joined(offline: Array, online: Array) -> Array:
    """Rows `[B, ...]` of the dataset, then those `[T, E, ...]` of the rollout."""
    return jnp.concatenate([offline, online.reshape(-1, *online.shape[2:])])


@pytree
class HybridState:
    actor: Any
    critic: Any  # [averaged, ...]: the critics of the last rounds, whose mean is f_bar


@pytree
class Hybrid(Agent):
    """offline_share: rho in [0, 1], 1/2 for lambda = 1; 0 is the on-policy method, 1 learns from the dataset alone.

    Metrics: td_loss and return_loss, the two terms as each round leaves them, averaged over the rounds;
    critic_loss, their weighted sum; q, the mean value of the dataset's actions."""

    learning_rate: Number = number(default=3e-4, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    offline_share: Number = number(default=0.5, low=0.0, high=1.0)
    fit_steps: int = static(default=30)
    averaged: int = static(default=1)
    samples: int = static(default=10)
    hidden: Hidden = static(default=(64, 64))
    actor_hidden: Hidden = static(default=(16, 16))

    def actor_network(self, space: Space) -> Actor:
        return Actor(space, self.actor_hidden, std="global", log_std_range=(-5.0, 2.0))

    def policy(self, actor: Any, obs: Array) -> Distribution:
        return apply(self.actor_network(action_space_of(actor)), actor, obs)

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """Of every critic that is averaged, `[averaged, ...]`."""
        return q_values(critic, obs, action, self.hidden)

    def value(self, critic: Any, policy: Distribution, obs: Array, key: Array) -> Array:
        """`E_{a~pi} f_bar(s, a)`, `[...]`; gradients flow to the policy."""
        if isinstance(policy, Categorical):
            weight = jnp.moveaxis(jax.nn.softmax(policy.logits), -1, 0)  # [n, ...]
            every = jnp.arange(len(weight), dtype=jnp.int32).reshape(-1, *(1,) * (weight.ndim - 1))
            action = jnp.broadcast_to(every, weight.shape)
        else:
            action, log_prob = policy.sample_and_log_prob(key, (self.samples,))  # type: ignore[call-arg]
            weight = jnp.full_like(log_prob, 1.0 / self.samples)
        q = self.q(critic, jnp.broadcast_to(obs, (len(weight), *obs.shape)), action).mean(axis=0)
        chex.assert_equal_shape([weight, q])
        return (weight * q).sum(axis=0)

    def weights(self, offline: Array, online: Array) -> Array:
        """Of rows that are `joined`: rho for all of `offline [B]` together, 1 - rho for `online [T, E]`."""
        share = self.offline_share
        return joined(
            jnp.full_like(offline, share / offline.size), jnp.full_like(online, (1.0 - share) / online.size)
        )

    def init(self, key: Array, spaces: Spaces) -> HybridState:
        key_actor, key_critic = jax.random.split(key)
        obs, critics = spaces.obs.zeros(), ensemble(spaces.action, self.hidden, self.averaged)
        return HybridState(
            actor=self.actor_network(spaces.action).init(key_actor, obs)["params"],
            critic=critics.init(key_critic, obs, spaces.action.zeros())["params"],
        )

    def act(self, state: HybridState, obs: Array, key: Array, *, explore: bool) -> Array:
        policy = self.policy(state.actor, obs)
        return policy.sample(key) if explore else policy.mode()

    def update(
        self, state: HybridState, fed: tuple[Transition, Transition], key: Array
    ) -> tuple[HybridState, Metrics]:
        """One iteration: evaluate the policy that made the rollout `[T, E, ...]`, with a round for each of the
        minibatches `[K, B, ...]`, then improve it, offline at the last minibatch."""
        rollout, batches = fed
        assert_batch(rollout)
        assert_batch(batches)
        key_critic, key_policy = jax.random.split(key)
        state, losses = self.evaluate(state, rollout, batches, key_critic)
        actor, metrics = self.improve(state, rollout, jax.tree.map(lambda x: x[-1], batches), key_policy)
        return replace(state, actor=actor), losses | metrics

    def improve(self, state: HybridState, rollout: Transition, batch: Transition, key: Array) -> tuple[Any, Metrics]:
        """The next policy's parameters; `state.critic` values the present one."""
        raise NotImplementedError

    def evaluate(
        self, state: HybridState, rollout: Transition, batches: Transition, key: Array
    ) -> tuple[HybridState, Metrics]:
        """Hybrid policy evaluation: the state with new critics."""

        def following(critic: Any, rows: Transition, key: Array) -> Array:
            return self.value(critic, self.policy(state.actor, rows.next_obs), rows.next_obs, key)

        key_return, key_rounds = jax.random.split(key)
        value = following(state.critic, rollout, key_return)
        y = returns(rollout.reward, rollout.terminated, rollout.last, value, self.discount)

        def one_round(critic: Any, fed: tuple[Transition, Array]) -> tuple[Any, Any]:
            batch, key = fed
            target = td_target(batch.reward, batch.terminated, following(critic, batch, key), self.discount)
            offline, online = (batch.obs, batch.action, target), (rollout.obs, rollout.action, y)
            critic, metrics = self.fit(critic, offline, online)
            return critic, (critic, metrics)

        start = jax.tree.map(lambda x: x[-1:], state.critic)
        keys = jax.random.split(key_rounds, batches.reward.shape[0])
        _, (rounds, metrics) = jax.lax.scan(one_round, start, (batches, keys))
        critic = jax.tree.map(lambda x: x[-self.averaged :, 0], rounds)
        return replace(state, critic=critic), jax.tree.map(lambda x: x[:, -1].mean(), metrics)

    def fit(self, critic: Any, offline: Targets, online: Targets) -> tuple[Any, Metrics]:
        """`fit_steps` of Adam from fresh moments; metrics `[fit_steps]`."""

        def step(carry: Any, _: None) -> tuple[Any, Metrics]:
            critic, opt = carry
            critic, opt, metrics = descend(
                lambda critic: self.loss(critic, offline, online), critic, opt, self.learning_rate
            )
            return (critic, opt), metrics

        (critic, _), metrics = jax.lax.scan(step, (critic, init_adam(critic)), length=self.fit_steps)
        return critic, metrics

    def loss(self, critic: Any, offline: Targets, online: Targets) -> tuple[Array, Metrics]:
        """Both regressions, each a mean over its own rows."""

        def error(obs: Array, action: Array, target: Array) -> tuple[Array, Array]:
            q = self.q(critic, obs, action)[0]
            return jnp.square(residual(q, target)).mean(), q.mean()

        (td, q), (regression, _) = error(*offline), error(*online)
        loss = self.offline_share * td + (1.0 - self.offline_share) * regression
        return loss, {"critic_loss": loss, "td_loss": td, "return_loss": regression, "q": q}

    def check_phase(self, phase: Phase, num_envs: int) -> None:
        if phase.feed != "both":
            raise O2OError(
                f"{phase.name}.feed is {phase.feed!r}, yet {type(self).__name__} learns from a rollout and "
                f"minibatches of the dataset; set {phase.name}.feed='both'"
            )
        if self.averaged > phase.updates:
            raise O2OError(
                f"{phase.name}.updates is {phase.updates}, a round of evaluation each, of which agent.averaged="
                f"{self.averaged} cannot be averaged; change one"
            )
