"""Stable Baselines Jax's side of `beside`, run by its own Python: one job as JSON in, one file of figures a seed out.

Nothing of this library is imported. The environment is Gymnasium's with actions in [-1, 1]; training is
`model.learn`, an action `model.predict`.
"""

# pyright: reportMissingImports=false

import inspect
import json
import sys
import time
from pathlib import Path

import gymnasium
import jax
import numpy as np
import sbx
from beside_episodes import engine, greedy_returns, versions
from gymnasium.wrappers import RescaleAction
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv

IGNORED = {
    *("policy", "env", "verbose", "seed", "device", "tensorboard_log", "stats_window_size", "policy_kwargs"),
    *("_init_setup_model", "replay_buffer_class", "replay_buffer_kwargs", "rollout_buffer_class"),
    *("rollout_buffer_kwargs", "use_sde", "sde_sample_freq", "use_sde_at_warmup", "param_resets", "action_noise"),
    *("buffer_size", "batch_size"),
}
"""Arguments that are no settings of a method, stay off, or are given below."""


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    about = {"engine": engine(job["env"]), "versions": versions("sbx-rl", "stable-baselines3", "jax", "optax")}
    for seed, path in zip(job["seeds"], job["out"], strict=True):
        figures = train(job, seed) | about
        Path(path + ".tmp").write_text(json.dumps(figures))
        Path(path + ".tmp").replace(path)


def make(job: dict, seed: int):
    """The model with every argument that is a setting given."""
    kind, settings = getattr(sbx, job["algorithm"]), dict(job["settings"])
    noise = settings.pop("action_noise", None)
    if noise is not None:
        settings["action_noise"] = NormalActionNoise(np.zeros(1), np.full(1, noise))
    left = set(inspect.signature(kind.__init__).parameters) - {"self"} - set(settings) - IGNORED
    if left:
        raise SystemExit(f"{job['algorithm']}: no value for {', '.join(sorted(left))}")
    low, high = np.float32(-1.0), np.float32(1.0)
    copies = [lambda: RescaleAction(gymnasium.make(job["env"]), low, high)] * job["num_envs"]
    policy = {"net_arch": job["hidden"], "optimizer_kwargs": {"eps": job["adam_epsilon"]}}
    return kind(
        "MlpPolicy", DummyVecEnv(copies), batch_size=job["batch_size"], seed=seed, policy_kwargs=policy, **settings
    )


def start(model, job: dict, seed: int) -> None:
    """Our first weights: Xavier-uniform (times sqrt 2 before tanh), policy heads at gain 0.01, biases 0."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf, policy: bool):
        if path[-1].key != "kernel":
            return leaf
        head = int(path[-2].key.removeprefix("Dense_")) >= len(job["hidden"])
        gain = (0.01 if policy else 1.0) if head else job["hidden_gain"]
        limit = gain * np.sqrt(6.0 / sum(leaf.shape[-2:]))
        return jax.numpy.asarray(rng.uniform(-limit, limit, leaf.shape), leaf.dtype)

    for name in ("actor_state", "qf_state", "vf_state"):
        state = getattr(model.policy, name, None)
        if state is None:
            continue
        policy = name == "actor_state"
        params = jax.tree_util.tree_map_with_path(lambda path, x, policy=policy: draw(path, x, policy), state.params)
        targets = {"target_params": params} if hasattr(state, "target_params") else {}
        setattr(model.policy, name, state.replace(params=params, **targets))


def train(job: dict, seed: int) -> dict:
    """One seed: returns `[checkpoints][episodes]`, seconds of training alone."""
    model = make(job, seed)
    if job["start"] == "ours":
        start(model, job, seed)
    spent, returns, done = 0.0, [], 0
    for checkpoint in job["checkpoints"]:
        began = time.process_time()
        model.learn(checkpoint - done, reset_num_timesteps=not done)
        done = checkpoint
        assert model.num_timesteps == done
        spent += time.process_time() - began
        returns.append(greedy_returns(lambda obs: model.predict(obs, deterministic=True)[0], job["env"]))
        print(f"{job['name']} seed {seed}: {done} steps, {spent:.0f} s", file=sys.stderr, flush=True)
    return {"returns": returns, "train_seconds": spent}


if __name__ == "__main__":
    main()
