"""FamO2O: a family of policies, and a choice among them for every state (Wang et al. 2023, arXiv 2310.17966).

A policy that is told how strongly to prefer better actions, and a second policy that tells it, around IQL or AWAC.
With the balance b encoded by enc(b) = [sin(b / n^(i/3)), cos(b / n^(i/3))] for i = 0, 1, 2 and n = 10^4:

    L_pi = -mean min(exp(b A(s,a)), 100) log pi(a|s, enc(b))                                 (universal policy)
    L_p  = mean (T log p(b|s) - min_i Qt_i(s,a)),   b ~ p(.|s),   a ~ pi(.|s, enc(b))        (balance policy)
    L_T  = T (H - H_target),   H = -mean log p(b|s),   H_target = -c

    IQL:   A = min_i Qt_i(s,a) - V(s), V and Q as in `agents/iql.py`
    AWAC:  A = min_i Q_i(s,a) - min_i Q_i(s,a'),   a' ~ pi(.|s, enc(b)), i.e. b is its 1 / lambda; targets ask the
           policy that acts (made from the paper's text, whose code has IQL and CQL only)

In L_pi every row has its own b, a constant: uniform over [temperature - spread, temperature + spread], and in
the stage "adaptive" drawn from the balance policy. That is the paper's, `balancing="own"`. The authors' released code
multiplies A, `[B]`, by b, `[B, 1]`: every row gets the mean of its weights under all b of the minibatch, whatever the
policy is told at that row, so the policy has no reason to heed b (`balancing="shared"`, IQL only). In L_p the
universal policy's parameters are constants and the gradient runs from a through enc(b) to p, a tanh-Gaussian
stretched over the range; its density is that before stretching. Acting, exploring or not, takes the mode of p. The
balance policy and T move with the universal policy and the targets as they were before the minibatch (authors' code,
where the same noise drives b and a; here independent).
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.agents.awac import AWAC, AWACState
from purejaxo2o.agents.base import descend, init_adam, rate_or, require_box
from purejaxo2o.agents.iql import IQL, IQLState
from purejaxo2o.distributions import ClippedNormal, TanhNormal
from purejaxo2o.networks import Actor, Hidden, apply
from purejaxo2o.types import Array, Metrics, Number, O2OError, Space, Spaces, Transition, number, pytree, static
from purejaxo2o.values import traced

WAVES = 3
LONGEST = 10_000.0

Stage = Literal["uniform", "adaptive"]
"""Where the balances come from on which the universal policy learns."""


def encoding(balance: Array) -> Array:
    """`[...] -> [..., 6]`: sine and cosine in turns, at three frequencies."""
    angle = balance[..., None] / LONGEST ** (jnp.arange(WAVES) / WAVES)
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*balance.shape, 2 * WAVES)


def told(obs: Array, balance: Array) -> Array:
    """What the universal policy sees: `[..., O + 6]`."""
    return jnp.concatenate([obs, encoding(balance)], axis=-1)


class Family:
    """What both versions have: around an agent with `guidance`, whose policy it tells a balance."""

    temperature: Number
    spread: Number
    target_entropy_scale: Number
    stage: Stage
    learning_rate: Number
    actor_learning_rate: Number | None
    actor_hidden: Hidden

    def check(self) -> None:
        super().check()  # type: ignore[misc]
        if traced(self.temperature) or traced(self.spread) or np.all(self.spread < self.temperature):
            return
        raise O2OError(
            f"agent.spread is {self.spread}, agent.temperature {self.temperature}; balances are temperature +- "
            "spread, above 0: make the spread smaller"
        )

    def balance_network(self) -> Actor:
        return Actor(Space(shape=(1,)), self.actor_hidden, std="global", log_std_range=(-10.0, 2.0))

    def balance_policy(self, balance: Any, obs: Array) -> TanhNormal:
        return apply(self.balance_network(), balance, obs)

    def stretched(self, unit: Array) -> Array:
        """`[..., 1]` in [-1, 1] to balances `[...]`."""
        return self.temperature + self.spread * unit[..., 0]

    def grown(self, key: Array, spaces: Spaces) -> dict[str, Any]:
        """The parts of a state that are the family's: a universal policy, a balance policy and T."""
        require_box(self, spaces)
        key_actor, key_balance = jax.random.split(key)
        obs = spaces.obs.zeros()
        network = self.actor_network(spaces.action)  # type: ignore[attr-defined]
        actor = network.init(key_actor, told(obs, jnp.zeros(())))["params"]
        balance = self.balance_network().init(key_balance, obs)["params"]
        log_temperature = jnp.float32(0.0)
        return {
            "actor": actor,
            "actor_opt": init_adam(actor),
            "balance": balance,
            "balance_opt": init_adam(balance),
            "log_temperature": log_temperature,
            "temperature_opt": init_adam(log_temperature),
        }

    def act(self, state: Any, obs: Array, key: Array, *, explore: bool) -> Array:
        """With the mode of the balance."""
        seen = told(obs, self.stretched(self.balance_policy(state.balance, obs).mode()))
        return super().act(state, seen, key, explore=explore)  # type: ignore[misc]

    def step(self, state: Any, batch: Transition, key: Array) -> tuple[Any, Metrics]:
        """One minibatch: the steps of the agent around which it is, then balance policy and T with what that
        started from."""
        key_agent, key_balance = jax.random.split(key)
        after, metrics = super().step(state, batch, key_agent)  # type: ignore[misc]
        after, own = self.balance_step(after, state.actor, state.target, batch, key_balance)
        return after, metrics | own

    def balances(self, state: Any, obs: Array, key: Array) -> Array:
        """`[B]` of the rows on which the universal policy learns."""
        if self.stage == "adaptive":
            return self.stretched(self.balance_policy(state.balance, obs).sample(key))
        return self.stretched(jax.random.uniform(key, (obs.shape[0], 1), minval=-1.0, maxval=1.0))

    def balance_step(self, state: Any, actor: Any, target: Any, batch: Transition, key: Array) -> tuple[Any, Metrics]:
        """One step of the balance policy against the given policy and target critics, then one of T with the entropy
        of the balance policy before it."""
        key_balance, key_action = jax.random.split(key)
        price = jnp.exp(state.log_temperature)

        def loss(params: Any) -> tuple[Array, Metrics]:
            choice = self.balance_policy(params, batch.obs)
            unit, log_prob = choice.sample_and_log_prob(key_balance)
            balance = self.stretched(unit)
            policy = self.policy(actor, told(batch.obs, balance))  # type: ignore[attr-defined]
            assert isinstance(policy, ClippedNormal)
            action, _ = policy.sample_and_log_prob(key_action)
            q = self.q(target, batch.obs, action)  # type: ignore[attr-defined]
            value = (price * log_prob - q.min(axis=0)).mean()
            metrics = {"balance_loss": value, "balance": balance.mean(), "balance_entropy": -log_prob.mean()}
            return value, metrics | {"balance_spread": self.stretched(choice.mode()).std()}

        rate = rate_or(self.actor_learning_rate, self.learning_rate)
        balance, balance_opt, metrics = descend(loss, state.balance, state.balance_opt, rate)
        surplus = metrics["balance_entropy"] + self.target_entropy_scale
        log_temperature, temperature_opt, _ = descend(
            lambda raw: (jnp.exp(raw) * surplus, {}), state.log_temperature, state.temperature_opt, self.learning_rate
        )
        state = replace(
            state,
            balance=balance,
            balance_opt=balance_opt,
            log_temperature=log_temperature,
            temperature_opt=temperature_opt,
        )
        return state, metrics | {"balance_temperature": price}


