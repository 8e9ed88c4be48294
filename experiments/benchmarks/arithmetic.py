"""How much arithmetic one update is: its dense layers' matrix products, forward and backward, from the settings.

Biases, activations, optimisers and sampling are left out, as in every published figure: what is counted is what a
matrix unit could do. A product that two parts of a loss share (the policy at the next state, say) counts once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from purejaxo2o.agents import BC, CQL, IQL, SAC, TD3
from purejaxo2o.types import Spaces

Backward = Literal["none", "weights", "inputs"]


@dataclass(frozen=True)
class Pass:
    """`count` passes of `members` MLPs of `widths` (input, hidden..., output) over `rows` rows each.

    backward: nothing, the weights' gradient (a training step), or the gradient of the last `inputs` inputs alone
    (the policy's step through its critics).
    """

    rows: int
    widths: tuple[int, ...]
    members: int = 1
    backward: Backward = "none"
    inputs: int = 0
    count: int = 1

    def products(self) -> list[tuple[int, int, int]]:
        """Every matrix product of one member's pass: `(m, k, n)` for `[m, k] x [k, n]`."""
        layers = list(zip(self.widths, self.widths[1:], strict=False))
        found = [(self.rows, i, o) for i, o in layers]
        if self.backward == "weights":
            found += [(i, self.rows, o) for i, o in layers]
        if self.backward != "none":
            found += [(self.rows, o, i) for i, o in layers[1:]]
        if self.backward == "inputs":
            found.append((self.rows, layers[0][1], self.inputs))
        return found

    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.count * self.members * sum(m * k * n for m, k, n in self.products())


def passes(agent: Any, spaces: Spaces, *, batch: int, updates: int = 1) -> list[Pass] | None:
    """What `agent.update` on `updates` minibatches of `batch` rows runs through its networks.

    None for an agent (or discrete actions) that nobody has counted."""
    if spaces.action.discrete:
        return None
    for kind, count in COUNTED.items():
        if isinstance(agent, kind):
            return count(agent, spaces.obs.size, spaces.action.size, batch, updates)
    return None


def flops(agent: Any, spaces: Spaces, *, batch: int, updates: int = 1) -> int | None:
    """Floating-point operations of one `agent.update` (see `passes`)."""
    found = passes(agent, spaces, batch=batch, updates=updates)
    return None if found is None else sum(each.flops() for each in found)


def _bc(agent: BC, obs: int, action: int, rows: int, updates: int) -> list[Pass]:
    return [Pass(rows, (obs, *agent.actor_hidden, action), backward="weights", count=updates)]


def _iql(agent: IQL, obs: int, action: int, rows: int, updates: int) -> list[Pass]:
    critic, value = (obs + action, *agent.hidden, 1), (obs, *agent.hidden, 1)
    return [
        Pass(rows, critic, members=2, count=updates),  # target critics at the recorded actions
        Pass(rows, value, backward="weights", count=updates),
        Pass(rows, value, count=2 * updates),  # the new V at s (advantage) and at s' (regression target)
        Pass(rows, (obs, *agent.actor_hidden, action), backward="weights", count=updates),
        Pass(rows, critic, members=2, backward="weights", count=updates),
    ]


def _sac(agent: SAC, obs: int, action: int, rows: int, updates: int) -> list[Pass]:
    critic, policy = (obs + action, *agent.hidden, 1), _policy(agent, obs, action)
    actor_rows = rows * updates if agent.actor_batch == "all" else rows
    found = [
        Pass(rows, policy, count=updates),  # next actions
        Pass(rows * agent.target_samples, critic, members=agent.target_critics, count=updates),
        Pass(rows, critic, members=agent.critics, backward="weights", count=updates),
        Pass(actor_rows, policy, backward="weights"),
        Pass(actor_rows, critic, members=agent.critics, backward="inputs", inputs=action),
    ]
    if agent.temperature_on == "next_obs":
        found.append(Pass(actor_rows, policy))
    return found


def _cql(agent: CQL, obs: int, action: int, rows: int, updates: int) -> list[Pass]:
    found = _sac(agent, obs, action, rows, updates)
    if agent.stage == "plain":
        return found
    critic, members = (obs + action, *agent.hidden, 1), agent.penalty_critics or agent.critics
    return [
        *found,
        Pass(rows, _policy(agent, obs, action), count=updates),  # at s; that at s' is the target's
        Pass(rows * 3 * agent.cql_actions, critic, members=members, backward="weights", count=updates),
    ]


def _td3(agent: TD3, obs: int, action: int, rows: int, updates: int) -> list[Pass] | None:
    if updates % agent.delay:
        return None  # the actor's turn would not come as often in every call
    critic, actor, turns = (
        (obs + action, *agent.hidden, 1),
        (obs, *agent.actor_hidden, action),
        updates // agent.delay,
    )
    return [
        Pass(rows, actor, count=updates),  # next actions
        Pass(rows, critic, members=agent.critics, count=updates),
        Pass(rows, critic, members=agent.critics, backward="weights", count=updates),
        Pass(rows, actor, backward="weights", count=turns),
        Pass(rows, critic, backward="inputs", inputs=action, count=turns),
    ]


def _policy(agent: SAC, obs: int, action: int) -> tuple[int, ...]:
    return (obs, *agent.actor_hidden, 2 * action if agent.std == "state" else action)


Counter = Callable[[Any, int, int, int, int], list[Pass] | None]
COUNTED: dict[type, Counter] = {BC: _bc, IQL: _iql, CQL: _cql, SAC: _sac, TD3: _td3}
"""The first that an agent is an instance of counts, so a subclass stands before its base."""


def traced(program: Any) -> float:
    """Floating-point operations of the matrix products in a traced function (`jax.make_jaxpr`), loops of known length
    counted as often as they run; of other loops one round, of branches the costliest."""
    total = 0.0
    for equation in program.eqns:
        inner = [traced(part) for value in equation.params.values() for part in _programs_in(value)]
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            sizes = equation.invars[0].aval.shape
            shared = math.prod(sizes[axis] for axis in contracted)
            total += 2.0 * shared * math.prod(equation.outvars[0].aval.shape)
        elif equation.primitive.name == "cond":
            total += max(inner)
        else:
            total += sum(inner) * equation.params.get("length", 1)
    return total


def _programs_in(value: Any) -> list[Any]:
    """The traced functions in a parameter of an operation."""
    values = value if isinstance(value, list | tuple) else [value]
    return [each for each in values if hasattr(each, "eqns")]
