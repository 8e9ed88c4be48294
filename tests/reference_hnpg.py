"""Independent float64 NumPy reference of HNPG and HAC (see `reference.py` for the conventions).

Written from Zhou et al. 2023, algorithms 1 to 3; natural gradients come from the full matrix of all rows' scores, and
the trust region from Schulman et al. 2015, appendix C.
"""

from typing import Any

import numpy as np
import reference as ref
import reference_ppo
from reference import Logs, State, Var

LOG_STD_RANGE = (-5.0, 2.0)


# ---- policy evaluation (algorithm 2) ---------------------------------------------------------------------


def returns(rows: Any, following: Any, discount: float) -> Any:
    """Every row's sum, forwards until its episode ends; `following [T, E]` where something was cut."""
    found = np.zeros_like(following)
    steps, envs = following.shape
    for t in range(steps):
        for e in range(envs):
            for k in range(t, steps):
                found[t, e] += discount ** (k - t) * rows.reward[k, e]
                if rows.terminated[k, e]:
                    break
                if rows.truncated[k, e] or k == steps - 1:
                    found[t, e] += discount ** (k - t + 1) * following[k, e]
                    break
    return found


def q_of(critic: Any, obs: Any, action: Any) -> Var:
    """`f_bar [B]`."""
    made = ref.critic_discrete if np.issubdtype(action.dtype, np.integer) else ref.critic
    return made(critic, obs, action).mean(0)


def value_of(critic: Any, actor: Any, obs: Any, noise: Any) -> Var:
    """`E_pi f_bar [B]`, exact or over the `noise [S, B, A]`; a function of the actor's parameters."""
    if "logits" in actor:
        logits = ref.dense(actor["logits"], ref.mlp(actor["MLP_0"], obs, output=False))
        share = ref.exp(logits - ref.logsumexp(logits, 1).reshape(-1, 1))
        return (share * ref.mlp(critic["MLP_0"], obs, output=True).mean(0)).sum(1)
    mean, log_std = ref.actor_head(actor, obs, LOG_STD_RANGE)
    action = ref.tanh(mean + ref.exp(log_std) * noise)
    return ref.critic(critic, obs, action).mean(0).mean(0)


def values(critic: Any, actor: Any, obs: Any, noise: Any) -> Any:
    """The same for `[T, E, O]`, as numbers; noise `[S, T, E, A]`."""
    flat = obs.reshape(-1, obs.shape[-1])
    noise = noise.reshape(len(noise), len(flat), -1)
    return value_of(critic, actor, flat, noise).value.reshape(obs.shape[:2])


def evaluate(agent: Any, state: State, rollout: Any, batches: Any, noise: Any) -> tuple[Any, Logs]:
    """The averaged critics, and what each round left."""
    y = returns(rollout, values(state["critic"], state["actor"], rollout.next_obs, noise["return"]), agent.discount)
    obs = rollout.obs.reshape(-1, rollout.obs.shape[-1])
    action = rollout.action.reshape(len(obs), *rollout.action.shape[2:])
    critic = ref.tree_map(lambda x: x[-1:], state["critic"])
    rho, rounds, logs = agent.offline_share, [], []
    for k in range(len(batches.reward)):
        b = ref.row(batches, k)
        following = value_of(critic, state["actor"], b.next_obs, noise["rounds"][k]).value
        target = ref.td_target(b, following, agent.discount)
        zeros = ref.tree_map(np.zeros_like, critic)
        opt = ref.Adam(0, zeros, zeros)

        def loss(p: Any, b: Any = b, target: Any = target) -> Var:
            off, on = q_of(p, b.obs, b.action) - target, q_of(p, obs, action) - y.ravel()
            td, regression = (off * off).mean(), (on * on).mean()
            logs[-1] = {"td_loss": float(td.value), "return_loss": float(regression.value)}
            return td * rho + regression * (1.0 - rho)

        logs.append({})
        for _ in range(agent.fit_steps):
            _, grads = ref.gradient(loss, critic)
            critic, opt = ref.adam_step(critic, grads, opt, agent.learning_rate)
        rounds.append(critic)
    last = rounds[-agent.averaged :]
    stacked = ref.tree_map(lambda *xs: np.concatenate(xs), *last)
    found = ref.average(logs)
    return stacked, found | {"critic_loss": rho * found["td_loss"] + (1 - rho) * found["return_loss"]}


# ---- natural policy gradient (algorithm 3) ---------------------------------------------------------------


def flatten(tree: Any) -> Any:
    if isinstance(tree, dict):
        return np.concatenate([flatten(tree[name]) for name in sorted(tree)])
    return np.ravel(tree)


def unflatten(vector: Any, like: Any) -> Any:
    if not isinstance(like, dict):
        return vector.reshape(np.shape(like))
    found, at = {}, 0
    for name in sorted(like):
        size = len(flatten(like[name]))
        found[name] = unflatten(vector[at : at + size], like[name])
        at += size
    return found


def scores(actor: Any, obs: Any, action: Any) -> Any:
    """`[N, P]`: the gradient of each row's log-probability."""

    def one(i: int) -> Any:
        return ref.gradient(lambda p: log_prob(p, obs[i : i + 1], action[i : i + 1]).sum(), actor)[1]

    return np.stack([flatten(one(i)) for i in range(len(obs))])


def conjugate_gradients(matrix: Any, right: Any, steps: int) -> Any:
    """Hestenes & Stiefel 1952."""
    x, r = np.zeros_like(right), right.copy()
    p, size = r.copy(), right @ right
    for _ in range(steps):
        if r @ r <= 1e-20 * size:
            break
        along = (r @ r) / (p @ matrix @ p)
        x, after = x + along * p, r - along * (matrix @ p)
        p, r = after + (after @ after) / (r @ r) * p, after
    return x


