"""Our side of `beside --steps`: the first updates of both sides, one by one.

The same first weights, the same minibatches and no noise, so that nothing is left to chance: what differs is the
rule. Written for d3rlpy's script: weights, picked rows and, after 10, 100 and 1,000 updates, our greedy actions and
values on rows of the recording. IQL is done twice, the second time with the two known differences undone.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import purejaxo2o as o2o
from experiments.studies import beside_ours
from purejaxo2o.agents import IQL
from purejaxo2o.agents.base import descend, polyak_average, td_target
from purejaxo2o.distributions import ClippedNormal
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.prepare import prepare
from purejaxo2o.tasks import make
from purejaxo2o.types import pytree

AT = (10, 100, 1_000)
EVERY = 997
"""Rows of the recording from one probe to the next."""


@pytree
class TheirIQL(IQL):
    """IQL with d3rlpy's order (Q regresses on V before its step) and its form of the log-std (a sigmoid)."""

    def policy(self, actor: Any, obs: Any) -> Any:
        mean = super().policy({**actor, "log_std": jnp.zeros_like(actor["log_std"])}, obs).mean  # type: ignore[union-attr]
        log_std = -5.0 + 7.0 * jax.nn.sigmoid(actor["log_std"] + jnp.log(2.5))  # 0 at the start, in [-5, 2]
        return ClippedNormal(mean, jnp.broadcast_to(log_std, mean.shape))

    def step(self, state: Any, batch: Any, key: Any) -> Any:
        q = self.q(state.target, batch.obs, batch.action).min(axis=0)
        value, value_opt, _ = self.value_step(state, batch, q)
        weight = jnp.minimum(jnp.exp(self.temperature * (q - self.value(value, batch.obs))), self.max_weight)

        def loss(actor: Any) -> Any:
            return -(weight * self.policy(actor, batch.obs).log_prob(batch.action)).mean(), {}

        actor, actor_opt, _ = descend(loss, state.actor, state.actor_opt, self.learning_rate)
        y = td_target(batch.reward, batch.terminated, self.value(state.value, batch.next_obs), self.discount)
        critic, critic_opt, metrics = self.critic_step(state, batch, y)
        moved: dict[str, Any] = {"actor": actor, "critic": critic, "value": value, "actor_opt": actor_opt}
        moved |= {"critic_opt": critic_opt, "value_opt": value_opt}
        return dataclasses.replace(state, target=polyak_average(state.target, critic, self.polyak), **moved), metrics


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    recipe, task = beside_ours.recipe_of(job), make(job["name"], f"host/{job['env']}", reference=(0.0, 1.0))
    data = prepare(recipe, task, beside_ours.dataset(job["data"]))
    assert data is not None
    agent = recipe.agent
    if isinstance(agent, IQL) and job["as_theirs"]:
        agent = TheirIQL(**{field.name: getattr(agent, field.name) for field in dataclasses.fields(agent)})
    np.savez(job["steps_file"], **steps(agent, agent.init(jax.random.key(0), spaces(task.env)), data, job))


def steps(agent: Any, state: Any, data: o2o.Store, job: dict[str, Any]) -> dict[str, Any]:
    """First weights by path, picked rows, and what is compared: `action/10`, `q/10`, ..."""
    rows = jax.tree.map(lambda x: x[:, 0], data.data)
    picks = np.random.default_rng(0).integers(data.rows, size=(AT[-1], job["batch_size"]))
    found: dict[str, Any] = {"picks": picks, "probe": np.arange(0, data.rows, EVERY)}
    for name in ("actor", "critic", "value"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(getattr(state, name, {})):
            found["/".join((name, *(part.key for part in path)))] = np.asarray(leaf)
    probe = jax.tree.map(lambda x: x[::EVERY], rows)

    @jax.jit
    def go(state: Any, picks: Any) -> Any:
        def one(state: Any, picked: Any) -> Any:
            batch = jax.tree.map(lambda x: x[picked][None], rows)
            return agent.update(state, batch, jax.random.key(0))[0], None

        return jax.lax.scan(one, state, picks)[0]

    for start, end in zip((0, *AT[:-1]), AT, strict=True):
        state = go(state, jnp.asarray(picks[start:end]))
        found[f"action/{end}"] = np.asarray(agent.act(state, probe.obs, jax.random.key(0), explore=False))
        if hasattr(state, "critic"):
            found[f"q/{end}"] = np.asarray(agent.q(state.critic, probe.obs, probe.action)).mean(axis=0)
    return found


if __name__ == "__main__":
    main()
