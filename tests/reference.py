"""Independent float64 NumPy reference of the agents: BC, IQL, SAC, CQL and Cal-QL, losses and full updates.

Written from the papers (BC and IQL: Kostrikov et al. 2021; SAC: Haarnoja et al. 2018; RLPD: Ball et al. 2023;
WSRL: Zhou et al. 2024; CQL: Kumar et al. 2020; Cal-QL: Nakamoto et al. 2023), not from the package, and it
imports neither the package nor JAX. Gradients come from the small reverse-mode differentiation below.

Conventions: parameters are nested dictionaries of arrays laid out as flax makes them (`kernel [in, out]`, a
leading member axis for ensembles); a state is a dictionary of such trees and of `Adam`; `agent` is any object
with the settings as attributes; batches are any object with `Transition`'s fields, leaves `[U, B, ...]`; all
randomness (noise, subsets) is an argument.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

State = dict[str, Any]
Logs = dict[str, float]
LOG_STD_RANGE = (-20.0, 2.0)
ACTION_LIMIT = 1.0 - 1e-5  # recorded actions are clipped to this before atanh

# ---- reverse-mode differentiation ------------------------------------------------------------------------


class Var:
    """An array that remembers how it was made; `parents` are pairs (Var, output gradient -> its gradient)."""

    __array_ufunc__ = None  # `ndarray + Var` must reach `__radd__`

    def __init__(self, value: Any, parents: tuple[tuple["Var", Callable[[Any], Any]], ...] = ()):
        self.value = np.asarray(value, np.float64)
        self.parents = parents
        self.grad = np.zeros_like(self.value)

    def __add__(self, other: Any) -> "Var":
        other = lift(other)
        return Var(self.value + other.value, ((self, lambda g: g), (other, lambda g: g)))

    def __mul__(self, other: Any) -> "Var":
        other = lift(other)
        return Var(self.value * other.value, ((self, lambda g: g * other.value), (other, lambda g: g * self.value)))

    def __matmul__(self, other: "Var") -> "Var":
        a, b = self.value, other.value
        return Var(
            a @ b,
            ((self, lambda g: g @ np.swapaxes(b, -1, -2)), (other, lambda g: np.swapaxes(a, -1, -2) @ g)),
        )

    def __getitem__(self, index: Any) -> "Var":
        def pull(g: Any) -> Any:
            out = np.zeros_like(self.value)
            np.add.at(out, index, g)
            return out

        return Var(self.value[index], ((self, pull),))

    def __neg__(self) -> "Var":
        return self * -1.0

    def __sub__(self, other: Any) -> "Var":
        return self + -lift(other)

    def __rsub__(self, other: Any) -> "Var":
        return lift(other) + -self

    __radd__ = __add__
    __rmul__ = __mul__

    def reshape(self, *shape: int) -> "Var":
        return Var(self.value.reshape(shape), ((self, lambda g: g.reshape(self.value.shape)),))

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Var":
        def pull(g: Any) -> Any:
            full = g if keepdims or axis is None else np.expand_dims(g, axis)
            return np.broadcast_to(full, self.value.shape)

        return Var(self.value.sum(axis=axis, keepdims=keepdims), ((self, pull),))

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Var":
        total = self.sum(axis, keepdims)
        return total * (total.value.size / self.value.size)

    def min(self, axis: int) -> "Var":
        return self.pick(np.argmin(self.value, axis), axis)

    def max(self, axis: int) -> "Var":
        return self.pick(np.argmax(self.value, axis), axis)

    def pick(self, index: Any, axis: int) -> "Var":
        """The entries at `index` along `axis`, which disappears."""
        mask = np.expand_dims(index, axis) == np.arange(self.value.shape[axis]).reshape(
            [-1 if i == axis % self.value.ndim else 1 for i in range(self.value.ndim)]
        )
        return (self * mask).sum(axis)


def lift(x: Any) -> Var:
    """A constant, unless it is a `Var` already."""
    return x if isinstance(x, Var) else Var(x)


def unary(x: Any, value: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Var:
    x = lift(x)
    return Var(value(x.value), ((x, lambda g: g * slope(x.value)),))


def relu(x: Any) -> Var:
    return unary(x, lambda v: np.maximum(v, 0.0), lambda v: v > 0)


def tanh(x: Any) -> Var:
    return unary(x, np.tanh, lambda v: 1.0 - np.tanh(v) ** 2)


def exp(x: Any) -> Var:
    return unary(x, np.exp, np.exp)


def log(x: Any) -> Var:
    return unary(x, np.log, lambda v: 1.0 / v)


def softplus(x: Any) -> Var:
    return unary(x, lambda v: np.logaddexp(v, 0.0), lambda v: 1.0 / (1.0 + np.exp(-v)))


def power(x: Any, p: float) -> Var:
    return unary(x, lambda v: v**p, lambda v: p * v ** (p - 1.0))


def clip(x: Any, low: float, high: float) -> Var:
    return unary(x, lambda v: np.clip(v, low, high), lambda v: (v > low) & (v < high))


def floor_at(x: Any, bound: Any) -> Var:
    """`max(x, bound)` for a constant bound: no gradient where the bound holds."""
    return unary(x, lambda v: np.maximum(v, bound), lambda v: v > bound)


def logsumexp(x: Any, axis: int) -> Var:
    x = lift(x)
    shift = x.value.max(axis, keepdims=True)
    return log(exp(x - shift).sum(axis)) + np.squeeze(shift, axis)


def concat(parts: list[Any], axis: int) -> Var:
    parts = [lift(p) for p in parts]
    ends = np.cumsum([0] + [p.value.shape[axis] for p in parts])

    def pull(i: int) -> Callable[[Any], Any]:
        return lambda g: np.take(g, np.arange(ends[i], ends[i + 1]), axis)

    value = np.concatenate([p.value for p in parts], axis)
    return Var(value, tuple((p, pull(i)) for i, p in enumerate(parts)))


def backward(out: Var) -> None:
    """Accumulate d(out)/d(node) into `.grad` of everything that `out` was made of."""
    order: list[Var] = []
    seen: set[int] = set()

    def visit(node: Var) -> None:
        if id(node) not in seen:
            seen.add(id(node))
            for parent, _ in node.parents:
                visit(parent)
            order.append(node)

    visit(out)
    out.grad = np.ones_like(out.value)
    for node in reversed(order):
        for parent, pull in node.parents:
            g = np.asarray(pull(node.grad))
            g = g.sum(axis=tuple(range(g.ndim - parent.value.ndim)))  # undo broadcasting
            stretched = tuple(i for i, n in enumerate(parent.value.shape) if n == 1 and g.shape[i] != 1)
            parent.grad = parent.grad + g.sum(axis=stretched, keepdims=True)


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    if isinstance(tree, dict):
        return {k: tree_map(f, v, *(r[k] for r in rest)) for k, v in tree.items()}
    return f(tree, *rest)


def gradient(loss: Callable[[Any], Var], params: Any) -> tuple[float, Any]:
    """`loss(params)` and its gradient, a tree like `params`."""
    leaves = tree_map(Var, params)
    out = loss(leaves)
    backward(out)
    return float(out.value), tree_map(lambda leaf: leaf.grad, leaves)


# ---- optimiser and networks ------------------------------------------------------------------------------


class Adam(NamedTuple):
    """Steps taken and moments (Kingma & Ba 2015)."""

    steps: int
    mu: Any
    nu: Any


def adam_step(params: Any, grads: Any, opt: Adam, rate: float, eps: float = 1e-8) -> tuple[Any, Adam]:
    steps = opt.steps + 1
    mu = tree_map(lambda m, g: 0.9 * m + 0.1 * g, opt.mu, grads)
    nu = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, opt.nu, grads)

    def move(p: Any, m: Any, v: Any) -> Any:
        return p - rate * (m / (1 - 0.9**steps)) / (np.sqrt(v / (1 - 0.999**steps)) + eps)

    return tree_map(move, params, mu, nu), Adam(steps, mu, nu)


def descend(
    state: State, name: str, loss: Callable[[Any], Var], rate: float, opt: str = "", eps: float = 1e-8
) -> float:
    """One Adam step on `state[name]`, in place; returns the loss before it."""
    opt = opt or f"{name}_opt"
    value, grads = gradient(loss, state[name])
    state[name], state[opt] = adam_step(state[name], grads, state[opt], rate, eps)
    return value


def polyak(target: Any, online: Any, rate: float) -> Any:
    return tree_map(lambda t, o: (1 - rate) * t + rate * o, target, online)


def rate_of(agent: Any, name: str) -> float:
    """The learning rate of the actor or the temperature, which falls back to the common one."""
    rate = getattr(agent, f"{name}_learning_rate")
    return agent.learning_rate if rate is None else rate


def dense(p: Any, x: Any) -> Var:
    return lift(x) @ lift(p["kernel"]) + lift(p["bias"])[..., None, :]


def layer_norm(p: Any, x: Var) -> Var:
    centred = x - x.mean(-1, keepdims=True)
    scale = power((centred * centred).mean(-1, keepdims=True) + 1e-6, -0.5)
    return centred * scale * lift(p["scale"])[..., None, :] + lift(p["bias"])[..., None, :]


def mlp(p: Any, x: Any, output: bool, activation: Any = relu) -> Var:
    """Dense -> LayerNorm (where there are parameters for it) -> activation; the last Dense alone if `output`."""
    layers = sum(name.startswith("Dense") for name in p)
    for i in range(layers):
        x = dense(p[f"Dense_{i}"], x)
        if output and i == layers - 1:
            return x
        if f"LayerNorm_{i}" in p:
            x = layer_norm(p[f"LayerNorm_{i}"], x)
        x = activation(x)
    return lift(x)


def actor_head(
    p: Any, obs: Any, log_std_range: tuple[float, float] = LOG_STD_RANGE, activation: Any = relu
) -> tuple[Var, Var]:
    """Mean (before any tanh) and log std, `[B, A]` each."""
    x = mlp(p["MLP_0"], obs, output=False, activation=activation)
    free = not isinstance(p["log_std"], dict)
    log_std = lift(p["log_std"])[None] + np.zeros((len(obs), 1)) if free else dense(p["log_std"], x)
    if "log_std_scale" in p:  # Cal-QL's and H2O's code: two trained scalars
        log_std = lift(p["log_std_scale"]) * log_std + p["log_std_offset"]
    return dense(p["mean"], x), clip(log_std, *log_std_range)


def log_softmax_at(p: Any, obs: Any, action: Any, activation: Any = relu) -> Var:
    """Categorical log-probabilities `[B]` of integer actions."""
    logits = dense(p["logits"], mlp(p["MLP_0"], obs, output=False, activation=activation))
    return logits.pick(action, 1) - logsumexp(logits, 1)


def normal_log_prob(x: Any, mean: Var, log_std: Var) -> Var:
    z = (lift(x) - mean) * exp(-log_std)
    return (z * z * -0.5 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)


def tanh_normal_log_prob(u: Any, mean: Var, log_std: Var) -> Var:
    """Log-density of `tanh(u)`."""
    u = lift(u)
    return normal_log_prob(u, mean, log_std) - ((np.log(2) - u - softplus(u * -2.0)) * 2.0).sum(-1)


def draw(p: Any, obs: Any, noise: Any) -> tuple[Var, Var]:
    """Squashed actions `[..., B, A]` made of `noise`, and their log-densities `[..., B]`."""
    mean, log_std = actor_head(p, obs)
    u = mean + exp(log_std) * noise
    return tanh(u), tanh_normal_log_prob(u, mean, log_std)


def critic(p: Any, obs: Any, action: Any) -> Var:
    """`Q [N, ..., B]` of every member for continuous actions `[..., B, A]` at `obs [B, O]`."""
    action = lift(action)
    lead = action.value.shape[:-1]
    obs = np.broadcast_to(obs, (*lead, obs.shape[-1])).reshape(-1, obs.shape[-1])
    x = concat([obs, action.reshape(len(obs), -1)], 1)
    if "head" in p:  # WSRL's code: every member's features `[N, rows, width]` through the same layer
        features = mlp(p["MLP_0"], x, output=False)
        weight = lift(p["head"]["kernel"]).reshape(1, 1, -1)
        return ((features * weight).sum(-1) + p["head"]["bias"]).reshape(-1, *lead)
    return mlp(p["MLP_0"], x, output=True).reshape(-1, *lead)


def critic_discrete(p: Any, obs: Any, action: Any) -> Var:
    """`Q [N, B]` of integer actions."""
    q = mlp(p["MLP_0"], obs, output=True)
    return q[:, np.arange(len(obs)), action]


def value_net(p: Any, obs: Any, activation: Any = relu) -> Var:
    return mlp(p["MLP_0"], obs, output=True, activation=activation)[:, 0]


def row(batches: Any, u: int) -> Any:
    """Minibatch `u`."""
    return type(batches)(*({k: v[u] for k, v in x.items()} if isinstance(x, dict) else x[u] for x in batches))


def td_target(batch: Any, next_value: Any, discount: float) -> Any:
    """Only termination stops the bootstrap; truncation does not."""
    return batch.reward + discount * (1.0 - batch.terminated) * next_value


def average(logs: list[Logs]) -> Logs:
    return {k: float(np.mean([m[k] for m in logs])) for k in logs[0]}


# ---- BC and IQL ------------------------------------------------------------------------------------------


def bc_loss(p: Any, obs: Any, action: Any, loss: str) -> Var:
    if "logits" in p:
        return -log_softmax_at(p, obs, action).mean()
    mean, log_std = actor_head(p, obs) if "log_std" in p else (dense(p["mean"], mlp(p["MLP_0"], obs, False)), 0)
    if loss == "mse":
        error = tanh(mean) - action
        return (error * error).mean()
    u = np.arctanh(np.clip(action, -ACTION_LIMIT, ACTION_LIMIT))
    return -tanh_normal_log_prob(u, mean, lift(log_std)).mean()


def bc_update(agent: Any, state: State, batches: Any) -> tuple[State, Logs]:
    state, logs = dict(state), []
    for u in range(len(batches.reward)):
        b = row(batches, u)
        value = descend(state, "actor", lambda p, b=b: bc_loss(p, b.obs, b.action, agent.loss), agent.learning_rate)
        logs.append({"actor_loss": value})
    return state, average(logs)


def iql_actor_log_prob(p: Any, obs: Any, action: Any) -> Var:
    """A plain Gaussian around `tanh(mean)`, its density not corrected for anything."""
    if "logits" in p:
        return log_softmax_at(p, obs, action)
    mean, log_std = actor_head(p, obs, (-5.0, 2.0))
    return normal_log_prob(action, tanh(mean), log_std)


def expectile_loss(diff: Any, expectile: float) -> Var:
    diff = lift(diff)
    return diff * diff * np.where(diff.value > 0, expectile, 1.0 - expectile)


def iql_step(agent: Any, state: State, b: Any) -> Logs:
    q_of = critic_discrete if "logits" in state["actor"] else critic
    q = q_of(state["target"], b.obs, b.action).min(0).value

    def value_loss(p: Any) -> Var:
        return expectile_loss(q - value_net(p, b.obs), agent.expectile).mean()

    logs = {"value_loss": descend(state, "value", value_loss, agent.learning_rate)}
    advantage = q - value_net(state["value"], b.obs).value
    weight = np.minimum(np.exp(agent.temperature * advantage), agent.max_weight)

    def actor_loss(p: Any) -> Var:
        return -(iql_actor_log_prob(p, b.obs, b.action) * weight).mean()

    logs["actor_loss"] = descend(state, "actor", actor_loss, rate_of(agent, "actor"))
    y = td_target(b, value_net(state["value"], b.next_obs).value, agent.discount)

    def critic_loss(p: Any) -> Var:
        error = q_of(p, b.obs, b.action) - y
        return (error * error).mean(1).sum()

    logs["critic_loss"] = descend(state, "critic", critic_loss, agent.learning_rate)
    state["target"] = polyak(state["target"], state["critic"], agent.polyak)
    return logs


def iql_update(agent: Any, state: State, batches: Any) -> tuple[State, Logs]:
    state = dict(state)
    logs = [iql_step(agent, state, row(batches, u)) for u in range(len(batches.reward))]
    return state, average(logs)


# ---- SAC, CQL, Cal-QL ------------------------------------------------------------------------------------


def temperature_of(agent: Any, raw: Any) -> Var:
    return softplus(raw) if agent.temperature_form == "softplus" else exp(raw)


def temperature_loss(agent: Any, raw: Any, entropy: float, target: float) -> Var:
    gap = entropy - target
    return lift(raw) * gap if agent.temperature_form == "linear" else temperature_of(agent, raw) * gap


def sac_target(agent: Any, state: State, b: Any, noise: Any, subset: Any) -> Any:
    """`y [B]`; `noise [K, B, A]`, `subset` member indices."""
    action, log_prob = draw(state["actor"], b.next_obs, noise)
    value = critic(state["target"], b.next_obs, action).value[subset].min(0)  # [K, B]
    best = np.argmax(value, 0)
    value, log_prob = (np.take_along_axis(x, best[None], 0)[0] for x in (value, log_prob.value))
    if agent.backup_entropy:
        value = value - temperature_of(agent, state["log_temperature"]).value * log_prob
    return td_target(b, value, agent.discount)


def conservative_gap(q: dict[str, Any], log_prob: dict[str, Any], data: Any, agent: Any, bound: Any = None) -> Var:
    """CQL's difference `[n, B]`; `q[source]` `[n, K, B]` at the current obs, `log_prob[source]` `[K, B]`."""
    t = agent.cql_temperature
    if agent.importance_sampling:
        if bound is not None:
            q = {k: x if k == "random" else floor_at(x, bound) for k, x in q.items()}
        z = concat([q[k] - log_prob[k] for k in q], 1)
        offset = 0.0
    else:
        z = concat([*q.values(), data.reshape(data.value.shape[0], 1, -1)], 1)
        offset = t * np.log(z.value.shape[1])
    return logsumexp(z * (1.0 / t), 1) * t - offset - data


