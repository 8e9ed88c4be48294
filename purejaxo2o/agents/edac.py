"""SAC-N and EDAC (An et al. 2021, arXiv 2110.01548): pessimism by the minimum of many diverse critics.

SAC with N critics, all of them in the target, plus one term in the critic loss that turns the critics' gradients
with respect to recorded actions away from each other:

    eta mean_B 1/(N-1) sum_{i != j} cos(grad_a Q_i(s,a), grad_a Q_j(s,a))

so that fewer critics make the minimum low off the data. eta = 0 is SAC-N, and so is every eta where actions have one
dimension: the cosine of two numbers is 1 or -1 and has no gradient. The paper sums the temporal-difference loss over
the critics, SAC here takes the mean: the whole critic loss is a factor N smaller. Adam divides by the size of the
gradients and sees that in its epsilon alone.

`max_backup` is the authors' target for pen-cloned, of the critics themselves instead of their targets, without
entropy:

    y = r + gamma (1 - terminated) min_i max_{k<=K} Q_i(s',a'_k),   a'_k ~ pi(.|s')
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.sac import SAC, SACState
from purejaxo2o.networks import HEAD, pick
from purejaxo2o.shapes import assert_rows
from purejaxo2o.types import Array, Metrics, Number, Transition, number, pytree, static


def alignment(gradients: Array) -> Array:
    """`1/(N-1) sum_{i != j} cos(g_i, g_j)`, `[N, ..., A] -> [...]`; a vanishing gradient counts as orthogonal."""
    squares = jnp.square(gradients).sum(axis=-1, keepdims=True)
    unit = gradients * jax.lax.rsqrt(squares + 1e-20)
    pairs = jnp.square(unit.sum(axis=0)).sum(axis=-1) - jnp.square(unit).sum(axis=(0, -1))
    return pairs / max(len(gradients) - 1, 1)


@pytree
class EDAC(SAC):
    """diversity_weight: eta >= 0; 0 is SAC-N. Keep `target_critics` equal to `critics`.

    max_backup: see above, with K = `target_samples`; `backup_entropy` has no say in it."""

    diversity_weight: Number = number(default=1.0, low=0.0)
    max_backup: bool = static(default=False)
    critics: int = static(default=10)
    target_critics: int = static(default=10)

    def next_value(self, state: SACState, batch: Transition, key: Array, key_subset: Array) -> Array:
        if not self.max_backup:
            return super().next_value(state, batch, key, key_subset)
        policy = self.policy(state.actor, batch.next_obs)
        action = policy.sample_and_log_prob(key, (self.target_samples,))[0]  # [K, B, A]
        assert_rows(action[..., 0], batch.reward)
        obs = jnp.broadcast_to(batch.next_obs, (*action.shape[:-1], batch.next_obs.shape[-1]))
        return self.q(state.critic, obs, action).max(axis=1).min(axis=0)

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
