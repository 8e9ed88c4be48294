"""Stretches of training, and the recipes made of them.

A run is a static Python loop over a few phases. Nothing inside a phase is decided at run time: what it does is
written here, in data, so that two methods can be compared by reading their phases side by side.
"""

import dataclasses
from typing import Any, Literal

from purejaxo2o.policy import lane_index
from purejaxo2o.types import Number, O2OError, pytree, static

Mix = Literal["offline", "online", "fraction", "ratio", "by_size", "prioritised"]
Feed = Literal["sampled", "rollout", "both"]


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
        (`offline_fraction`, static), a share drawn row by row (`offline_ratio`, a number that can be swept),
        row by row in proportion to the two sizes (as if the dataset had been put into the replay buffer), or by
        priorities that the agent gives (offline rows begin with `offline_ratio` of all draws).
    segments: equal parts, each ending in an evaluation, a log line and, if it is cheap, a checkpoint.
    store: keep or clear the replay store on entering.
    override, override_static: settings of the agent replaced in this phase (numbers; everything else).
    """

    name: str = static()
    steps: int = static()
    act: Literal["none", "policy", "random"] = static(default="none")
    updates: int = static(default=1)
    batch_size: int = static(default=256)
    feed: Feed = static(default="sampled")
    rollout: int = static(default=128)
    history: int = static(default=0)
    mix: Mix = static(default="offline")
    offline_fraction: float = static(default=0.5)
    offline_ratio: Number = 0.5
    segments: int = static(default=10)
    store: Literal["keep", "clear"] = static(default="keep")
    override: dict[str, Number] = dataclasses.field(default_factory=dict)
    override_static: tuple[tuple[str, Any], ...] = static(default=())

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
        return self.samples and self.mix != "offline" and not exact_one

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


@pytree
class Recipe:
    """A paper's method: an agent and its phases. `recipes/` holds one builder a file.

    reward_scale, reward_bias: the agent learns from `scale * reward + bias`, offline and online alike;
        evaluation and stores keep the environment's own reward.
    num_envs: environments stepped in parallel per seed (1 in every paper here).
    eval_episodes: episodes of each evaluation, greedy actions.
    store_rows: replay capacity in rows of `num_envs`; None keeps every online step.
    """

    name: str = static()
    agent: Any = None
    phases: tuple[Phase, ...] = ()
    reward_scale: Number = 1.0
    reward_bias: Number = 0.0
    num_envs: int = static(default=1)
    eval_episodes: int = static(default=20)
    store_rows: int | None = static(default=None)

    def learned_reward(self, reward: Any) -> Any:
        """What the agent sees of the environment's reward, elementwise."""
        return self.reward_scale * reward + self.reward_bias

    def agent_in(self, phase: Phase) -> Any:
        """The agent with the settings that hold in `phase`."""
        return dataclasses.replace(self.agent, **phase.override, **dict(phase.override_static))

    def place_of(self, phase: Any) -> int:
        """The index of a phase, counted from 0, from any integer (negative: from the end).

        Raises `O2OError` for one that is not there."""
        last = len(self.phases) - 1
        return lane_index(phase, (last + 1,), f"phase={phase!r}", f"recipe {self.name!r} has phases 0 to {last}")[0]

    @property
    def uses_offline(self) -> bool:
        """Whether any phase learns from a dataset."""
        return any(phase.uses_offline for phase in self.phases)

    @property
    def prioritised(self) -> bool:
        """Whether any phase draws rows by priority."""
        return any(phase.mix == "prioritised" for phase in self.phases)

    def reorders(self, phase: int) -> bool:
        """Whether priorities begin anew on entering the phase: after others, or with an empty store."""
        spec = self.phases[phase]
        follows = phase > 0 and self.phases[phase - 1].mix == "prioritised"
        return spec.mix == "prioritised" and (not follows or spec.store == "clear")

    @property
    def switch(self) -> int:
        """Number of segments before the first phase that acts (the hand-over)."""
        before = 0
        for phase in self.phases:
            if phase.acts:
                return before
            before += phase.segments
        return before

    @property
    def capacity(self) -> int:
        """Replay rows (of `num_envs`) that the run allocates; 0 when nobody ever acts."""
        rows = sum(p.steps for p in self.phases if p.acts) // self.num_envs
        return min(rows, self.store_rows) if self.store_rows else rows


