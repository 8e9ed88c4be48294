"""Uni-O4: one on-policy objective, PPO's, offline and online (Lei et al. 2024, arXiv 2311.03351).

Offline BPPO (`agents/bppo.py`) with M policies that clone apart from each other, IQL's Q and V, and a learned model T
(`models/dynamics.py`) that decides whether a policy may replace its older self. Fitting adds to every clone's loss

    -alpha E_{b~pi_i}[log pi_i(b|s) - max_{j != i} log pi_j(b|s)]

and after all minibatches of an update of the improvement (AM-Q)

    J(pi) = mean over recorded starts of 1/H sum_{t<H} (chance that the episode still goes on) min_k Q_k(s_t, pi(s_t))
    old_i <- pi_i where J(pi_i) > J(old_i);   the policy that acts <- the old_i of the largest J

with the means of the policies and s_{t+1} ~ T, a member drawn at every step. Online it is PPO (`agents/ppo.py`) from
that policy and IQL's V, with fresh moments; both rates fall to 0. No offline row is used online. (The code goes on
from the chosen member's newest policy, accepted or not.)

Where paper and authors' code differ, the paper's is the default. The code detaches the max, so its diversity term
multiplies cloning by 1 + alpha and nothing else (`diversity="detached"`), and the members differ by where they start
alone. The code averages Q over what is still going on, which punishes whoever reaches a goal; the paper sums over a
fixed horizon. Deviations: the code compares J with the best estimate so far, here both policies get the same starts
and noise; it picks one of the three best members by returns in the environment, here the largest J decides, which
costs no environment step (`gate="always"` asks J for that alone).
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam
from purejaxo2o.agents.bppo import BPPO, BPPOState
from purejaxo2o.agents.evaluator import Values
from purejaxo2o.agents.ppo import PPO, PPOState
from purejaxo2o.distributions import Categorical, ClippedNormal
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.models import dynamics
from purejaxo2o.networks import Distribution, Hidden, action_space_of
from purejaxo2o.types import (
    Array,
    Metrics,
    Number,
    Space,
    Spaces,
    Transition,
    number,
    pytree,
    static,
    tree_where,
    vary_like,
)


def above_others(own: Array, everyone: Array) -> Array:
    """`own [M, ...]` minus the largest of the others': entry `i, j` of `everyone [M, M, ...]` is member j's where i
    looks."""
    count = everyone.shape[0]
    itself = jnp.eye(count, dtype=bool).reshape(count, count, *(1,) * (everyone.ndim - 2))
    return own - jnp.where(itself, -jnp.inf, everyone).max(axis=1)


def divergence(policies: Distribution, key: Array) -> Array:
    """`[M, B]`: how far each of the policies (leaves `[M, B, ...]`) is from the nearest other one, a constant.

    From one sample of each, or exactly for categoricals."""
    others: Any = jax.lax.stop_gradient(policies)
    if isinstance(policies, Categorical):
        own, fixed = (jax.nn.log_softmax(x.logits) for x in (policies, others))  # [M, B, n]
        everyone = jnp.broadcast_to(fixed[None], (fixed.shape[0], *fixed.shape))
        return (jnp.exp(own) * above_others(own, everyone)).sum(axis=-1)
    assert isinstance(policies, ClippedNormal)
    action, own = policies.sample_and_log_prob(key)
    everyone = jnp.broadcast_to(action[:, None], (len(action), *action.shape))  # member i's, as each j sees them
    return above_others(own, others.log_prob(everyone))


@pytree
class UniO4State(BPPOState):
    model: Any
    model_opt: Any
    scale: Any  # what the model's inputs and outputs are standardised with
    obs_space: Space = static()  # what a new V is made for


@pytree
class UniO4(BPPO):
    """diversity_weight alpha; ope_horizon H; ope_starts: rows of an update that J starts from; models: members of T.

    carry_value False: PPO starts with a V of its own, the control of the claim that nothing drops at the switch.

    learning_rate, value_learning_rate, clip and entropy_weight are those of the stage."""

    clip_decay: Number = number(default=1.0, low=0.0, high=1.0)
    asymmetry: Number | None = number(default=None, low=0.0, high=1.0)
    diversity_weight: Number = number(default=0.1, low=0.0)
    model_learning_rate: Number = number(default=1e-3, low=0.0)
    values: Values = static(default="iql")
    critics: int = static(default=2)
    diversity: Literal["divergence", "detached"] = static(default="divergence")
    gate: Literal["ope", "always"] = static(default="ope")
    carry_value: bool = static(default=True)
    members: int = static(default=4)
    models: int = static(default=5)
    ope_horizon: int = static(default=1000)
    ope_starts: int = static(default=512)
    model_hidden: Hidden = static(default=(200, 200, 200, 200))

    def init(self, key: Array, spaces: Spaces) -> UniO4State:
        key_rest, key_model = jax.random.split(key)
        action = dynamics.features(spaces.action.zeros(), spaces.action)
        model, scale = dynamics.init(key_model, self.model_hidden, self.models, spaces.obs.zeros(), action)
        known = vars(super().init(key_rest, spaces))
        return UniO4State(**known, model=model, model_opt=init_adam(model), scale=scale, obs_space=spaces.obs)

    def update(self, state: PPOState, rollout: Transition, key: Array) -> tuple[PPOState, Metrics]:
        """Offline `rollout` is the minibatches `[U, B, ...]`."""
        update = PPO.update if self.stage == "online" else BPPO.update
        return update(self, state, rollout, key)

    # ---- offline: clones apart from each other, and the model ---------------------------------------------------

    def clone_loss(self, members: Any, batch: Transition, key: Array) -> tuple[Array, Metrics]:
        total, metrics = super().clone_loss(members, batch, key)
        if self.members == 1:
            return total, metrics
        policies = jax.vmap(self.policy, in_axes=(0, None))(members, batch.obs)
        if self.diversity == "divergence":
            apart = divergence(policies, key)
        else:
            known = jax.vmap(lambda policy: policy.log_prob(batch.action))(policies)
            fixed = jax.lax.stop_gradient(known)
            apart = above_others(known, jnp.broadcast_to(fixed, (self.members, *fixed.shape)))
        return total - self.diversity_weight * apart.mean(axis=1).sum(), metrics | {"apart": apart.mean()}

    def fit(self, state: BPPOState, batch: Transition, key: Array) -> tuple[BPPOState, Metrics]:
        """One minibatch: V, Q, targets, clones, model."""
        state, metrics = super().fit(state, batch, key)
        assert isinstance(state, UniO4State)
        if self.stage != "fit":
            return state, metrics
        action = dynamics.features(batch.action, action_space_of(state.actor))
        scale = dynamics.absorb(state.scale, batch.obs, action, batch.next_obs)
        network = dynamics.ensemble(batch.obs.shape[-1], self.model_hidden, self.models)

        def loss(params: Any) -> tuple[Array, Metrics]:
            value = dynamics.loss(network, params, scale, batch.obs, action, batch.next_obs, batch.terminated)
            return value, {"model_loss": value / self.models}

        rates = self.model_learning_rate, self.adam_eps
        model, opt, model_metrics = descend(loss, state.model, state.model_opt, *rates)
        return replace(state, model=model, model_opt=opt, scale=scale), metrics | model_metrics

    # ---- offline: which policies are kept ----------------------------------------------------------------------

    def replace_old(self, state: BPPOState, batches: Transition, key: Array) -> tuple[BPPOState, Metrics]:
        assert isinstance(state, UniO4State)
        starts = batches.obs.reshape(-1, batches.obs.shape[-1])[: self.ope_starts]
        both = jax.tree.map(lambda new, old: jnp.concatenate([new, old]), state.members, state.old)
        new, old = self.worth(state, both, starts, key).reshape(2, self.members)
        better = new > old if self.gate == "ope" else jnp.ones_like(new, bool)
        kept, worth = tree_where(better, state.members, state.old), jnp.where(better, new, old)
        best = jax.tree.map(lambda x: x[worth.argmax()], kept)
        metrics = {"worth": worth.max(), "gain": (new - old).mean(), "replaced": better.mean()}
        return replace(state, old=kept, params=state.params | {"actor": best}), metrics

    def worth(self, state: UniO4State, policies: Any, starts: Array, key: Array) -> Array:
        """`J [P]` of policies `[P, ...]` from `starts [S, O]`; all of them meet the same members and noise."""
        network = dynamics.ensemble(starts.shape[-1], self.model_hidden, self.models)
        space, count = action_space_of(state.actor), jax.tree.leaves(policies)[0].shape[0]

        def step(carry: tuple[Array, Array, Array], key: Array) -> tuple[tuple[Array, Array, Array], None]:
            obs, alive, total = carry  # [P, S, O], [P, S], [P]
            key_member, key_noise = jax.random.split(key)
            action = jax.vmap(lambda params, obs: self.policy(params, obs).mode())(policies, obs)
            total += (alive * self.q(state.critic, obs, action).min(axis=0)).mean(axis=1)
            member = jax.random.randint(key_member, starts.shape[:1], 0, self.models)
            noise = jax.random.normal(key_noise, starts.shape, starts.dtype)
            seen = dynamics.features(action, space)
            obs, ends = dynamics.imagine(network, state.model, state.scale, obs, seen, member, noise)
            return (obs, alive * (1.0 - ends), total), None

        first = jnp.broadcast_to(starts, (count, *starts.shape))
        carry = (first, jnp.ones(first.shape[:2], starts.dtype), jnp.zeros(count, starts.dtype))
        carry = vary_like(carry, state)
        return jax.lax.scan(step, carry, jax.random.split(key, self.ope_horizon))[0][2] / self.ope_horizon

    # ---- the boundaries ----------------------------------------------------------------------------------------

    def enter(self, state: PPOState, key: Array, at: Boundary) -> PPOState:
        """Online everything but policy and V is left behind, and PPO's moments and clock start."""
        if self.stage != "online":
            return super().enter(state, key, at)
        assert isinstance(state, UniO4State)
        value = state.value
        if not self.carry_value:
            value = self.value_network.init(key, state.obs_space.zeros())["params"]
        params = state.params | {"value": value}
        return PPO.enter(self, replace(state, params=params, opt=init_adam(params)), key, at)
