"""d3rlpy at the benchmark's sizes, run by its own Python: one JSON argument in, one JSON line out."""

# pyright: reportMissingImports=false

import json
import sys
import time
from importlib import metadata

import d3rlpy
import gymnasium
import numpy as np
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.encoders import VectorEncoderFactory

SECONDS = 10.0
STEPS = 1_000


def main() -> None:
    asked = json.loads(sys.argv[1])
    rate = offline(asked) if asked["what"] == "offline" else fine_tuning()
    versions = {name: metadata.version(name) for name in ("d3rlpy", "torch", "numpy")}
    print(json.dumps({"rate": rate, "versions": versions}))


def make(algorithm: str):
    """The algorithm with 2 x 256 networks and minibatches of 256."""
    encoder = VectorEncoderFactory([256, 256])
    settings = {"batch_size": 256, "actor_encoder_factory": encoder, "critic_encoder_factory": encoder}
    if algorithm == "IQL":
        settings["value_encoder_factory"] = encoder
    else:
        settings["n_action_samples"] = 10
    return getattr(d3rlpy.algos, f"{algorithm}Config")(**settings).create(device=False)


def noise(rows: int, obs: int, action: int):
    """Random rows in trajectories of 100."""
    rng = np.random.default_rng(0)
    ends = np.arange(rows) % 100 == 99
    return d3rlpy.dataset.MDPDataset(
        observations=rng.normal(size=(rows, obs)).astype(np.float32),
        actions=rng.uniform(-1, 1, (rows, action)).astype(np.float32),
        rewards=rng.normal(size=rows).astype(np.float32),
        terminals=ends.astype(np.float32),
    )


def offline(asked: dict) -> float:
    """Updates a second, sampling included."""
    algorithm = make(asked["algorithm"])
    dataset = noise(asked["rows"], 11, 3)
    algorithm.build_with_dataset(dataset)
    for _ in range(5):
        algorithm.update(dataset.sample_transition_batch(256))
    best, count = 0.0, 0
    for _ in range(3):
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS / 3 or count < 5:
            algorithm.update(dataset.sample_transition_batch(256))
            count += 1
        best = max(best, count / (time.perf_counter() - began))
    return best


def fine_tuning() -> float:
    """Environment steps a second of `fit_online` with one update a step."""
    env = gymnasium.make("Pendulum-v1")
    algorithm = make("IQL")
    algorithm.build_with_env(env)
    buffer = d3rlpy.dataset.create_fifo_replay_buffer(limit=100_000, env=env)
    settings = {"update_interval": 1, "show_progress": False, "logger_adapter": NoopAdapterFactory()}
    algorithm.fit_online(env, buffer, n_steps=300, n_steps_per_epoch=300, update_start_step=250, **settings)
    began = time.perf_counter()
    algorithm.fit_online(env, buffer, n_steps=STEPS, n_steps_per_epoch=STEPS, update_start_step=0, **settings)
    return STEPS / (time.perf_counter() - began)


main()
