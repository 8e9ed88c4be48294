"""HNPG: natural policy gradient with a hybrid critic (Zhou et al. 2023, arXiv 2311.08384, algorithm 3).

Each iteration evaluates the policy on its rollout and on the dataset (`agents/hybrid.py`), then follows the natural
gradient at the states of both:

    phi   = grad log pi(a|s),    A = f_bar(s,a) - E_pi f_bar(s,.)
    w     = argmin rho E_off (w phi - A)^2 + (1 - rho) E_on (w phi - A)^2
          = F^-1 g,   F = rho E_off phi phi^T + (1 - rho) E_on phi phi^T,   g = rho E_off phi A + (1 - rho) E_on phi A
    theta <- theta + eta w

w comes from `cg_steps` of conjugate gradients, which need no more than products with F + damping: one derivative
forwards (phi v of every row) and one backwards.

As the experiments of the paper go (authors' code), which is the default here: A of the rollout is its generalised
advantage, actions at offline states are drawn from the policy (`offline_actions="policy"`), and the step is like
TRPO's (Schulman et al. 2015): eta so that w^T F w / 2 is `kl_limit`, halved until the surrogate gains more than
`gain_share` of what its slope promises, eta g^T w; without such a step the policy stays. Nothing asks for the KL
divergence that the step comes to. TRPO's paper asks for it: `gain_share=0`, `kl_checked=True`, any gain with
KL(old || new) within the limit. As the theory goes: `advantage="critic"`, `offline_actions="data"`, `step="fixed"`.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import advantages
from purejaxo2o.agents.hybrid import Hybrid, HybridState, joined
from purejaxo2o.distributions import kl_divergence
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Transition, number, pytree, static

TINY = 1e-30
"""Keeps quotients finite where nothing is left to divide."""


class Rows(NamedTuple):
    """What the policy learns from, offline rows first."""

    obs: Array  # [N, O]
    action: Array  # [N, ...]
    advantage: Array  # [N]
    weight: Array  # [N], sums to 1


def moved(actor: Any, direction: Any, length: Number) -> Any:
    return jax.tree.map(lambda p, w: (p + length * w).astype(p.dtype), actor, direction)


def inner(one: Any, other: Any) -> Array:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return sum((jnp.vdot(a, b) for a, b in pairs), 0.0)  # type: ignore[return-value]


def conjugate_gradients(product: Callable[[Any], Any], right: Any, steps: int) -> Any:
    """x with `product(x) = right`, for a positive definite product, after `steps` steps (Hestenes & Stiefel 1952).

    Our own, because `jax.scipy.sparse.linalg.cg` gives other directions under `vmap` than alone (jax 0.10.2)."""

    def step(carry: tuple[Any, Any, Any, Array], _: None) -> tuple[Any, None]:
        x, residual, along, size = carry
        image = product(along)
        length = size / jnp.maximum(inner(along, image), TINY)
        x, residual = moved(x, along, length), moved(residual, image, -length)
        left = inner(residual, residual)
        return (x, residual, moved(residual, along, left / jnp.maximum(size, TINY)), left), None

    start = (jax.tree.map(jnp.zeros_like, right), right, right, inner(right, right))
    return jax.lax.scan(step, start, length=steps)[0][0]


@pytree
class HNPG(Hybrid):
    """kl_limit of a step, damping of F; halvings: how many of the shares 1, 1/2, 1/4, ... are tried; step_size: eta
    of the fixed step.

    Metrics of its own: actor_loss, minus what the surrogate gains; kl; step, the share taken of the longest step."""

    gae_lambda: Number = number(default=0.97, low=0.0, high=1.0)
    kl_limit: Number = number(default=0.01, low=0.0)
    damping: Number = number(default=0.1, low=0.0)
    gain_share: Number = number(default=0.1, low=0.0)
    step_size: Number = number(default=0.1, low=0.0)
    cg_steps: int = static(default=10)
    halvings: int = static(default=10)
    kl_checked: bool = static(default=False)
    advantage: Literal["gae", "critic"] = static(default="gae")
    offline_actions: Literal["policy", "data"] = static(default="policy")
    step: Literal["trust", "fixed"] = static(default="trust")

    def improve(self, state: HybridState, rollout: Transition, batch: Transition, key: Array) -> tuple[Any, Metrics]:
        rows = self.rows(state, rollout, batch, key)
        direction, curvature = self.direction(state.actor, rows)
        if self.step == "fixed":
            share, length = jnp.ones(()), jnp.asarray(self.step_size)
        else:
            length = jnp.sqrt(2.0 * self.kl_limit / jnp.maximum(curvature, TINY))
            # The slope g^T w is the curvature w^T F w: what conjugate gradients leave over is orthogonal to w.
            share = self.search(state.actor, rows, direction, length, length * curvature)
        actor = moved(state.actor, direction, share * length)
        gain, kl = self.judge(state.actor, actor, rows)
        return actor, {"actor_loss": -gain, "kl": kl, "step": share}

    def rows(self, state: HybridState, rollout: Transition, batch: Transition, key: Array) -> Rows:
        """Advantages at the states of the dataset and of the rollout."""
        key_action, key_offline, key_online, key_next = jax.random.split(key, 4)
        policy = self.policy(state.actor, batch.obs)
        action = policy.sample(key_action) if self.offline_actions == "policy" else batch.action
        baseline = self.value(state.critic, policy, batch.obs, key_offline)
        offline = residual(self.q(state.critic, batch.obs, action).mean(axis=0), baseline)
        value = self.value(state.critic, self.policy(state.actor, rollout.obs), rollout.obs, key_online)
        if self.advantage == "critic":
            online = residual(self.q(state.critic, rollout.obs, rollout.action).mean(axis=0), value)
        else:
            following = self.policy(state.actor, rollout.next_obs)
            following = self.value(state.critic, following, rollout.next_obs, key_next)
            ends = (rollout.terminated, rollout.last)
            online = advantages(rollout.reward, *ends, value, following, self.discount, self.gae_lambda)

        return Rows(
            obs=joined(batch.obs, rollout.obs),
            action=joined(action, rollout.action),
            advantage=joined(offline, online),
            weight=self.weights(offline, online),
        )

    def direction(self, actor: Any, rows: Rows) -> tuple[Any, Array]:
        """w, like the parameters, and w^T (F + damping) w."""

        def log_prob(actor: Any) -> Array:
            return self.policy(actor, rows.obs).log_prob(rows.action)

        _, score = jax.linearize(log_prob, actor)  # v -> phi v, [N]
        back = jax.linear_transpose(score, actor)  # x [N] -> sum_i x_i phi_i

        def fisher(v: Any) -> Any:
            return moved(back(rows.weight * score(v))[0], v, self.damping)

        gradient = back(rows.weight * rows.advantage)[0]
        direction = conjugate_gradients(fisher, gradient, self.cg_steps)
        return direction, inner(direction, fisher(direction))

    def judge(self, actor: Any, candidate: Any, rows: Rows) -> tuple[Array, Array]:
        """What the surrogate E (pi_new / pi) A gains, and KL(old || new)."""
        old, new = (self.policy(p, rows.obs) for p in (actor, candidate))
        ratio = jnp.exp(residual(new.log_prob(rows.action), old.log_prob(rows.action)))
        chex.assert_equal_shape([ratio, rows.weight, rows.advantage])
        gain = (rows.weight * (ratio - 1.0) * rows.advantage).sum()
        return gain, (rows.weight * kl_divergence(old, new)).sum()

    def search(self, actor: Any, rows: Rows, direction: Any, length: Array, promised: Array) -> Array:
        """The first of the shares 1, 1/2, 1/4, ... of `length` that is good enough, or 0. promised: the gain that the
        slope promises for all of `length`."""

        def attempt(taken: Array, share: Array) -> tuple[Array, None]:
            gain, kl = self.judge(actor, moved(actor, direction, share * length), rows)
            good = (gain > 0.0) & (gain > self.gain_share * share * promised)
            if self.kl_checked:
                good &= kl <= self.kl_limit
            return jnp.where((taken == 0.0) & good, share, taken), None

        shares = 0.5 ** jnp.arange(self.halvings, dtype=length.dtype)
        return jax.lax.scan(attempt, jnp.zeros_like(length), shares)[0]
