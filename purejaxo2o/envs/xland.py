"""XLand-MiniGrid's procedurally generated grid-worlds (Nikulin et al. 2023, arXiv 2312.12044): `xland/MiniGrid-...`.

An optional extra: `pip install "purejaxo2o[xland]"`. Every episode is another world. Observations are what the agent
sees ahead, a square of (tile, colour) codes `[view_size, view_size, 2]`, uint8; six actions: forward, turn right,
turn left, pick up, put down, toggle. The reward is 1 - 0.9 t / horizon at the goal, where the episode ends, else 0.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.types import Array, O2OError, Space, Step, pytree, static

SIZES = ("5x5", "6x6", "8x8", "16x16")
IDS = (
    *(f"xland/MiniGrid-Empty{kind}-{size}" for kind in ("", "Random") for size in SIZES),
    *(f"xland/MiniGrid-DoorKey-{size}" for size in SIZES),
    *(f"xland/MiniGrid-MemoryS{size}" for size in (8, 16, 32, 64, 128)),
    *(f"xland/MiniGrid-{name}" for name in ("FourRooms", "LockedRoom", "Playground")),
    *(f"xland/MiniGrid-{name}" for name in ("Unlock", "UnlockPickUp", "BlockedUnlockPickUp")),
)
"""XLand-MiniGrid's own ids of the grid-worlds whose rules are fixed."""
FLOOR, GOAL = 1, 6
WAYS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column), by direction; to the right is the next one


@pytree
class GridWorld:
    """One of them; `params` is XLand-MiniGrid's `EnvParams`, all of it static."""

    name: str = static()
    params: Any = static()

    @property
    def obs_space(self) -> Space:
        return Space(shape=tuple(_world(self.name).observation_shape(self.params)), dtype="uint8")

    @property
    def action_space(self) -> Space:
        return Space(n=_world(self.name).num_actions(self.params))

    @property
    def horizon(self) -> int:
        return int(self.params.max_steps)

    @property
    def pooled_resets(self) -> bool:
        return False

    def reset(self, key: Array) -> tuple[Any, Array]:
        """A new world: `key -> (state, obs)`."""
        first = _world(self.name).reset(self.params, key)
        return jax.tree.map(jnp.asarray, first.state), first.observation

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Step]:
        """One step; `info["success"]`: at the goal."""
        world = _world(self.name)
        # Of the step before only its state counts.
        before = _timestep()(state=state, step_type=0, reward=0.0, discount=1.0, observation=None)
        after = world.step(self.params, before, action)
        there = after.discount == 0
        following = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after.state, state)
        return following, Step(
            obs=after.observation,
            reward=jnp.asarray(after.reward, jnp.float32),
            terminated=there,
            truncated=following.step_num >= self.horizon,
            info={"success": there},
        )

    def planned(self, state: Any) -> Array:
        """The first action of a shortest way to the goal, for worlds of floor and walls (`Empty`, `FourRooms`)."""
        cost = self._steps_left(state.grid)
        position, direction = state.agent.position, state.agent.direction
        row, column = position[0], position[1]
        ahead = position + jnp.array(WAYS)[direction]
        choices = [  # forward, right, left: actions 0, 1, 2
            cost[direction, ahead[0], ahead[1]],
            cost[(direction + 1) % 4, row, column],
            cost[(direction - 1) % 4, row, column],
        ]
        return jnp.argmin(jnp.stack(choices)).astype(jnp.int32)

    def _steps_left(self, grid: Array) -> Array:
        """`[4, H, W]` actions from each direction and cell to the goal, huge where there is no way."""
        tile = grid[..., 0]
        far = jnp.full((4, *tile.shape), 1e6)
        free, goal = (tile == FLOOR) | (tile == GOAL), tile == GOAL

        def sweep(cost: Array, _: None) -> tuple[Array, None]:
            # The world's rim is wall, so that what `roll` brings round is never walked on.
            ahead = jnp.stack([jnp.roll(cost[i], (-y, -x), (0, 1)) for i, (y, x) in enumerate(WAYS)])
            best = 1.0 + jnp.minimum(ahead, jnp.minimum(jnp.roll(cost, -1, 0), jnp.roll(cost, 1, 0)))
            return jnp.where(goal, 0.0, jnp.where(free, jnp.minimum(cost, best), 1e6)), None

        longest = 4 * (tile.shape[0] + tile.shape[1])  # rooms with doors: a few times across, and turns
        return jax.lax.scan(sweep, far, length=longest)[0]


def settings(name: str) -> dict[str, type]:
    """Height and width of the world, how far one sees, and the time limit."""
    return dict.fromkeys(("height", "width", "view_size", "max_steps"), int)


def load(name: str, **changes: Any) -> GridWorld:
    """`xland/<id>` with XLand-MiniGrid's sizes and `changes` to them."""
    return GridWorld(name=name, params=_package().make(name.removeprefix("xland/"), **changes)[1])


@functools.lru_cache
def _world(name: str) -> Any:
    return _package().make(name.removeprefix("xland/"))[0]


def _package() -> Any:
    try:
        with jax.ensure_compile_time_eval():  # its constants must not belong to the trace that imports it
            import xminigrid
    except ImportError:
        raise O2OError('xland/... needs xminigrid, which is not installed: pip install "purejaxo2o[xland]"') from None
    return xminigrid


def _timestep() -> Any:
    from xminigrid.types import TimeStep

    return TimeStep
