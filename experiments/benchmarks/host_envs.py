"""Environments as an ordinary Python loop sees them: one step a call, NumPy in and out."""

from typing import Any, Protocol

import jax
import numpy as np

from purejaxo2o.envs import gym_spaces
from purejaxo2o.loop.env import Env

Outcome = tuple[np.ndarray, float, bool, bool]


class Stepped(Protocol):
    """An environment as Python sees it; actions in [-1, 1]."""

    def reset(self) -> np.ndarray: ...

    def step(self, action: np.ndarray) -> Outcome:
        """Observation, reward, terminated, truncated."""
        ...


class FromJax:
    """One of our environments, its jitted `step` called from Python: the fastest that such a loop can have."""

    def __init__(self, env: Env, seed: int) -> None:
        key, self.count = jax.random.key(seed), 0
        self._reset = jax.jit(lambda count: env.reset(jax.random.fold_in(key, count)))
        self._step = jax.jit(lambda state, action, count: env.step(state, action, jax.random.fold_in(key, count)))
        self.state: Any = None

    def reset(self) -> np.ndarray:
        self.count += 1
        self.state, obs = self._reset(self.count)
        return np.asarray(obs)

    def step(self, action: np.ndarray) -> Outcome:
        self.count += 1
        self.state, out = self._step(self.state, action, self.count)
        return np.asarray(out.obs), float(out.reward), bool(out.terminated), bool(out.truncated)


class FromGymnasium:
    """A Gymnasium environment with box actions and a vector (or a dictionary of vectors) as observation."""

    def __init__(self, env: Any, seed: int) -> None:
        self.env, self.seed = env, seed
        self.low, self.high = env.action_space.low, env.action_space.high
        gym_spaces.obs_space(env.observation_space)  # refuses what has no vector form

    def reset(self) -> np.ndarray:
        obs, _ = self.env.reset(seed=self.seed)
        self.seed += 1
        return self._vector(obs)

    def step(self, action: np.ndarray) -> Outcome:
        scaled = self.low + (np.clip(action, -1.0, 1.0) + 1.0) / 2.0 * (self.high - self.low)
        obs, reward, terminated, truncated, _ = self.env.step(scaled.astype(np.float32))
        return self._vector(obs), float(reward), bool(terminated), bool(truncated)

    def _vector(self, obs: Any) -> np.ndarray:
        parts = [obs[name] for name in sorted(obs)] if isinstance(obs, dict) else [obs]
        return np.concatenate(parts).astype(np.float32)
