"""Independent float64 NumPy reference of PROPS and ROS (see `reference.py` for the conventions).

Written from Corrado & Hanna 2023, algorithms 1 and 2, and Zhong et al. 2022; the target's update is PPO's.
"""

from typing import Any

import numpy as np
import reference as ref
import reference_hnpg
import reference_ppo
from reference import Logs, State, Var


def flat(rows: Any) -> tuple[Any, Any]:
    obs = rows.obs.reshape(-1, rows.obs.shape[-1])
    return obs, rows.action.reshape(len(obs), *rows.action.shape[2:])


def behaviour_loss(agent: Any, phi: Any, theta: Any, obs: Any, action: Any) -> tuple[Var, float]:
    """What the behaviour descends, and how far it has gone already."""
    log_ratio = reference_ppo.log_prob(phi, obs, action) - reference_ppo.log_prob(theta, obs, action).value
    ratio = ref.exp(log_ratio)
    low, high = 1 - agent.behaviour_clip, 1 + agent.behaviour_clip
    both = [x.reshape(1, -1) for x in (ratio, ref.clip(ratio, low, high))]
    penalty = reference_hnpg.divergence(theta, phi, obs, ref.tanh).mean()
    spread = float((ratio.value - 1 - log_ratio.value).mean())
    return ref.concat(both, 0).max(0).mean() + penalty * agent.kl_weight, spread


def adapt(agent: Any, state: State, rows: Any, orders: Any) -> tuple[State, int]:
    """The state with a new behaviour, and how many minibatches moved it. orders: `[epochs, minibatches, B]`."""
    (obs, action), valid = flat(rows), rows.extras["valid"].ravel()
    theta = state["params"]["actor"]
    if agent.sampler == "ros":
        score = mean_score(theta, obs[valid], action[valid])
        rate = agent.behaviour_learning_rate
        return state | {"behaviour": ref.tree_map(lambda p, g: p - rate * g, theta, score)}, 1
    phi, opt, moved = theta, state["behaviour_opt"], 0
    for order in orders.reshape(-1, orders.shape[-1]):
        own = order[valid[order]]
        spreads: list[float] = []

        def loss(p: Any, own: Any = own, spreads: Any = spreads) -> Var:
            value, spread = behaviour_loss(agent, p, theta, obs[own], action[own])
            spreads.append(spread)
            return value

        _, grads = ref.gradient(loss, phi)
        if spreads[0] > agent.kl_limit:
            break
        norm = np.sqrt(sum(np.square(g).sum() for g in reference_ppo.leaves(grads)))
        grads = ref.tree_map(lambda g, n=norm: g * min(1.0, agent.max_grad_norm / n), grads)
        phi, opt = ref.adam_step(phi, grads, opt, agent.behaviour_learning_rate, agent.adam_eps)
        moved += 1
    return state | {"behaviour": phi, "behaviour_opt": opt}, moved


def mean_score(theta: Any, obs: Any, action: Any) -> Any:
    return ref.gradient(lambda p: reference_ppo.log_prob(p, obs, action).mean(), theta)[1]


def update(agent: Any, state: State, rows: Any, orders: Any, noises: Any) -> tuple[State, Logs]:
    obs, action = flat(rows)
    theta, phi = state["params"]["actor"], state["behaviour"]
    valid = rows.extras["valid"].ravel()
    score = reference_ppo.leaves(mean_score(theta, obs[valid], action[valid]))
    own = {
        "behaviour_kl": float(reference_hnpg.divergence(theta, phi, obs[valid], ref.tanh).value.mean()),
        "score_norm": float(np.sqrt(sum(np.square(x).sum() for x in score))),
    }
    after, logs = reference_ppo.ppo_update(agent, state, rows, orders, noises)
    return after, logs | own
