"""SO2 (Zhang et al. 2024, arXiv 2312.07685): fix the values of a pessimistic ensemble while fine-tuning it.

EDAC in the stage "diverse"; in "perturbed" SAC with another target, every critic regressing on its own:

    a~  = clip(a' + clip(eps, -c, c), -1, 1),   a' ~ pi(.|s'),  eps ~ N(0, sigma^2)
    y_i = r + gamma (1 - terminated) (Qt_i(s', a~) - alpha log pi(a'|s'))

The noise makes values smooth around the policy's actions; without the minimum the values stop being pessimistic. The
policy still maximises the minimum. The diversity term goes. Updates are frequent: the recipe makes 10 critic steps
for each of the policy's.

The authors fine-tune in a program of its own that loads networks and targets: the moments can start anew on entering
a phase (`reset_optimisers`), and alpha, too (`perturbed_temperature`), which a temperature's rate of 0 holds there.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import fresh_moments, init_adam
from purejaxo2o.agents.edac import EDAC
from purejaxo2o.agents.sac import SACState
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Transition, number, pytree, static


@pytree
class SO2(EDAC):
    """target_noise sigma, noise_clip c: of the next action. stage: "perturbed" is the online rule.

    perturbed_temperature: alpha > 0 on entering a phase of the online rule; None: it goes on. reset_optimisers: the
    policy's and the critics' moments, on entering."""

    target_noise: Number = number(default=0.3, low=0.0)
    noise_clip: Number = number(default=0.6, low=0.0)
    perturbed_temperature: Number | None = number(default=None, above=0.0)
    stage: Literal["diverse", "perturbed"] = static(default="diverse")
    reset_optimisers: bool = static(default=False)

    def next_value(self, state: SACState, batch: Transition, key: Array, key_subset: Array) -> Array:
        """`[N, B]` when perturbed: one target for every critic."""
        if self.stage == "diverse":
            return super().next_value(state, batch, key, key_subset)
        key_action, key_noise = jax.random.split(key)
        action, log_prob = self.policy(state.actor, batch.next_obs).sample_and_log_prob(key_action)
        noise = self.target_noise * jax.random.normal(key_noise, action.shape)
        action = jnp.clip(action + jnp.clip(noise, -self.noise_clip, self.noise_clip), -1.0, 1.0)
        return residual(self.q(state.target, batch.next_obs, action), self.temperature(state) * log_prob)

    def penalty(
        self, critic: Any, state: SACState, batch: Transition, q: Array, key: Array
    ) -> tuple[Number, Metrics]:
        return (0.0, {}) if self.stage == "perturbed" else super().penalty(critic, state, batch, q, key)

    def enter(self, state: SACState, key: Array, at: Boundary) -> SACState:
        if self.reset_optimisers:
            state = fresh_moments(state, "actor", "critic")
        if self.stage == "diverse" or self.perturbed_temperature is None:
            return state
        alpha = jnp.asarray(self.perturbed_temperature, state.log_temperature.dtype)
        raw = jnp.log(jnp.expm1(alpha)) if self.temperature_form == "softplus" else jnp.log(alpha)
        return replace(state, log_temperature=raw, temperature_opt=init_adam(raw))
