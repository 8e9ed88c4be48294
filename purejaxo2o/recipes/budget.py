"""What `scale="small"` changes, alike for every recipe so that their curves can be laid over each other.

A hundredth of the published steps cannot move a network at the published rates: with a hundred times fewer
updates the learning rate and the targets' Polyak rate are raised (1e-3 and 0.02 against 3e-4 and 0.005). Every
method gets the same environment steps, warm-up included.
"""

from typing import Any

OFFLINE = 5_000
ONLINE = 6_000
SEGMENT = 250
RANDOM_WARMUP = 500
POLICY_WARMUP = 2_000
EVAL_EPISODES = 64
CRITICS = 4
ACTOR: dict[str, Any] = {"learning_rate": 1e-3, "actor_hidden": (64, 64)}
ACTOR_CRITIC: dict[str, Any] = ACTOR | {"polyak": 0.02, "hidden": (64, 64)}
PUBLISHED_RATES: dict[str, float] = {
    "learning_rate": 3e-4,
    "actor_learning_rate": 1e-4,
    "temperature_learning_rate": 1e-4,
}
"""For every online phase that builds on a trained policy: there the published rates are fast enough, and the raised
ones forget faster than a few hundred rows can teach."""


def offline() -> dict[str, Any]:
    """Settings of a small offline phase."""
    return {"steps": OFFLINE, "segments": 5, "batch_size": 128}


def online(warmup: int = 0) -> dict[str, Any]:
    """Settings of a small online phase that follows `warmup` steps of acting."""
    steps = ONLINE - warmup
    return {"steps": steps, "segments": steps // SEGMENT, "batch_size": 128}
