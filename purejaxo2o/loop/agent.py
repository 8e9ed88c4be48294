"""The agent protocol.

An agent is a frozen pytree of settings with pure functions; its state is a pytree of arrays and nothing else.
It knows batches, never environments, buffers or phases, and can be used alone on arrays.
"""

import abc
from typing import Any

from purejaxo2o.loop.phases import Boundary, Phase
from purejaxo2o.types import Array, Metrics, Number, O2OError, Spaces, Transition

AgentState = Any
"""Whatever pytree of arrays `init` returns."""


class Agent(abc.ABC):
    """An update rule, the base of every agent.

    `init`, `act` and `update` are its own, and `discount` is one of its settings. All else has a default: nothing is
    needed, nothing is remembered, nothing changes between phases.
    """

    discount: Number

    chunk: int | None = None
    """How many consecutive steps it wants for each row, as leaves `[U, B, chunk, ...]` with `extras["valid"]`
    (`store.sample_chunks`); None: rows are single steps."""

    pace: int | None = None
    """After how many steps of a rollout in each environment it wants to see its newest rows again (`adapt`) before it
    goes on; None: not until the rollout is whole."""

    @property
    def needs(self) -> frozenset[str]:
        """Extras that every batch must carry, e.g. {"return_to_go"}."""
        return frozenset()

    @abc.abstractmethod
    def init(self, key: Array, spaces: Spaces) -> AgentState:
        """Fresh parameters, targets and optimiser states. Raises `O2OError` for spaces it cannot handle."""

    @abc.abstractmethod
    def act(self, state: Any, obs: Array, key: Array, *, explore: bool) -> Array:
        """Actions for a batch of observations `[..., O]`; `explore=False` is the greedy policy."""

    @abc.abstractmethod
    def update(self, state: Any, fed: Any, key: Array, /) -> tuple[AgentState, Metrics]:
        """Learn from what the phase feeds: `U` minibatches (a `Transition`, leaves `[U, B, ...]`), a rollout
        (leaves `[T, E, ...]`) or both, rewards already transformed.

        Metrics are scalars, the same names at every call."""

    def enter(self, state: Any, key: Array, at: Boundary) -> AgentState:
        """Called once on entering each phase: the one place for resetting, freezing, widening."""
        del key, at
        return state

    def begin(self, state: Any, count: int) -> Any:
        """What it keeps in mind at the start of an episode, in `count` environments: a pytree with leaves
        `[count, ...]`. None for agents that decide by the observation alone."""
        del state, count
        return None

    def follow(self, state: Any, obs: Array, key: Array, memory: Any, /, *, explore: bool) -> tuple[Array, Any]:
        """Actions for `obs [E, O]`, and what to keep in mind for the next."""
        return self.act(state, obs, key, explore=explore), memory

    def adapt(self, state: Any, rows: Transition, key: Array) -> AgentState:
        """Look at the newest rows `[T, E, ...]` within a rollout, every `pace` steps. Rows that are there twice have
        `extras["valid"]` False, before the first step all of them."""
        del rows, key
        return state

    def priorities(self, state: Any, batches: Transition) -> Array:
        """`[U, B]` of the rows that a phase with `mix="prioritised"` drew. Raises `O2OError` without any."""
        raise O2OError(f"{type(self).__name__} gives rows no priorities; set another mix")

    def check(self) -> None:
        """Raise `O2OError` for settings that do not go together. Each alone is checked as its field is declared
        (`types.number`, `types.static`); numbers may be traced."""
        return

    def check_phase(self, phase: Phase, num_envs: int) -> None:
        """Raise `O2OError` for a phase with updates in which it cannot learn."""
        del phase, num_envs


def check_phase(agent: Agent, phase: Phase, num_envs: int) -> None:
    """Raise `O2OError` for a phase that the agent, as it is there, cannot learn in."""
    if phase.updates:
        agent.check_phase(phase, num_envs)
