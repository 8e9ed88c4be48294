"""PROPS: collect what makes all data together look on-policy (Corrado & Hanna 2023, arXiv 2311.08290).

A target policy pi_theta learns by PPO (`agents/ppo.py`) from the last rollouts, older ones included, as if it had
made them all: pi_old in its ratios is pi_theta before the update. A behaviour policy pi_phi makes the rollouts. Ahead
of every `pace` steps it is set to the target and then pushed away from what the kept rows D hold too often:

    r      = pi_phi(a|s) / pi_theta(a|s)
    L(phi) = mean_D max(r, clip(r, 1 - eps, 1 + eps)) + lambda mean_D KL(pi_theta(.|s) || pi_phi(.|s))

in `behaviour_epochs` passes, each cut into `behaviour_minibatches` (algorithms 1 and 2; the paper maximises -L, hence
max instead of min). An action that has become rarer by eps is pushed no further, one that has become likelier is.
Adam, whose moments outlive the resets, with gradients cut at `max_grad_norm`; the first minibatch whose mean r - 1 -
log r exceeds `kl_limit` is the last of the update (authors' code: it still takes its step). D leaves out the oldest
rows, which the next `pace` steps push out of the buffer before the target learns from it (authors' code).

ROS (Zhong et al. 2022, arXiv 2111.14552), `sampler="ros"`, is one step of plain gradient descent on D's likelihood
instead, meant for `pace=1`: phi = theta - rate mean_D grad log pi_theta(a|s).

`behaviour_learning_rate=0` samples on-policy: with history PPO on old data too (the paper's PPO-Buffer), without PPO.

Deviations: KL is exact (older code weighs log-ratios by the rows' densities, the newest has no penalty); the target's
own update never ends early (theirs at a KL of 0.03); what follows the end of an update is computed and dropped.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from purejaxo2o.agents.base import adam, bound_norm, init_adam
from purejaxo2o.agents.ppo import PPO, PPOState, check_division, passes, surrogate
from purejaxo2o.distributions import kl_divergence
from purejaxo2o.loop.phases import Boundary, Phase
from purejaxo2o.shapes import assert_batch, residual
from purejaxo2o.types import (
    Array,
    Metrics,
    Number,
    O2OError,
    Spaces,
    Transition,
    number,
    pytree,
    static,
    tree_where,
    vary_like,
)


def mean_of(x: Array, valid: Array) -> Array:
    """Mean of the entries that are `valid`, 0 if none is."""
    return jnp.where(valid, x, 0.0).sum() / jnp.maximum(valid.sum(), 1)


@pytree
class PROPSState(PPOState):
    """params: the target's policy, which is evaluated, and V."""

    behaviour: Any  # phi, the policy that makes rollouts
    behaviour_opt: Any


