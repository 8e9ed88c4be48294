"""Flow Q-learning (Park, Li & Levine 2025, arXiv 2502.02538).

A flow v clones the behaviour, however many modes it has; a one-step policy mu imitates the flow and maximises the
values, so that no gradient ever runs back through the flow's steps:

    L_flow = mean_{B,A} (v(s, x_t, t) - (a - z))^2,   x_t = (1 - t) z + t a                    (`models/flow.py`)
    L_mu   = alpha mean_{B,A} (mu(s,z) - flow(s,z))^2 - mean_B mean_i Q_i(s, clip(mu(s,z), -1, 1))
    y      = r + gamma (1 - terminated) reduce_i Qt_i(s', clip(mu(s',z'), -1, 1))
    L_Q    = mean_{i,B} (Q_i(s,a) - y)^2

z, z' ~ N(0, 1) and t ~ U[0, 1] are fresh; flow(s,z) is where Euler's method in K steps carries z, clipped to the box.
`normalise_q` divides the values in L_mu by their mean size. The noise of mu is all the exploration there is, and it
stays in the evaluation. LayerNorm in the critics only, after the GELU. One Adam for all three networks, their losses
added; the targets move towards the critics as they were before the step (all authors' code). At the switch nothing is
reset.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, polyak_average, require_box, scan_updates, td_target
from purejaxo2o.loop.agent import Agent
from purejaxo2o.models import flow as flows
from purejaxo2o.models.flow import Field
from purejaxo2o.networks import Hidden, apply, ensemble, q_values
from purejaxo2o.shapes import residual
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static


@pytree
class FQLState:
    flow: Any
    actor: Any
    critic: Any
    target: Any
    shared_opt: Any  # of flow, actor and critic together


@pytree
class FQL(Agent):
    """alpha >= 0: weight of the distillation, on the scale of the values unless `normalise_q`. flow_steps K.

    target_reduction: of the target critics, above; the policy always maximises the mean."""

    learning_rate: Number = number(default=3e-4, low=0.0)
    discount: Number = number(default=0.99, low=0.0, high=1.0)
    polyak: Number = number(default=0.005, low=0.0, high=1.0)
    alpha: Number = number(default=10.0, low=0.0)
    flow_steps: int = static(default=10)
    critics: int = static(default=2)
    target_reduction: Literal["mean", "min"] = static(default="mean")
    normalise_q: bool = static(default=False)
    layer_norm: bool = static(default=True)
    hidden: Hidden = static(default=(512, 512, 512, 512))
    actor_hidden: Hidden = static(default=(512, 512, 512, 512))

    @property
    def backup_discount(self) -> Number:
        """Of the value of `next_obs`."""
        return self.discount

    # -- networks ----------------------------------------------------------------------------------------

    def init(self, key: Array, spaces: Spaces) -> FQLState:
        require_box(self, spaces)
        key_flow, key_actor, key_critic = jax.random.split(key, 3)
        obs, action = spaces.obs.zeros(), spaces.action.zeros()
        field = Field(spaces.action.size, self.actor_hidden)
        critics = ensemble(spaces.action, self.hidden, self.critics, self.layer_norm, "after", "gelu")
        params = {
            "flow": field.init(key_flow, obs, action, jnp.zeros(1))["params"],
            "actor": field.init(key_actor, obs, action)["params"],
            "critic": critics.init(key_critic, obs, action)["params"],
        }
        return FQLState(**params, target=params["critic"], shared_opt=init_adam(params))

    def q(self, critic: Any, obs: Array, action: Array) -> Array:
        """`[n, ...]` values of the `n` members whose parameters are given."""
        return q_values(critic, obs, action, self.hidden, self.layer_norm, "after", "gelu")

    def reduced(self, q: Array) -> Array:
        """`[n, ...] -> [...]`, as in the target."""
        return q.min(axis=0) if self.target_reduction == "min" else q.mean(axis=0)

    def noise(self, state: FQLState, key: Array, leading: tuple[int, ...]) -> Array:
        """`z [*leading, A]`."""
        return jax.random.normal(key, (*leading, flows.size_of(state.flow, self.actor_hidden)))

    def carried(self, flow: Any, obs: Array, noise: Array) -> Array:
        """`flow(s, z)`, `[..., A]`."""
        velocity = flows.velocity(flow, self.actor_hidden, obs)
        return jnp.clip(flows.transport(velocity, noise, self.flow_steps), -1.0, 1.0)

    def one_step(self, actor: Any, obs: Array, noise: Array) -> Array:
        """`mu(s, z)`, `[..., A]`, not clipped."""
        return apply(Field(noise.shape[-1], self.actor_hidden), actor, obs, noise)

    # -- acting ------------------------------------------------------------------------------------------

    def proposal(self, state: FQLState, obs: Array, key: Array) -> Array:
        """What the policy does, `[..., A]`: to act, and in the target."""
        return jnp.clip(self.one_step(state.actor, obs, self.noise(state, key, obs.shape[:-1])), -1.0, 1.0)

    def act(self, state: FQLState, obs: Array, key: Array, *, explore: bool) -> Array:
        return self.proposal(state, obs, key)

    # -- learning ----------------------------------------------------------------------------------------

    def update(self, state: FQLState, batches: Transition, key: Array) -> tuple[FQLState, Metrics]:
        return scan_updates(self.step, state, batches, key)

    def critic_weight(self, batch: Transition) -> Array | float:
        """Of the rows in the critics' loss, `[B]`; here all count alike."""
        return 1.0

    def flow_weight(self, batch: Transition) -> Array | float:
        """Of the entries of the actions in the flow's loss, `[B, A]`; here all count alike."""
        return 1.0

    def step(self, state: FQLState, batch: Transition, key: Array) -> tuple[FQLState, Metrics]:
        """One minibatch `[B, ...]`: all losses at the parameters before it."""
        key_next, key_flow, key_actor = jax.random.split(key, 3)
        value = self.reduced(self.q(state.target, batch.next_obs, self.proposal(state, batch.next_obs, key_next)))
        y = td_target(batch.reward, batch.terminated, value, self.backup_discount)

        def loss(params: dict[str, Any]) -> tuple[Array, Metrics]:
            q = self.q(params["critic"], batch.obs, batch.action)  # [2, B]
            critic_loss = (self.critic_weight(batch) * jnp.square(residual(q, y))).mean()
            velocity = flows.velocity(params["flow"], self.actor_hidden, batch.obs)
            errors = flows.matching_errors(velocity, batch.action, key_flow)
            flow_loss = (self.flow_weight(batch) * errors).mean()
            actor_loss, metrics = self.actor_loss(params["actor"], state, batch, key_actor)
            metrics = {"critic_loss": critic_loss, "q": q.mean(), "flow_loss": flow_loss, **metrics}
            return critic_loss + flow_loss + actor_loss, metrics

        params = {"flow": state.flow, "actor": state.actor, "critic": state.critic}
        params, opt, metrics = descend(loss, params, state.shared_opt, self.learning_rate)
        target = polyak_average(state.target, state.critic, self.polyak)
        return FQLState(**params, target=target, shared_opt=opt), metrics

    def actor_loss(self, actor: Any, state: FQLState, batch: Transition, key: Array) -> tuple[Number, Metrics]:
        """`L_mu`; flow and critics are those of the state, constants here."""
        noise = self.noise(state, key, batch.obs.shape[:-1])
        action = self.one_step(actor, batch.obs, noise)
        distance = jnp.square(residual(action, self.carried(state.flow, batch.obs, noise))).mean()
        q = self.q(state.critic, batch.obs, jnp.clip(action, -1.0, 1.0)).mean(axis=0)
        value = q.mean()
        if self.normalise_q:
            value /= jax.lax.stop_gradient(jnp.abs(q).mean())
        loss = self.alpha * distance - value
        return loss, {"actor_loss": loss, "distance": distance}
