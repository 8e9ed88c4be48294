"""Independent float64 NumPy reference of MOORL: SAC's reference inside a Reptile step (see `reference.py`)."""

from typing import Any

import reference as ref
from reference import Logs, State


def toward(old: Any, new: Any, rate: float) -> Any:
    if isinstance(old, dict):
        return {name: toward(old[name], new[name], rate) for name in old}
    return old + rate * (new - old)


def moorl_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    """noise: `from_data`, and `steps` as SAC's reference has it, one for each inner minibatch."""
    half = batches.reward.shape[1] // 2
    chosen = slice(half) if noise["from_data"] else slice(half, None)
    rows = batches._replace(
        **{name: getattr(batches, name)[:, chosen] for name in batches._fields if name != "extras"}
    )
    inner, logs = dict(state), []
    for u, drawn in enumerate(noise["steps"]):
        one = rows._replace(**{name: getattr(rows, name)[u : u + 1] for name in rows._fields if name != "extras"})
        inner, found = ref.sac_update(agent, inner, one, drawn)
        logs.append(found)
    for name in ("actor", "critic"):
        inner[name] = toward(state[name], inner[name], agent.meta_rate)
    return inner, ref.average(logs)
