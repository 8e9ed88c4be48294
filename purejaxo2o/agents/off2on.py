"""Off2OnRL: an ensemble of CQL agents, fine-tuned on rows that look like the policy's own (Lee et al. 2021, arXiv
2107.00591).

Offline `E` independent CQL agents learn, each with a policy and two critics. Online they are one SAC agent: the
policies' moments before the squashing are matched by one Gaussian,

    pi(.|s) = tanh N(mu, sigma^2),   mu = mean_e mu_e,   sigma^2 = mean_e (sigma_e^2 + mu_e^2) - mu^2

    y_e  = r + gamma (1 - terminated) (min_{i=1,2} Qt_ei(s',a') - alpha log pi(a'|s')),   a' ~ pi
    L_Q  = sum_{e,i} mean_B (Q_ei(s,a) - y_e)^2
    L_pi = mean_B (alpha log pi(a|s) - mean_e min_i Q_ei(s,a)),   a ~ pi
    L_al = log alpha (H + A),   H = -mean log pi(a|s)

on rows drawn by priority (`mix="prioritised"`): a ratio w of online to offline density over (s, a) is learned from
uniform rows of both (`models/density_ratio.py`), and a row that was drawn gets

    priority = clip(w^(1/T) / mean_offline w^(1/T), 1e-3, 1e3)

All losses of a step are taken at the parameters before it (authors' code). On entering the stage "balanced" the
targets become the critics, alpha 1 (`joined_temperature`), and all Adam moments start anew (their fine-tuning is a
program of its own that loads the networks); policies and critics are carried, the conservative penalty is dropped.

Deviations: offline the members see the same minibatches (theirs: separate runs) and differ by first weights and
sampled actions; priorities come from the ratio after its step.
"""

from dataclasses import fields, replace
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import adam, descend, init_adam, polyak_average, rate_or, scan_updates, td_target
from purejaxo2o.agents.cql import CQL, CQLState
from purejaxo2o.agents.sac import SACState
from purejaxo2o.distributions import TanhNormal
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.models import density_ratio
from purejaxo2o.networks import Hidden
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static

LEAST, MOST = 1e-3, 1e3
TINY = 1e-10


@pytree
class Off2OnState(CQLState):
    """All of CQL's parts have a leading axis `[E]`; online the members share one temperature, repeated."""

    ratio: Any
    ratio_opt: Any


