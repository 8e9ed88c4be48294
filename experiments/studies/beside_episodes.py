"""Greedy episodes in Gymnasium, for both sides of `beside`: the same code, seeds and engine.

Needs NumPy and Gymnasium alone, for it is imported by each implementation's own Python.
"""

import itertools
from collections.abc import Callable
from importlib import metadata
from typing import Any

import gymnasium
import numpy as np

EPISODES = 10
SEED = 10_000  # of the first episode's start


def greedy_returns(act: Callable[[np.ndarray], np.ndarray], env: str, episodes: int = EPISODES) -> list[float]:
    """Undiscounted returns of `episodes` episodes, side by side, with the starts of seeds `SEED`, `SEED + 1`, ...

    act: observations float32 `[E, O]` -> actions `[E, A]` in [-1, 1], stretched to the environment's box here."""
    envs: list[Any] = [gymnasium.make(env) for _ in range(episodes)]
    low, high = envs[0].action_space.low, envs[0].action_space.high
    seen = np.stack([one.reset(seed=SEED + i)[0] for i, one in enumerate(envs)]).astype(np.float32)
    returns, running = np.zeros(episodes), np.full(episodes, True)
    while running.any():
        actions = np.clip(np.asarray(act(seen), np.float32), -1.0, 1.0)
        for i in np.flatnonzero(running):
            seen[i], reward, terminated, truncated, _ = envs[i].step(low + (actions[i] + 1.0) / 2.0 * (high - low))
            returns[i] += float(reward)
            running[i] = not (terminated or truncated)
    for one in envs:
        one.close()
    return returns.tolist()


def engine(env: str) -> dict[str, Any]:
    """What the episodes run in: versions, and returns of a fixed open-loop policy, which both sides must share."""
    made: Any = gymnasium.make(env)
    phase = np.arange(made.action_space.shape[0])
    steps = itertools.count()

    def waves(seen: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.sin(0.3 * next(steps) + phase), (len(seen), len(phase)))

    return {"versions": versions("gymnasium", "mujoco", "numpy"), "waves": greedy_returns(waves, env, 3)}


def versions(*names: str) -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
