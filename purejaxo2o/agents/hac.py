"""HAC: soft policy iteration with a hybrid critic (Zhou et al. 2023, arXiv 2311.08384, algorithm 1).

Each iteration evaluates the policy on its rollout and on the dataset (`agents/hybrid.py`), then re-weights it:

    pi_{t+1}(a|s) ~ pi_t(a|s) exp(eta f_bar(s,a))

In the paper the policy is that product over all iterations. Here a network holds it, fitted to the product at the
states of both kinds by `policy_steps` Adam steps from fresh moments on

    L = rho E_off J(s) + (1 - rho) E_on J(s),    J(s) = KL(pi(.|s) || pi_t(.|s)) - eta E_{a ~ pi} f_bar(s,a)

which the re-weighted policy alone minimises: J is KL(pi || pi_{t+1}) up to a number that depends on s only.
Categorical policies have both parts exactly; squashed Gaussians the divergence, and `samples` reparameterised actions
a step for the rest: of the re-weighted density they keep the nearest squashed Gaussian.
"""

from typing import Any

import chex
import jax

from purejaxo2o.agents.base import descend, init_adam, rate_or
from purejaxo2o.agents.hybrid import Hybrid, HybridState, joined
from purejaxo2o.distributions import kl_divergence
from purejaxo2o.types import Array, Metrics, Number, Transition, pytree, static


@pytree
class HAC(Hybrid):
    """step_size: eta. Metrics of its own: actor_loss L and kl, KL(pi || pi_t), both as the last step found them."""

    step_size: Number = 1.0
    actor_learning_rate: Number | None = None
    policy_steps: int = static(default=30)

    def improve(self, state: HybridState, rollout: Transition, batch: Transition, key: Array) -> tuple[Any, Metrics]:
        obs, weight = joined(batch.obs, rollout.obs), self.weights(batch.reward, rollout.reward)
        old = self.policy(state.actor, obs)

        def loss(actor: Any, key: Array) -> tuple[Array, Metrics]:
            policy = self.policy(actor, obs)
            distance = kl_divergence(policy, old)
            value = self.value(state.critic, policy, obs, key)
            chex.assert_equal_shape([weight, distance, value])
            total = (weight * (distance - self.step_size * value)).sum()
            return total, {"actor_loss": total, "kl": (weight * distance).sum()}

        rate = rate_or(self.actor_learning_rate, self.learning_rate)

        def step(carry: Any, key: Array) -> tuple[Any, Metrics]:
            actor, opt = carry
            actor, opt, metrics = descend(lambda actor: loss(actor, key), actor, opt, rate)
            return (actor, opt), metrics

        keys = jax.random.split(key, self.policy_steps)
        (actor, _), metrics = jax.lax.scan(step, (state.actor, init_adam(state.actor)), keys)
        return actor, jax.tree.map(lambda x: x[-1], metrics)