@pytree
class Off2On(CQL):
    """ratio_temperature: T > 0, larger is closer to uniform. joined_temperature: alpha > 0 at the switch; None keeps
    the members' (geometric mean). An alpha of 1 is nothing beside locomotion's returns of thousands, and all that
    counts beside rewards of 0 and 1. members: E. stage: "balanced" fine-tunes them as one agent."""

    ratio_temperature: Number = number(default=5.0, above=0.0)
    ratio_learning_rate: Number = number(default=3e-4, low=0.0)
    joined_temperature: Number | None = number(default=1.0, above=0.0)
    members: int = static(default=5)
    stage: Literal["conservative", "balanced"] = static(default="conservative")  # type: ignore[assignment]
    ratio_hidden: Hidden = static(default=(256, 256))

    def init(self, key: Array, spaces: Spaces) -> Off2OnState:
        key_members, key_ratio = jax.random.split(key)
        one = super().init
        stacked = jax.vmap(lambda key: one(key, spaces))(jax.random.split(key_members, self.members))
        ratio = density_ratio.init(self.ratio_hidden, key_ratio, spaces.obs.zeros(), spaces.action.zeros())
        return Off2OnState(**vars(stacked), ratio=ratio, ratio_opt=init_adam(ratio))

    def combined(self, actors: Any, obs: Array) -> TanhNormal:
        """The Gaussian with the moments of all members' mixture."""
        each = jax.vmap(lambda actor: self.policy(actor, obs))(actors)  # [E, ..., A]
        variance = jnp.exp(2.0 * each.log_std).mean(axis=0) + each.mean.var(axis=0)
        return TanhNormal(each.mean.mean(axis=0), jnp.clip(0.5 * jnp.log(variance), -20.0, 2.0))

    def all_values(self, critics: Any, obs: Array, action: Array) -> Array:
        """`[E, 2, ...]` values of every member's critics."""
        return jax.vmap(lambda critic: self.q(critic, obs, action))(critics)

    def act(self, state: SACState, obs: Array, key: Array, *, explore: bool) -> Array:
        policy = self.combined(state.actor, obs)
        return policy.sample(key) if explore else policy.mode()

    def update(self, state: SACState, batches: Transition, key: Array) -> tuple[SACState, Metrics]:
        assert isinstance(state, Off2OnState)
        if self.stage == "balanced":
            return scan_updates(self.balanced_step, state, batches, key)
        one = super().update
        own = CQLState(**{field.name: getattr(state, field.name) for field in fields(CQLState)})
        keys = jax.random.split(key, self.members)
        members, metrics = jax.vmap(lambda state, key: one(state, batches, key))(own, keys)
        return replace(state, **vars(members)), jax.tree.map(jnp.mean, metrics)

    def balanced_step(self, state: Off2OnState, batch: Transition, key: Array) -> tuple[Off2OnState, Metrics]:
        """One minibatch: a third drawn by priority, a third of the dataset, a third of the replay store."""
        key_next, key_own = jax.random.split(key)
        drawn, offline, online = _thirds(batch)
        alpha = jnp.exp(state.log_temperature[0])
        next_action, next_log_prob = self.combined(state.actor, drawn.next_obs).sample_and_log_prob(key_next)
        next_value = self.all_values(state.target, drawn.next_obs, next_action).min(axis=1)
        next_value = residual(next_value, alpha * next_log_prob)
        y = td_target(drawn.reward, drawn.terminated, next_value, self.discount)[:, None]  # [E, 1, B]

        def critic_loss(critics: Any) -> tuple[Array, Metrics]:
            q = self.all_values(critics, drawn.obs, drawn.action)  # [E, 2, B]
            chex.assert_shape(q, (self.members, None, drawn.reward.shape[0]))
            loss = jnp.square(q - y).sum(axis=(0, 1)).mean()
            return loss, {"critic_loss": loss, "q": q.mean()}

        def actor_loss(actors: Any) -> tuple[Array, Metrics]:
            action, log_prob = self.combined(actors, drawn.obs).sample_and_log_prob(key_own)
            value = self.all_values(state.critic, drawn.obs, action).min(axis=1).mean(axis=0)
            loss = residual(alpha * log_prob, value).mean()
            return loss, {"actor_loss": loss, "entropy": -log_prob.mean(), "temperature": alpha}

        def ratio_loss(params: Any) -> tuple[Array, Metrics]:
            w_offline, w_online = (self.ratio(params, rows.obs, rows.action) for rows in (offline, online))
            loss = density_ratio.loss(w_online, w_offline)
            return loss, {"ratio_loss": loss, "ratio_online": w_online.mean(), "ratio_offline": w_offline.mean()}

        critic, critic_opt, metrics = self._descend(critic_loss, state.critic, state.critic_opt, self.learning_rate)
        rate = rate_or(self.actor_learning_rate, self.learning_rate)
        actor, actor_opt, own = self._descend(actor_loss, state.actor, state.actor_opt, rate)
        metrics |= own
        surplus = metrics["entropy"] + self.target_entropy_scale * batch.action.shape[-1]
        log_temperature, temperature_opt, _ = self._descend(
            lambda log_temperature: ((log_temperature * surplus).sum(), {}),
            state.log_temperature,
            state.temperature_opt,
            rate_or(self.temperature_learning_rate, self.learning_rate),
        )
        ratio, ratio_opt, own = descend(ratio_loss, state.ratio, state.ratio_opt, self.ratio_learning_rate)
        state = replace(
            state,
            actor=actor,
            critic=critic,
            target=polyak_average(state.target, critic, self.polyak),
            log_temperature=log_temperature,
            actor_opt=actor_opt,
            critic_opt=critic_opt,
            temperature_opt=temperature_opt,
            ratio=ratio,
            ratio_opt=ratio_opt,
        )
        return state, metrics | own

    def _descend(self, loss: Any, params: Any, opt: Any, rate: Number) -> tuple[Any, Any, Metrics]:
        """An Adam step of all members on a loss that they share; each has kept moments and clock of its own."""
        grads, metrics = jax.grad(loss, has_aux=True)(params)
        params, opt = jax.vmap(adam, in_axes=(0, 0, 0, None))(params, grads, opt, rate)
        return params, opt, metrics

    def ratio(self, params: Any, obs: Array, action: Array) -> Array:
        """w: how much likelier a pair is online than offline."""
        return density_ratio.ratio(self.ratio_hidden, params, obs, action)

    def priorities(self, state: Off2OnState, batches: Transition) -> Array:
        """`[U, B]` of the rows that were drawn by priority."""
        drawn, offline, _ = _thirds(batches)
        w, w_offline = (self.ratio(state.ratio, rows.obs, rows.action) for rows in (drawn, offline))
        power = 1.0 / self.ratio_temperature
        usual = (w_offline**power).mean(axis=-1, keepdims=True)
        return jnp.clip(w**power / (usual + TINY), LEAST, MOST)

    def enter(self, state: SACState, key: Array, at: Boundary) -> SACState:
        assert isinstance(state, Off2OnState)
        if self.stage != "balanced" or not at.begins("balanced"):
            return state
        fresh = jax.vmap(init_adam)
        own, given = state.log_temperature, self.joined_temperature
        log_temperature = jnp.full_like(own, own.mean() if given is None else jnp.log(jnp.asarray(given)))
        return replace(
            state,
            target=state.critic,
            log_temperature=log_temperature,
            actor_opt=fresh(state.actor),
            critic_opt=fresh(state.critic),
            temperature_opt=fresh(log_temperature),
        )


def _thirds(batch: Transition) -> list[Transition]:
    """Of the rows of minibatches `[..., 3 B]`, told by `reward`'s last axis."""
    axis = batch.reward.ndim - 1
    count = batch.reward.shape[axis] // 3

    def part(index: int) -> Transition:
        return jax.tree.map(lambda x: jax.lax.slice_in_dim(x, index * count, (index + 1) * count, axis=axis), batch)

    return [part(index) for index in range(3)]
