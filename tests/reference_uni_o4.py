"""Independent float64 NumPy reference of BPPO and Uni-O4 (see `reference.py` for the conventions).

Written from Zhuang et al. 2023, Lei et al. 2024 and what is known of their code. Members are treated one by one.
"""

from typing import Any

import numpy as np
import reference as ref
import reference_flow
from reference import Logs, State, Var

LOG_STD_RANGE = (-5.0, 2.0)


def member(tree: Any, index: int) -> Any:
    return ref.tree_map(lambda x: x[index], tree)


def stacked(trees: list[Any]) -> Any:
    return ref.tree_map(lambda *leaves: np.stack(leaves), *trees)


def gaussian(agent: Any, p: Any, obs: Any) -> tuple[Var, Var]:
    if agent.log_std == "tanh":
        mean, raw = ref.actor_head(p, obs, (-np.inf, np.inf))
        return ref.tanh(mean), (ref.tanh(raw) + 1.0) * 2.5 - 5.0
    mean, log_std = ref.actor_head(p, obs, LOG_STD_RANGE)
    return ref.tanh(mean), log_std


def log_prob(agent: Any, p: Any, obs: Any, action: Any) -> Var:
    if "logits" in p:
        return ref.log_softmax_at(p, obs, action)
    return ref.normal_log_prob(action, *gaussian(agent, p, obs))


def log_probs(p: Any, obs: Any) -> Var:
    """Of every choice, `[B, n]`."""
    logits = ref.dense(p["logits"], ref.mlp(p["MLP_0"], obs, output=False))
    return logits - ref.logsumexp(logits, 1).reshape(-1, 1)


def critics(agent: Any, p: Any, obs: Any, action: Any) -> Var:
    q = (ref.critic if np.asarray(action).ndim == 2 else ref.critic_discrete)(p, obs, action)
    return ref.relu(q) if agent.nonnegative else q


def value_of(agent: Any, p: Any, obs: Any) -> Var:
    v = ref.value_net(p, obs)
    return ref.relu(v) if agent.nonnegative else v


def mode(agent: Any, p: Any, obs: Any) -> Any:
    return log_probs(p, obs).value.argmax(1) if "logits" in p else gaussian(agent, p, obs)[0].value


def descend(agent: Any, state: State, name: str, loss: Any, rate: float) -> float:
    """One Adam step on `state[name]`, in place; returns the loss before it."""
    value, grads = ref.gradient(loss, state[name])
    moved = ref.adam_step(state[name], grads, state[f"{name}_opt"], rate, agent.adam_eps)
    state[name], state[f"{name}_opt"] = moved
    return value


# ---- fitting ---------------------------------------------------------------------------------------------


