"""Stretches of training.

A run is a static Python loop over a few phases. Nothing inside a phase is decided at run time: what it does is
written here, in data, so that two methods can be compared by reading their phases side by side.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from purejaxo2o.loop.changes import Changes, as_changes
from purejaxo2o.types import Number, number, pytree, static

Mix = Literal["offline", "online", "fraction", "ratio", "by_size", "prioritised"]
Feed = Literal["sampled", "rollout", "both"]
OfflineRows = Literal["dataset", "before", "all"]


@pytree
class Phase:
    """One stretch of training: how long, who acts, what the agent is fed, what is kept.

    steps: environment steps if somebody acts (summed over the parallel environments), else iterations.
    act: who acts: nobody, the agent (exploring), or uniformly random actions.
    updates: minibatches per iteration (0: no learning). One iteration steps each of the recipe's `num_envs`
        environments once, so the update-to-data ratio is `updates / num_envs`.
    batch_size: rows per minibatch.
    feed: what an update gets: the minibatches; the rows of a fresh rollout, in time order, for on-policy agents; or
        the rollout and the minibatches. rollout: steps of each environment in one iteration, for the latter two.
    history: steps of each environment before the rollout that are fed with it. Those that nobody has made yet are the
        last rows of the dataset if `mix` is "offline", else what there is comes more than once.
    mix: where each minibatch comes from: the dataset, the replay store, an exact share of both
        (`offline_fraction`, static), a share drawn row by row (`offline_ratio`, a number that can be swept; both lie
        in [0, 1]),
        row by row in proportion to the two sizes (as if the dataset had been put into the replay buffer), or by
        priorities that the agent gives (offline rows begin with `offline_ratio` of all draws).
    offline_rows: what the offline share of "fraction" and "ratio" is drawn from: the dataset, or the dataset together
        with those rows of the replay store that were there before the phase, or with all of them.
    segments: equal parts, each ending in an evaluation, a log line and, if it is cheap, a checkpoint.
    store: keep or clear the replay store on entering.
    agent: settings of the agent that are different in this phase, `{"stage": "online", "learning_rate": 1e-4}`.
    """

    name: str = static()
    steps: int = static()
    act: Literal["none", "policy", "random"] = static(default="none")
    updates: int = static(default=1, low=0)
    batch_size: int = static(default=256)
    feed: Feed = static(default="sampled")
    rollout: int = static(default=128)
    history: int = static(default=0, low=0)
    mix: Mix = static(default="offline")
    offline_fraction: float = static(default=0.5, low=0.0, high=1.0)
    offline_ratio: Number = number(default=0.5, low=0.0, high=1.0)
    offline_rows: OfflineRows = static(default="dataset")
    segments: int = static(default=10)
    store: Literal["keep", "clear"] = static(default="keep")
    agent: Mapping[str, Any] = dataclasses.field(default_factory=Changes)

    def __post_init__(self) -> None:
        object.__setattr__(self, "agent", as_changes(self.agent))

    @property
    def acts(self) -> bool:
        return self.act != "none"

    @property
    def uses_offline(self) -> bool:
        """Whether any minibatch of this phase, or its history, holds dataset rows."""
        exact_zero = self.mix == "fraction" and self.offline_fraction == 0.0
        return self.recalls_offline or (self.samples and self.mix != "online" and not exact_zero)

    @property
    def recalls_offline(self) -> bool:
        """Whether the dataset stands for history that nobody has made yet."""
        return self.history > 0 and self.mix == "offline"

    @property
    def uses_online(self) -> bool:
        """Whether any minibatch of this phase holds replay rows."""
        exact_one = self.mix == "fraction" and self.offline_fraction == 1.0
        return self.samples and self.mix != "offline" and not (exact_one and self.offline_rows == "dataset")

    @property
    def samples(self) -> bool:
        """Whether any minibatch is drawn at all."""
        return self.updates > 0 and self.feed != "rollout"

    def per_iteration(self, num_envs: int) -> int:
        """Steps that one iteration takes of `steps`."""
        if not self.acts:
            return 1
        return num_envs if self.feed == "sampled" else num_envs * self.rollout

    def iterations(self, num_envs: int) -> int:
        """Loop length of one segment."""
        return self.steps // (self.segments * self.per_iteration(num_envs))


@dataclasses.dataclass(frozen=True)
class Boundary:
    """What an agent is told on entering a phase.

    index: the phase's place, from 0. before: the agent with the settings of the phase before; None in the first.
    updates: how often `update` is called until the phase ends. minibatches: how many minibatches they get together,
        in a phase that is fed them, whatever `num_envs` is.
    cleared: whether the replay store was emptied just now."""

    index: int = 0
    before: Any = None
    updates: int = 0
    minibatches: int = 0
    cleared: bool = False

    def begins(self, stage: str) -> bool:
        """Whether the agent, which has a `stage`, comes into this one with the phase."""
        return self.before is None or self.before.stage != stage


def offline(steps: int, **settings: Any) -> Phase:
    """Train on the dataset alone."""
    return Phase(name="offline", steps=steps, mix="offline", **settings)


def warmup(steps: int, *, act: Literal["policy", "random"] = "policy", **settings: Any) -> Phase:
    """Fill the replay store without a single update."""
    return Phase(name="warmup", steps=steps, act=act, updates=0, mix="online", segments=1, **settings)


def online(steps: int, **settings: Any) -> Phase:
    """Act and learn."""
    return Phase(name="online", steps=steps, act="policy", **settings)
