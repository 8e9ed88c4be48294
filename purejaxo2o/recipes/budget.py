"""What `scale="small"` changes, alike for every recipe so that their curves can be laid over each other.

A hundredth of the published steps cannot move a network at the published rates: with a hundred times fewer
updates the learning rate and the targets' Polyak rate are raised (1e-3 and 0.02 against 3e-4 and 0.005).
"""

from typing import Any

OFFLINE = 5_000
ONLINE = 6_000
WARMUP = 600
OFFLINE_SEGMENTS = 5
ONLINE_SEGMENTS = 24
EVAL_EPISODES = 32
CRITICS = 4
BATCH: dict[str, Any] = {"batch_size": 128}
ACTOR: dict[str, Any] = {"learning_rate": 1e-3, "actor_hidden": (64, 64)}
ACTOR_CRITIC: dict[str, Any] = ACTOR | {"polyak": 0.02, "hidden": (64, 64)}
