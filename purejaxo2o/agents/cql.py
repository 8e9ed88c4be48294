"""Conservative Q-learning on SAC (Kumar et al. 2020, arXiv 2006.04779, eq. 4 with importance sampling).

SAC plus one term in the critic loss, per critic:

    w mean_B ( T logsumexp_k(z_k / T) - Q(s, a) )

with three sources of K actions, all evaluated at the current state s: uniform ones (density 0.5^A), ones of the
policy at s, ones of the policy at s' (density that of the policy at s'); z = Q(s, a_k) - log density(a_k). With
`lagrange`, w is multiplied by alpha' > 0, which is trained to hold the difference at `target_gap`:

    L_l' = -alpha' w (mean_B difference - target_gap)

Neither actions nor densities pass a gradient to the policy.

`stage="plain"` is exactly SAC: the hand-over of WSRL sets it for the online phases.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam
from purejaxo2o.agents.sac import SAC, SACState
from purejaxo2o.networks import pick
from purejaxo2o.shapes import assert_rows, residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static


@pytree
class CQLState(SACState):
    log_lagrange: Array
    lagrange_opt: Any


def conservative_gap(
    q_random: Array,
    q_current: Array,
    q_next: Array,
    q_data: Array,
    *,
    logp_random: Array | float,
    logp_current: Array,
    logp_next: Array,
    temperature: Number = 1.0,
    bound: Array | None = None,
) -> Array:
    """`T logsumexp(z / T) - Q(s, a)`: sources `[..., K, B]` with densities `[K, B]`, data `[..., B]`.

    `bound [B]` (Cal-QL) lifts the values of the two policy sources to at least itself, before their
    log-density is subtracted; its gradient is then zero where it binds."""
    if bound is not None:
        assert_rows(q_current, bound)
        q_current, q_next = jnp.maximum(q_current, bound), jnp.maximum(q_next, bound)
    z = [q_random - logp_random, residual(q_current, logp_current), residual(q_next, logp_next)]
    stacked = jnp.concatenate(z, axis=-2) / temperature
    return residual(temperature * jax.nn.logsumexp(stacked, axis=-2), q_data)


@pytree
class CQL(SAC):
    """cql_weight w >= 0; cql_actions K per source; target_gap in units of Q (only with `lagrange`).

    lagrange_form: alpha' = clip(exp(l'), 0, 1e6) from e on ("exp": CQL's and Cal-QL's code), or log(1 + exp(l')) from
        1 on ("softplus": WSRL's).
    importance_sampling=False: one set {random, next, current, recorded} without densities, minus T log(size).
    penalty_critics: evaluate the penalty on that many members drawn with replacement (WSRL: 2); None: all.
    """

    cql_weight: Number = number(default=5.0, low=0.0)
    cql_temperature: Number = number(default=1.0, above=0.0)
    target_gap: Number = 0.8
    cql_actions: int = static(default=10)
    lagrange: bool = static(default=False)
    lagrange_form: Literal["exp", "softplus"] = static(default="exp")
    stage: Literal["conservative", "plain"] = static(default="conservative")
    importance_sampling: bool = static(default=True)
    penalty_critics: int | None = static(default=None)

    def init(self, key: Array, spaces: Spaces) -> CQLState:
        soft = super().init(key, spaces)
        log_lagrange = jnp.float32(1.0)
        if self.lagrange_form == "softplus":
            log_lagrange = jnp.log(jnp.expm1(log_lagrange))
        return CQLState(**vars(soft), log_lagrange=log_lagrange, lagrange_opt=init_adam(log_lagrange))

    def bound(self, batch: Transition) -> Array | None:
        """`[B]` lower bound on the policy's values inside the penalty; none in CQL."""
        return None

    def gap(self, critic: Any, state: SACState, batch: Transition, q: Array, key: Array) -> Array:
        """`[n, B]` conservative difference of the penalised members; `q [N, B]` at recorded actions."""
        key_random, key_current, key_next, key_subset = jax.random.split(key, 4)
        if self.penalty_critics is not None:
            subset = jax.random.randint(key_subset, (self.penalty_critics,), 0, self.critics)
            critic, q = pick(critic, subset), q[subset]
        count, (rows, size) = self.cql_actions, batch.action.shape
        random = jax.random.uniform(key_random, (count, rows, size), minval=-1.0, maxval=1.0)
        current, logp_current = self.policy(state.actor, batch.obs).sample_and_log_prob(key_current, (count,))
        following, logp_next = self.policy(state.actor, batch.next_obs).sample_and_log_prob(key_next, (count,))
        obs = jnp.broadcast_to(batch.obs, (count, *batch.obs.shape))  # all actions [K, B, A] are evaluated at s
        # Source by source: at once, the activations would not fit a CPU's caches (a tenth slower).
        q_random, q_current, q_next = (self.q(critic, obs, a) for a in (random, current, following))  # [n, K, B]
        bound = self.bound(batch)
        if not self.importance_sampling:
            if bound is not None:
                assert_rows(q_current, bound)
                q_current, q_next = jnp.maximum(q_current, bound), jnp.maximum(q_next, bound)
            everything = jnp.concatenate([q_random, q_next, q_current, q[:, None]], axis=1)
            t = self.cql_temperature
            soft_max = t * (jax.nn.logsumexp(everything / t, axis=1) - jnp.log(everything.shape[1]))
            return residual(soft_max, q)
        return conservative_gap(
            q_random,
            q_current,
            q_next,
            q,
            logp_random=size * jnp.log(0.5),
            logp_current=logp_current,
            logp_next=logp_next,
            temperature=self.cql_temperature,
            bound=bound,
        )

    def multiplier(self, log_lagrange: Array) -> Array:
        """alpha' of its parameter l'."""
        if self.lagrange_form == "softplus":
            return jax.nn.softplus(log_lagrange)
        return jnp.clip(jnp.exp(log_lagrange), 0.0, 1e6)

    def penalty(
        self, critic: Any, state: SACState, batch: Transition, q: Array, key: Array
    ) -> tuple[Number, Metrics]:
        if self.stage == "plain":
            return 0.0, {}
        gap = self.gap(critic, state, batch, q, key).mean()
        if not self.lagrange:
            return self.cql_weight * gap, {"cql_gap": gap}
        assert isinstance(state, CQLState)
        multiplier = self.multiplier(state.log_lagrange)
        return multiplier * self.cql_weight * (gap - self.target_gap), {"cql_gap": gap, "lagrange": multiplier}

    def critic_step(self, state: SACState, batch: Transition, key: Array) -> tuple[SACState, Metrics]:
        """SAC's critic step with the penalty; then one step of the multiplier on the same differences."""
        new, metrics = super().critic_step(state, batch, key)
        if self.stage == "plain" or not self.lagrange:
            return new, metrics
        assert isinstance(state, CQLState)
        log_lagrange, opt = self.lagrange_step(state.log_lagrange, state.lagrange_opt, metrics["cql_gap"])
        return replace(new, log_lagrange=log_lagrange, lagrange_opt=opt), metrics  # type: ignore[call-arg]

    def lagrange_step(self, log_lagrange: Array, opt: Any, gap: Array) -> tuple[Array, Any]:
        """One step of l', up while the difference `gap` is above `target_gap`."""

        def loss(log_lagrange: Array) -> tuple[Array, Metrics]:
            return -self.multiplier(log_lagrange) * self.cql_weight * (gap - self.target_gap), {}

        log_lagrange, opt, _ = descend(loss, log_lagrange, opt, self.learning_rate)
        return log_lagrange, opt