def value_step(agent: Any, state: State, b: Any) -> Logs:
    rate = agent.learning_rate if agent.value_learning_rate is None else agent.value_learning_rate
    sarsa = agent.values == "sarsa"
    q = critics(agent, state["target"], b.obs, b.action).min(0).value

    def value_loss(p: Any) -> Var:
        if sarsa:
            error = value_of(agent, p, b.obs) - b.extras["return_to_go"]
            return (error * error).mean() * 0.5
        return ref.expectile_loss(q - value_of(agent, p, b.obs), agent.expectile).mean()

    logs = {"value_loss": descend(agent, state, "value", value_loss, rate)}
    if sarsa:
        following = critics(agent, state["target"], b.next_obs, b.extras["next_action"]).min(0).value
    else:
        following = value_of(agent, state["value"], b.next_obs).value
    going = ~(b.terminated | b.truncated) if agent.timeouts == "end" else ~b.terminated
    y = b.reward + agent.discount * going * following

    def critic_loss(p: Any) -> Var:
        error = critics(agent, p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs["critic_loss"] = descend(agent, state, "critic", critic_loss, rate)
    if (int(state["steps"]) + 1) % agent.delay == 0:
        state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    return logs


def apart(agent: Any, p: Any, fixed: Any, obs: Any, i: int, noise: Any) -> Var:
    """`[B]`: a sample of the divergence of member `i` from the nearest other one, or all of it for choices."""
    others = [j for j in range(agent.members) if j != i]
    if "logits" in p:
        own = log_probs(p, obs)
        nearest = np.max([log_probs(member(fixed, j), obs).value for j in others], axis=0)
        return (ref.exp(own) * (own - nearest)).sum(1)
    mean, log_std = gaussian(agent, p, obs)
    action = mean + ref.exp(log_std) * noise[i]
    theirs = []
    for j in others:
        there, spread = (x.value for x in gaussian(agent, member(fixed, j), obs))
        theirs.append(ref.normal_log_prob(action, ref.lift(there), ref.lift(spread)).reshape(1, -1))
    return ref.normal_log_prob(action, mean, log_std) - ref.concat(theirs, 0).max(0)


def clone_step(agent: Any, state: State, b: Any, noise: Any) -> Logs:
    fixed, count = state["members"], agent.members
    known = [log_prob(agent, member(fixed, i), b.obs, b.action).value for i in range(count)]
    logs = {"clone_loss": -float(np.mean(known))}

    def loss(p: Any) -> Var:
        total = ref.lift(0.0)
        for i in range(count):
            own = member(p, i)
            likely = log_prob(agent, own, b.obs, b.action).mean()
            total = total - likely
            if count > 1 and agent.diversity == "detached":
                total = total - likely * agent.diversity_weight
            elif count > 1:
                total = total - apart(agent, own, fixed, b.obs, i, noise).mean() * agent.diversity_weight
        return total

    descend(agent, state, "members", loss, agent.learning_rate)
    return logs


def pooled(old: Any, before: float, rows: Any) -> Any:
    """Mean and variance over the rows of `before` minibatches and of one more."""
    count = before + 1
    mean = (before * old["mean"] + rows.mean(0)) / count
    spread = before * (old["variance"] + (old["mean"] - mean) ** 2) + ((rows - mean) ** 2).mean(0)
    return {"mean": mean, "variance": spread / count}


def seen(state: State, action: Any) -> Any:
    actor = state["params"]["actor"]
    return np.eye(actor["logits"]["bias"].shape[-1])[action] if "logits" in actor else action


def predict(p: Any, scale: Any, obs: Any, action: Any) -> tuple[Var, Var, Var]:
    x = np.concatenate([obs, action], 1)
    x = (x - scale["x"]["mean"]) / np.sqrt(scale["x"]["variance"])
    out = reference_flow.network(p, x)  # [E, B, 2 O + 1]
    size = obs.shape[1]
    raw = 0.5 - ref.softplus(0.5 - out[..., size : 2 * size])
    return out[..., :size], ref.softplus(raw + 10.0) - 10.0, out[..., 2 * size]


def model_step(agent: Any, state: State, b: Any) -> Logs:
    scale, action = state["scale"], seen(state, b.action)
    rows = np.concatenate([b.obs, action], 1), b.next_obs - b.obs
    before = float(scale["batches"])
    scale = {"batches": before + 1} | {
        name: pooled(scale[name], before, part) for name, part in zip("xy", rows, strict=True)
    }
    state["scale"] = scale
    y = (rows[1] - scale["y"]["mean"]) / np.sqrt(scale["y"]["variance"])

    def loss(p: Any) -> Var:
        mean, log_variance, end = predict(p, scale, b.obs, action)
        error = (mean - y) * (mean - y) * ref.exp(-log_variance) + log_variance
        ends = ref.softplus(end) - end * b.terminated
        return error.mean((1, 2)).sum() + ends.mean(1).sum()

    return {"model_loss": descend(agent, state, "model", loss, agent.model_learning_rate) / agent.models}


def fit_update(agent: Any, state: State, batches: Any, noise: Any = None) -> tuple[State, Logs]:
    """noise: `[U]` of `[M, B, A]`."""
    state, logs = dict(state), []
    state.pop("opt")
    for u in range(len(batches.reward)):
        b = ref.row(batches, u)
        found = value_step(agent, state, b)
        found |= clone_step(agent, state, b, None if noise is None else noise[u])
        if "model" in state:
            found |= model_step(agent, state, b)
        logs.append(found)
        state["steps"] = int(state["steps"]) + 1
    state["params"] = {"actor": member(state["members"], 0), "value": state["value"]}
    return state, ref.average(logs)


# ---- improving -------------------------------------------------------------------------------------------


def improve_step(agent: Any, state: State, obs: Any, noise: Any) -> Logs:
    """noise: a pair `(action, entropy)` of arrays for every member."""
    step, actors, moments, logs = int(state["steps"]), [], [], []
    eps, rate = float(agent.clip), agent.learning_rate * max(agent.learning_rate_end, 1 - step / int(state["span"]))
    for k in range(min(step + 1, int(agent.decay_steps))):  # the clip decays before it is used, the rate afterwards
        eps *= agent.clip_decay
        if k < step and k % 2 == 1:
            rate *= agent.rate_decay
    for i, (drawn, fresh) in enumerate(noise):
        old = member(state["old"], i)
        mean, log_std = (x.value for x in gaussian(agent, old, obs))
        action = mean + np.exp(log_std) * drawn
        q = critics(agent, state["critic"], obs, np.clip(action, -1, 1)).min(0).value
        advantage = q - value_of(agent, state["value"], obs).value
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        if agent.asymmetry is not None:
            advantage = np.where(advantage > 0, agent.asymmetry, 1 - agent.asymmetry) * advantage
        before = log_prob(agent, old, obs, action).value

        def loss(p: Any, action: Any = action, own: Any = advantage, before: Any = before, fresh: Any = fresh) -> Var:
            ratio = ref.exp(log_prob(agent, p, obs, action) - before)
            both = [(x * own).reshape(1, -1) for x in (ratio, ref.clip(ratio, 1 - eps, 1 + eps))]
            spread = gaussian(agent, p, obs)[1]
            entropy = (spread + 0.5 * np.log(2 * np.pi * np.e)).sum(1).mean()
            return -ref.concat(both, 0).min(0).mean() - entropy * agent.entropy_weight

        value, grads = ref.gradient(loss, member(state["members"], i))
        norm = np.sqrt(sum(np.square(g).sum() for g in leaves(grads)))
        grads = ref.tree_map(lambda g, n=norm: g * min(1.0, agent.max_grad_norm / n), grads)
        opt = state["members_opt"]
        opt = ref.Adam(opt.steps, member(opt.mu, i), member(opt.nu, i))
        actor, opt = ref.adam_step(member(state["members"], i), grads, opt, rate, agent.adam_eps)
        actors.append(actor)
        moments.append(opt)
        logs.append({"actor_loss": value, "grad_norm": norm})
    state["members"] = stacked(actors)
    mu, nu = (stacked([getattr(m, name) for m in moments]) for name in ("mu", "nu"))
    state["members_opt"] = ref.Adam(moments[0].steps, mu, nu)
    state["steps"] = step + 1
    return ref.average(logs)


def leaves(tree: Any) -> list[Any]:
    return [x for part in tree.values() for x in leaves(part)] if isinstance(tree, dict) else [tree]


def worth(agent: Any, state: State, policy: Any, starts: Any, noise: Any) -> float:
    """noise: for every step the member of each row and standard normal numbers `[S, O]`."""
    obs, alive, total, scale = starts, np.ones(len(starts)), 0.0, state["scale"]
    width = obs.shape[1]
    centre, deviation = scale["x"]["mean"][:width], np.sqrt(scale["x"]["variance"][:width])
    for chosen, drawn in noise:
        action = mode(agent, policy, obs)
        total += (alive * critics(agent, state["critic"], obs, action).min(0).value).mean()
        mean, log_variance, end = (x.value for x in predict(state["model"], scale, obs, seen(state, action)))
        rows = np.arange(len(obs))
        change = mean[chosen, rows] + np.exp(0.5 * log_variance[chosen, rows]) * drawn
        obs = obs + scale["y"]["mean"] + np.sqrt(scale["y"]["variance"]) * change
        obs = np.clip(obs, centre - 10 * deviation, centre + 10 * deviation)
        alive = alive * (1 - 1 / (1 + np.exp(-end[chosen, rows])))
    return total / len(noise)


def improve_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    """noise: `{"steps": [U] of [M] pairs, "worth": [H] pairs}`."""
    state, logs = dict(state), []
    state.pop("opt")
    for u, drawn in enumerate(noise["steps"]):
        logs.append(improve_step(agent, state, batches.obs[u], drawn))
    found = ref.average(logs)
    members = [member(state["members"], i) for i in range(agent.members)]
    best = 0
    if "model" in state:
        starts = batches.obs.reshape(-1, batches.obs.shape[-1])[: agent.ope_starts]
        old = [member(state["old"], i) for i in range(agent.members)]
        new_worth, old_worth = (
            np.array([worth(agent, state, p, starts, noise["worth"]) for p in each]) for each in (members, old)
        )
        better = new_worth > old_worth if agent.gate == "ope" else np.ones(agent.members, bool)
        members = [new if yes else before for new, before, yes in zip(members, old, better, strict=True)]
        kept = np.where(better, new_worth, old_worth)
        best = int(kept.argmax())
        found |= {"worth": kept.max(), "gain": (new_worth - old_worth).mean(), "replaced": better.mean()}
    state["old"] = stacked(members)
    state["params"] = {"actor": members[best], "value": state["params"]["value"]}
    return state, found
