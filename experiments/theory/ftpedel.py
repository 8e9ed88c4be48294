"""FTPedel: how few online episodes the offline data leave to be made (Wagenmaker & Pacchiano 2023, arXiv 2211.04974).

Reconstructed from the abstract and from memory, for P candidate policies whose mean features phi_{p,h} `[d]` and
second moments Lambda_{p,h} `[d, d]` are known (in a table: occupancies), at toy sizes. With the offline second
moments L_h and T online episodes shared out among the policies in proportions x, the design makes

    worst(x, T) = max_{p,h} |phi_{p,h}|^2 in the inverse of  T sum_q x_q Lambda_{q,h} + L_h

small, by Frank-Wolfe steps towards whoever sees most along the worst direction. What the data cover costs nothing.
Then, with eps_l = 2^-l, policies are eliminated: play the fewest episodes with worst <= eps_l^2 / beta, estimate all
values by least squares on offline and online rows together, drop those more than 2 eps_l below the best; a single
survivor needs no more.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o.types import Array, Number

RIDGE = 1e-6
"""Keeps directions that nobody has ever seen invertible."""
STEPS = 200


def widths(features: Array, moments: Array) -> Array:
    """`[P, H]`: squared norms of `features [P, H, d]` in the inverses of `moments [H, d, d]`."""
    inverse = jnp.linalg.inv(moments + RIDGE * jnp.eye(moments.shape[-1]))
    return jnp.einsum("phd,hde,phe->ph", features, inverse, features)


def design(features: Array, second: Array, offline: Array, budget: Number) -> tuple[Array, Array]:
    """Shares `x [P]` of `budget` episodes, and the worst width with them. second: `[P, H, d, d]`; offline:
    `[H, d, d]`. Policies with features 0 are of no interest, but may be played."""
    count = features.shape[0]

    def moments(share: Array) -> Array:
        return budget * jnp.einsum("p,phde->hde", share, second) + offline

    def step(share: Array, index: Array) -> tuple[Array, tuple[Array, Array]]:
        total = moments(share)
        found = widths(features, total)
        policy, layer = jnp.unravel_index(found.argmax(), found.shape)
        direction = jnp.linalg.solve(
            total[layer] + RIDGE * jnp.eye(total.shape[-1]), features[policy, layer]
        )  # along which the worst one is unknown
        gain = jnp.einsum("d,pde,e->p", direction, second[:, layer], direction)
        moved = jax.nn.one_hot(gain.argmax(), count)
        return share + 2.0 / (index + 2.0) * (moved - share), (share, found.max())

    start = jnp.full(count, 1.0 / count)
    _, (shares, worst) = jax.lax.scan(step, start, jnp.arange(STEPS, dtype=features.dtype))
    best = worst.argmin()
    return shares[best], worst[best]


def episodes_needed(features: Array, second: Array, offline: Array, tolerance: Number, limit: int = 2**16) -> Array:
    """The fewest online episodes, up to `limit`, with a worst width of at most `tolerance`; 0 if the data suffice."""

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds  # low is too few
        middle = (low + high) // 2
        enough = design(features, second, offline, middle)[1] <= tolerance
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    bounds = (jnp.int32(0), jnp.int32(limit))
    high = jax.lax.fori_loop(0, limit.bit_length(), halve, bounds)[1]
    return jnp.where(widths(features, offline).max() <= tolerance, 0, high)


class Elimination(NamedTuple):
    """alive: `[K]` bool, after the last epoch. pulls: `[K]`, online, of every arm."""

    alive: Array
    pulls: Array


def eliminate(
    key: Array, arms: Array, theta: Array, offline_pulls: Array, *, epochs: int, beta: Number, noise: Number = 1.0
) -> Elimination:
    """The method on a linear bandit (H = 1): arms `[K, d]`, means `arms @ theta`, Gaussian noise; `offline_pulls [K]`
    are there already."""
    means, second = arms @ theta, jnp.einsum("kd,ke->kde", arms, arms)[:, None]

    def rewards(key: Array, pulls: Array) -> Array:
        """Sums of the rewards of so many pulls, `[K]`."""
        return pulls * means + noise * jnp.sqrt(pulls) * jax.random.normal(key, pulls.shape)

    def epoch(carry: tuple[Array, Array, Array, Array], now: tuple[Array, Array]) -> tuple[tuple, None]:
        alive, online, pulls, sums = carry  # pulls and sums of both sources
        key, level = now
        eps = 2.0**-level
        offline = jnp.einsum("k,kde->de", pulls, second[:, 0])[None]
        undecided = alive & (alive.sum() > 1)
        wanted = (arms * undecided[:, None])[:, None]
        tolerance = eps**2 / beta
        budget = episodes_needed(wanted, second, offline, tolerance)
        new = jnp.ceil(budget * design(wanted, second, offline, budget)[0] - 1e-3)
        pulls, sums = pulls + new, sums + rewards(key, new)
        moment = jnp.einsum("k,kde->de", pulls, second[:, 0]) + RIDGE * jnp.eye(arms.shape[1])
        guess = arms @ jnp.linalg.solve(moment, sums @ arms)
        best = jnp.where(alive, guess, -jnp.inf).max()
        return (alive & (guess >= best - 2.0 * eps), online + new, pulls, sums), None

    key_offline, key_online = jax.random.split(key)
    pulls = jnp.asarray(offline_pulls, arms.dtype)
    start = (jnp.ones(len(arms), bool), jnp.zeros_like(pulls), pulls, rewards(key_offline, pulls))
    levels = jnp.arange(1, epochs + 1, dtype=arms.dtype)
    (alive, online, _, _), _ = jax.lax.scan(epoch, start, (jax.random.split(key_online, epochs), levels))
    return Elimination(alive, online)
