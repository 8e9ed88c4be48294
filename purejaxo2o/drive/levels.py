"""D4RL's levels of data, out of the training of one of our own agents: how `purejaxo2o collect` makes them.

`random`: uniform actions. `medium`: the policy as soon as it has come a third of the way from a random policy's
return to the expert's; `expert`: the policy at the end of the training; both sampled, not greedy. `medium-replay`:
every row of the training up to the medium policy, `full-replay`: all of it. `medium-expert`: half and half.
`noisy-scripted`, in PointMazes: the waypoint driver with N(0, 0.5) on its actions.

One training serves all levels. It is an ordinary run folder (`fit`), so it goes on where it was stopped, with the
policies after each segment beside it.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.data.collect import collect, noisy, random_policy
from purejaxo2o.data.waypoint import waypoint_policy
from purejaxo2o.disk.files import read_arrays, write_arrays
from purejaxo2o.drive.fit import fit
from purejaxo2o.envs.maze import PointMaze
from purejaxo2o.loop import rollout
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.env import Env, spaces
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import recipe
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.types import Act, Array, O2OError

Level = Literal["random", "medium", "medium-replay", "medium-expert", "expert", "full-replay", "noisy-scripted"]
LEVELS: tuple[str, ...] = get_args(Level)
UNTRAINED = ("random", "noisy-scripted")
"""Levels that need no training."""
SHARE = 1 / 3
"""Of the way from the random policy's return to the expert's, where the medium policy is taken."""
NOISE = 0.5
EPISODES = 100
"""Of the random policy, to know its return."""


class Training(NamedTuple):
    """A finished training."""

    agent: Any
    policies: Path  # folder of states by segment
    buffer: Store  # every row that was collected, [T, E]
    returns: np.ndarray  # [S + 1] mean greedy return before the training and after each segment
    env_steps: np.ndarray  # [S + 1]
    random_return: float
    medium: int  # segments after which the medium policy was taken

    @property
    def expert(self) -> int:
        """Segments after which the expert was taken: all of them."""
        return len(self.returns) - 1


def levels_of(env: Env) -> tuple[str, ...]:
    """The levels that can be made in `env`."""
    return LEVELS if isinstance(env, PointMaze) else tuple(name for name in LEVELS if name != "noisy-scripted")


def learner(task: Task, scale: Literal["small", "paper"]) -> Recipe:
    """Who learns: SAC from scratch, or IQL on its own replay buffer where actions are choices."""
    plain = recipe("sac", task, scale)
    if not task.env.action_space.discrete:
        return plain
    return dataclasses.replace(plain, name="iql_online", agent=recipe("iql", task, scale).agent)


def train(task: Task, learner: Recipe, seed: int, folder: Path, *, progress: bool = True) -> Training:
    """Train in `folder`, or go on there, or find it finished. Deterministic in `seed`.

    Raises `O2OError` for a folder of another training, and for one in which nothing was learned: an expert no better
    than random, or no policy between the two."""
    policies = folder / "policies"

    def keep(segment: int, run: Run) -> None:
        policies.mkdir(exist_ok=True)
        write_arrays(policies / f"{segment}.npz", _named(run.agent))

    key, key_random = jax.random.split(jax.random.key(seed))
    result = fit(key, learner, task, out=folder, resume=True, progress=progress, each=keep)
    returns = np.asarray(result.returns).mean(axis=-1)
    low = float(np.mean(_random_returns(task.eval_env, key_random)))
    medium = _medium(returns, low)
    run: Any = result.run
    agent = learner.agent_in(learner.phases[-1])
    return Training(agent, policies, run.store, returns, np.asarray(result.env_steps), low, medium)


def record(task: Task, level: str, training: Training | None, key: Array, *, steps: int, num_envs: int) -> Store:
    """The rows of a level: `steps` of them, except for replays, which have what the training had.

    training: not needed for `UNTRAINED` levels. Raises `O2OError` for a level that `task` does not have."""
    env = task.env
    if level not in levels_of(env):
        raise O2OError(f"{env.name} has no level {level!r}; it has {', '.join(levels_of(env))}")
    if level == "random":
        return collect(env, random_policy(env.action_space), key, steps=steps, num_envs=num_envs)
    if level == "noisy-scripted":
        assert isinstance(env, PointMaze)
        return collect(env, noisy(waypoint_policy(env), sigma=NOISE), key, steps=steps, num_envs=num_envs)
    if training is None:
        raise O2OError(f"level {level!r} comes out of a training; give one")
    if level.endswith("-replay"):
        last = training.medium if level == "medium-replay" else training.expert
        return _replay(training.buffer, int(training.env_steps[last]) // training.buffer.envs)
    parts = {"medium": [training.medium], "expert": [training.expert]}
    wanted = parts.get(level, [training.medium, training.expert])
    sizes = [steps // len(wanted) + (i < steps % len(wanted)) for i in range(len(wanted))]
    recorded = [
        collect(env, _policy(training, task, segment), jax.random.fold_in(key, i), steps=size, num_envs=num_envs)
        for i, (segment, size) in enumerate(zip(wanted, sizes, strict=True))
    ]
    flat = [stores.flat(rows) for rows in recorded]
    return stores.from_transitions(jax.tree.map(lambda *xs: jnp.concatenate(xs), *flat))


def policy_scores(training: Training, level: str) -> dict[str, Any]:
    """What to note about a level's policies: when they were taken and the mean return of their greedy episodes."""
    segments = {"medium": training.medium, "expert": training.expert}
    return {
        "random_return": training.random_return,
        **{
            f"{name}_policy": {"env_steps": int(training.env_steps[at]), "return": float(training.returns[at])}
            for name, at in segments.items()
            if name in level or (level, name) == ("full-replay", "expert")
        },
    }


