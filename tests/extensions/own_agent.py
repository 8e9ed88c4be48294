"""An agent and a recipe of one's own: a linear policy that imitates, and online prefers what was rewarded."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

import purejaxo2o as o2o


@o2o.pytree
class Copycat(o2o.Agent):
    """stage: what it imitates, everything alike or rewarded actions more."""

    learning_rate: float = o2o.number(default=0.1, low=0.0)
    noise: float = o2o.number(default=0.3, low=0.0)
    discount: float = o2o.number(default=0.9, low=0.0, high=1.0)
    stage: Literal["copy", "prefer"] = o2o.static(default="copy")

    def init(self, key, spaces):
        if spaces.action.discrete:
            raise o2o.O2OError("Copycat needs a box action space")
        weights = 0.1 * jax.random.normal(key, (spaces.obs.shape[0], spaces.action.shape[0]))
        return {"weights": weights, "moments": self.rule().init(weights), "entered": jnp.int32(0)}

    def rule(self):
        return optax.scale_by_adam()

    def act(self, state, obs, key, *, explore):
        action = jnp.tanh(obs @ state["weights"])
        noise = self.noise * jax.random.normal(key, action.shape)
        return jnp.clip(action + noise, -1.0, 1.0) if explore else action

    def update(self, state, batches, key):
        def step(state, batch):
            def loss(weights):
                error = jnp.square(jnp.tanh(batch.obs @ weights) - batch.action).sum(axis=-1)
                liking = jnp.exp(batch.reward) if self.stage == "prefer" else 1.0
                return (liking * error).mean()

            value, slope = jax.value_and_grad(loss)(state["weights"])
            change, moments = self.rule().update(slope, state["moments"])
            return state | {"weights": state["weights"] - self.learning_rate * change, "moments": moments}, value

        state, losses = jax.lax.scan(step, state, batches)
        return state, {"loss": losses.mean()}

    def enter(self, state, key, at):
        return state | {"entered": state["entered"] + at.minibatches}


def recipe() -> o2o.Recipe:
    phases = (
        o2o.Phase(name="offline", steps=40, segments=2, batch_size=8),
        o2o.Phase(
            name="online",
            steps=40,
            act="policy",
            mix="by_size",
            segments=2,
            batch_size=8,
            agent={"stage": "prefer", "learning_rate": 0.05},
        ),
    )
    return o2o.Recipe(name="copycat", agent=Copycat(), phases=phases, eval_episodes=4)
