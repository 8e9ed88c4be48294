"""Independent float64 NumPy reference of H2O (see `reference.py` for the conventions).

Written from the paper (Niu et al. 2022) and the authors' clipping.
"""

from typing import Any

import numpy as np
import reference as ref
from reference import Logs, State, Var


def classifier(p: Any, x: Any) -> Var:
    return ref.tanh(ref.mlp(p["MLP_0"], x, output=True)) * 2.0


def log_softmax(z: Var) -> Var:
    return z - ref.log(ref.exp(z).sum(-1, keepdims=True))


def discriminator_loss(p: Any, b: Any, real: int, noise: Any, std: float) -> Var:
    obs, action, next_obs = (x + std * eps for x, eps in zip((b.obs, b.action, b.next_obs), noise, strict=True))
    pair = classifier(p["sa"], np.concatenate([obs, action], 1))
    triple = classifier(p["sas"], np.concatenate([obs, action, next_obs], 1))
    total: Any = 0.0
    for z in (pair, pair + triple):
        log_p = log_softmax(z)
        total = -log_p[:real, 0].mean() - log_p[real:, 1].mean() + total
    return total


def log_real_over_sim(p: Any, obs: Any, action: Any, next_obs: Any) -> Any:
    """By Bayes' rule, with the probabilities written out."""
    pair = classifier(p["sa"], np.concatenate([obs, action], -1))
    both = log_softmax(pair + classifier(p["sas"], np.concatenate([obs, action, next_obs], -1))).value
    alone = log_softmax(pair).value
    return both[..., 0] - both[..., 1] - alone[..., 0] + alone[..., 1]


def buffer_std(rows: Any, filled: float) -> Any:
    """Of a buffer that holds `rows` in this share of its rows and zeros in all others (the authors' code)."""
    empty = round(len(rows) / filled) - len(rows)
    return np.concatenate([rows, np.zeros((empty, rows.shape[1]))]).std(0)


def critic_step(agent: Any, state: State, b: Any, noise: dict[str, Any]) -> Logs:
    real = round(agent.real_fraction * len(b.reward))
    rate = agent.learning_rate if agent.discriminator_learning_rate is None else agent.discriminator_learning_rate

    def told_apart(p: Any) -> Var:
        return discriminator_loss(p, b, real, noise["blur"], agent.input_noise)

    logs = {"discriminator_loss": ref.descend(state, "discriminator", told_apart, rate)}
    obs, action, next_obs = b.obs[real:], b.action[real:], b.next_obs[real:]
    p = state["discriminator"]
    ratio = np.clip(np.exp(log_real_over_sim(p, obs, action, next_obs)), 1e-5, 1.0)
    spread = buffer_std(b.next_obs[:real], agent.filled)
    gaps = [-log_real_over_sim(p, obs, action, next_obs + spread * eps) for eps in noise["near"]]
    u = np.clip(np.mean(gaps, 0), 1e-45, 10.0)
    omega = u / u.sum()
    following, _ = ref.draw(state["actor"], b.next_obs, noise["target"][0])
    y = ref.td_target(b, ref.critic(state["target"], b.next_obs, following.value).value.min(0), agent.discount)

    def loss(p: Any) -> Var:
        q = ref.critic(p, b.obs, b.action)
        error = q - y
        square = error * error
        pushed = ref.log((ref.exp(q[:, real:]) * omega).sum(1)) - q[:, :real].mean(1)
        td = square[:, :real].mean() + (square[:, real:] * ratio).mean()
        logs["critic_loss"] = float(td.value)
        return td + pushed.mean() * agent.gap_weight

    ref.descend(state, "critic", loss, agent.learning_rate)
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    return logs | {"trust": float(ratio.mean())}


def h2o_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    return ref.sac_update(agent, state, batches, noise, step=critic_step)
