"""Recipes: an agent and its phases, and whether they can run."""

import dataclasses
from typing import Any

from purejaxo2o.loop.changes import Changes
from purejaxo2o.loop.phases import Boundary, Phase
from purejaxo2o.loop.policy import lane_index
from purejaxo2o.types import Number, O2OError, check_values, pytree, static
from purejaxo2o.values import LARGEST


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

    def __post_init__(self) -> None:
        # JAX makes recipes, too, of whatever it maps leaves to; what is no agent is told by `check_settings`.
        known = dataclasses.is_dataclass(self.agent) and not isinstance(self.agent, type)
        if isinstance(self.phases, tuple) and known:
            object.__setattr__(self, "phases", tuple(self._settled(phase) for phase in self.phases))

    def _settled(self, phase: Any) -> Any:
        """The phase, with the numbers among its changes of the agent told apart from the rest."""
        changes = getattr(phase, "agent", None)
        if not isinstance(changes, Changes):
            return phase
        bound = changes.bound_to(self.agent)
        return phase if bound is changes else dataclasses.replace(phase, agent=bound)

    def learned_reward(self, reward: Any) -> Any:
        """What the agent sees of the environment's reward, elementwise."""
        return self.reward_scale * reward + self.reward_bias

    def agent_in(self, phase: Phase) -> Any:
        """The agent with the settings that hold in `phase`."""
        return dataclasses.replace(self.agent, **phase.agent)

    def boundary(self, index: int) -> Boundary:
        """What the agent is told on entering the phase with this index."""
        phase = self.phases[index]
        iterations = phase.segments * phase.iterations(self.num_envs)
        return Boundary(
            index=index,
            before=self.agent_in(self.phases[index - 1]) if index else None,
            updates=iterations if phase.updates else 0,
            minibatches=iterations * phase.updates,
            cleared=phase.store == "clear",
        )

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

    def held_before(self, phase: Phase) -> int:
        """Rows (of `num_envs`) that the replay store holds as one of the recipe's phases begins."""
        held = 0
        for spec in self.phases:
            held = 0 if spec.store == "clear" else held
            if spec.name == phase.name:
                break
            held += spec.steps // self.num_envs if spec.acts else 0
        return held

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


RESERVED = ("agent", "phase")
"""What dotted names begin with: no phase is called so."""


def check_phases(recipe: Recipe) -> None:
    """Raise `O2OError` for the first phase that cannot run, and for settings of the recipe out of their range."""
    if not isinstance(recipe, Recipe):
        raise O2OError(
            f"{type(recipe).__name__} is no recipe; make one with o2o.recipe(name, task) or o2o.Recipe(...)"
        )
    phases = recipe.phases
    if not isinstance(phases, tuple) or not all(isinstance(p, Phase) for p in phases):
        raise O2OError(
            f"the phases of recipe {recipe.name!r} are no tuple of o2o.Phase; give phases=(Phase(...), ...)"
        )
    if not phases:
        raise O2OError(f"recipe {recipe.name!r} has no phases; give it at least one")
    check_values("", recipe)
    for p in phases:
        check_values(f"{p.name}.", p)
        if not p.name or "." in p.name or p.name in RESERVED:
            raise O2OError(f"no phase can be named {p.name!r}: settings are set by dotted names; rename it")
    names = [p.name for p in phases]
    if len(set(names)) != len(names):
        raise O2OError(f"recipe {recipe.name!r} has two phases of one name ({names}); rename one")
    collected = False
    for p in phases:
        _check_phase(p, recipe.num_envs, collected)
        collected = collected or p.acts
        _check_offline_rows(p, recipe)
    _check_counters(recipe)


def _check_counters(recipe: Recipe) -> None:
    """A run counts its environment steps and its minibatches in int32."""
    steps = sum(p.steps for p in recipe.phases if p.acts)
    minibatches = sum(p.segments * p.iterations(recipe.num_envs) * p.updates for p in recipe.phases)
    for what, count in (("environment steps", steps), ("minibatches", minibatches)):
        if count > LARGEST:
            raise O2OError(
                f"the phases have {count} {what} together, more than can be counted ({LARGEST}); make it less"
            )


def _check_offline_rows(p: Phase, recipe: Recipe) -> None:
    its, held = f"{p.name}.", recipe.held_before(p)
    if p.offline_rows == "dataset":
        return
    if p.mix not in ("fraction", "ratio"):
        raise O2OError(
            f"{its}offline_rows={p.offline_rows!r} is for {its}mix='fraction' or 'ratio', and it is {p.mix!r}; "
            f"set {its}offline_rows='dataset'"
        )
    if p.offline_rows == "before" and held + p.steps // recipe.num_envs > recipe.capacity:
        raise O2OError(
            f"{its}offline_rows='before' needs the {held} rows from before {p.name!r} until its end, when there are "
            f"{held + p.steps // recipe.num_envs}, but store_rows={recipe.store_rows}; raise store_rows"
        )


def _check_phase(p: Phase, num_envs: int, collected: bool) -> None:
    its = f"{p.name}."
    if p.feed != "sampled" and not (p.act == "policy" and p.updates):
        raise O2OError(
            f"{its}feed={p.feed!r} feeds a rollout of {its}act={p.act!r} to {its}updates={p.updates}; "
            f"set {its}act='policy' and {its}updates"
        )
    if p.history and p.feed == "sampled":
        raise O2OError(
            f"{its}feed={p.feed!r} feeds minibatches, but {its}history={p.history}; "
            f"set {its}feed='rollout' or 'both', or {its}history=0"
        )
    if p.mix == "prioritised" and p.feed != "sampled":
        raise O2OError(
            f"{its}mix={p.mix!r} draws by priority, but {its}feed={p.feed!r}; set {its}feed='sampled' or another mix"
        )
    unit = p.segments * p.per_iteration(num_envs)
    if p.steps % unit:
        fit = max(unit, round(p.steps / unit) * unit)
        raise O2OError(
            f"{its}steps={p.steps} does not divide into {its}segments={p.segments}"
            + (f" of num_envs={num_envs} environments" if p.acts and num_envs > 1 else "")
            + (f" and rollouts of {its}rollout={p.rollout}" if p.feed != "sampled" else "")
            + f"; use {its}steps={fit} or change {its}segments"
        )
    if p.mix == "fraction" and (p.offline_fraction * p.batch_size) % 1:
        raise O2OError(
            f"{its}offline_fraction={p.offline_fraction} of {its}batch_size={p.batch_size} is not a whole "
            f"number of rows; change one, or use {its}mix='ratio'"
        )
    if not p.acts and p.updates == 0:
        raise O2OError(f"phase {p.name!r} neither acts nor learns ({its}act='none', {its}updates=0); set one")
    if p.uses_online and not p.acts and not collected:
        raise O2OError(
            f"{its}mix={p.mix!r} learns from the replay store, but no phase up to {p.name!r} acts "
            f"({its}act='none'); set {its}mix='offline'"
        )
