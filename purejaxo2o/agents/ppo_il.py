"""PPO with imitation, before it, beside it, or both (Andres et al. 2023, arXiv 2304.09825).

A few recorded trajectories of worlds like those that will be met are cloned, `stage="clone"`,

    L_BC = -mean_B log pi(a|s)

and then PPO (`agents/ppo.py`) learns on its own; after each of its rollouts the policy takes some steps on L_BC again
if the phase feeds minibatches with the rollout (`feed="both"`). V is not trained by cloning: the first rollouts are
learned from with values that know nothing.

Deviations: cloning has an Adam of its own, whose moments PPO's steps do not touch (the authors' policy has one Adam
for both, with the same rate); the demonstrations alone are imitated, as in the study with its weights w1 = w2 = 0,
but never the agent's own best episodes, which the authors' buffer (RAPID) also keeps.
"""

from dataclasses import replace
from typing import Any, Literal

import jax

from purejaxo2o.agents.base import descend, init_adam, scan_updates
from purejaxo2o.agents.ppo import PPO, PPOState
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static


@pytree
class PPOILState(PPOState):
    imitation_opt: Any


@pytree
class PPOIL(PPO):
    """imitation_learning_rate: of cloning, in both stages."""

    imitation_learning_rate: Number = number(default=1e-4, low=0.0)
    stage: Literal["clone", "learn"] = static(default="clone")

    def init(self, key: Array, spaces: Spaces) -> PPOILState:
        state = super().init(key, spaces)
        return PPOILState(**vars(state), imitation_opt=init_adam(state.actor))

    def update(self, state: PPOState, rollout: Any, key: Array) -> tuple[PPOState, Metrics]:
        """Minibatches `[U, B, ...]` to clone; or a rollout `[T, E, ...]`, alone or with minibatches."""
        if self.stage == "clone":
            return scan_updates(self.imitate, state, rollout, key)
        if isinstance(rollout, Transition):
            return super().update(state, rollout, key)
        newest, batches = rollout
        key_own, key_imitate = jax.random.split(key)
        state, metrics = super().update(state, newest, key_own)
        state, more = scan_updates(self.imitate, state, batches, key_imitate)
        return state, metrics | more

    def imitate(self, state: PPOState, batch: Transition, key: Array) -> tuple[PPOState, Metrics]:
        """One minibatch `[B, ...]`; nothing is random."""
        assert isinstance(state, PPOILState)

        def loss(actor: Any) -> tuple[Array, Metrics]:
            value = -self.policy(actor, batch.obs).log_prob(batch.action).mean()
            return value, {"imitation_loss": value}

        rate = self.imitation_learning_rate
        actor, opt, metrics = descend(loss, state.actor, state.imitation_opt, rate, self.adam_eps)
        return replace(state, params=state.params | {"actor": actor}, imitation_opt=opt), metrics
