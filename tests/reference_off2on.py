"""Independent float64 NumPy reference of Off2OnRL: several CQL agents, then one of them all (`reference.py`)."""

from typing import Any

import numpy as np
import reference as ref
from reference import Adam, State, Var

CQL_PARTS = ("actor", "critic", "target", "log_temperature", "log_lagrange")


def member(tree: Any, e: int) -> Any:
    """The parameters of member `e`, arrays or `Var`s."""
    return ref.tree_map(lambda x: x[e], tree)


def stack(trees: list[Any]) -> Any:
    return ref.tree_map(lambda *x: np.stack(x), *trees)


def off2on_offline_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, ref.Logs]:
    """Every member is a CQL agent of its own. noise: one as CQL's reference has it for each member."""
    found, logs = [], []
    optimisers = ("actor_opt", "critic_opt", "temperature_opt", "lagrange_opt")
    for e, own in enumerate(noise):
        alone = {name: member(state[name], e) for name in CQL_PARTS}
        for name in optimisers:
            steps, mu, nu = state[name]
            alone[name] = Adam(steps, member(mu, e), member(nu, e))
        new, log = ref.cql_update(agent, alone, batches, own)
        found.append(new)
        logs.append(log)
    state = state | {name: stack([new[name] for new in found]) for name in CQL_PARTS}
    for name in optimisers:
        mu, nu = (stack([getattr(new[name], moment) for new in found]) for moment in ("mu", "nu"))
        state[name] = Adam(found[0][name].steps, mu, nu)
    return state, ref.average(logs)


def joined_draw(actors: Any, members: int, obs: Any, noise: Any) -> tuple[Var, Var]:
    """Action and log-density of the Gaussian with the moments of the members' mixture, before the tanh."""
    heads = [ref.actor_head(member(actors, e), obs) for e in range(members)]
    mean = sum((m for m, _ in heads), ref.lift(0.0)) * (1 / members)
    second = sum((ref.exp(s * 2.0) + m * m for m, s in heads), ref.lift(0.0)) * (1 / members)
    log_std = ref.clip(ref.log(second - mean * mean) * 0.5, -20.0, 2.0)
    u = mean + ref.exp(log_std) * noise
    return ref.tanh(u), ref.tanh_normal_log_prob(u, mean, log_std)


def ratio(p: Any, obs: Any, action: Any) -> Var:
    return ref.relu(ref.mlp(p, np.concatenate([obs, action], -1), output=True)[:, 0])


def ratio_loss(w_offline: Any, w_online: Any) -> Var:
    w_offline, w_online = ref.lift(w_offline), ref.lift(w_online)
    below = -ref.log(ref.power(w_offline + 1.0, -1.0) * 2.0 + 1e-10)
    above = ref.log(w_online * 2.0 * ref.power(w_online + 1.0, -1.0) + 1e-10)
    return below.mean() - above.mean()


def off2on_step(agent: Any, state: State, b: Any, noise: Any) -> ref.Logs:
    members, count = agent.members, len(b.reward) // 3
    alpha = float(np.exp(state["log_temperature"][0]))
    drawn, offline, online = (
        b._replace(**{f: getattr(b, f)[i * count : (i + 1) * count] for f in b._fields if f != "extras"})
        for i in range(3)
    )
    action, log_prob = (x.value for x in joined_draw(state["actor"], members, drawn.next_obs, noise["next"]))
    targets = []
    for e in range(members):
        q = ref.critic(member(state["target"], e), drawn.next_obs, action).value.min(0)
        targets.append(ref.td_target(drawn, q - alpha * log_prob, agent.discount))

    def critic_loss(p: Any) -> Var:
        total = ref.lift(0.0)
        for e, y in enumerate(targets):
            error = ref.critic(member(p, e), drawn.obs, drawn.action) - y
            total = total + (error * error).mean(1).sum()
        return total

    entropy = []

    def actor_loss(p: Any) -> Var:
        own, log_p = joined_draw(p, members, drawn.obs, noise["own"])
        entropy.append(-log_p.value.mean())
        value = ref.lift(0.0)
        for e in range(members):
            value = value + ref.critic(member(state["critic"], e), drawn.obs, own).min(0) * (1 / members)
        return (log_p * alpha - value).mean()

    def density_loss(p: Any) -> Var:
        return ratio_loss(ratio(p, offline.obs, offline.action), ratio(p, online.obs, online.action))

    rates = {"critic": agent.learning_rate, "actor": ref.rate_of(agent, "actor"), "ratio": agent.ratio_learning_rate}
    losses = {"critic": critic_loss, "actor": actor_loss, "ratio": density_loss}
    found = {name: ref.gradient(loss, state[name]) for name, loss in losses.items()}
    for name, (_, gradient) in found.items():
        state[name], state[f"{name}_opt"] = ref.adam_step(state[name], gradient, state[f"{name}_opt"], rates[name])
    slope = np.full(members, entropy[0] + agent.target_entropy_scale * b.action.shape[-1])
    state["log_temperature"], state["temperature_opt"] = ref.adam_step(
        state["log_temperature"], slope, state["temperature_opt"], ref.rate_of(agent, "temperature")
    )
    state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    return {f"{name}_loss": value for name, (value, _) in found.items()}


def off2on_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, ref.Logs]:
    """noise: for each minibatch `next` and `own`, normal."""
    state = dict(state)
    logs = [off2on_step(agent, state, ref.row(batches, u), drawn) for u, drawn in enumerate(noise)]
    return state, ref.average(logs)
