"""Independent float64 NumPy reference of FamO2O, PROTO and RO2O (see `reference.py` for the conventions).

Written from the papers (Wang et al. 2023; Li et al. 2023; Wen et al. 2023) and what is known of their code.
"""

from typing import Any

import numpy as np
import reference as ref
from reference import Logs, State, Var

# ---- FamO2O ----------------------------------------------------------------------------------------------


def encode(balance: Any) -> Var:
    """`[B] -> [B, 6]`."""
    waves = []
    for i in range(3):
        angle = ref.lift(balance) * (10_000.0 ** (-2 * i / 6))
        waves.append(ref.unary(angle, np.sin, np.cos).reshape(-1, 1))
        waves.append(ref.unary(angle, np.cos, lambda x: -np.sin(x)).reshape(-1, 1))
    return ref.concat(waves, 1)


def gaussian(p: Any, seen: Any, log_std_range: tuple[float, float]) -> tuple[Var, Var]:
    """Mean before any tanh, and the free log-std `[1, A]`."""
    mean = ref.dense(p["mean"], ref.mlp(p["MLP_0"], seen, output=False))
    return mean, ref.clip(ref.lift(p["log_std"]).reshape(1, -1), *log_std_range)


def balance_of(agent: Any, p: Any, obs: Any, noise: Any) -> tuple[Var, Var]:
    """Balances `[B]` made of noise `[B, 1]`, and the log-density of what they were stretched from."""
    mean, log_std = gaussian(p, obs, (-10.0, 2.0))
    u = mean + ref.exp(log_std) * noise
    balance = ref.tanh(u)[:, 0] * agent.spread + agent.temperature
    return balance, ref.tanh_normal_log_prob(u, mean, log_std)


