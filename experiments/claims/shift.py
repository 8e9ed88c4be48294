"""A room with a wall, and offline data that cover what one chooses of it: where the hand-over must show.

A point moves in [-1, 1]^2 by 0.15 a per step. The wall on y = 0 leaves a gap at the right, so that from one half to
the other one goes around its end. Reward 1 and the end within 0.2 of the goal, else 0; 40 steps. The observation is
the position and the goal; routes are pairs of boxes, of starts and of goals.

What is expected, written before anything was measured:

- wsrl: starts and goals lie anywhere. Without the warm-up the first thousand updates see a dozen episodes; values of
  all other starts come from nowhere as soon as the data are dropped. So the dip is larger than with the warm-up.
- off2on: most offline rows are of routes that the task never takes, by random actions. Uniform replay goes on drawing
  them, balanced replay draws the policy's own: a smaller dip and more area.
- pex: the data are one driver's, nearly without noise, on some of the routes. IQL's policy narrows to them and tries
  nothing else; the new policy does. At the switch nothing is lost.
- boorl: on one route the data are a driver's (TD3 without imitation forgets it), on the other they are poor
  (imitation holds TD3+BC back). The ensemble dips less than the one and has more area than the other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

import purejaxo2o as o2o
from purejaxo2o.data.collect import collect, noisy
from purejaxo2o.loop import store
from purejaxo2o.tasks import make
from purejaxo2o.types import Act, Array, Space, Step, pytree, static

Box = tuple[float, float, float, float]
"""Least and greatest x, least and greatest y."""

Route = tuple[Box, Box]
"""Where episodes begin and where their goals lie."""

STRIDE, RADIUS, WALL_END = 0.15, 0.2, 0.4
BELOW: Box = (-1.0, 0.2, -1.0, -0.2)
ABOVE: Box = (-1.0, 0.2, 0.2, 1.0)
AROUND: tuple[Route, ...] = ((BELOW, ABOVE), (ABOVE, BELOW))
"""From either half on the left into the other."""


class RoomState(NamedTuple):
    position: Array  # [2]
    goal: Array  # [2]
    time: Array  # [] int32


@pytree
class Room:
    """routes: pairs of a box of starts and a box of goals; an episode takes one of them, all equally likely.

    joints: further actions, best kept at 0: a step is `exp(-|joints|^2)` as long. The more of them, the easier
    it is to do what the data never did."""

    routes: tuple[Route, ...] = static()
    name: str = static(default="room")
    horizon: int = static(default=40)
    joints: int = static(default=0)

    @property
    def obs_space(self) -> Space:
        return Space(shape=(4,))

    @property
    def action_space(self) -> Space:
        return Space(shape=(2 + self.joints,))

    @property
    def pooled_resets(self) -> bool:
        return False

    def reset(self, key: Array) -> tuple[RoomState, Array]:
        key_route, key_place = jax.random.split(key)
        boxes = jnp.asarray(self.routes)[jax.random.randint(key_route, (), 0, len(self.routes))]  # [2, 4]
        low, high = boxes[:, 0::2], boxes[:, 1::2]
        start, goal = low + (high - low) * jax.random.uniform(key_place, (2, 2))
        state = RoomState(start, goal, jnp.int32(0))
        return state, self.observe(state)

    def observe(self, state: RoomState) -> Array:
        return jnp.concatenate([state.position, state.goal])

    def step(self, state: RoomState, action: Array, key: Array) -> tuple[RoomState, Step]:
        old = state.position
        action = jnp.clip(action, -1.0, 1.0)
        stride = STRIDE * jnp.exp(-jnp.square(action[2:]).sum())
        new = jnp.clip(old + stride * action[:2], -1.0, 1.0)
        crosses = (old[1] >= 0) != (new[1] >= 0)
        share = old[1] / jnp.where(crosses, old[1] - new[1], 1.0)
        stopped = crosses & (old[0] + share * (new[0] - old[0]) < WALL_END)
        new = new.at[1].set(jnp.where(stopped, old[1], new[1]))
        there = jnp.linalg.norm(new - state.goal) < RADIUS
        state = RoomState(new, state.goal, state.time + 1)
        late = (state.time >= self.horizon) & ~there
        return state, Step(self.observe(state), there.astype(jnp.float32), there, late, {"success": there})


def driver(joints: int = 0) -> Act:
    """A shortest way to the goal at full stride, with still joints."""

    def act(obs: Array, key: Array) -> Array:
        del key
        return jnp.concatenate([_ahead(obs), jnp.zeros(joints)])

    return act


def _ahead(obs: Array) -> Array:
    position, goal = obs[:2], obs[2:]
    side, other = (jnp.where(y >= 0, 1.0, -1.0) for y in (position[1], goal[1]))
    before = jnp.stack([WALL_END + 0.25, side * 0.15])
    across = jnp.stack([WALL_END + 0.25, other * 0.2])
    around = jnp.where(position[0] < WALL_END + 0.1, before, across)
    target = jnp.where(side != other, around, goal)
    heading = target - position
    return heading / jnp.maximum(jnp.abs(heading).max(), STRIDE)


def room(name: str, *routes: Route, joints: int = 0) -> o2o.Task:
    """The task of these routes; the score is the success rate."""
    return make(
        name, Room(routes=routes, name=name, joints=joints), reference=(0.0, 1.0), domain="maze", fail_reward=0.0
    )


def recorded(steps: int, *routes: Route, joints: int = 0, sigma: float, epsilon: float = 0.0) -> o2o.Store:
    """`steps` rows of the driver with noise (`collect.noisy`) on the routes."""
    env, policy = Room(routes=routes, joints=joints), noisy(driver(joints), sigma=sigma, epsilon=epsilon)
    return collect(env, policy, jax.random.key(0), steps=steps, num_envs=25)


def joined(*parts: o2o.Store) -> o2o.Store:
    """The rows of all parts."""
    flat = [store.flat(part) for part in parts]
    return store.from_transitions(jax.tree.map(lambda *x: jnp.concatenate(x), *flat))
