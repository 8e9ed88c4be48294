"""The datasets that this package makes by itself, on first use, from a seed: of PointMaze two kinds, of locks and
MinAtar's Breakout one.

`waypoint`: made as Minari's `D4RL/pointmaze` sets were (`create_pointmaze_dataset.py`): the waypoint driver with N(0,
0.5) action noise in a task that never ends and draws a new goal after each success; trajectories are cut, as
truncated, where a goal is reached. Good data, for stitching.

`mixed`: poor data of the episodic task, which ends at the goal. By environment: a slow, noisy waypoint driver that
often runs out of time, a driver on its way to some other cell, and random actions held for a while.

`epsilon-greedy`: the right actions of a combination lock, one in `horizon` of them random (Hy-Q's and HNPG's data): a
third to two fifths of the episodes stay on the good path to the end.

`paddle`: Breakout's paddle runs after the ball, in one of twenty steps anywhere.
"""

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from purejaxo2o import envs
from purejaxo2o.data import minari, scores
from purejaxo2o.data.collect import Behaviour, Clock, Memoryless, collect_with, held, mixture, noisy, random_policy
from purejaxo2o.data.folder import local_ids, root
from purejaxo2o.data.reading import Reading
from purejaxo2o.data.specs import original
from purejaxo2o.data.waypoint import waypoint_policy
from purejaxo2o.envs.lock import LOCKS, CombinationLock
from purejaxo2o.envs.maze import PointMaze
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.extras import trajectory_returns
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, O2OError, nearest


@dataclasses.dataclass(frozen=True)
class Generation:
    """How one embedded dataset comes about: `steps` rows from `num_envs` parallel environments.

    slow_gain: of the slow driver in a `mixed` recording; so chosen that 30 to 50 % of all episodes succeed.
    """

    maze: str
    kind: Literal["waypoint", "mixed"]
    steps: int
    num_envs: int = 8
    slow_gain: float = 3.0

    @property
    def place(self) -> str:
        """What is recorded, in words."""
        return f"PointMaze {self.maze}"

    def env(self) -> PointMaze:
        """The environment that is recorded; a `waypoint` recording has no time limit."""
        if self.kind == "mixed":
            return PointMaze(maze=self.maze, continuing_task=False)
        return PointMaze(maze=self.maze, reset_target=True, max_episode_steps=self.steps + 1)

    def behaviour(self, env: PointMaze) -> Behaviour:
        """Who acts in `env`."""
        if self.kind == "waypoint":
            return Memoryless(noisy(waypoint_policy(env), sigma=0.5))
        slow = noisy(waypoint_policy(env, gain=self.slow_gain, damping=2.0), sigma=0.5, epsilon=0.2)
        aimless = held(random_policy(env.action_space), steps=20)
        return mixture((Memoryless(slow), 2), (astray(env), 1), (aimless, 1))


@dataclasses.dataclass(frozen=True)
class LockGeneration:
    """The same of a combination lock, by its environment's id."""

    place: str
    steps: int = 50_000
    num_envs: int = 50
    kind: Literal["epsilon-greedy"] = "epsilon-greedy"

    def env(self) -> CombinationLock:
        """The environment that is recorded."""
        return LOCKS[self.place]()

    def behaviour(self, env: CombinationLock) -> Behaviour:
        """Who acts in `env`."""
        return Memoryless(env.scripted(1 / env.horizon))


@dataclasses.dataclass(frozen=True)
class BreakoutGeneration:
    """The same of Breakout. epsilon: share of random actions."""

    place: str = "gymnax/Breakout-MinAtar"
    steps: int = 50_000
    num_envs: int = 50
    epsilon: float = 0.05
    kind: Literal["paddle"] = "paddle"

    def env(self) -> Any:
        """The environment that is recorded."""
        return envs.make(self.place)

    def behaviour(self, env: Any) -> Behaviour:
        """Who acts in `env`."""

        def act(obs: Array, key: Array) -> Array:
            key_pick, key_random = jax.random.split(key)
            paddle, ball = (obs[..., channel].max(axis=0).argmax() for channel in (0, 1))  # columns
            follow = jnp.where(ball < paddle, 1, jnp.where(ball > paddle, 2, 0))
            anywhere = random_policy(env.action_space)(obs, key_random)
            return jnp.where(jax.random.bernoulli(key_pick, self.epsilon), anywhere, follow).astype(jnp.int32)

        return Memoryless(act)


