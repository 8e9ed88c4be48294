"""A hybrid optimistic actor-critic (NORA-style; after arXiv 2505.03710).

Reconstructed from notes on the paper, without code: constants, the form of the reset and the tabular confidence set
are ours. The critic aims at Q*, is optimistic from all data, offline ones included, and is chosen anew only when it
no longer fits them; the actor climbs it by mirror ascent and starts from uniform whenever it changes:

    switch if for some h  sum_{D_h} (f_h - r - max f_{h+1})^2 - min_g sum_{D_h} (g - r - max f_{h+1})^2 > C beta
    f_h  <- min(H - h, r_hat + P_hat max f_{h+1} + sqrt(beta / (S A n))),   H - h where nobody has been
    pi   <- uniform on a switch;   pi_h(a|s) proportional to pi_h(a|s) exp(eta f_h(s,a)) at every episode

In a table the second sum is that of each pair's own mean, so their difference is `sum n (f - mean target)^2`, which
the new f, equally optimistic about all pairs, keeps within beta. Switches are rare: each needs enough new data.
`optimism=0` is fitted Q iteration in the place of optimism, for offline data that cover.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o.envs import tabular
from purejaxo2o.envs.tabular import Counts, Log, Tabular
from purejaxo2o.types import Array, Number


class Run(NamedTuple):
    """By episode, `[T]`: regret of the policy that made it, and whether the critic was chosen anew before it."""

    regret: Array
    switched: Array
    policy: Array  # [H, S, A], the last


def mean_targets(counts: Counts, f: Array) -> Array:
    """`[H, S, A]`: mean of r + max_a f_{h+1} over the visits of every pair."""
    return counts.mean_reward + jnp.einsum("hsat,ht->hsa", counts.transition, tabular.following(f))


def misfit(counts: Counts, f: Array) -> Array:
    """`[H]`: squared Bellman error beyond the least possible."""
    return (counts.visits * jnp.square(f - mean_targets(counts, f))).sum(axis=(1, 2))


def optimistic(counts: Counts, beta: Number, optimism: Number = 1.0) -> Array:
    """f `[H, S, A]`."""
    horizon, states, actions = counts.visits.shape
    left = horizon - jnp.arange(horizon, dtype=counts.reward.dtype)[:, None, None]
    width = jnp.sqrt(beta / (states * actions) / jnp.maximum(counts.visits, 1.0))
    width = jnp.where(counts.visits > 0, width, left)
    return tabular.induction(counts.mean_reward + optimism * width, counts.transition)[0]


def climb(policy: Array, f: Array, eta: Number) -> Array:
    """One step of mirror ascent with the entropy as its distance."""
    return jax.nn.softmax(jnp.log(policy) + eta * f, axis=-1)


def run(
    mdp: Tabular,
    offline: Log | None,
    rounds: int,
    key: Array,
    *,
    beta: Number = 1.0,
    tolerance: Number = 4.0,
    eta: Number = 1.0,
    optimism: Number = 1.0,
    resets: bool = True,
) -> Run:
    """`rounds` episodes. tolerance: C > 1. offline: counts from the start. resets=False: the policy goes on."""
    best = mdp.start @ tabular.optimal(mdp)[1][0]
    counts = tabular.no_counts(mdp)
    if offline is not None:
        counts = tabular.count(counts, offline)
    uniform = tabular.uniform(mdp)

    def one(
        carry: tuple[Counts, Array, Array], key: Array
    ) -> tuple[tuple[Counts, Array, Array], tuple[Array, Array]]:
        counts, f, policy = carry
        regret = best - tabular.value(mdp, policy)
        counts = tabular.count(counts, tabular.episodes(mdp, policy, key, 1))
        switch = (misfit(counts, f) > tolerance * beta).any()
        f = jnp.where(switch, optimistic(counts, beta, optimism), f)
        policy = climb(jnp.where(switch & resets, uniform, policy), f, eta)
        return (counts, f, policy), (regret, switch)

    first = optimistic(counts, beta, optimism)
    carry = (counts, first, climb(uniform, first, eta))
    (_, _, policy), (regret, switched) = jax.lax.scan(one, carry, jax.random.split(key, rounds))
    return Run(regret, switched, policy)
