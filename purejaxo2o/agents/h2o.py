"""H2O: real data and an imperfect simulator (Niu et al. 2022, arXiv 2206.13464).

SAC on minibatches of real (dataset) and simulated (replay) rows. Two classifiers (`models/discriminator.py`) estimate
how much likelier a simulated step is in reality, rho = P_real(s'|s,a) / P_sim(s'|s,a); the critics trust it that far
and are pushed down where the dynamics differ:

    w^2  = clip(rho, 1e-5, 1)
    u    = clip(mean_k log P_sim/P_real (s' + eps_k | s,a), 1e-45, 10),  eps_k ~ N(0, blur^2),  omega = u / sum_B u
    L_i  = mean_real (Q_i - y)^2 + mean_sim w^2 (Q_i - y)^2
           + beta clip(log sum_sim omega exp Q_i - mean_real Q_i, -1000, 1000)

y as in SAC, without entropy. A row whose mean log-ratio is negative has u = 1e-45, which takes it out of the sum: the
authors' clipping, kept. The policy learns on all rows.

blur is the standard deviation of the states in a buffer whose share p (`filled`) holds real rows and the rest zeros:

    blur^2 = p s^2 + p (1 - p) m^2,   with the mean m and the deviation s of a dimension over real rows

p = 1 is the real states' own deviation. The authors' code takes it once, before training, of a buffer with room for
ten times as many simulated rows, still zeros: p = 1/11, hence 0.3 s where m = 0.

The first `real_fraction` of a minibatch is real, as `mix="fraction"` lays it out. Deviations: L is averaged over the
critics (Adam sees the factor in its epsilon alone); the classifiers learn from the minibatch itself (theirs: further
rows); m and s are those of the minibatch's real next observations (theirs: of all real observations, and 0.001 more);
the critics step before the policy.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, polyak_average, rate_or, require_fraction, td_target
from purejaxo2o.agents.sac import SAC, SACState
from purejaxo2o.loop.phases import Phase
from purejaxo2o.models import discriminator
from purejaxo2o.networks import Hidden
from purejaxo2o.shapes import assert_rows, residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static

LOG_LEAST, MOST = -103.2789, 10.0
"""log 1e-45, and 10: the range of u. 1e-45 itself is no float32 that every device keeps."""
LEAST_RATIO = 1e-5
CLIP = 1000.0


def log_gap(log_sim_over_real: Array) -> Array:
    """`log omega [B]` from mean log-ratios `[B]`."""
    positive = log_sim_over_real > 0
    log_u = jnp.where(positive, jnp.log(jnp.where(positive, jnp.minimum(log_sim_over_real, MOST), 1.0)), LOG_LEAST)
    return jax.nn.log_softmax(log_u)


@pytree
class H2OState(SACState):
    discriminator: Any
    discriminator_opt: Any


@pytree
class H2O(SAC):
    """gap_weight: beta >= 0; 0 pushes nothing down. ratio_power: w^2 is the clipped rho to this power; 1 is the
    paper's, 0 trusts every simulated row. input_noise: std of what blurs the classifiers' inputs. filled: p in
    (0, 1]. samples: k.
    real_fraction: keep it equal to the phases' `offline_fraction`."""

    gap_weight: Number = number(default=0.01, low=0.0)
    ratio_power: Number = number(default=1.0, low=0.0)
    input_noise: Number = number(default=0.1, low=0.0)
    filled: Number = number(default=1.0, above=0.0, high=1.0)
    discriminator_learning_rate: Number | None = number(default=None, low=0.0)
    backup_entropy: bool = static(default=False)
    samples: int = static(default=10)
    real_fraction: float = static(default=0.5, low=0.0, high=1.0)
    discriminator_hidden: Hidden = static(default=(256, 256))

    def init(self, key: Array, spaces: Spaces) -> H2OState:
        key_own, key_discriminator = jax.random.split(key)
        state = super().init(key_own, spaces)
        zeros = spaces.obs.zeros(), spaces.action.zeros()
        params = discriminator.init(self.discriminator_hidden, key_discriminator, *zeros)
        return H2OState(**vars(state), discriminator=params, discriminator_opt=init_adam(params))

    def check_phase(self, phase: Phase, num_envs: int) -> None:
        require_fraction(self, phase, self.real_fraction)

    def critic_step(self, state: SACState, batch: Transition, key: Array) -> tuple[SACState, Metrics]:
        assert isinstance(state, H2OState)
        key_target, key_subset, key_blur, key_next = jax.random.split(key, 4)
        state, told_apart = self.discriminate(state, batch, key_blur)
        real = round(self.real_fraction * batch.reward.shape[0])
        sim: Transition = jax.tree.map(lambda x: x[real:], batch)
        weight, log_omega = self.trust(state, sim, self.spread(batch.next_obs[:real]), key_next)
        value = self.next_value(state, batch, key_target, key_subset)
        y = td_target(batch.reward, batch.terminated, value, self.discount)

        def loss(critic: Any) -> tuple[Array, Metrics]:
            q = self.q(critic, batch.obs, batch.action)  # [N, B]
            error = jnp.square(residual(q, y))
            assert_rows(error[:, real:], weight)
            td = error[:, :real].mean() + (weight * error[:, real:]).mean()
            gap = jax.nn.logsumexp(q[:, real:] + log_omega, axis=1) - q[:, :real].mean(axis=1)
            gap = jnp.clip(gap, -CLIP, CLIP).mean()
            return td + self.gap_weight * gap, {"critic_loss": td, "q": q.mean(), "gap": gap}

        critic, opt, metrics = descend(loss, state.critic, state.critic_opt, self.learning_rate)
        target = polyak_average(state.target, critic, self.polyak)
        metrics |= told_apart | {"trust": weight.mean()}
        return replace(state, critic=critic, target=target, critic_opt=opt), metrics

    def discriminate(self, state: H2OState, batch: Transition, key: Array) -> tuple[H2OState, Metrics]:
        """One step of both classifiers."""
        rows = (batch.obs, batch.action, batch.next_obs)
        noise = tuple(jax.random.normal(k, x.shape) for k, x in zip(jax.random.split(key, 3), rows, strict=True))
        count = batch.reward.shape[0]
        first = jnp.arange(count) < round(self.real_fraction * count)

        def loss(params: Any) -> tuple[Array, Metrics]:
            value = discriminator.loss(self.discriminator_hidden, params, rows, first, noise, self.input_noise)
            return value, {"discriminator_loss": value}

        rate = rate_or(self.discriminator_learning_rate, self.learning_rate)
        params, opt, metrics = descend(loss, state.discriminator, state.discriminator_opt, rate)
        return replace(state, discriminator=params, discriminator_opt=opt), metrics

    def spread(self, obs: Array) -> Array:
        """`[O]` blur of next states, of real ones `[R, O]`."""
        unfilled = self.filled * (1.0 - self.filled) * jnp.square(obs.mean(axis=0))
        return jnp.sqrt(self.filled * obs.var(axis=0) + unfilled)

    def trust(self, state: H2OState, sim: Transition, spread: Array, key: Array) -> tuple[Array, Array]:
        """`w^2 [S]` and `log omega [S]` of simulated rows; `spread [O]` of observations."""

        def log_ratio(next_obs: Array) -> Array:
            shape = next_obs.shape[:-1]
            obs, action = (jnp.broadcast_to(x, (*shape, x.shape[-1])) for x in (sim.obs, sim.action))
            return discriminator.log_ratio(self.discriminator_hidden, state.discriminator, obs, action, next_obs)

        near = sim.next_obs + spread * jax.random.normal(key, (self.samples, *sim.next_obs.shape))
        weight = jnp.clip(jnp.exp(log_ratio(sim.next_obs)), LEAST_RATIO, 1.0) ** self.ratio_power
        return weight, log_gap(-log_ratio(near).mean(axis=0))