@pytree
class PROPS(PPO):
    """behaviour_clip: eps of the behaviour's loss. kl_weight: lambda. pace: steps of each environment between two
    updates of the behaviour, a divisor of the rollout.

    Metrics of its own: behaviour_kl, KL(target || behaviour) as the rollout ends; score_norm, the norm of the rows'
    mean grad log pi_theta(a|s), a sampling error: 0 if actions are as frequent as the target would have them."""

    behaviour_learning_rate: Number = number(default=1e-3, low=0.0)
    behaviour_clip: Number = number(default=0.3, low=0.0)
    kl_weight: Number = number(default=0.1, low=0.0)
    kl_limit: Number = number(default=0.01, low=0.0)
    pace: int = static(default=16)  # type: ignore[assignment]
    behaviour_epochs: int = static(default=16)
    behaviour_minibatches: int = static(default=4)
    sampler: Literal["props", "ros"] = static(default="props")

    def init(self, key: Array, spaces: Spaces) -> PROPSState:
        state = super().init(key, spaces)
        return PROPSState(**vars(state), behaviour=state.actor, behaviour_opt=init_adam(state.actor))

    def act(self, state: PPOState, obs: Array, key: Array, *, explore: bool) -> Array:
        assert isinstance(state, PROPSState)
        policy = self.policy(state.behaviour if explore else state.actor, obs)
        return policy.sample(key) if explore else policy.mode()

    # ---- the behaviour -----------------------------------------------------------------------------------------

    def adapt(self, state: PROPSState, rows: Transition, key: Array) -> PROPSState:
        """The behaviour for the next `pace` steps, from the rows `[T, E, ...]` that will stay beside them, as far as
        they are `valid`."""
        every = (rows.obs, rows.action, rows.extras["valid"])
        obs, action, valid = (x.reshape(-1, *x.shape[2:]) for x in every)
        if self.sampler == "ros":
            score, rate = self.score(state.actor, obs, action, valid), self.behaviour_learning_rate
            return replace(state, behaviour=jax.tree.map(lambda p, g: p - rate * g, state.actor, score))

        def step(carry: Any, fed: tuple[Array, Array, Array], _: Array) -> tuple[Any, Metrics]:
            return self.behaviour_step(state.actor, carry, *fed)

        start = vary_like((state.actor, state.behaviour_opt, jnp.array(True)), state)
        sizes = self.behaviour_epochs, self.behaviour_minibatches
        (behaviour, opt, _), _ = passes(step, start, (obs, action, valid), key, *sizes)
        return replace(state, behaviour=behaviour, behaviour_opt=opt)

    def behaviour_step(
        self, target: Any, carry: tuple[Any, optax.OptState, Array], obs: Array, action: Array, valid: Array
    ) -> tuple[Any, Metrics]:
        """One minibatch `[B, ...]`; carry: phi, its moments and whether the update still goes on."""
        behaviour, opt, going = carry
        grads, metrics = jax.grad(self.behaviour_loss, has_aux=True)(behaviour, target, obs, action, valid)
        grads, _ = bound_norm(grads, self.max_grad_norm)
        moved = adam(behaviour, grads, opt, self.behaviour_learning_rate, self.adam_eps)
        # A minibatch without a row moves nothing, not even by the moments.
        kept = tree_where(going & valid.any(), moved, (behaviour, opt))
        return (*kept, going & (metrics["kl"] <= self.kl_limit)), metrics

    def behaviour_loss(
        self, behaviour: Any, target: Any, obs: Array, action: Array, valid: Array
    ) -> tuple[Array, Metrics]:
        """L; the target is a constant."""
        old, new = (self.policy(actor, obs) for actor in (target, behaviour))
        log_ratio = residual(new.log_prob(action), jax.lax.stop_gradient(old.log_prob(action)))
        ratio = jnp.exp(log_ratio)
        # PPO's surrogate with an advantage of -1 everywhere: every row's action should become rarer.
        loss = -mean_of(surrogate(ratio, jnp.full_like(ratio, -1.0), self.behaviour_clip), valid)
        apart = mean_of(kl_divergence(jax.lax.stop_gradient(old), new), valid)
        spread = mean_of(ratio - 1.0 - log_ratio, valid)
        return loss + self.kl_weight * apart, {"behaviour_loss": loss, "kl": spread}

    def score(self, actor: Any, obs: Array, action: Array, valid: Array) -> Any:
        """`grad mean log pi(a|s)`, like the parameters."""
        return jax.grad(lambda actor: mean_of(self.policy(actor, obs).log_prob(action), valid))(actor)

    # ---- the target --------------------------------------------------------------------------------------------

    def update(self, state: PPOState, rollout: Transition, key: Array) -> tuple[PPOState, Metrics]:
        """PPO on all rows `[T, E, ...]` that are kept."""
        assert_batch(rollout)
        assert isinstance(state, PROPSState)
        target, behaviour = (self.policy(actor, rollout.obs) for actor in (state.actor, state.behaviour))
        valid = rollout.extras["valid"]
        own = {
            "behaviour_kl": mean_of(kl_divergence(target, behaviour), valid),
            "score_norm": optax.global_norm(self.score(state.actor, rollout.obs, rollout.action, valid)),
        }
        after, metrics = super().update(state, rollout, key)
        return after, metrics | own

    def check_phase(self, phase: Phase, num_envs: int) -> None:
        kept, its = phase.history + phase.rollout, f"{phase.name}."
        if phase.feed != "rollout" or phase.rollout % self.pace or kept <= self.pace:
            raise O2OError(
                f"{its}feed is {phase.feed!r} with {its}rollout={phase.rollout} and {its}history={phase.history}, "
                f"yet PROPS adapts before every agent.pace={self.pace} steps to what stays beside them; set "
                f"{its}feed='rollout', a pace that divides the rollout, and a history if the two are equal"
            )
        super().check_phase(phase, num_envs)
        if self.sampler != "ros":
            check_division(phase, num_envs, "behaviour_minibatches", self.behaviour_minibatches)

    def enter(self, state: PPOState, key: Array, at: Boundary) -> PROPSState:
        """The behaviour is the target until there are rows to look at."""
        state = super().enter(state, key, at)
        assert isinstance(state, PROPSState)
        return replace(state, behaviour=state.actor)
