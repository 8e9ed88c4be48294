"""SPOT: supported policy optimisation (Wu et al. 2022, arXiv 2202.06239).

TD3 whose policy must stay where the data have density, estimated by a conditional VAE that is trained first:

    stage "density":  L_vae = mean_B L(s, a)                                               (`models/cvae.py`)
    stage "policy":   L_pi  = -mean_B Q_1(s, pi(s)) / sg[mean_B |Q_1(s, pi(s))|] + w mean_B L(s, pi(s))

with fresh noise in L, whose gradient flows through pi(s) alone: the VAE is frozen after its stage. `w` falls linearly
over a phase, not below the share `support_weight_end`. Paper and code differ: the paper's objective does not scale
the values, both codes do; so does this one.
"""

from dataclasses import replace
from typing import Any, Literal

import jax

from purejaxo2o.agents.base import descend, fresh_moments, init_adam, relaxation, scan_updates
from purejaxo2o.agents.delayed import Delayed, DelayedState
from purejaxo2o.agents.losses import normalised
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.models import cvae
from purejaxo2o.models.cvae import CVAE
from purejaxo2o.networks import Hidden
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static


@pytree
class SPOTState(DelayedState):
    vae: Any
    vae_opt: Any


@pytree
class SPOT(Delayed):
    """support_weight w and the share of it left at the end of a phase; kl_weight of the VAE's loss; density_samples
    of the latent per row in the policy's loss; reset_optimisers: policy's and critics' moments, on entering."""

    actor_learning_rate: Number | None = number(default=1e-4, low=0.0)
    vae_learning_rate: Number = number(default=1e-3, low=0.0)
    support_weight: Number = number(default=0.25, low=0.0)
    support_weight_end: Number = number(default=1.0, low=0.0, high=1.0)
    kl_weight: Number = number(default=0.5, low=0.0)
    density_samples: int = static(default=1)
    stage: Literal["density", "policy"] = static(default="policy")
    reset_optimisers: bool = static(default=False)
    vae_hidden: Hidden = static(default=(750, 750))

    def vae(self, size: int) -> CVAE:
        return CVAE(size, 2 * size, self.vae_hidden)

    def init(self, key: Array, spaces: Spaces) -> SPOTState:
        key_twin, key_vae = jax.random.split(key)
        state = super().init(key_twin, spaces)
        vae = cvae.init(self.vae(spaces.action.size), key_vae, spaces.obs.zeros())
        return SPOTState(**vars(state), vae=vae, vae_opt=init_adam(vae))

    def update(self, state: DelayedState, batches: Transition, key: Array) -> tuple[DelayedState, Metrics]:
        return scan_updates(self.density_step if self.stage == "density" else self.step, state, batches, key)

    def support_loss(self, vae: Any, obs: Array, action: Array, key: Array, samples: int = 1) -> Array:
        """`[B]`: small where the data have density."""
        network = self.vae(action.shape[-1])
        return cvae.elbo_loss(network, vae, obs, action, key, samples=samples, kl_weight=self.kl_weight)

    def density_step(self, state: SPOTState, batch: Transition, key: Array) -> tuple[SPOTState, Metrics]:
        """One minibatch of the VAE; everything else rests."""

        def loss(vae: Any) -> tuple[Array, Metrics]:
            value = self.support_loss(vae, batch.obs, batch.action, key).mean()
            return value, {"vae_loss": value}

        vae, opt, metrics = descend(loss, state.vae, state.vae_opt, self.vae_learning_rate)
        return replace(state, vae=vae, vae_opt=opt), metrics

    def actor_loss(self, actor: Any, state: DelayedState, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        assert isinstance(state, SPOTState)
        action = self.action(actor, batch.obs)
        support = self.support_loss(state.vae, batch.obs, action, key, self.density_samples).mean()
        weight = self.support_weight * relaxation(state.steps, state.span, self.support_weight_end)
        loss = weight * support - normalised(self.first_q(state.critic, batch.obs, action)).mean()
        return loss, {"actor_loss": loss, "support_loss": support}

    def enter(self, state: DelayedState, key: Array, at: Boundary) -> DelayedState:
        state = super().enter(state, key, at)
        return fresh_moments(state, "actor", "critic") if self.reset_optimisers else state
