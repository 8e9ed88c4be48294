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
    if agent.stage == "adaptive":
        balance = balance_of(agent, old["balance"], b.obs, noise["family"])[0].value
    else:
        balance = agent.temperature + agent.spread * noise["family"][:, 0]
    advantage = q - ref.value_net(state["value"], b.obs).value
    every = np.minimum(np.exp(np.outer(advantage, balance)), agent.max_weight)  # row, balance
    weight = every.mean(1) if agent.balancing == "shared" else np.diag(every)
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
    choose_balance(agent, state, old, b, noise, logs, (-5.0, 2.0), ref.tanh)
    return logs


def choose_balance(
    agent: Any, state: State, old: State, b: Any, noise: Any, logs: Logs, log_std_range: Any, squash: Any
) -> None:
    """Balance policy and its temperature, in place, against policy and target critics of `old`."""
    price = float(np.exp(old["log_temperature"]))

    def balance_loss(p: Any) -> Var:
        chosen, log_prob = balance_of(agent, p, b.obs, noise["choice"])
        logs["balance_entropy"] = -float(log_prob.value.mean())
        mean, log_std = gaussian(old["actor"], ref.concat([b.obs, encode(chosen)], 1), log_std_range)
        action = squash(mean) + ref.exp(log_std) * noise["action"]
        return (log_prob * price - ref.critic(old["target"], b.obs, action).min(0)).mean()

    logs["balance_loss"] = ref.descend(state, "balance", balance_loss, ref.rate_of(agent, "actor"))
    surplus = logs["balance_entropy"] + agent.target_entropy_scale

    def dual_loss(raw: Any) -> Var:
        return ref.exp(raw) * surplus

    ref.descend(state, "log_temperature", dual_loss, agent.learning_rate, "temperature_opt")