def cql_difference(agent: Any, p: Any, actor: Any, b: Any, noise: dict[str, Any], bound: Any) -> Var:
    """Penalty difference `[n, B]` of the critics `p`; the policy is a constant in it."""
    a_current, lp_current = (x.value for x in draw(actor, b.obs, noise["current"]))
    a_next, lp_next = (x.value for x in draw(actor, b.next_obs, noise["next"]))
    actions = {"random": noise["random"], "current": a_current, "next": a_next}
    uniform = np.full(noise["random"].shape[:-1], b.action.shape[-1] * np.log(0.5))
    log_prob = {"random": uniform, "current": lp_current, "next": lp_next}
    q = {k: critic(p, b.obs, a) for k, a in actions.items()}
    members = noise["members"]
    q = {k: x[members] for k, x in q.items()}
    return conservative_gap(q, log_prob, critic(p, b.obs, b.action)[members], agent, bound)


def multiplier_of(agent: Any, raw: Any) -> Var:
    """The Lagrange multiplier of its parameter: Cal-QL's code, or WSRL's."""
    return softplus(raw) if agent.lagrange_form == "softplus" else clip(exp(raw), 0.0, 1e6)


def critic_step(
    agent: Any,
    state: State,
    b: Any,
    noise: dict[str, Any],
    penalised: bool,
    calibrated: bool,
    extra: Any = None,
    target: Any = None,
) -> Logs:
    """One critic (and Lagrange) step and its targets, in place; logs the TD part and the penalty apart.

    Another method's own: `extra(p, b)` is added to the loss, `target(state, b, noise)` replaces the target."""
    y = target(state, b, noise) if target else sac_target(agent, state, b, noise["target"], noise["subset"])
    bound = b.extras["return_to_go"] if calibrated else None
    lagrange = penalised and agent.lagrange
    multiplier = multiplier_of(agent, lift(state["log_lagrange"])).value if lagrange else 1.0
    gap = agent.target_gap if lagrange else 0.0
    logs: Logs = {}

    def loss(p: Any) -> Var:
        error = critic(p, b.obs, b.action) - y
        total = (error * error).mean()
        logs["critic_loss"] = float(total.value)
        if extra is not None:
            return total + extra(p, b)
        if not penalised:
            return total
        diff = cql_difference(agent, p, state["actor"], b, noise["penalty"], bound).mean()
        logs["cql_gap"] = float(diff.value)
        return total + (diff - gap) * (multiplier * agent.cql_weight)

    descend(state, "critic", loss, agent.learning_rate)
    if lagrange:
        scale = agent.cql_weight * (logs["cql_gap"] - gap)

        def lagrange_loss(raw: Any) -> Var:
            return multiplier_of(agent, raw) * -scale

        descend(state, "log_lagrange", lagrange_loss, agent.learning_rate, "lagrange_opt")
    state["target"] = polyak(state["target"], state["critic"], agent.polyak)
    return logs


