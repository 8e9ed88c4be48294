"""What a run returns: arrays over segments, and what the hand-over cost."""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o import stats
from purejaxo2o.phases import Recipe
from purejaxo2o.tasks import Task
from purejaxo2o.types import Array, Metrics, O2OError, Policy, pytree, static


@pytree
class Record:
    """What is known after a segment."""

    returns: Array  # [episodes]
    metrics: Metrics  # averages over the segment
    env_steps: Array
    grad_steps: Array
    finite: Array  # bool: agent state and metrics


@pytree
class Result:
    """The run in arrays; `S` = 1 + all segments: entry 0 is the evaluation before any training.

    Under `vmap` every array has leading axes (settings, seeds). Metrics are NaN where a phase has none."""

    scores: Array  # [S] normalised, mean over the episodes
    returns: Array  # [S, episodes]
    metrics: Metrics  # {name: [S]}
    env_steps: Array  # [S] int32
    grad_steps: Array  # [S] int32
    phase: Array  # [S] int32 index into `phase_names`
    finite: Array  # [S] bool
    run: Any  # `train.Run`: the state at the end, stores included
    agent: Any  # the settings of the last phase, to act with
    phase_names: tuple[str, ...] = static()
    switch: int = static()  # entry of the evaluation at the hand-over
    recipe_name: str = static()
    task_name: str = static()

    @property
    def handover(self) -> dict[str, Array]:
        """`stats.handover`: score at the switch, dip, recovery, area under the online curve, final, regret."""
        return stats.handover(self.scores, self.env_steps, self.switch)

    def policy(self, seed: int | tuple[int, ...] | None = None, *, explore: bool = False) -> Policy:
        """`act(obs, key) -> action` of one trained agent; `seed` indexes the leading axes, if there are any."""
        if (self.scores.ndim > 1) != (seed is not None):
            axes = self.scores.shape[:-1]
            raise O2OError(f"policy(seed={seed}) of results with leading axes {axes}; give one index per axis")
        agent, state = self.agent, self.run.agent
        if seed is not None:
            agent, state = jax.tree.map(lambda x: x[seed], (agent, state))
        return lambda obs, key: agent.act(state, obs, key, explore=explore)


def assemble(run: Any, recipe: Recipe, task: Task, parts: list[Record]) -> Result:
    """Join the records of all phases (leaves `[segments, ...]`; the first holds the initial evaluation)."""
    lengths = [part.finite.shape[0] for part in parts]
    names = sorted(set().union(*(part.metrics for part in parts)))

    def column(name: str, part: Record, length: int) -> Array:
        return part.metrics.get(name, jnp.full(length, jnp.nan))

    metrics = {
        name: jnp.concatenate([column(name, p, n) for p, n in zip(parts, lengths, strict=True)]) for name in names
    }
    returns = jnp.concatenate([part.returns for part in parts])
    phase = [0] + [i for i, n in enumerate(lengths[1:]) for _ in range(n)]
    return Result(
        scores=task.score(returns.mean(-1)),
        returns=returns,
        metrics=metrics,
        env_steps=jnp.concatenate([part.env_steps for part in parts]),
        grad_steps=jnp.concatenate([part.grad_steps for part in parts]),
        phase=jnp.array(phase, jnp.int32),
        finite=jnp.concatenate([part.finite for part in parts]),
        run=run,
        agent=recipe.agent_in(recipe.phases[-1]),
        phase_names=tuple(p.name for p in recipe.phases),
        switch=recipe.switch,
        recipe_name=recipe.name,
        task_name=task.name,
    )
