"""PPO as one function with everything inside, in the manner of PureJaxRL: what a user would write by hand.

An implementation of its own, from the paper and the sizes that PureJaxRL publishes: a scan of rollouts and epochs
around flax networks and optax. No store, phases, feeds, evaluation or metrics. Differences that are that style's own:
tanh networks with orthogonal weights, a rate that falls to zero, unsquashed Gaussians, and every end of an episode,
cut or not, stops the values.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.linen.initializers import constant, orthogonal

from purejaxo2o.loop.env import Env
from purejaxo2o.types import Array


class Heads(nn.Module):
    """Logits or means with a free log-std, and values."""

    outputs: int
    discrete: bool

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array, Array]:
        def tower(size: int, gain: float) -> Array:
            x = obs
            for _ in range(2):
                x = nn.tanh(nn.Dense(64, kernel_init=orthogonal(2**0.5), bias_init=constant(0.0))(x))
            return nn.Dense(size, kernel_init=orthogonal(gain), bias_init=constant(0.0))(x)

        log_std = jnp.zeros(()) if self.discrete else self.param("log_std", constant(0.0), (self.outputs,))
        return tower(self.outputs, 0.01), log_std, tower(1, 1.0)[..., 0]


def drawn(heads: Any, key: Array, discrete: bool) -> Array:
    """An action of the policy."""
    middle, log_std, _ = heads
    if discrete:
        return jax.random.categorical(key, middle)
    return middle + jnp.exp(log_std) * jax.random.normal(key, middle.shape)


def log_density(heads: Any, action: Array, discrete: bool) -> tuple[Array, Array]:
    """Of an action, and the policy's entropy."""
    middle, log_std, _ = heads
    if discrete:
        log_p = jax.nn.log_softmax(middle)
        return jnp.take_along_axis(log_p, action[..., None], -1)[..., 0], -(jnp.exp(log_p) * log_p).sum(-1)
    scaled = (action - middle) / jnp.exp(log_std)
    entropy = (log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum()
    log_p = -(0.5 * scaled**2 + log_std + 0.5 * jnp.log(2 * jnp.pi)).sum(-1)
    return log_p, jnp.broadcast_to(entropy, log_p.shape)


@partial(jax.jit, static_argnames=("steps", "num_envs", "rollout", "epochs", "minibatches"))
def train(
    key: Array,
    env: Env,
    *,
    steps: int,
    num_envs: int,
    rollout: int,
    epochs: int,
    minibatches: int,
    learning_rate: float,
    discount: float,
    gae_lambda: float,
    clip: float,
    value_weight: float,
    entropy_weight: float,
    max_grad_norm: float,
) -> Any:
    """Parameters of `network(env)` after `steps` environment steps."""
    discrete = env.action_space.discrete
    model, rollouts = network(env), steps // (num_envs * rollout)
    key_init, key_reset, key_run = jax.random.split(key, 3)
    optimiser = optax.chain(
        optax.clip_by_global_norm(max_grad_norm),
        optax.adam(optax.linear_schedule(learning_rate, 0.0, rollouts * epochs * minibatches), eps=1e-5),
    )
    state, obs = jax.vmap(env.reset)(jax.random.split(key_reset, num_envs))
    params = model.init(key_init, obs[0])

    def act(carry: Any, key: Array) -> tuple[Any, Any]:
        params, state, obs = carry
        key_act, key_step, key_reset = jax.random.split(key, 3)
        heads = model.apply(params, obs)
        action = drawn(heads, key_act, discrete)
        stepped, out = jax.vmap(env.step)(state, action, jax.random.split(key_step, num_envs))
        done = out.terminated | out.truncated
        fresh = jax.vmap(env.reset)(jax.random.split(key_reset, num_envs))
        state, following = jax.tree.map(
            lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, (stepped, out.obs)
        )
        log_p, _ = log_density(heads, action, discrete)
        return (params, state, following), (obs, action, log_p, heads[2], out.reward, done)  # type: ignore[index]

    def loss(params: Any, batch: Any) -> Array:
        obs, action, old, advantage, target = batch
        heads = model.apply(params, obs)
        log_p, entropy = log_density(heads, action, discrete)
        ratio = jnp.exp(log_p - old)
        scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        gain = jnp.minimum(ratio * scaled, jnp.clip(ratio, 1 - clip, 1 + clip) * scaled).mean()
        error = 0.5 * jnp.square(heads[2] - target).mean()  # type: ignore[index]
        return -gain + value_weight * error - entropy_weight * entropy.mean()

    def minibatch(carry: Any, batch: Any) -> tuple[Any, None]:
        params, opt = carry
        updates, opt = optimiser.update(jax.grad(loss)(params, batch), opt)
        return (optax.apply_updates(params, updates), opt), None

    def iteration(carry: Any, key: Array) -> tuple[Any, None]:
        params, opt, state, obs = carry
        key_act, key_learn = jax.random.split(key)
        (_, state, obs), rows = jax.lax.scan(act, (params, state, obs), jax.random.split(key_act, rollout))
        seen, action, log_p, value, reward, done = rows
        following = jnp.concatenate([value[1:], model.apply(params, obs)[2][None]])  # type: ignore[index]
        delta = reward + discount * following * (1 - done) - value

        def back(later: Array, now: Any) -> tuple[Array, Array]:
            delta, done = now
            later = delta + discount * gae_lambda * (1 - done) * later
            return later, later

        _, advantage = jax.lax.scan(back, jnp.zeros(num_envs), (delta, done), reverse=True)
        fed = (seen, action, log_p, advantage, advantage + value)
        fed = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), fed)

        def epoch(carry: Any, key: Array) -> tuple[Any, None]:
            order = jax.random.permutation(key, rollout * num_envs).reshape(minibatches, -1)
            return jax.lax.scan(minibatch, carry, jax.tree.map(lambda x: x[order], fed))

        (params, opt), _ = jax.lax.scan(epoch, (params, opt), jax.random.split(key_learn, epochs))
        return (params, opt, state, obs), None

    start = (params, optimiser.init(params), state, obs)
    return jax.lax.scan(iteration, start, jax.random.split(key_run, rollouts))[0][0]


def network(env: Env) -> Heads:
    """Of the environment's size."""
    space = env.action_space
    return Heads(space.shape[0] if space.n is None else space.n, space.discrete)


def policy(env: Env, params: Any) -> Any:
    """Greedy, as `evaluate` wants it."""
    discrete, model = env.action_space.discrete, network(env)

    def act(obs: Array, key: Array) -> Array:
        middle = model.apply(params, obs)[0]  # type: ignore[index]
        return middle.argmax(-1) if discrete else middle

    return act