EMBEDDED: dict[str, "Plan"] = {
    "purejaxo2o/pointmaze-umaze/waypoint-v0": Generation("UMaze", "waypoint", steps=100_000),
    "purejaxo2o/pointmaze-medium/waypoint-v0": Generation("Medium", "waypoint", steps=100_000),
    "purejaxo2o/pointmaze-large/waypoint-v0": Generation("Large", "waypoint", steps=100_000),
    "purejaxo2o/pointmaze-umaze/mixed-v0": Generation("UMaze", "mixed", steps=50_000, slow_gain=1.7),
    "purejaxo2o/pointmaze-medium/mixed-v0": Generation("Medium", "mixed", steps=50_000, slow_gain=2.8),
    "purejaxo2o/pointmaze-large/mixed-v0": Generation("Large", "mixed", steps=50_000, slow_gain=3.0),
    "purejaxo2o/combination-lock/epsilon-greedy-v0": LockGeneration("toy/combination-lock"),
    "purejaxo2o/continuous-lock/epsilon-greedy-v0": LockGeneration("toy/continuous-lock"),
    "purejaxo2o/minatar-breakout/paddle-v0": BreakoutGeneration(),
}
"""Dataset id -> how it is made."""
Plan = Generation | LockGeneration | BreakoutGeneration


def astray(env: PointMaze) -> Behaviour:
    """The noisy waypoint driver towards a cell drawn for the episode, whatever the goal is."""
    drive = noisy(waypoint_policy(env), sigma=0.5)

    def act(obs: Array, key: Array, clock: Clock) -> Array:
        cell = jax.random.choice(clock.episode, jnp.asarray(env.open_cells))
        return drive(obs.at[2:4].set(env.cell_centre(cell)), key)

    return act


def generate(name: str, seed: int, *, steps: int | None = None) -> Store:
    """The rows of an embedded dataset, in memory only. Raises `O2OError` for an unknown `name`."""
    plan = _plan(name, steps)
    env: Any = plan.env()
    key = jax.random.key(seed)
    waypoint = plan.kind == "waypoint"
    lanes = min(plan.num_envs, plan.steps)
    return collect_with(env, plan.behaviour(env), key, steps=plan.steps, num_envs=lanes, continuing=waypoint)


def make_dataset(name: str, seed: int = 0, *, steps: int | None = None, overwrite: bool = False) -> Path:
    """Make an embedded dataset in the Minari folder, unless it is there already, and return its folder.

    `steps` rows instead of the table's. The same name, seed and steps give the same bytes with the same versions of
    JAX and h5py on the same kind of device. Raises `O2OError` for an unknown `name`, and where a dataset of that name
    but of another seed or size is in the way (unless `overwrite`).
    """
    plan, folder = _plan(name, steps), root()  # before the work: there must be a place for it
    if name in local_ids() and not overwrite:
        found, path = minari.info(name), folder / name
        have = (found.provenance.get("seed"), found.steps)
        if have != (seed, plan.steps):
            raise O2OError(
                f"dataset {name!r} in {folder} has (seed, steps) = {have}, not {(seed, plan.steps)}",
                python="give overwrite=True or another MINARI_DATASETS_PATH",
                shell="give --overwrite or another MINARI_DATASETS_PATH",
            )
        return path
    rows = generate(name, seed, steps=steps)
    env: Any = plan.env()
    env_spec, requirements = original(env)
    return minari.export(
        rows,
        name,
        spaces=spaces(env),
        algorithm_name=f"scripted {plan.kind} driver",
        description=f"{plan.place}: {plan.kind} recording of purejaxo2o (purejaxo2o/data/embedded.py)",
        provenance={
            "source": env.name,
            "seed": seed,
            "generation": dataclasses.asdict(plan),
            "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "h5py", "minari")},
            "statistics": statistics(rows),
        },
        env_spec=env_spec,
        requirements=requirements,
        reference=scores.of_environment(env.name),
        overwrite=overwrite,
    )


def read(name: str, *, clip: bool = False) -> Reading:
    """An embedded dataset, made first if it is not in the Minari folder (whatever its seed and size are there)."""
    if name not in local_ids():
        make_dataset(name)
    return minari.read(name, clip=clip)


def statistics(rows: Store) -> dict[str, float]:
    """Of sparse-reward trajectories: how many, share that earned any reward, mean return, mean length in steps."""
    data = stores.flat(rows)
    returns, lengths = trajectory_returns(data.reward, data.last)
    return {
        "episodes": len(returns),
        "success_rate": float((returns >= 1).mean()),
        "mean_return": float(returns.mean()),
        "mean_length": float(lengths.mean()),
    }


def _plan(name: str, steps: int | None) -> Plan:
    if name not in EMBEDDED:
        raise O2OError(f"{name!r} is no embedded dataset; {nearest(name, EMBEDDED)}")
    plan = EMBEDDED[name]
    if steps is not None and steps < 1:
        raise O2OError(
            f"{name}: steps={steps}",
            python=f"give at least 1, or None for {plan.steps}",
            shell=f"give at least 1, or no --steps for {plan.steps}",
        )
    return plan if steps is None else dataclasses.replace(plan, steps=steps)
