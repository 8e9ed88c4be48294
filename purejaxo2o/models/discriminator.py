"""Telling two sources of transitions apart, and what that says about their dynamics (Eysenbach et al. 2021, DARC).

Two classifiers between source 0 and source 1, of `(s, a)` and of `(s, a, s')`; the second adds the first's logits to
its own. By Bayes' rule, whatever the share of either source,

    log P_0(s'|s,a) / P_1(s'|s,a) = log d(0|s,a,s') / d(1|s,a,s') - log d(0|s,a) / d(1|s,a)

in which the first classifier's logits cancel. Logits are `2 tanh`, so a log-ratio lies in [-4, 4].
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from purejaxo2o.networks import MLP, Hidden, apply, beside
from purejaxo2o.types import Array, Number

LIMIT = 2.0


class Classifier(nn.Module):
    """Rows `[..., D] -> [..., 2]` bounded logits."""

    hidden: Hidden

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return LIMIT * jnp.tanh(MLP(self.hidden, 2)(x))


def init(hidden: Hidden, key: Array, obs: Array, action: Array) -> dict[str, Any]:
    """Fresh parameters of both classifiers, `{"sa": ..., "sas": ...}`."""
    pair = beside(obs, action)
    key_pair, key_triple = jax.random.split(key)
    return {
        "sa": Classifier(hidden).init(key_pair, pair)["params"],
        "sas": Classifier(hidden).init(key_triple, beside(pair, obs))["params"],
    }


def logits(hidden: Hidden, params: Any, obs: Array, action: Array, next_obs: Array) -> tuple[Array, Array]:
    """Both classifiers' own outputs `[..., 2]`, those of `(s, a, s')` without the other's."""
    pair = beside(obs, action)
    return apply(Classifier(hidden), params["sa"], pair), triple_logits(hidden, params, obs, action, next_obs)


def triple_logits(hidden: Hidden, params: Any, obs: Array, action: Array, next_obs: Array) -> Array:
    """Those of `(s, a, s')` alone."""
    return apply(Classifier(hidden), params["sas"], beside(obs, action, next_obs))


def log_ratio(hidden: Hidden, params: Any, obs: Array, action: Array, next_obs: Array) -> Array:
    """`log P_0(s'|s,a) / P_1(s'|s,a)`, `[...]`."""
    own = triple_logits(hidden, params, obs, action, next_obs)
    return own[..., 0] - own[..., 1]


def loss(
    hidden: Hidden, params: Any, rows: tuple[Array, Array, Array], first: Array, noise: tuple[Array, ...], std: Number
) -> Array:
    """Cross-entropies of both classifiers, each the sum of the two sources' means.

    rows: obs, action, next_obs `[B, ...]`; first: `[B]` bool, of source 0; noise: standard normal, like `rows`, which
    it blurs by `std` against overfitting. Both terms teach the first classifier, as in H2O's code."""
    blurred = [x + std * eps for x, eps in zip(rows, noise, strict=True)]
    pair, triple = logits(hidden, params, *blurred)
    total = jnp.zeros(())
    for source, members in ((0, first), (1, ~first)):
        weight = members / jnp.maximum(members.sum(), 1)
        for each in (pair, pair + triple):
            total -= (weight * jax.nn.log_softmax(each)[..., source]).sum()
    return total
