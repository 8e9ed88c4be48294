"""The agent protocol.

An agent is a frozen pytree of settings with pure functions; its state is a pytree of arrays and nothing else.
It knows batches, never environments, buffers or phases, and can be used alone on arrays.
"""

from typing import Any, Protocol, runtime_checkable

from purejaxo2o.loop.phases import Boundary, Phase
from purejaxo2o.types import Array, Metrics, Number, Spaces, Transition

AgentState = Any
"""Whatever pytree of arrays `init` returns."""


@runtime_checkable
class Agent(Protocol):
    """An update rule.

    It may have besides: `chunk`, a memory for acting, `begin` with `follow`, and `pace` with `adapt`, asked
    for below; `priorities(state, batches) -> [U, B]` of the rows that a phase with `mix="prioritised"` drew; and
    `check()`, which raises `O2OError` for settings that do not go together (each alone is checked as its field is
    declared, see `types.number` and `types.static`; numbers may be traced), and `check_phase(phase, num_envs)`, which
    raises it for a phase that the agent cannot learn in.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Extras that every batch must carry, e.g. {"return_to_go"}."""
        ...

    @property
    def discount(self) -> Number: ...

    def init(self, key: Array, spaces: Spaces) -> AgentState:
        """Fresh parameters, targets and optimiser states. Raises `O2OError` for spaces it cannot handle."""
        ...

    def act(self, state: AgentState, obs: Array, key: Array, *, explore: bool) -> Array:
        """Actions for a batch of observations `[..., O]`; `explore=False` is the greedy policy."""
        ...

    def update(self, state: AgentState, batches: Transition, key: Array) -> tuple[AgentState, Metrics]:
        """Learn from `U` minibatches, leaves `[U, B, ...]`, rewards already transformed.

        Metrics are scalars, the same names at every call."""
        ...

    def enter(self, state: AgentState, key: Array, at: Boundary) -> AgentState:
        """Called once on entering each phase: the one place for resetting, freezing, widening."""
        ...


def chunk_of(agent: Any) -> int | None:
    """How many consecutive steps the agent wants for each row, as leaves `[U, B, chunk, ...]` with `extras["valid"]`
    (`store.sample_chunks`); None: rows are single steps."""
    return getattr(agent, "chunk", None)


def pace_of(agent: Any) -> int | None:
    """After how many steps of a rollout in each environment the agent wants to see its newest rows again, as
    `agent.adapt(state, rows [T, E, ...], key) -> state` before it goes on; None: not until the rollout is whole. Rows
    that are there twice have `extras["valid"]` False, before the first step all of them."""
    return getattr(agent, "pace", None)


def begin(agent: Any, state: AgentState, count: int) -> Any:
    """What the agent keeps in mind at the start of an episode, in `count` environments: `agent.begin(state, count)`,
    a pytree with leaves `[count, ...]`. None for agents that decide by the observation alone."""
    return agent.begin(state, count) if hasattr(agent, "begin") else None


def follow(agent: Any, state: AgentState, obs: Array, key: Array, memory: Any, *, explore: bool) -> tuple[Array, Any]:
    """Actions for `obs [E, O]`, and what to keep in mind for the next: `agent.follow(...)`, or plain `agent.act`."""
    if memory is None:
        return agent.act(state, obs, key, explore=explore), None
    return agent.follow(state, obs, key, memory, explore=explore)


def check_phase(agent: Any, phase: Phase, num_envs: int) -> None:
    """Raise `O2OError` for a phase that the agent, as it is there, cannot learn in."""
    if phase.updates and hasattr(agent, "check_phase"):
        agent.check_phase(phase, num_envs)
