"""Independent float64 NumPy reference of PPO (see `reference.py` for the conventions).

Written from Schulman et al. 2016 (advantages) and 2017 (the loss).
"""

from typing import Any

import numpy as np
import reference as ref
from reference import Logs, State, Var
from scipy import special

LOG_STD_RANGE = (-5.0, 2.0)


def advantages(rows: Any, value: Any, following: Any, discount: float, gae_lambda: float) -> Any:
    """The sum of the definition, term by term: `A_t = sum_k (gamma lambda)^k delta_{t+k}` up to the episode's end."""
    found = np.zeros_like(value)
    steps, envs = value.shape
    for t in range(steps):
        for e in range(envs):
            weight = 1.0
            for k in range(t, steps):
                after = 0.0 if rows.terminated[k, e] else discount * following[k, e]
                found[t, e] += weight * (rows.reward[k, e] + after - value[k, e])
                weight *= discount * gae_lambda
                if rows.terminated[k, e] or rows.truncated[k, e]:
                    break
    return found


def log_prob(p: Any, obs: Any, action: Any) -> Var:
    if "logits" in p:
        return ref.log_softmax_at(p, obs, action, ref.tanh)
    mean, log_std = ref.actor_head(p, obs, LOG_STD_RANGE, ref.tanh)
    inverse = ref.exp(-log_std)
    z = (ref.lift(action) - mean) * inverse
    inside = z * z * -0.5 - log_std - 0.5 * np.log(2 * np.pi)
    above, below = log_ndtr((mean - 1.0) * inverse), log_ndtr((mean * -1.0 - 1.0) * inverse)
    top, bottom = (np.asarray(x, float) for x in (action >= 1, action <= -1))
    return (inside * (1 - top - bottom) + above * top + below * bottom).sum(-1)


def log_ndtr(x: Any) -> Var:
    """Logarithm of the normal distribution function."""
    return ref.unary(x, special.log_ndtr, lambda v: np.exp(-0.5 * v**2 - special.log_ndtr(v)) / np.sqrt(2 * np.pi))


def entropy(p: Any, obs: Any, noise: Any) -> Var:
    if "logits" in p:
        logits = ref.dense(p["logits"], ref.mlp(p["MLP_0"], obs, output=False, activation=ref.tanh))
        log_p = logits - ref.logsumexp(logits, 1).reshape(-1, 1)
        return -(ref.exp(log_p) * log_p).sum(1).mean()
    mean, log_std = ref.actor_head(p, obs, LOG_STD_RANGE, ref.tanh)
    u = mean + ref.exp(log_std) * noise
    return -ref.normal_log_prob(u, mean, log_std).mean()


def ppo_update(
    agent: Any, state: State, rollout: Any, orders: Any, noises: Any, passed: float = 0.0
) -> tuple[State, Logs]:
    """orders: `[epochs, minibatches, B]` indices of the flat rows; noises: as many arrays `[B, A]`. passed: the share
    of the phase."""
    rate = agent.learning_rate * max(agent.learning_rate_end, 1 - passed)
    state, logs = dict(state), []
    old = state["params"]

    def values(obs: Any) -> Any:
        flat = obs.reshape(-1, obs.shape[-1])
        return ref.value_net(old["value"], flat, ref.tanh).value.reshape(obs.shape[:2])

    value = values(rollout.obs)
    advantage = advantages(rollout, value, values(rollout.next_obs), agent.discount, agent.gae_lambda)
    target = (advantage + value).ravel()
    if agent.standardise == "rollout":
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    obs = rollout.obs.reshape(-1, rollout.obs.shape[-1])
    action = rollout.action.reshape(len(obs), *rollout.action.shape[2:])
    before = log_prob(old["actor"], obs, action).value
    advantage, value = advantage.ravel(), value.ravel()
    for order, drawn in zip(orders, noises, strict=True):
        for rows, noise in zip(order, drawn, strict=True):
            own = advantage[rows]
            if agent.standardise == "minibatch":
                own = (own - own.mean()) / (own.std() + 1e-8)

            def loss(p: Any, rows: Any = rows, own: Any = own, noise: Any = noise) -> Var:
                ratio = ref.exp(log_prob(p["actor"], obs[rows], action[rows]) - before[rows])
                plain, cut = ratio * own, ref.clip(ratio, 1 - agent.clip, 1 + agent.clip) * own
                surrogate = plain.reshape(1, -1)
                surrogate = ref.concat([surrogate, cut.reshape(1, -1)], 0).min(0)
                now = ref.value_net(p["value"], obs[rows], ref.tanh)
                error = (now - target[rows]) * (now - target[rows])
                if agent.clip_values:
                    near = ref.clip(now - value[rows], -agent.clip, agent.clip) + value[rows]
                    other = (near - target[rows]) * (near - target[rows])
                    error = ref.concat([error.reshape(1, -1), other.reshape(1, -1)], 0).max(0)
                spread = entropy(p["actor"], obs[rows], noise)
                actor_loss, value_loss = -surrogate.mean(), error.mean() * 0.5
                logs.append({"actor_loss": actor_loss, "value_loss": value_loss, "entropy": spread})
                return actor_loss + value_loss * agent.value_weight - spread * agent.entropy_weight

            _, grads = ref.gradient(loss, state["params"])
            norm = np.sqrt(sum(np.square(g).sum() for g in leaves(grads)))
            logs[-1] |= {"grad_norm": norm}
            for part in grads:
                own_norm = norm
                if agent.bounds == "apart":
                    own_norm = np.sqrt(sum(np.square(g).sum() for g in leaves(grads[part])))
                share = min(1.0, agent.max_grad_norm / own_norm)
                grads[part] = ref.tree_map(lambda g, share=share: g * share, grads[part])
            state["params"], state["opt"] = ref.adam_step(state["params"], grads, state["opt"], rate, agent.adam_eps)
    plain = [{name: float(getattr(x, "value", x)) for name, x in each.items()} for each in logs]
    return state, ref.average(plain)


def leaves(tree: Any) -> list[Any]:
    return [x for part in tree.values() for x in leaves(part)] if isinstance(tree, dict) else [tree]
