"""FamO2O: a family of policies, and a choice among them for every state (Wang et al. 2023, arXiv 2310.17966).

IQL whose policy is told how strongly to prefer better actions, and a second policy that tells it. With the balance b
encoded by enc(b) = [sin(b / n^(i/3)), cos(b / n^(i/3))] for i = 0, 1, 2 and n = 10^4:

    L_pi = -mean min(exp(b (min_i Qt_i(s,a) - V(s))), 100) log pi(a|s, enc(b))               (universal policy)
    L_p  = mean (T log p(b|s) - min_i Qt_i(s,a)),   b ~ p(.|s),   a ~ pi(.|s, enc(b))        (balance policy)
    L_T  = T (H - H_target),   H = -mean log p(b|s),   H_target = -c

V and Q are IQL's. In L_pi every row has its own b, a constant: uniform over [temperature - spread, temperature +
spread], and once `adaptive` drawn from the balance policy. In L_p the universal policy's parameters are constants and
the gradient runs from a through enc(b) to p, a tanh-Gaussian stretched over the range; its density is that before
stretching. Acting, exploring or not, takes the mode of p. The balance policy and T move with the universal policy and
the targets as they were before the minibatch (authors' code, where the same noise drives b and a; here independent).
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.agents.base import descend, init_adam, rate_or, require_box
from purejaxo2o.agents.iql import IQL, IQLState
from purejaxo2o.distributions import ClippedNormal, TanhNormal
from purejaxo2o.networks import Actor, apply
from purejaxo2o.types import Array, Metrics, Number, Space, Spaces, Transition, pytree, static

WAVES = 3
LONGEST = 10_000.0


def encoding(balance: Array) -> Array:
    """`[...] -> [..., 6]`: sine and cosine in turns, at three frequencies."""
    angle = balance[..., None] / LONGEST ** (jnp.arange(WAVES) / WAVES)
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*balance.shape, 2 * WAVES)


def told(obs: Array, balance: Array) -> Array:
    """What the universal policy sees: `[..., O + 6]`."""
    return jnp.concatenate([obs, encoding(balance)], axis=-1)


@pytree
class FamO2OState(IQLState):
    balance: Any
    balance_opt: Any
    log_temperature: Array  # of T
    temperature_opt: Any


@pytree
class FamO2O(IQL):
    """temperature, spread: middle and half the width of the range of balances; spread 0 is IQL.

    target_entropy_scale: c of the balance policy, which acts in one dimension. adaptive: the online rule.

    Metrics of its own: balance (mean), balance_spread (standard deviation of the modes over the minibatch),
    balance_entropy, balance_temperature (T), balance_loss."""

    temperature: Number = 11.0
    spread: Number = 3.0
    target_entropy_scale: Number = 0.5
    adaptive: bool = static(default=False)

    def balance_network(self) -> Actor:
        return Actor(Space(shape=(1,)), self.actor_hidden, std="global", log_std_range=(-10.0, 2.0))

    def balance_policy(self, balance: Any, obs: Array) -> TanhNormal:
        return apply(self.balance_network(), balance, obs)

    def stretched(self, unit: Array) -> Array:
        """`[..., 1]` in [-1, 1] to balances `[...]`."""
        return self.temperature + self.spread * unit[..., 0]

    def init(self, key: Array, spaces: Spaces) -> FamO2OState:
        require_box(self, spaces)
        key_iql, key_actor, key_balance = jax.random.split(key, 3)
        state, obs = super().init(key_iql, spaces), spaces.obs.zeros()
        actor = self.actor_network(spaces.action).init(key_actor, told(obs, jnp.zeros(())))["params"]
        balance = self.balance_network().init(key_balance, obs)["params"]
        log_temperature = jnp.float32(0.0)
        return FamO2OState(
            **vars(replace(state, actor=actor, actor_opt=init_adam(actor))),
            balance=balance,
            balance_opt=init_adam(balance),
            log_temperature=log_temperature,
            temperature_opt=init_adam(log_temperature),
        )

    def act(self, state: IQLState, obs: Array, key: Array, *, explore: bool) -> Array:
        assert isinstance(state, FamO2OState)
        balance = self.stretched(self.balance_policy(state.balance, obs).mode())
        return super().act(state, told(obs, balance), key, explore=explore)

    def guidance(self, state: IQLState, batch: Transition, key: Array) -> tuple[Array, Number]:
        assert isinstance(state, FamO2OState)
        if self.adaptive:
            unit = self.balance_policy(state.balance, batch.obs).sample(key)
        else:
            unit = jax.random.uniform(key, (batch.reward.shape[0], 1), minval=-1.0, maxval=1.0)
        balance = self.stretched(unit)
        return told(batch.obs, balance), balance

    def step(self, state: IQLState, batch: Transition, key: Array) -> tuple[FamO2OState, Metrics]:
        """One minibatch: IQL's four steps, then balance policy and T with what IQL started from."""
        key_family, key_balance = jax.random.split(key)
        after, metrics = super().step(state, batch, key_family)
        assert isinstance(after, FamO2OState)
        after, balance_metrics = self.balance_step(after, state.actor, state.target, batch, key_balance)
        return after, metrics | balance_metrics

    def balance_step(
        self, state: FamO2OState, actor: Any, target: Any, batch: Transition, key: Array
    ) -> tuple[FamO2OState, Metrics]:
        """One step of the balance policy against the given policy and target critics, then one of T with the entropy
        of the balance policy before it."""
        key_balance, key_action = jax.random.split(key)
        price = jnp.exp(state.log_temperature)

        def loss(params: Any) -> tuple[Array, Metrics]:
            choice = self.balance_policy(params, batch.obs)
            unit, log_prob = choice.sample_and_log_prob(key_balance)
            balance = self.stretched(unit)
            policy = self.policy(actor, told(batch.obs, balance))
            assert isinstance(policy, ClippedNormal)
            action, _ = policy.sample_and_log_prob(key_action)
            value = (price * log_prob - self.q(target, batch.obs, action).min(axis=0)).mean()
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
