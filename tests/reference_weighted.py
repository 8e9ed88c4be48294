"""Independent float64 NumPy reference of AWAC, PEX, EDAC and SO2 (see `reference.py` for the conventions).

Written from the papers (Nair et al. 2020; Zhang, Xu & Yu 2023; An et al. 2021; Zhang et al. 2024).
"""

from typing import Any

import numpy as np
import reference as ref
from reference import Logs, State, Var

# ---- AWAC ------------------------------------------------------------------------------------------------


def awac_head(agent: Any, p: Any, obs: Any) -> tuple[Var, Var]:
    return ref.actor_head(p, obs, agent.log_std_range)


def awac_sample(agent: Any, p: Any, obs: Any, noise: Any) -> Any:
    """Gaussian noise for boxes, Gumbel noise for discrete actions."""
    if "logits" in p:
        logits = ref.dense(p["logits"], ref.mlp(p["MLP_0"], obs, output=False)).value
        return np.argmax(logits + noise, axis=1)
    mean, log_std = awac_head(agent, p, obs)
    return np.clip(mean.value + np.exp(log_std.value) * noise, -1.0, 1.0)


def awac_weights(agent: Any, advantage: Any) -> Any:
    scaled = advantage / agent.temperature
    if agent.weighting == "exponential":
        return np.minimum(np.exp(scaled), agent.max_weight)
    share = np.exp(scaled - scaled.max())
    return len(scaled) * share / share.sum()


