"""HyGLOW: an offline method made hybrid (Amortila et al. 2024, arXiv 2401.09681).

The reduction: for t = 1..T run the offline method on the first t - 1 offline episodes and all t - 1 online ones, roll
its policy out once, keep the episode. It succeeds for every offline method whose risk grows with the *clipped*
concentrability

    CC_h(pi, mu, g) = E_{d^pi}[min(d^pi_h / mu_h, g)]

HyGLOW takes MABO.CR for it, on n rows with classes F of Q functions and W of density ratios:

    f = argmin_F max_W sum_h |E[clip_g(w_h) (f_h(x,a) - r - max_a' f_{h+1}(x',a'))]| - alpha E[clip_g(w_h)^2]
    clip_g(w) = min(w, g),  g = gamma n,  alpha = 8 / g

Reconstructed: classes are given as lists of tables, so that the argmin is a search. The mixture of all policies is
what the guarantee is about, not the last one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o.envs import tabular
from purejaxo2o.envs.tabular import Counts, Log, Tabular, greedy
from purejaxo2o.types import Array, Number


def concentrability(mdp: Tabular, policy: Array, data: Array, limit: Number) -> Array:
    """CC `[H]` of a policy for a data distribution `[H, S, A]`; pairs that the data lack count `limit`."""
    own = tabular.occupancy(mdp, policy)
    ratio = jnp.where(data > 0, own / jnp.where(data > 0, data, 1.0), jnp.inf)
    return (own * jnp.minimum(ratio, limit)).sum(axis=(1, 2))


def fitted_q(counts: Counts) -> Array:
    """The policy `[H, S, A]` of value iteration in the empirical tables; what was never tried is worth 0."""
    return greedy(tabular.induction(counts.mean_reward, counts.transition)[0])


class Rounds(NamedTuple):
    """policies: `[T, H, S, A]`, the first from no data. regret: `[T]`, of each. log: their episodes `[T, H]`."""

    policies: Array
    regret: Array
    log: Log


def reduction(
    mdp: Tabular, offline: Log | None, method: Callable[[Counts], Array], rounds: int, key: Array
) -> Rounds:
    """`rounds` episodes of `method`; `offline` needs as many, None is the purely online control."""
    best = mdp.start @ tabular.optimal(mdp)[1][0]

    def one(counts: Counts, now: tuple[Array, Log | None]) -> tuple[Counts, tuple[Array, Array, Log]]:
        key, recorded = now
        policy = method(counts)
        own = tabular.episodes(mdp, policy, key, 1)
        counts = tabular.count(counts, own)
        if recorded is not None:
            counts = tabular.count(counts, jax.tree.map(lambda x: x[None], recorded))
        log = jax.tree.map(lambda x: x[0], own)
        return counts, (policy, best - tabular.value(mdp, policy), log)

    first = None if offline is None else jax.tree.map(lambda x: x[:rounds], offline)
    start = tabular.no_counts(mdp)
    return Rounds(*jax.lax.scan(one, start, (jax.random.split(key, rounds), first))[1])


def clipped(objective_of: Array, ratio: Array, limit: Number) -> Array:
    """`sum_h |E[clip(w) delta]| - alpha E[clip(w)^2]` for temporal differences `[N, H]` and ratios `[N, H]`."""
    ratio = jnp.minimum(ratio, limit)
    alpha = 8.0 / limit
    return (jnp.abs((ratio * objective_of).mean(axis=0)) - alpha * jnp.square(ratio).mean(axis=0)).sum()


def mabo(log: Log, functions: Array, ratios: Array, limit: Number) -> Array:
    """MABO.CR's objective `[F]` of `functions [F, H, S, A]` against `ratios [W, H, S, A]`; the method takes the
    smallest, and its policy is greedy in that. limit: g."""
    step = jnp.broadcast_to(jnp.arange(log.state.shape[1]), log.state.shape)

    def worst(f: Array) -> Array:
        delta = f[step, log.state, log.action] - log.reward - tabular.following(f)[step, log.next_state]
        return jax.vmap(lambda w: clipped(delta, w[step, log.state, log.action], limit))(ratios).max()

    return jax.vmap(worst)(functions)