@pytree
class FamO2OState(IQLState):
    balance: Any
    balance_opt: Any
    log_temperature: Array  # of T
    temperature_opt: Any


@pytree
class FamO2O(Family, IQL):
    """temperature, spread: middle and half the width of the range of balances; spread 0 is IQL.

    target_entropy_scale: c of the balance policy, which acts in one dimension. stage: "adaptive" is the online rule.
    balancing: whose balance weighs a row, see above.

    Metrics of its own: balance (mean), balance_spread (standard deviation of the modes over the minibatch),
    balance_entropy, balance_temperature (T), balance_loss."""

    temperature: Number = number(default=11.0, low=0.0)
    spread: Number = number(default=3.0, low=0.0)
    target_entropy_scale: Number = 0.5
    stage: Stage = static(default="uniform")
    balancing: Literal["own", "shared"] = static(default="own")

    def init(self, key: Array, spaces: Spaces) -> FamO2OState:
        key_iql, key_family = jax.random.split(key)
        return FamO2OState(**vars(super().init(key_iql, spaces)) | self.grown(key_family, spaces))

    def guidance(self, state: IQLState, batch: Transition, key: Array) -> tuple[Array, Number]:
        balance = self.balances(state, batch.obs, key)
        return told(batch.obs, balance), balance

    def weights(self, advantage: Array, temperature: Number) -> Array:
        if self.balancing == "own":
            return super().weights(advantage, temperature)
        return super().weights(advantage, jnp.asarray(temperature)[:, None]).mean(axis=0)


@pytree
class FamAWACState(AWACState):
    balance: Any
    balance_opt: Any
    log_temperature: Array  # of T
    temperature_opt: Any


@pytree
class FamAWAC(Family, AWAC):
    """Settings as FamO2O's: the temperature is the middle of the balances 1 / lambda, not AWAC's lambda."""

    temperature: Number = number(default=10.0, above=0.0)
    spread: Number = number(default=5.0, low=0.0)
    target_entropy_scale: Number = 0.5
    stage: Stage = static(default="uniform")

    def init(self, key: Array, spaces: Spaces) -> FamAWACState:
        key_awac, key_family = jax.random.split(key)
        return FamAWACState(**vars(super().init(key_awac, spaces)) | self.grown(key_family, spaces))

    def guidance(self, state: AWACState, batch: Transition, key: Array) -> tuple[Array, Number]:
        balance = self.balances(state, batch.obs, key)
        return told(batch.obs, balance), 1.0 / balance