def famo2o_step(agent: Any, state: State, b: Any, noise: dict[str, Any]) -> Logs:
    old = dict(state)
    q = ref.critic(state["target"], b.obs, b.action).min(0).value

    def value_loss(p: Any) -> Var:
        return ref.expectile_loss(q - ref.value_net(p, b.obs), agent.expectile).mean()

    logs = {"value_loss": ref.descend(state, "value", value_loss, agent.learning_rate)}
    if agent.adaptive:
        balance = balance_of(agent, old["balance"], b.obs, noise["family"])[0].value
    else:
        balance = agent.temperature + agent.spread * noise["family"][:, 0]
    weight = np.minimum(np.exp(balance * (q - ref.value_net(state["value"], b.obs).value)), agent.max_weight)
    seen = np.concatenate([b.obs, encode(balance).value], 1)

    def actor_loss(p: Any) -> Var:
        mean, log_std = gaussian(p, seen, (-5.0, 2.0))
        return -(ref.normal_log_prob(b.action, ref.tanh(mean), log_std) * weight).mean()

    logs["actor_loss"] = ref.descend(state, "actor", actor_loss, ref.rate_of(agent, "actor"))
    y = ref.td_target(b, ref.value_net(state["value"], b.next_obs).value, agent.discount)

    def critic_loss(p: Any) -> Var:
        error = ref.critic(p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs["critic_loss"] = ref.descend(state, "critic", critic_loss, agent.learning_rate)
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    price = float(np.exp(old["log_temperature"]))

    def balance_loss(p: Any) -> Var:
        chosen, log_prob = balance_of(agent, p, b.obs, noise["choice"])
        logs["balance_entropy"] = -float(log_prob.value.mean())
        mean, log_std = gaussian(old["actor"], ref.concat([b.obs, encode(chosen)], 1), (-5.0, 2.0))
        action = ref.tanh(mean) + ref.exp(log_std) * noise["action"]
        return (log_prob * price - ref.critic(old["target"], b.obs, action).min(0)).mean()

    logs["balance_loss"] = ref.descend(state, "balance", balance_loss, ref.rate_of(agent, "actor"))
    surplus = logs["balance_entropy"] + agent.target_entropy_scale

    def dual_loss(raw: Any) -> Var:
        return ref.exp(raw) * surplus

    ref.descend(state, "log_temperature", dual_loss, agent.learning_rate, "temperature_opt")
    return logs


def stepwise(step: Any) -> Any:
    """The update that makes `step` in place on one minibatch after the other."""

    def update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
        state = dict(state)
        logs = [step(agent, state, ref.row(batches, u), noise[u]) for u in range(len(batches.reward))]
        return state, ref.average(logs)

    return update


famo2o_update = stepwise(famo2o_step)


# ---- PROTO -----------------------------------------------------------------------------------------------


def gumbel_loss(z: Var) -> Var:
    """Mean of `e^z - z - 1` divided by the batch's largest `e^z`, at least `e^-1`, which is a constant."""
    return (ref.exp(z) - z - 1.0).mean() * np.exp(-max(z.value.max(), -1.0))


def proto_offline_step(agent: Any, state: State, b: Any, noise: Any) -> Logs:
    """XQL; nothing is random."""
    q = ref.critic(state["target"], b.obs, b.action).min(0).value

    def value_loss(p: Any) -> Var:
        z = (q - ref.value_net(p, b.obs)) * agent.temperature
        return gumbel_loss(
            ref.unary(z, lambda v: np.minimum(v, agent.max_exponent), lambda v: v < agent.max_exponent)
        )

    logs = {"value_loss": ref.descend(state, "value", value_loss, agent.learning_rate)}
    advantage = q - ref.value_net(state["value"], b.obs).value
    weight = np.minimum(np.exp(agent.temperature * advantage), agent.max_weight)

    def actor_loss(p: Any) -> Var:
        return -(ref.iql_actor_log_prob(p, b.obs, b.action) * weight).mean()

    logs["actor_loss"] = ref.descend(state, "actor", actor_loss, ref.rate_of(agent, "actor"))
    y = ref.td_target(b, ref.value_net(state["value"], b.next_obs).value, agent.discount)

    def critic_loss(p: Any) -> Var:
        error = ref.critic(p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs["critic_loss"] = ref.descend(state, "critic", critic_loss, agent.learning_rate)
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    return logs


def proto_cost(agent: Any, state: State, obs: Any, action: Any, log_prob: Var) -> Var:
    """Entropy's price and that of leaving the slow copy, `[B]`."""
    alpha = float(np.exp(state["log_temperature"]))
    trust = agent.trust_weight * max(0.0, 1.0 - agent.trust_decay * int(state["steps"]) / int(state["span"]))
    mean, log_std = gaussian(state["anchor"], obs, (-5.0, 2.0))
    stay = ref.normal_log_prob(action, ref.tanh(mean), log_std)
    return log_prob * alpha + (log_prob - stay) * trust


def proto_draw(p: Any, obs: Any, noise: Any) -> tuple[Var, Var]:
    """Actions of the unsquashed Gaussian, nowhere clipped, and their log-densities."""
    mean, log_std = gaussian(p, obs, (-5.0, 2.0))
    action = ref.tanh(mean) + ref.exp(log_std) * noise
    return action, ref.normal_log_prob(action, ref.tanh(mean), log_std)


def proto_step(agent: Any, state: State, b: Any, noise: dict[str, Any]) -> Logs:
    action, log_prob = proto_draw(state["actor"], b.next_obs, noise["next"])
    value = ref.critic(state["target"], b.next_obs, action).value[noise["members"]].min(0)
    if agent.backup_entropy:
        value = value - proto_cost(agent, state, b.next_obs, action, log_prob).value
    y = ref.td_target(b, value, agent.discount)

    def critic_loss(p: Any) -> Var:
        error = ref.critic(p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs = {"critic_loss": ref.descend(state, "critic", critic_loss, agent.learning_rate)}
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)

    def actor_loss(p: Any) -> Var:
        action, log_prob = proto_draw(p, b.obs, noise["actor"])
        logs["entropy"] = -float(log_prob.value.mean())
        cost = proto_cost(agent, state, b.obs, action, log_prob)
        return (cost - ref.critic(state["critic"], b.obs, action).mean(0)).mean()

    rate = ref.rate_of(agent, "actor")
    logs["actor_loss"] = ref.descend(state, "actor", actor_loss, rate)
    surplus = logs["entropy"] + agent.target_entropy_scale * b.action.shape[1]

    def dual_loss(raw: Any) -> Var:
        return ref.exp(raw) * surplus

    ref.descend(state, "log_temperature", dual_loss, rate, "temperature_opt")
    state["anchor"] = ref.polyak(state["anchor"], state["actor"], agent.anchor_polyak)
    state["steps"] = state["steps"] + 1
    return logs


proto_offline_update = stepwise(proto_offline_step)
proto_update = stepwise(proto_step)
