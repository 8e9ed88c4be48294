"""Independent float64 NumPy reference of TD3, TD3+BC, ReBRAC and SPOT (see `reference.py` for the conventions).

Written from the papers (Fujimoto et al. 2018; Fujimoto & Gu 2021; Tarasov et al. 2023; Wu et al. 2022).
"""

from typing import Any

import numpy as np
import reference as ref
from reference import Logs, State, Var


def actor(p: Any, obs: Any) -> Var:
    return ref.tanh(ref.dense(p["mean"], ref.mlp(p["MLP_0"], obs, output=False)))


def critic(agent: Any, p: Any, obs: Any, action: Any) -> Var:
    """`Q [N, B]`; ReBRAC's critics normalise after the ReLU."""
    p, x = p["MLP_0"], ref.concat([obs, ref.lift(action)], 1)
    last = sum(name.startswith("Dense") for name in p) - 1
    for i in range(last):
        x = ref.dense(p[f"Dense_{i}"], x)
        if agent.layer_norm and agent.norm_place == "before":
            x = ref.layer_norm(p[f"LayerNorm_{i}"], x)
        x = ref.relu(x)
        if agent.layer_norm and agent.norm_place == "after":
            x = ref.layer_norm(p[f"LayerNorm_{i}"], x)
    return ref.dense(p[f"Dense_{last}"], x).reshape(-1, len(obs))


def relaxation(k: int, n: int, end: float) -> float:
    return max(end, (n - k) / n)


def target(agent: Any, state: State, b: Any, noise: Any) -> Any:
    eps = np.clip(agent.smoothing_noise * noise, -agent.noise_clip, agent.noise_clip)
    action = np.clip(actor(state["actor_target"], b.next_obs).value + eps, -1.0, 1.0)
    value = critic(agent, state["target"], b.next_obs, action).value.min(0)
    if hasattr(agent, "critic_penalty") and agent.stage == "conservative":
        ends = b.terminated | b.truncated
        value = value - agent.critic_penalty * ((action - b.extras["next_action"]) ** 2).sum(1) * ~ends
    return ref.td_target(b, value, agent.discount)


def scaled(q: Var) -> Var:
    return q * (1.0 / np.abs(q.value).mean())


def td3_actor_loss(agent: Any, p: Any, state: State, b: Any, noise: Any) -> Var:
    return -critic(agent, state["critic"], b.obs, actor(p, b.obs))[0].mean()


def td3_bc_actor_loss(agent: Any, p: Any, state: State, b: Any, noise: Any) -> Var:
    action = actor(p, b.obs)
    error = action - b.action
    weight = agent.bc_weight * relaxation(int(state["steps"]), int(state["span"]), agent.bc_weight_end)
    q = critic(agent, state["critic"], b.obs, action)[0]
    return (error * error).mean() * weight - scaled(q).mean() * agent.alpha


def rebrac_actor_loss(agent: Any, p: Any, state: State, b: Any, noise: Any) -> Var:
    action = actor(p, b.obs)
    error = action - b.action
    weight = agent.actor_penalty * relaxation(int(state["steps"]), int(state["span"]), agent.actor_penalty_end)
    q = critic(agent, state["critic"], b.obs, action).min(0)
    return ((error * error).sum(1) * weight - scaled(q)).mean()


def step(agent: Any, state: State, b: Any, noise: dict[str, Any], actor_loss: Any) -> Logs:
    """One minibatch in place; the actor's logs are zero when it rests, `delay` times as large when it moves."""
    y = target(agent, state, b, noise["target"])

    def critic_loss(p: Any) -> Var:
        error = critic(agent, p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs = {"critic_loss": ref.descend(state, "critic", critic_loss, agent.learning_rate), "actor_loss": 0.0}
    if agent.prompt_targets:
        state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    if (state["steps"] + 1) % agent.delay == 0:
        old = state["actor"]
        loss = ref.descend(
            state, "actor", lambda p: actor_loss(agent, p, state, b, noise), ref.rate_of(agent, "actor")
        )
        logs["actor_loss"] = loss * agent.delay
        followed = old if agent.lagging_target else state["actor"]
        state["actor_target"] = ref.polyak(state["actor_target"], followed, agent.polyak)
        if not agent.prompt_targets:
            state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    state["steps"] = state["steps"] + 1
    return logs


def updater(actor_loss: Any) -> Any:
    def update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
        state = dict(state)
        logs = [step(agent, state, ref.row(batches, u), noise[u], actor_loss) for u in range(len(batches.reward))]
        return state, ref.average(logs)

    return update


td3_update = updater(td3_actor_loss)
td3_bc_update = updater(td3_bc_actor_loss)
rebrac_update = updater(rebrac_actor_loss)


# ---- SPOT ------------------------------------------------------------------------------------------------


def elbo_loss(p: Any, obs: Any, action: Any, noise: Any, kl_weight: float) -> Var:
    """`L [B]` of the VAE; `noise [S, B, L]`."""
    x = ref.mlp(p["encoder"], ref.concat([obs, ref.lift(action)], 1), output=False)
    mean, log_std = ref.dense(p["mean"], x), ref.clip(ref.dense(p["log_std"], x), -4.0, 15.0)
    error: Any = 0.0
    for eps in noise:
        z = mean + ref.exp(log_std) * eps
        difference = ref.tanh(ref.mlp(p["decoder"], ref.concat([obs, z], 1), output=True)) - action
        error = (difference * difference).mean(1) * (1 / len(noise)) + error
    divergence = (log_std * 2.0 + 1.0 - mean * mean - ref.exp(log_std * 2.0)) * -0.5
    return error + divergence.mean(1) * kl_weight


def spot_actor_loss(agent: Any, p: Any, state: State, b: Any, noise: Any) -> Var:
    action = actor(p, b.obs)
    weight = agent.support_weight * relaxation(int(state["steps"]), int(state["span"]), agent.support_weight_end)
    support = elbo_loss(state["vae"], b.obs, action, noise["latent"], agent.kl_weight).mean()
    return support * weight - scaled(critic(agent, state["critic"], b.obs, action)[0]).mean()


spot_update = updater(spot_actor_loss)


def spot_density_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    state, logs = dict(state), []
    for u in range(len(batches.reward)):
        b, eps = ref.row(batches, u), noise[u]["latent"]

        def loss(p: Any, b: Any = b, eps: Any = eps) -> Var:
            return elbo_loss(p, b.obs, b.action, eps, agent.kl_weight).mean()

        logs.append({"vae_loss": ref.descend(state, "vae", loss, agent.vae_learning_rate)})
    return state, ref.average(logs)