def offline(steps: int, **settings: Any) -> Phase:
    """Train on the dataset alone."""
    return Phase(name="offline", steps=steps, mix="offline", **settings)


def warmup(steps: int, *, act: Literal["policy", "random"] = "policy", **settings: Any) -> Phase:
    """Fill the replay store without a single update."""
    return Phase(name="warmup", steps=steps, act=act, updates=0, mix="online", segments=1, **settings)


def online(steps: int, **settings: Any) -> Phase:
    """Act and learn."""
    return Phase(name="online", steps=steps, act="policy", **settings)


def check_phases(recipe: Recipe) -> None:
    """Raise `O2OError` for the first phase that cannot run."""
    if not recipe.phases:
        raise O2OError(f"recipe {recipe.name!r} has no phases; give it at least one")
    names = [p.name for p in recipe.phases]
    if len(set(names)) != len(names):
        raise O2OError(f"recipe {recipe.name!r} has two phases of one name ({names}); rename one")
    for name, value in (("num_envs", recipe.num_envs), ("eval_episodes", recipe.eval_episodes)):
        if value < 1:
            raise O2OError(f"{name} is {value}; it must be at least 1")
    if recipe.store_rows is not None and recipe.store_rows < 1:
        raise O2OError(f"store_rows is {recipe.store_rows}; it must be at least 1, or None to keep every step")
    collected = False
    for p in recipe.phases:
        _check_phase(p, recipe.num_envs, collected)
        collected = collected or p.acts


def _check_phase(p: Phase, num_envs: int, collected: bool) -> None:
    where = f"phase {p.name!r}"
    sizes = {"steps": 1, "segments": 1, "batch_size": 1, "updates": 0, "rollout": 1, "history": 0}
    for name, low in sizes.items():
        if getattr(p, name) < low:
            raise O2OError(f"{where}: {name} is {getattr(p, name)}; it must be at least {low}")
    if p.feed != "sampled" and not (p.act == "policy" and p.updates):
        raise O2OError(
            f"{where} feeds a rollout of act={p.act!r} to updates={p.updates}; set act='policy' and updates"
        )
    if p.history and p.feed == "sampled":
        raise O2OError(
            f"{where} feeds minibatches and history={p.history}; set feed='rollout' or 'both', or history=0"
        )
    if p.mix == "prioritised" and p.feed != "sampled":
        raise O2OError(f"{where} draws by priority and feeds {p.feed!r}; set feed='sampled' or another mix")
    unit = p.segments * p.per_iteration(num_envs)
    if p.steps % unit:
        fit = max(unit, round(p.steps / unit) * unit)
        raise O2OError(
            f"{where}: steps={p.steps} does not divide into {p.segments} segments"
            + (f" of {num_envs} environments" if p.acts and num_envs > 1 else "")
            + (f" and rollouts of {p.rollout}" if p.feed != "sampled" else "")
            + f"; use steps={fit} or change segments"
        )
    if not 0.0 <= p.offline_fraction <= 1.0:
        raise O2OError(f"{where}: offline_fraction is {p.offline_fraction}; it must lie in [0, 1]")
    if p.mix == "fraction" and (p.offline_fraction * p.batch_size) % 1:
        raise O2OError(
            f"{where}: offline_fraction={p.offline_fraction} of batch_size={p.batch_size} is not a whole "
            "number of rows; change one, or use mix='ratio'"
        )
    if not p.acts and p.updates == 0:
        raise O2OError(f"{where} neither acts nor learns; set act or updates")
    if p.uses_online and not p.acts and not collected:
        raise O2OError(f"{where} learns from the replay store, but no phase before it acts; set mix='offline'")
