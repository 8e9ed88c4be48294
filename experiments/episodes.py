"""Whole episodes of random play in a twin and in Gymnasium's C environment: do returns and lengths agree?

Steps that are right one by one (`experiments.parity`) could still add up to other episodes through resets, ends or
rare events. Episodes are cut at `LIMIT` steps in both, for the sake of robots that never fall.
"""

from typing import Any

import jax
import numpy as np

from experiments.recording import original
from purejaxo2o import envs
from purejaxo2o.loop.rollout import random_action
from purejaxo2o.tasks.evaluate import evaluate

LIMIT = 200


def compare(name: str, physics: str, episodes: int) -> dict[str, Any]:
    """Mean and standard deviation of `return` and `length`, ours and theirs, and how many standard errors of the
    difference the means are apart."""
    env: Any = envs.make(name, physics=physics, max_episode_steps=LIMIT)

    @jax.jit
    def ours(key: jax.Array) -> Any:
        return evaluate(
            lambda obs, key: random_action(env.action_space, key, obs.shape[:1]), env, key, episodes=episodes
        )

    pairs = zip(("return", "length"), ours(jax.random.key(0)), theirs(name, physics, episodes), strict=True)
    return {"episodes": episodes, **{what: apart(np.asarray(a, float), b) for what, a, b in pairs}}


def theirs(name: str, physics: str, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths in C."""
    reference, rng, rows = original(name, physics), np.random.default_rng(0), []
    for seed in range(episodes):
        reference.reset(seed=seed)
        total, length, over = 0.0, 0, False
        while length < LIMIT and not over:
            action = rng.uniform(-1, 1, reference.model.nu) * reference.action_space.high
            _, reward, over, _, _ = reference.step(action)
            total, length = total + float(reward), length + 1
        rows.append((total, length))
    returns, lengths = np.array(rows, float).T
    return returns, lengths


def apart(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Mean and deviation of both, and the gap of the means in standard errors (none where nothing varies)."""
    error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
    gap = float(ours.mean() - theirs.mean())
    return {
        "ours": [float(ours.mean()), float(ours.std())],
        "theirs": [float(theirs.mean()), float(theirs.std())],
        "standard errors": gap / float(error) if error > 0 else 0.0 if gap == 0 else float("inf"),
    }


def row(found: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    line = {}
    for what in ("return", "length"):
        one = found[what]
        for who in ("ours", "theirs"):
            mean, deviation = one[who]
            line[f"{what} {who}"] = f"{mean:.4g} ± {1.96 * deviation / np.sqrt(found['episodes']):.2g}"
        line[f"{what} apart"] = f"{one['standard errors']:+.1f}"
    return line


HEADINGS = {
    **{"twin": "twin", "physics": "physics", "return ours": "return", "return theirs": "in C"},
    **{"return apart": "apart", "length ours": "length", "length theirs": "in C ", "length apart": "apart "},
}
