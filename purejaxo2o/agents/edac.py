"""SAC-N and EDAC (An et al. 2021, arXiv 2110.01548): pessimism by the minimum of many diverse critics.

SAC with N critics, all of them in the target, plus one term in the critic loss that turns the critics' gradients
with respect to recorded actions away from each other:

    eta mean_B 1/(N-1) sum_{i != j} cos(grad_a Q_i(s,a), grad_a Q_j(s,a))

so that fewer critics make the minimum low off the data. eta = 0 is SAC-N, and so is every eta where actions have one
dimension: the cosine of two numbers is 1 or -1 and has no gradient. The paper sums the temporal-difference loss
over the critics, SAC here takes the mean: the whole critic loss is a factor N smaller, which Adam does not see.
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.sac import SAC, SACState
from purejaxo2o.networks import HEAD, pick
from purejaxo2o.types import Array, Metrics, Number, Transition, number, pytree, static


def alignment(gradients: Array) -> Array:
    """`1/(N-1) sum_{i != j} cos(g_i, g_j)`, `[N, ..., A] -> [...]`; a vanishing gradient counts as orthogonal."""
    squares = jnp.square(gradients).sum(axis=-1, keepdims=True)
    unit = gradients * jax.lax.rsqrt(squares + 1e-20)
    pairs = jnp.square(unit.sum(axis=0)).sum(axis=-1) - jnp.square(unit).sum(axis=(0, -1))
    return pairs / max(len(gradients) - 1, 1)


@pytree
class EDAC(SAC):
    """diversity_weight: eta >= 0; 0 is SAC-N. Keep `target_critics` equal to `critics`."""

    diversity_weight: Number = number(default=1.0, low=0.0)
    critics: int = static(default=10)
    target_critics: int = static(default=10)

    def penalty(
        self, critic: Any, state: SACState, batch: Transition, q: Array, key: Array
    ) -> tuple[Number, Metrics]:
        def slope(member: Any) -> Array:
            """`[B, A]`: a row's value depends on its own action only, so one gradient of the sum holds them all."""
            alone = pick(critic | member, None)
            return jax.grad(lambda action: self.q(alone, batch.obs, action).sum())(batch.action)

        own = {name: part for name, part in critic.items() if name != HEAD}
        similarity = alignment(jax.vmap(slope)(own)).mean()
        return self.diversity_weight / self.critics * similarity, {"alignment": similarity}