def log_prob(p: Any, obs: Any, action: Any) -> Var:
    """Of a categorical or a squashed Gaussian."""
    if "logits" in p:
        return ref.log_softmax_at(p, obs, action)
    return ref.tanh_normal_log_prob(np.arctanh(action), *ref.actor_head(p, obs, LOG_STD_RANGE))


def divergence(one: Any, other: Any, obs: Any, activation: Any = ref.relu) -> Var:
    """`KL(one || other) [N]` of two parameter sets; of squashed Gaussians before the tanh."""
    if "logits" in one:
        parts = []
        for p in (one, other):
            logits = ref.dense(p["logits"], ref.mlp(p["MLP_0"], obs, output=False, activation=activation))
            parts.append(logits - ref.logsumexp(logits, 1).reshape(-1, 1))
        return (ref.exp(parts[0]) * (parts[0] - parts[1])).sum(1)
    heads = [ref.actor_head(p, obs, LOG_STD_RANGE, activation) for p in (one, other)]
    (mean, log_std), (other_mean, other_log_std) = heads
    gap = mean - other_mean
    first, second = ref.exp(log_std * 2.0), ref.exp(other_log_std * -2.0)
    return (other_log_std - log_std + (first + gap * gap) * second * 0.5 - 0.5).sum(1)


def drawn(actor: Any, obs: Any, noise: Any) -> Any:
    """One action a row."""
    if "logits" in actor:
        logits = ref.dense(actor["logits"], ref.mlp(actor["MLP_0"], obs, output=False)).value
        return (logits + noise).argmax(1)
    mean, log_std = ref.actor_head(actor, obs, LOG_STD_RANGE)
    return np.tanh(mean.value + np.exp(log_std.value) * noise)


def hnpg_update(agent: Any, state: State, rollout: Any, batches: Any, noise: Any) -> tuple[State, Logs]:
    critic, logs = evaluate(agent, state, rollout, batches, noise)
    actor, b = state["actor"], ref.row(batches, -1)
    action = b.action if agent.offline_actions == "data" else drawn(actor, b.obs, noise["action"])
    offline = q_of(critic, b.obs, action).value - value_of(critic, actor, b.obs, noise["offline"]).value
    value = values(critic, actor, rollout.obs, noise["online"])
    flat = rollout.obs.reshape(-1, rollout.obs.shape[-1])
    own = rollout.action.reshape(len(flat), *rollout.action.shape[2:])
    if agent.advantage == "critic":
        online = q_of(critic, flat, own).value - value.ravel()
    else:
        following = values(critic, actor, rollout.next_obs, noise["next"])
        online = reference_ppo.advantages(rollout, value, following, agent.discount, agent.gae_lambda).ravel()
    rho = agent.offline_share
    weight = np.concatenate(
        [np.full(len(offline), rho / len(offline)), np.full(len(online), (1 - rho) / len(online))]
    )
    obs, action = np.concatenate([b.obs, flat]), np.concatenate([action, own])
    advantage = np.concatenate([offline, online])

    phi = scores(actor, obs, action)
    fisher = phi.T @ (weight[:, None] * phi) + agent.damping * np.eye(phi.shape[1])
    slope = phi.T @ (weight * advantage)
    w = conjugate_gradients(fisher, slope, agent.cg_steps)
    before, theta = log_prob(actor, obs, action).value, flatten(actor)

    def at(length: float) -> tuple[Any, float, float]:
        new = unflatten(theta + length * w, actor)
        ratio = np.exp(log_prob(new, obs, action).value - before)
        kl = (weight * divergence(actor, new, obs).value).sum()
        return new, float((weight * (ratio - 1) * advantage).sum()), float(kl)

    taken = 1.0
    length = agent.step_size
    if agent.step == "trust":
        length, taken = np.sqrt(2 * agent.kl_limit / (w @ fisher @ w)), 0.0
        for halving in range(agent.halvings):
            _, gain, kl = at(length / 2**halving)
            enough = gain > max(0.0, agent.gain_share * (slope @ w) * length / 2**halving)
            if enough and (kl <= agent.kl_limit or not agent.kl_checked):
                taken = 1 / 2**halving
                break
    new, gain, kl = at(taken * length)
    return {"actor": new, "critic": critic}, logs | {"actor_loss": -gain, "kl": kl, "step": taken}


# ---- soft policy iteration (algorithm 1) -----------------------------------------------------------------


def hac_update(agent: Any, state: State, rollout: Any, batches: Any, noise: Any) -> tuple[State, Logs]:
    critic, logs = evaluate(agent, state, rollout, batches, noise)
    old, rho = state["actor"], agent.offline_share
    offline, online = ref.row(batches, -1).obs, rollout.obs.reshape(-1, rollout.obs.shape[-1])
    obs, actor = np.concatenate([offline, online]), old
    zeros = ref.tree_map(np.zeros_like, actor)
    opt = ref.Adam(0, zeros, zeros)
    rate = agent.learning_rate if agent.actor_learning_rate is None else agent.actor_learning_rate
    for own in noise["steps"]:

        def loss(p: Any, own: Any = own) -> Var:
            distance = divergence(p, old, obs)
            each = distance - value_of(critic, p, obs, own) * agent.step_size
            kl = distance[: len(offline)].mean() * rho + distance[len(offline) :].mean() * (1 - rho)
            total = each[: len(offline)].mean() * rho + each[len(offline) :].mean() * (1 - rho)
            logs.update(actor_loss=float(total.value), kl=float(kl.value))
            return total

        _, grads = ref.gradient(loss, actor)
        actor, opt = ref.adam_step(actor, grads, opt, rate)
    return {"actor": actor, "critic": critic}, logs
