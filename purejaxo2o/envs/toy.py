"""Probe problems with known answers: each isolates one thing that an agent must get right.

With discount g. A probe that ends by itself at its horizon sets only `terminated`; `truncated` means that the
time limit cut something that would have gone on. Box actions are clipped to [-1, 1].
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o.types import Array, Number, Space, Step, pytree

ACTION_TARGET = 0.5
REACH_GOAL, REACH_RADIUS, REACH_STRIDE = 0.8, 0.1, 0.2


class ToyState(NamedTuple):
    """One number and the clock."""

    value: Array  # [] float32
    time: Array  # [] int32, steps since the reset


class _Probe:
    """What the probes share: one observed number, one continuous action, one step."""

    obs_space = Space(shape=(1,))
    action_space = Space(shape=(1,))
    horizon = 1
    pooled_resets = False

    def reset(self, key: Array) -> tuple[ToyState, Array]:
        """`key -> (state, obs)`; the observation `[1]` is the state's value."""
        return _start(jnp.zeros(()))

    def _end(self, state: ToyState, reward: Array | float) -> tuple[ToyState, Step]:
        """Stay, and terminate with `reward`."""
        return _moved(state, state.value, reward, terminated=True)


@pytree
class ConstantValue(_Probe):
    """`toy/constant-value`: one observation (0), one step, reward 1. V = 1, whatever the action."""

    name = "toy/constant-value"

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        return self._end(state, 1.0)


@pytree
class ObsValue(_Probe):
    """`toy/obs-value`: the observation is -1 or +1 with equal probability, and so is the only step's reward.
    V(obs) = obs."""

    name = "toy/obs-value"

    def reset(self, key: Array) -> tuple[ToyState, Array]:
        return _start(jax.random.rademacher(key, (), jnp.float32))

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        return self._end(state, state.value)


@pytree
class Discount(_Probe):
    """`toy/discount`: two steps, observations 0 then 1, reward 1 at the end only. V(0) = g, V(1) = 1."""

    name = "toy/discount"
    horizon = 2

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        second = state.value > 0.5
        return _moved(state, jnp.ones(()), second, terminated=second)


@pytree
class ActionReward(_Probe):
    """`toy/action-reward`: one step, reward 1 - (a - 0.5)^2.
    Q(a) is that reward, the best action is 0.5, V* = 1."""

    name = "toy/action-reward"

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        return self._end(state, 1 - (jnp.clip(action[0], -1.0, 1.0) - ACTION_TARGET) ** 2)


@pytree
class ActionRewardDiscrete(_Probe):
    """`toy/action-reward-discrete`: one step, three actions with rewards 0, 1 and 0.5.
    Q = (0, 1, 0.5), the best action is 1, V* = 1."""

    name = "toy/action-reward-discrete"
    action_space = Space(n=3)

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        return self._end(state, jnp.array([0.0, 1.0, 0.5])[action])


@pytree
class Truncation(_Probe):
    """`toy/truncation`: the observation is 0 (A) or 1 (B), equally likely, and stays; every reward is 1.

    The episode ends after one step: in A it terminates, in B it is truncated. V(A) = 1, V(B) = 1 / (1 - g),
    because what was cut in B would have gone on from B. An agent that treats both alike gets one wrong."""

    name = "toy/truncation"

    def reset(self, key: Array) -> tuple[ToyState, Array]:
        return _start(jax.random.bernoulli(key).astype(jnp.float32))

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        goes_on = state.value > 0.5
        return _moved(state, state.value, 1.0, terminated=~goes_on, truncated=goes_on)


@pytree
class Reach(_Probe):
    """`toy/reach`: move along [-1, 1] by 0.2 a per step; reward 1 and the end within 0.1 of 0.8, else 0.

    The start is uniform in [-0.5, 0.5], the time limit 20 steps. The action 1 is best from every start x: it
    needs n(x) = floor((0.7 - x) / 0.2) + 1 steps (2 to 6), and V*(x) = g^(n(x) - 1).
    `info["success"]`: at the goal."""

    name = "toy/reach"
    horizon = 20

    def reset(self, key: Array) -> tuple[ToyState, Array]:
        return _start(jax.random.uniform(key, minval=-0.5, maxval=0.5))

    def restore(self, obs: Array) -> ToyState:
        """The state that an observation `[1]` shows, at the start of an episode."""
        return _start(obs[0])[0]

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        stride = REACH_STRIDE * jnp.clip(action[0], -1.0, 1.0)
        value = jnp.clip(state.value + stride, -1.0, 1.0)
        there = jnp.abs(value - REACH_GOAL) < REACH_RADIUS
        state, step = _moved(state, value, there, terminated=there, truncated=state.time + 1 >= self.horizon)
        return state, step._replace(info={"success": there})


@pytree
class Crossing(_Probe):
    """`toy/crossing`: from the left of 0 to 1.5 and stay there, 50 steps; reward `max(0, 1 - |x - 1.5|)`.

    A step moves by `-0.25 a` left of 0, where steering is reversed, by `0.25 turned a` right of it, within [-3, 3]. A
    simulator with `turned=-1` does not know that the steering turns at 0: right on the left, wrong on the right. The
    start is uniform in [low, high]; the observation is x and its side, -1 or 1. From -1 the best return is 42.5."""

    name = "toy/crossing"
    obs_space = Space(shape=(2,))
    horizon = 50
    turned: Number = 1.0
    low: Number = -2.0
    high: Number = -1.0

    def reset(self, key: Array) -> tuple[ToyState, Array]:
        state = ToyState(jax.random.uniform(key, minval=self.low, maxval=self.high), jnp.zeros((), jnp.int32))
        return state, _sided(state.value)

    def step(self, state: ToyState, action: Array, key: Array) -> tuple[ToyState, Step]:
        steering = jnp.where(state.value < 0, -1.0, self.turned)
        value = jnp.clip(state.value + 0.25 * steering * jnp.clip(action[0], -1.0, 1.0), -3.0, 3.0)
        reward = jnp.maximum(0.0, 1.0 - jnp.abs(value - 1.5))
        state, step = _moved(state, value, reward, truncated=state.time + 1 >= self.horizon)
        return state, step._replace(obs=_sided(value))


TOYS = {
    toy.name: toy
    for toy in (ConstantValue, ObsValue, Discount, ActionReward, ActionRewardDiscrete, Truncation, Reach, Crossing)
}


def settings(name: str) -> dict[str, type]:
    """Probes have none but `toy/crossing`, whose numbers these are."""
    return dict.fromkeys(("turned", "low", "high"), float) if TOYS[name] is Crossing else {}


def _sided(value: Array) -> Array:
    return jnp.stack([value, jnp.where(value < 0, -1.0, 1.0)])


def load(name: str, **changes: Any) -> Any:
    """The probe `toy/<id>`."""
    return TOYS[name](**changes)


def _start(value: Array) -> tuple[ToyState, Array]:
    state = ToyState(value, jnp.zeros((), jnp.int32))
    return state, value[None]


def _moved(
    state: ToyState,
    value: Array,
    reward: Array | float,
    *,
    terminated: Array | bool = False,
    truncated: Array | bool = False,
) -> tuple[ToyState, Step]:
    """The state with a new value one step later, and the step that led there."""
    reward = jnp.asarray(reward, jnp.float32)
    step = Step(value[None], reward, jnp.asarray(terminated), jnp.asarray(truncated), {})
    return ToyState(value, state.time + 1), step
