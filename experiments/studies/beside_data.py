"""The recordings of `beside`, as arrays that every implementation reads."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import purejaxo2o as o2o
from experiments.studies.beside_cases import RECORDINGS
from purejaxo2o.loop.store import flat

COLUMNS = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
ROWS = 20_000
STEPS = 3_000
"""Of the SAC that records Pendulum."""


def write(place: str, path: Path) -> None:
    """The recording as `.npz`, unless it is there: rows in time order, actions in [-1, 1]."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = flat(o2o.dataset(RECORDINGS[place].dataset))._asdict() if RECORDINGS[place].dataset else pendulum()
    temporary = path.with_name("part.npz")
    arrays: Any = {name: np.asarray(rows[name]) for name in COLUMNS}
    np.savez(temporary, **arrays)
    temporary.replace(path)


def pendulum() -> dict[str, np.ndarray]:
    """Gymnasium's Pendulum, played by a SAC of ours that has seen 3,000 steps, exploring; every fourth episode by
    random actions. All episodes are cut by the time limit, none terminates."""
    import gymnasium

    recipe = o2o.replace(o2o.recipe("sac", "pendulum", scale="small"), {"online.steps": STEPS, "online.segments": 1})
    policy = o2o.fit(0, recipe, "pendulum", progress=False).policy(explore=True)
    act: Any = jax.jit(policy.scaled)
    env: Any = gymnasium.make("Pendulum-v1")
    rng, rows, key = np.random.default_rng(0), [], jax.random.key(0)
    while len(rows) < ROWS:
        obs, _ = env.reset(seed=len(rows))
        chance, over = len(rows) // 200 % 4 == 3, False
        while not over:
            key, now = jax.random.split(key)
            action = rng.uniform(-1, 1, 1).astype(np.float32) if chance else np.asarray(act(jnp.asarray(obs), now))
            following, reward, terminated, truncated, _ = env.step(2.0 * action)
            over = terminated or truncated
            rows.append((obs, action, np.float32(reward), following, terminated, truncated))
            obs = following
    return dict(zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True))