def fam_awac_step(agent: Any, state: State, b: Any, noise: dict[str, Any]) -> Logs:
    """AWAC with 1 / lambda told to the policy, row by row; targets ask for the mode of the balance."""
    old, wide = dict(state), agent.log_std_range

    def sample(obs: Any, balance: Any, eps: Any) -> tuple[Any, Any]:
        seen = np.concatenate([obs, encode(balance).value], 1)
        mean, log_std = gaussian(old["actor"], seen, wide)
        return np.clip(mean.value + np.exp(log_std.value) * eps, -1.0, 1.0), seen

    mode = np.tanh(gaussian(old["balance"], b.next_obs, (-10.0, 2.0))[0].value)[:, 0]
    following, _ = sample(b.next_obs, agent.temperature + agent.spread * mode, noise["next"])
    y = ref.td_target(b, ref.critic(old["target"], b.next_obs, following).value.min(0), agent.discount)

    def critic_loss(p: Any) -> Var:
        error = ref.critic(p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs = {"critic_loss": ref.descend(state, "critic", critic_loss, agent.learning_rate)}
    if agent.stage == "adaptive":
        balance = balance_of(agent, old["balance"], b.obs, noise["family"])[0].value
    else:
        balance = agent.temperature + agent.spread * noise["family"][:, 0]
    own, seen = sample(b.obs, balance, noise["own"])
    q, v = (ref.critic(state["critic"], b.obs, a).value.min(0) for a in (b.action, own))
    weight = np.minimum(np.exp(balance * (q - v)), agent.max_weight)

    def actor_loss(p: Any) -> Var:
        return -(ref.normal_log_prob(b.action, *gaussian(p, seen, wide)) * weight).mean()

    logs["actor_loss"] = ref.descend(state, "actor", actor_loss, ref.rate_of(agent, "actor"))
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    choose_balance(agent, state, old, b, noise, logs, wide, ref.lift)
    return logs


def stepwise(step: Any) -> Any:
    """The update that makes `step` in place on one minibatch after the other."""

    def update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
        state = dict(state)
        logs = [step(agent, state, ref.row(batches, u), noise[u]) for u in range(len(batches.reward))]
        return state, ref.average(logs)

    return update


famo2o_update = stepwise(famo2o_step)
fam_awac_update = stepwise(fam_awac_step)


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


# ---- RO2O ------------------------------------------------------------------------------------------------


def near(obs: Any, radius: float, noise: Any) -> Any:
    """States `[K, B, O]` around `obs`, in units of the minibatch's standard deviations."""
    return obs + radius * noise * np.sqrt(((obs - obs.mean(0)) ** 2).mean(0))


def critics_at(p: Any, obs: Any, action: Any) -> Var:
    """`Q [N, K, B]` at states `[K, B, O]`."""
    lead = obs.shape[:-1]
    flat = ref.critic(p, obs.reshape(-1, obs.shape[-1]), np.asarray(action).reshape(-1, action.shape[-1]))
    return flat.reshape(-1, *lead)


def spread(q: Any) -> Any:
    """Standard deviation over the critics that divides by N - 1."""
    q = ref.lift(q)
    centred = q - q.mean(0, keepdims=True)
    return ref.power((centred * centred).sum(0) * (1 / (len(q.value) - 1)), 0.5)


def smoothness(agent: Any, p: Any, b: Any, noise: Any) -> Var:
    states = near(b.obs, agent.value_radius, noise)
    action = np.broadcast_to(b.action, (*states.shape[:-1], b.action.shape[1]))
    q = ref.critic(p, b.obs, b.action)
    error = critics_at(p, states, action) - q.reshape(len(q.value), 1, -1)
    weight = np.where(error.value > 0, 1 - agent.asymmetry, agent.asymmetry)
    return (error * error * weight).mean(0).max(0).mean()


def pull(agent: Any, p: Any, actor: Any, steps: int, b: Any, noise: dict[str, Any]) -> Var:
    states = near(b.obs, agent.pull_radius, noise["pull"])
    flat = states.reshape(-1, states.shape[-1])
    action = ref.draw(actor, flat, noise["own"].reshape(len(flat), -1))[0].value.reshape(*states.shape[:-1], -1)
    q = critics_at(p, states, action)
    uncertainty = max(agent.uncertainty - agent.uncertainty_decay * steps, agent.uncertainty_end)
    error = q - (q.value - uncertainty * spread(q.value).value)
    return (error * error).mean()


def divergence(one: tuple[Var, Var], other: tuple[Var, Var]) -> Var:
    """Both Kullback-Leibler divergences between diagonal Gaussians, textbook form, summed."""

    def kl(a: tuple[Var, Var], b: tuple[Var, Var]) -> Var:
        gap = a[0] - b[0]
        ratio = (ref.exp(a[1] * 2.0) + gap * gap) * ref.exp(b[1] * -2.0)
        return (b[1] - a[1] + ratio * 0.5 - 0.5).sum(-1)

    return kl(one, other) + kl(other, one)


def ro2o_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    """SAC with the two terms in every critic step, over N as the mean over critics divides the paper's sum, and the
    third in the policy's. `ref` asks for the terms of one minibatch after the other."""
    steps, bound, own_targets = int(state["steps"]), agent.pessimism == "bound", agent.pessimism != "minimum"
    robust = agent.online_terms or agent.stage == "offline"
    rounds = iter(enumerate(noise["critic"]))

    def extra(p: Any, b: Any) -> Var:
        u, eps = next(rounds)
        value, own = smoothness(agent, p, b, eps["value"]), pull(agent, p, state["actor"], steps + u, b, eps)
        return (value * agent.value_weight + own * agent.pull_weight) * (1 / agent.critics)

    def target(current: State, b: Any, eps: dict[str, Any]) -> Any:
        action, log_prob = (x.value for x in ref.draw(current["actor"], b.next_obs, eps["next"]))
        alpha = ref.temperature_of(agent, current["log_temperature"]).value
        q = ref.critic(current["target"], b.next_obs, action).value
        return ref.td_target(b, q - alpha * log_prob, agent.discount)

    obs, recorded = batches.obs[-1], batches.action[-1]

    def actor_extra(p: Any, action: Var) -> Var:
        states = near(obs, agent.policy_radius, noise["near"])
        around = ref.actor_head(p, states.reshape(-1, states.shape[-1]))
        around = tuple(x.reshape(*states.shape[:-1], -1) for x in around)
        error = action - recorded
        jump = divergence(ref.actor_head(p, obs), around).max(0).mean() * (agent.policy_weight * robust)
        return jump + (error * error).mean() * agent.bc_weight

    after, logs = ref.sac_update(
        agent,
        state,
        batches,
        noise,
        extra=extra if robust else None,
        target=target if own_targets else None,
        reduce=(lambda q: q.mean(0) - spread(q) * agent.lower_bound) if bound else None,
        actor_extra=actor_extra,
    )
    return after | {"steps": steps + len(batches.reward)}, logs