def coast(state: State, name: str, rate: float, opt: str = "") -> None:
    """A step of Adam whose gradient is zero, which WSRL's code gives to whatever it does not train just now."""
    opt = opt or f"{name}_opt"
    steps, mu, nu = state[opt]
    steps, mu, nu = steps + 1, tree_map(lambda m: 0.9 * m, mu), tree_map(lambda v: 0.999 * v, nu)

    def move(p: Any, m: Any, v: Any) -> Any:
        return p - rate * m / (1 - 0.9**steps) / (np.sqrt(v / (1 - 0.999**steps)) + 1e-8)

    state[name], state[opt] = tree_map(move, state[name], mu, nu), Adam(steps, mu, nu)


def sac_update(
    agent: Any,
    state: State,
    batches: Any,
    noise: Any,
    penalised: bool = False,
    calibrated: bool = False,
    extra: Any = None,
    target: Any = None,
    step: Any = None,
    reduce: Any = None,
    actor_extra: Any = None,
) -> tuple[State, Logs]:
    """U critic steps (or `step` in their place), then one actor and one temperature step.

    Another method's own: `extra` and `target` as in `critic_step`, `reduce(q)` of the critics in the actor's loss,
    `actor_extra(p, action)` added to it.

    `noise["critic"][u]` holds `target [K, B, A]`, `subset` and, for CQL, `penalty` (`random`, `current`,
    `next` `[K_c, B, A]` and `members`); `noise["actor"]`, `noise["temperature"]` `[B', A]`.
    """
    state = dict(state)
    count = len(batches.reward)

    coasting = agent.resting == "coast" and count > 1

    def one(u: int) -> Logs:
        own, drawn = row(batches, u), noise["critic"][u]
        if step is not None:
            logs = step(agent, state, own, drawn)
        else:
            logs = critic_step(agent, state, own, drawn, penalised, calibrated, extra, target)
        if coasting:
            coast(state, "actor", rate_of(agent, "actor"))
            coast(state, "log_temperature", rate_of(agent, "temperature"), "temperature_opt")
        return logs

    steps = [one(u) for u in range(count)]
    logs = average(steps)
    every = agent.actor_batch == "all"
    obs, next_obs = (x.reshape(-1, x.shape[-1]) if every else x[-1] for x in (batches.obs, batches.next_obs))
    old = state["actor"]
    alpha = float(temperature_of(agent, state["log_temperature"]).value)

    def actor_loss(p: Any) -> Var:
        action, log_prob = draw(p, obs, noise["actor"])
        q = critic(state["critic"], obs, action)
        q = reduce(q) if reduce else q.min(0) if agent.actor_reduction == "min" else q.mean(0)
        loss = (log_prob * alpha - q).mean()
        return loss + actor_extra(p, action) if actor_extra else loss

    logs["actor_loss"] = descend(state, "actor", actor_loss, rate_of(agent, "actor"))
    logs["entropy"] = entropy = -float(draw(old, obs, noise["actor"])[1].value.mean())
    if agent.temperature_on == "next_obs":
        entropy = -float(draw(old, next_obs, noise["temperature"])[1].value.mean())
    wanted = -agent.target_entropy_scale * batches.action.shape[-1]

    def dual_loss(raw: Any) -> Var:
        return temperature_loss(agent, raw, entropy, wanted)

    rate = rate_of(agent, "temperature")
    logs["temperature_loss"] = descend(state, "log_temperature", dual_loss, rate, "temperature_opt")
    if coasting:  # the targets wait for the next critic step
        coast(state, "critic", agent.learning_rate)
    return state, logs | {"temperature": alpha}


def cql_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    return sac_update(agent, state, batches, noise, penalised=agent.stage == "conservative")


def cal_ql_update(agent: Any, state: State, batches: Any, noise: Any) -> tuple[State, Logs]:
    conservative = agent.stage == "conservative"
    return sac_update(agent, state, batches, noise, penalised=conservative, calibrated=conservative)


def return_to_go(reward: Any, terminal: Any, discount: float, fail_reward: float | None = None) -> Any:
    """Discounted returns `[T]` of one trajectory (Cal-QL); all-failure trajectories get the infinite sum."""
    if fail_reward is not None and np.all(reward == fail_reward):
        return np.full(len(reward), fail_reward / (1 - discount))
    out, g = np.zeros(len(reward)), 0.0
    for t in range(len(reward) - 1, -1, -1):
        g = reward[t] + discount * g * (1.0 - terminal[t])
        out[t] = g
    return out
