"""Stable Baselines Jax (sbx) at the benchmark's sizes, run by its own Python: one JSON line out."""

# pyright: reportMissingImports=false

import json
import time
from importlib import metadata

import gymnasium
from sbx import SAC

STEPS = 2_000

model = SAC(
    "MlpPolicy",
    gymnasium.make("Pendulum-v1"),
    batch_size=256,
    learning_starts=100,
    policy_kwargs={"net_arch": [256, 256]},
    verbose=0,
)
model.learn(400)  # compiles
best = 0.0
for _ in range(2):
    began = time.perf_counter()
    model.learn(STEPS, reset_num_timesteps=False)
    best = max(best, STEPS / (time.perf_counter() - began))
versions = {name: metadata.version(name) for name in ("sbx-rl", "stable-baselines3", "jax", "torch", "gymnasium")}
print(json.dumps({"rate": best, "versions": versions}))
