"""Pessimistic value iteration (Rashidinejad et al. 2021, arXiv 2103.12021; Jin et al. 2021, arXiv 2012.15085).

Offline, with counts n of every pair at every step:

    b_h(s,a) = min(H, c H sqrt(log(2 S A H / delta) / n_h(s,a)))
    Q_h      = clip(r_hat + P_hat V_{h+1} - b_h, 0, H - h),   V_h = max_a Q_h,   policy greedy in Q

While every b_h is as large as the error of the backup at V_{h+1}, V_h is at most the policy's own value, and

    V* - V^policy <= 2 sum_h E_{pi*}[b_h]

c = 1/2 is Hoeffding's for sums in [0, H]; the papers leave the constant open.
"""

from typing import NamedTuple

import jax.numpy as jnp

from purejaxo2o.envs.tabular import Counts, greedy, induction
from purejaxo2o.types import Array, Number


class Pessimistic(NamedTuple):
    """Policy `[H, S, A]`, Q `[H, S, A]`, V `[H, S]`, bonuses `[H, S, A]`."""

    policy: Array
    q: Array
    v: Array
    bonus: Array


def pessimistic(counts: Counts, *, scale: Number = 0.5, delta: Number = 0.1) -> Pessimistic:
    """The method on a log's counts. scale: c >= 0; 0 is plain value iteration, which knows no doubt."""
    horizon, states, actions = counts.visits.shape
    width = scale * horizon * jnp.sqrt(jnp.log(2.0 * states * actions * horizon / delta))
    seen = counts.visits > 0
    bonus = jnp.where(seen, width / jnp.sqrt(jnp.where(seen, counts.visits, 1.0)), horizon)
    bonus = jnp.minimum(bonus, horizon)
    q, v = induction(counts.mean_reward - bonus, counts.transition)
    return Pessimistic(greedy(q), q, v, bonus)
