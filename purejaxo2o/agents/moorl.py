"""MOORL: data and experience as two tasks of a meta-learner (arXiv 2506.09574, TMLR 2025).

Each update is one meta-epoch on one source, the dataset or the replay store, drawn at random:

    (phi', theta') <- K SAC steps (critics, targets, policy, temperature) from (phi, theta) on that source's rows
    phi <- phi + beta (phi' - phi),   theta <- theta + beta (theta' - theta)       (Reptile, Nichol et al. 2018)

so the policy phi and the critics theta settle where either source is a few steps away. beta = 1 is SAC on alternating
sources.

No code is public, and the paper's Algorithm 1 writes the meta step as a gradient; its text calls it Reptile, which is
what is here. Left open there, decided here: Adam's moments, targets and temperature are carried on from the inner
steps. A minibatch holds both sources, half and half, and the update takes the half that was drawn.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import polyak_average, require_fraction, scan_updates
from purejaxo2o.agents.sac import SAC, SACState
from purejaxo2o.loop.phases import Phase
from purejaxo2o.types import Array, Metrics, Number, Transition, number, pytree, tree_where


@pytree
class MOORL(SAC):
    """meta_rate: beta in (0, 1]. source_probability: of the dataset."""

    meta_rate: Number = number(default=0.5, above=0.0, high=1.0)
    source_probability: Number = number(default=0.5, low=0.0, high=1.0)

    def check_phase(self, phase: Phase, num_envs: int) -> None:
        require_fraction(self, phase, 0.5)

    def update(self, state: SACState, batches: Transition, key: Array) -> tuple[SACState, Metrics]:
        """K inner steps on halves of the minibatches `[K, B, ...]`, then the meta step."""
        key_source, key_steps = jax.random.split(key)
        half = batches.reward.shape[1] // 2
        from_data = jax.random.bernoulli(key_source, self.source_probability)
        first, second = (jax.tree.map(lambda x, s=s: x[:, s], batches) for s in (slice(half), slice(half, None)))
        adapted, metrics = scan_updates(self.inner, state, tree_where(from_data, first, second), key_steps)
        state = replace(
            adapted,
            actor=polyak_average(state.actor, adapted.actor, self.meta_rate),
            critic=polyak_average(state.critic, adapted.critic, self.meta_rate),
        )
        return state, metrics | {"from_data": from_data.astype(jnp.float32)}

    def inner(self, state: SACState, batch: Transition, key: Array) -> tuple[SACState, Metrics]:
        """One step of SAC on one minibatch."""
        return super().update(state, jax.tree.map(lambda x: x[None], batch), key)
