"""Independent float64 NumPy reference of FQL and Q-chunking (see `reference.py` for the conventions).

Written from the papers (Park, Li & Levine 2025; Li, Zhou & Levine 2025).
"""

from typing import Any

import numpy as np
import reference as ref
from reference import Logs, State, Var

PARTS = ("flow", "actor", "critic")


def gelu(x: Any) -> Var:
    """The approximation by tanh (Hendrycks & Gimpel 2016, section 2)."""
    c = np.sqrt(2 / np.pi)

    def value(v: Any) -> Any:
        return 0.5 * v * (1 + np.tanh(c * (v + 0.044715 * v**3)))

    def slope(v: Any) -> Any:
        t = np.tanh(c * (v + 0.044715 * v**3))
        return 0.5 * (1 + t) + 0.5 * v * (1 - t**2) * c * (1 + 3 * 0.044715 * v**2)

    return ref.unary(x, value, slope)


def network(p: Any, *inputs: Any) -> Var:
    """All inputs joined; Dense -> GELU -> LayerNorm (where there are parameters for it); the last Dense alone."""
    p, x = p["MLP_0"], ref.concat(list(inputs), 1)
    last = sum(name.startswith("Dense") for name in p) - 1
    for i in range(last):
        x = gelu(ref.dense(p[f"Dense_{i}"], x))
        if f"LayerNorm_{i}" in p:
            x = ref.layer_norm(p[f"LayerNorm_{i}"], x)
    return ref.dense(p[f"Dense_{last}"], x)


def critic(p: Any, obs: Any, action: Any) -> Var:
    """`Q [N, B]`."""
    return network(p, obs, action)[..., 0]


def reduced(agent: Any, q: Any) -> Any:
    return q.min(0) if agent.target_reduction == "min" else q.mean(0)


def carried(agent: Any, p: Any, obs: Any, z: Any) -> Any:
    """Euler's method, written out, then the box."""
    x = z
    for i in range(agent.flow_steps):
        time = np.full((len(z), 1), i / agent.flow_steps)
        x = x + network(p, obs, x, time).value / agent.flow_steps
    return np.clip(x, -1, 1)


def proposal(agent: Any, state: State, obs: Any, z: Any) -> Any:
    """The policy's actions `[B, D]`; `z` is `[B, D]`, or `[B, n, D]` for the best of n."""
    if getattr(agent, "policy", "distilled") == "distilled":
        return np.clip(network(state["actor"], obs, z).value, -1, 1)
    chosen = []
    for row, draws in zip(obs, z, strict=True):
        rows = np.tile(row, (len(draws), 1))
        actions = carried(agent, state["flow"], rows, draws)
        chosen.append(actions[np.argmax(reduced(agent, critic(state["critic"], rows, actions).value))])
    return np.array(chosen)


def actor_loss(agent: Any, p: Any, state: State, obs: Any, z: Any) -> Var:
    action = network(p, obs, z)
    error = action - carried(agent, state["flow"], obs, z)
    q = critic(state["critic"], obs, ref.clip(action, -1.0, 1.0)).mean(0)
    scale = 1.0 / np.abs(q.value).mean() if agent.normalise_q else 1.0
    return (error * error).mean() * agent.alpha - q.mean() * scale


def fql_step(agent: Any, state: State, rows: dict[str, Any], noise: dict[str, Any]) -> Logs:
    """One Adam step on the sum of all losses, then the targets, towards the critics before it; in place.

    rows: obs, action, next_obs, `target` (a function of the next value), row and entry weights."""
    following = proposal(agent, state, rows["next_obs"], noise["next"])
    y = rows["target"](reduced(agent, critic(state["target"], rows["next_obs"], following).value))
    obs, action, z, t = rows["obs"], rows["action"], noise["flow"], noise["time"]
    logs: Logs = {}

    def loss(p: Any) -> Var:
        error = critic(p["critic"], obs, action) - y
        parts = {"critic_loss": (error * error * rows["row_weight"]).mean()}
        error = network(p["flow"], obs, (1 - t) * z + t * action, t) - (action - z)
        parts["flow_loss"] = (error * error * rows["entry_weight"]).mean()
        if "actor" in p:
            parts["actor_loss"] = actor_loss(agent, p["actor"], state, obs, noise["own"])
        logs.update({name: float(part.value) for name, part in parts.items()})
        total: Any = 0.0
        for part in parts.values():
            total = part + total
        return total

    before, opt = state["critic"], state["shared_opt"]
    params = {name: state[name] for name in PARTS if state[name] is not None}
    mu, nu = ({name: moments[name] for name in params} for moments in (opt.mu, opt.nu))
    _, grads = ref.gradient(loss, params)
    params, state["shared_opt"] = ref.adam_step(params, grads, ref.Adam(opt.steps, mu, nu), agent.learning_rate)
    state.update(params)
    state["target"] = ref.polyak(state["target"], before, agent.polyak)
    return logs


def steps_of(agent: Any, b: Any) -> dict[str, Any]:
    return {
        "obs": b.obs,
        "action": b.action,
        "next_obs": b.next_obs,
        "target": lambda value: ref.td_target(b, value, agent.discount),
        "row_weight": 1.0,
        "entry_weight": 1.0,
    }


def chunks_of(agent: Any, b: Any) -> dict[str, Any]:
    """The same of chunks `[B, h, ...]`, row by row and step by step."""
    count, h, size = b.action.shape
    returns, alive, weight, entries = np.zeros(count), np.ones(count), np.ones(count), np.ones((count, h * size))
    for row in range(count):
        ended = False
        for i in range(h):
            if ended:
                entries[row, i * size : (i + 1) * size] = 0.0
                weight[row] = 0.0
            returns[row] += agent.discount**i * b.reward[row, i]
            alive[row] = min(alive[row], 1.0 - b.terminated[row, i])
            ended = ended or b.terminated[row, i] or b.truncated[row, i]
    return {
        "obs": b.obs[:, 0],
        "action": b.action.reshape(count, -1),
        "next_obs": b.next_obs[:, -1],
        "target": lambda value: returns + agent.discount**h * alive * value,
        "row_weight": weight,
        "entry_weight": entries,
    }


def fql_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    return _update(agent, state, batches, noise, steps_of)


def qc_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    return _update(agent, state, batches, noise, chunks_of)


def _update(agent: Any, state: State, batches: Any, noise: Any, rows: Any) -> tuple[State, Logs]:
    state = dict(state)
    logs = [fql_step(agent, state, rows(agent, ref.row(batches, u)), noise[u]) for u in range(len(batches.reward))]
    return state, ref.average(logs)