def _medium(returns: np.ndarray, low: float) -> int:
    """The first segment whose return is `SHARE` of the way from `low` to the last one's."""
    high = float(returns[-1])
    if not high > low:
        raise O2OError(
            f"the training ends at a mean return of {high:.4g}, no better than {low:.4g} of random actions; train "
            "longer (--train-steps) or with other settings (--set)"
        )
    medium = 1 + int(np.argmax(returns[1:] >= low + SHARE * (high - low)))
    if medium == len(returns) - 1:
        raise O2OError(
            f"no policy lies between random actions ({low:.4g}) and the expert ({high:.4g}): returns are "
            f"{np.round(returns, 1).tolist()}; evaluate more often (--set online.segments=...) or train longer"
        )
    return medium


def _random_returns(env: Env, key: Array) -> Array:
    def act(obs: Array, key: Array) -> Array:
        return rollout.random_action(env.action_space, key, obs.shape[:1])

    return jax.jit(lambda env, key: evaluate(act, env, key, episodes=EPISODES).returns)(env, key)


def _replay(buffer: Store, rows: int) -> Store:
    """The first `rows` rows of a buffer that was never overwritten, environment by environment."""
    data = jax.tree.map(lambda x: jnp.asarray(x)[:rows], buffer.data._replace(extras={}))
    data = data._replace(truncated=data.truncated.at[-1].max(~data.terminated[-1]))
    return stores.from_transitions(stores.flat(Store(data=data, size=jnp.int32(rows), head=jnp.int32(0))))


def _policy(training: Training, task: Task, segment: int) -> Act:
    """The policy after a segment, sampling its actions."""
    like = jax.eval_shape(lambda key: training.agent.init(key, spaces(task.env)), jax.random.key(0))
    path = training.policies / f"{segment}.npz"
    try:
        arrays = read_arrays(path)
        state = jax.tree_util.tree_map_with_path(lambda path, x: jnp.asarray(arrays[_name(path)], x.dtype), like)
    except (OSError, ValueError, KeyError) as error:
        raise O2OError(
            f"policy {path} cannot be read ({error}); delete its training folder and train again"
        ) from None
    return lambda obs, key: training.agent.act(state, obs, key, explore=True)


def _named(state: Any) -> dict[str, np.ndarray]:
    return {_name(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(state)}


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