def awac_step(agent: Any, state: State, b: Any, noise: dict[str, Any]) -> Logs:
    q_of = ref.critic_discrete if "logits" in state["actor"] else ref.critic
    following = awac_sample(agent, state["actor"], b.next_obs, noise["next"])
    y = ref.td_target(b, q_of(state["target"], b.next_obs, following).value.min(0), agent.discount)

    def critic_loss(p: Any) -> Var:
        error = q_of(p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs = {"critic_loss": ref.descend(state, "critic", critic_loss, agent.learning_rate)}
    own = awac_sample(agent, state["actor"], b.obs, noise["own"])
    q, v = (q_of(state["critic"], b.obs, a).value.min(0) for a in (b.action, own))
    weight = awac_weights(agent, q - v)
    logs["advantage"] = float((q - v).mean())

    def actor_loss(p: Any) -> Var:
        if "logits" in p:
            return -(ref.log_softmax_at(p, b.obs, b.action) * weight).mean()
        return -(ref.normal_log_prob(b.action, *awac_head(agent, p, b.obs)) * weight).mean()

    logs["actor_loss"] = ref.descend(state, "actor", actor_loss, ref.rate_of(agent, "actor"))
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    return logs


def awac_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    state = dict(state)
    logs = [awac_step(agent, state, ref.row(batches, u), noise[u]) for u in range(len(batches.reward))]
    return state, ref.average(logs)


# ---- PEX -------------------------------------------------------------------------------------------------


def pex_choice(agent: Any, state: State, obs: Any, noise: dict[str, Any]) -> Any:
    """Actions of the composite policy at `obs`, as drawn; `noise` Gaussian for the new one, Gumbel `[B, 2]` for the
    choice, which asks what the box leaves of them."""
    mean, log_std = ref.actor_head(state["actor"], obs, (-5.0, 2.0))
    second = np.tanh(mean.value) + np.exp(log_std.value) * noise["sample"]
    first = np.tanh(ref.actor_head(state["frozen"], obs, (-5.0, 2.0))[0].value)
    q = np.stack([ref.critic(state["critic"], obs, a).value.min(0) for a in (first, np.clip(second, -1.0, 1.0))], 1)
    choice = np.argmax(agent.selection_temperature * q + noise["choice"], 1)
    return np.where(choice[:, None] == 0, first, second)


def pex_step(agent: Any, state: State, b: Any, noise: dict[str, Any]) -> Logs:
    q = ref.critic(state["target"], b.obs, b.action).min(0).value

    def value_loss(p: Any) -> Var:
        return ref.expectile_loss(q - ref.value_net(p, b.obs), agent.expectile).mean()

    logs = {"value_loss": ref.descend(state, "value", value_loss, agent.learning_rate)}
    drawn = pex_choice(agent, state, b.obs, noise)
    action = np.clip(drawn, -1.0, 1.0)
    assert (drawn != action).any()
    imitated = drawn if agent.imitates == "drawn" else action
    advantage = ref.critic(state["target"], b.obs, action).value.min(0) - ref.value_net(state["value"], b.obs).value
    weight = np.minimum(np.exp(agent.temperature * advantage), agent.max_weight)

    def actor_loss(p: Any) -> Var:
        return -(ref.iql_actor_log_prob(p, b.obs, imitated) * weight).mean()

    logs["actor_loss"] = ref.descend(state, "actor", actor_loss, ref.rate_of(agent, "actor"))
    y = ref.td_target(b, ref.value_net(state["value"], b.next_obs).value, agent.discount)

    def critic_loss(p: Any) -> Var:
        error = ref.critic(p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs["critic_loss"] = ref.descend(state, "critic", critic_loss, agent.learning_rate)
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    return logs


def pex_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    state = dict(state)
    logs = [pex_step(agent, state, ref.row(batches, u), noise[u]) for u in range(len(batches.reward))]
    return state, ref.average(logs)


# ---- EDAC ------------------------------------------------------------------------------------------------


def action_slope(p: Any, obs: Any, action: Any) -> Var:
    """`dQ_i/da [N, B, A]` of ReLU critics, written out: weights between the active units, multiplied through."""
    layers = dict(p["MLP_0"])
    if "head" in p:
        layers[f"Dense_{len(layers)}"] = p["head"]
    last = len(layers) - 1
    x: Any = np.concatenate([obs, action], 1)
    active = []
    for i in range(last):
        x = ref.dense(layers[f"Dense_{i}"], x)
        active.append(x.value > 0)
        x = ref.relu(x)
    members, rows = active[-1].shape[:2]
    slope: Any = np.ones((members, rows, 1))
    for i in range(last, -1, -1):
        kernel = ref.lift(layers[f"Dense_{i}"]["kernel"])
        slope = ref.lift(slope) @ transpose(kernel)
        if i:
            slope = slope * active[i - 1]
    return slope[:, :, obs.shape[1] :]


def transpose(x: Var) -> Var:
    return Var(np.swapaxes(x.value, -1, -2), ((x, lambda g: np.swapaxes(g, -1, -2)),))


def alignment(slope: Var) -> Var:
    """Mean over the batch of the mean pairwise cosine times N, all pairs one by one."""
    members = len(slope.value)
    norm = ref.power((slope * slope).sum(-1, keepdims=True) + 1e-20, -0.5)
    unit = slope * norm
    total: Any = 0.0
    for i in range(members):
        for j in range(members):
            if i != j:
                total = (unit[i] * unit[j]).sum(-1) + total
    return ref.lift(total).mean() * (1.0 / (members - 1))


def max_target(agent: Any, state: State, b: Any, noise: dict[str, Any]) -> Any:
    """Of the critics that learn: each one's best of the actions that were drawn, then the least of all."""
    actions = [ref.draw(state["actor"], b.next_obs, eps)[0].value for eps in noise["target"]]
    values = [ref.critic(state["critic"], b.next_obs, action).value for action in actions]
    return ref.td_target(b, np.maximum.reduce(values).min(0), agent.discount)


def edac_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    """SAC with the term in every critic step, divided by N as the mean over critics divides the paper's sum."""

    def extra(p: Any, b: Any) -> Var:
        return alignment(action_slope(p, b.obs, b.action)) * (agent.diversity_weight / agent.critics)

    def best(state: State, b: Any, noise: dict[str, Any]) -> Any:
        return max_target(agent, state, b, noise)

    target = best if agent.max_backup else None
    return ref.sac_update(agent, state, batches, noise, extra=extra, target=target)


def so2_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    """The perturbed rule: every critic has its own target at a noisy next action."""

    def target(state: State, b: Any, noise: dict[str, Any]) -> Any:
        action, log_prob = (x.value for x in ref.draw(state["actor"], b.next_obs, noise["sample"]))
        eps = np.clip(agent.target_noise * noise["perturbation"], -agent.noise_clip, agent.noise_clip)
        q = ref.critic(state["target"], b.next_obs, np.clip(action + eps, -1.0, 1.0)).value
        alpha = ref.temperature_of(agent, state["log_temperature"]).value
        return ref.td_target(b, q - alpha * log_prob, agent.discount)

    return ref.sac_update(agent, state, batches, noise, target=target)
