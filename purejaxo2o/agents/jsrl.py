"""Jump-start RL (Uchendu et al. 2023, arXiv 2204.02372): a guide takes the first steps of every episode.

A frozen guide (what was learned offline) acts while t < h, the learner from then on, so that its episodes start where
the guide leads; h shrinks from the guide's typical length to 0. The losses are the learner's, every row goes into its
buffer, the guide's too.

    stages n:  h = H (1 - k / n),  k = floor(progress (n + 1)),  progress through the phase in [0, 1]
    random:    h ~ U{H k / n : k = 0..n}, drawn at the start of every episode

The paper moves on to the next h as soon as the mixed policy does as well as the best before; a run here never sees
its evaluations (they must not change what is trained), so stages take equal shares of the phase. The guide acts
greedily, for steps 0 to h - 1; evaluations are the learner's alone.

`JumpStart` goes around any agent: `class JSRLSAC(JumpStart, SAC)`. Here around IQL, as in the paper.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import progress
from purejaxo2o.agents.iql import IQL
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition, number, pytree, static, tree_where


@pytree
class JumpStartState:
    learner: Any
    guide: Any  # the learner as it was when the guiding began
    fresh: Any  # what a learner starts as that begins anew then; None without
    steps: Array  # int32: minibatches since then
    span: Array  # int32: minibatches of the phase


@pytree
class Memory:
    """Of one environment."""

    time: Array  # [E] int32: steps since the episode began
    horizon: Array  # [E] float32: how many of them are the guide's


@pytree
class JumpStart:
    """guide_horizon: H in steps. stages: n. curriculum: see above. stage: "guided" where the guide acts.
    fresh_learner: the learner starts anew when the guiding begins, else with the guide's networks (a setting of the
    whole run)."""

    guide_horizon: Number = number(default=60.0, low=0.0)
    stages: int = static(default=10)
    curriculum: Literal["stages", "random"] = static(default="stages")
    stage: Literal["alone", "guided"] = static(default="alone")
    fresh_learner: bool = static(default=False)

    def init(self, key: Array, spaces: Spaces) -> Any:
        key_learner, key_fresh = jax.random.split(key)
        learner = super().init(key_learner, spaces)  # type: ignore[misc]
        return JumpStartState(
            learner=learner,
            guide=learner,
            fresh=super().init(key_fresh, spaces) if self.fresh_learner else None,  # type: ignore[misc]
            steps=jnp.int32(0),
            span=jnp.int32(1),
        )

    def act(self, state: Any, obs: Array, key: Array, *, explore: bool) -> Array:
        """The learner's action."""
        return super().act(state.learner, obs, key, explore=explore)  # type: ignore[misc]

    def begin(self, state: Any, count: int) -> Memory:
        return Memory(time=jnp.zeros(count, jnp.int32), horizon=jnp.zeros(count))

    def follow(self, state: Any, obs: Array, key: Array, memory: Memory, *, explore: bool) -> tuple[Array, Memory]:
        """The guide's action in the first steps of an episode; never in evaluations."""
        if self.stage == "alone" or not explore:
            return self.act(state, obs, key, explore=explore), memory
        key_learner, key_guide, key_horizon = jax.random.split(key, 3)
        drawn = self.horizon(state, key_horizon, memory.time.shape)
        horizon = jnp.where(memory.time == 0, drawn, memory.horizon)
        guide = super().act(state.guide, obs, key_guide, explore=False)  # type: ignore[misc]
        action = tree_where(memory.time < horizon, guide, self.act(state, obs, key_learner, explore=True))
        return action, Memory(time=memory.time + 1, horizon=horizon)

    def horizon(self, state: Any, key: Array, shape: tuple[int, ...]) -> Array:
        """How long the guide acts in episodes that begin now."""
        if self.curriculum == "random":
            stage = jax.random.randint(key, shape, 0, self.stages + 1)
        else:
            passed = progress(state.steps, state.span)
            stage = jnp.full(shape, jnp.minimum(jnp.floor(passed * (self.stages + 1)), self.stages))
        return self.guide_horizon * (1.0 - stage / self.stages)

    def update(self, state: Any, batches: Transition, key: Array) -> tuple[Any, Metrics]:
        learner, metrics = super().update(state.learner, batches, key)  # type: ignore[misc]
        steps = state.steps + batches.reward.shape[0]
        return dataclasses.replace(state, learner=learner, steps=steps), metrics

    def enter(self, state: Any, key: Array, at: Boundary) -> Any:
        """The guide is what the learner is on entering the first guided phase."""
        learner = super().enter(state.learner, key, at)  # type: ignore[misc]
        if self.stage == "alone" or not at.begins("guided"):
            return dataclasses.replace(state, learner=learner)
        return dataclasses.replace(
            state,
            learner=learner if state.fresh is None else state.fresh,
            guide=state.learner,
            steps=jnp.int32(0),
            span=jnp.int32(at.minibatches),
        )


@pytree
class JSRL(JumpStart, IQL):
    """JSRL around IQL."""
