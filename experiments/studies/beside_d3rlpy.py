"""d3rlpy's side of `beside`, run by its own Python: one job as JSON in, one file of figures a seed out.

Nothing of this library is imported. Transitions come out of d3rlpy's own reader, once; minibatches are then drawn
from arrays, since its own sampler takes longer than an update. A step is `algo.update`, an action `algo.predict`.
"""

# pyright: reportMissingImports=false

import json
import math
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import d3rlpy
import numpy as np
import torch
from beside_episodes import engine, greedy_returns, versions
from d3rlpy.dataset import MDPDataset, TransitionMiniBatch
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.optimizers import AdamFactory
from torch import nn

FIELDS = ("observation", "action", "reward", "next_observation", "next_action", "terminal")
SCALERS = {"observation_scaler", "action_scaler", "reward_scaler", "transform", "q_func_factory", "compile_graph"}
"""Fields that stay as they are: no scaling, mean Q-functions, no graph."""


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    rows = transitions(job["data"], job["discount"])
    if "steps_file" in job:
        Path(job["out"]).write_text(json.dumps(steps(job, rows)))
        return
    about = {"engine": engine(job["env"]), "versions": versions("d3rlpy", "torch")}
    for seed, path in zip(job["seeds"], job["out"], strict=True):
        figures = train(job, rows, seed) | about
        Path(path + ".tmp").write_text(json.dumps(figures))
        Path(path + ".tmp").replace(path)


def transitions(path: str, discount: float) -> dict[str, np.ndarray]:
    """Every transition as d3rlpy's reader makes it. A truncated episode is one row longer there: its last row only
    lends its observation to the one before it."""
    with np.load(path) as stored:
        data = dict(stored)
    columns: dict[str, list] = {name: [] for name in ("obs", "action", "reward", "terminals", "timeouts")}
    ends = np.flatnonzero(data["terminated"] | data["truncated"]) + 1
    for start, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        cut = not data["terminated"][end - 1]
        columns["obs"] += [data["obs"][start:end], *([data["next_obs"][end - 1 : end]] * cut)]
        columns["action"] += [data["action"][start:end], np.zeros((int(cut), data["action"].shape[1]))]
        columns["reward"] += [data["reward"][start:end], np.zeros(int(cut))]
        marks = np.zeros(end - start + cut)
        marks[-1] = 1.0
        columns["terminals"].append(marks * (not cut))
        columns["timeouts"].append(marks * cut)
    whole = {name: np.concatenate(parts).astype(np.float32) for name, parts in columns.items()}
    dataset = MDPDataset(
        observations=whole["obs"],
        actions=whole["action"],
        rewards=whole["reward"],
        terminals=whole["terminals"],
        timeouts=whole["timeouts"],
        action_space=d3rlpy.ActionSpace.CONTINUOUS,
    )
    found: dict[str, list] = {name: [] for name in FIELDS}
    to_go = []
    for episode in dataset.episodes:
        picked = [dataset.transition_picker(episode, i) for i in range(episode.transition_count)]
        for name in FIELDS:
            found[name].append(np.array([getattr(one, name) for one in picked], np.float32))
        to_go.append(discounted(episode.rewards[:, 0], discount)[: len(picked)])
    rows = {name: np.concatenate(parts) for name, parts in found.items()}
    assert len(rows["reward"]) == len(data["reward"])
    rows["reward"], rows["terminal"] = rows["reward"].reshape(-1, 1), rows["terminal"].reshape(-1, 1)
    return rows | {"to_go": np.concatenate(to_go).astype(np.float32)}


def discounted(reward: np.ndarray, discount: float) -> np.ndarray:
    """Returns-to-go of an episode."""
    found, later = np.zeros(len(reward)), 0.0
    for i in range(len(reward) - 1, -1, -1):
        found[i] = later = reward[i] + discount * later
    return found


def make(job: dict, sizes: tuple[int, int]):
    """The algorithm with every field of its configuration given."""
    settings = dict(job["settings"])
    actor = VectorEncoderFactory(job["hidden"])
    critic = VectorEncoderFactory(job["hidden"], use_layer_norm=job["layer_norm"])
    encoders = {"actor_encoder_factory": actor, "encoder_factory": actor}
    encoders |= {"critic_encoder_factory": critic, "value_encoder_factory": critic}
    config = getattr(d3rlpy.algos, f"{job['algorithm']}Config")
    known = set(config.__dataclass_fields__)
    settings |= {name: factory for name, factory in encoders.items() if name in known}
    settings |= {name: AdamFactory(eps=job["adam_epsilon"]) for name in known if name.endswith("optim_factory")}
    settings |= {"batch_size": job["batch_size"]}
    left = known - set(settings) - SCALERS
    if left:
        raise SystemExit(f"{job['algorithm']}: no value for {', '.join(sorted(left))}")
    algorithm = config(**settings).create(device=False)
    algorithm.create_impl((sizes[0],), sizes[1])
    for part in vars(algorithm.impl._modules).values():  # one call a step, the same arithmetic
        for group in getattr(getattr(part, "_optim", None), "param_groups", ()):
            group |= {"fused": True, "foreach": False}
    return algorithm


def start(algorithm, job: dict) -> None:
    """Our first weights: Xavier-uniform, biases 0 (0.1 before ReLU and LayerNorm), policy heads at gain 0.01, and the
    standard deviation that the job asks for; then the targets."""
    modules = algorithm.impl._modules
    for name in vars(modules):
        network = getattr(modules, name)
        if not isinstance(network, nn.Module) or name.startswith(("log_", "targ_")):
            continue
        policy = name in ("policy", "imitator")
        for path, layer in network.named_modules():
            if not isinstance(layer, nn.Linear):
                continue
            hidden = "_encoder" in path
            nn.init.xavier_uniform_(layer.weight, gain=0.01 if policy and not hidden else 1.0)
            nn.init.constant_(layer.bias, 0.1 if hidden and job["layer_norm"] and not policy else 0.0)
        if policy and isinstance(getattr(network, "_logstd", None), nn.Parameter):
            share = (job["log_std"] - network._min_logstd) / (network._max_logstd - network._min_logstd)
            nn.init.constant_(network._logstd, math.log(share / (1.0 - share)))
    for name in vars(modules):
        if name.startswith("targ_"):
            getattr(modules, name).load_state_dict(getattr(modules, name.removeprefix("targ_")).state_dict())
    if "log_temperature" in job:  # AWAC's target subtracts a constant temperature times the log-density
        nn.init.constant_(d3rlpy.models.torch.get_parameter(modules.log_temp), job["log_temperature"])


def train(job: dict, rows: dict[str, np.ndarray], seed: int) -> dict:
    """One seed: returns `[checkpoints][episodes]`, seconds of training alone."""
    d3rlpy.seed(seed)
    rng = np.random.default_rng(seed)
    algorithm = make(job, (rows["observation"].shape[1], rows["action"].shape[1]))
    if job["start"] == "ours":
        start(algorithm, job)
    size, spent, returns, done = job["batch_size"], 0.0, [], 0
    intervals = np.ones((size, 1), np.float32)
    for checkpoint in job["checkpoints"]:
        began = time.process_time()
        while done < checkpoint:
            picked = rng.integers(len(rows["reward"]), size=size)
            algorithm.update(batch(rows, picked, intervals, algorithm))
            done += 1
        spent += time.process_time() - began
        returns.append(greedy_returns(algorithm.predict, job["env"]))
        print(f"{job['name']} seed {seed}: {done} updates, {spent:.0f} s", file=sys.stderr, flush=True)
    return {"returns": returns, "train_seconds": spent}


def steps(job: dict, rows: dict[str, np.ndarray]) -> dict:
    """From our first weights through our minibatches: how far actions and values lie from ours, `{updates: {"action":
    largest, "q": mean relative}}`."""
    with np.load(job["steps_file"]) as stored:
        ours = dict(stored)
    algorithm = make(job, (rows["observation"].shape[1], rows["action"].shape[1]))
    start(algorithm, job)
    modules = algorithm.impl._modules
    policy = modules.policy if hasattr(modules, "policy") else modules.imitator
    put(policy, {name.removeprefix("actor/"): x for name, x in ours.items() if name.startswith("actor/")}, "mean")
    for index, critic in enumerate(getattr(modules, "q_funcs", ())):
        put(
            critic, {name.removeprefix("critic/"): x[index] for name, x in ours.items() if name.startswith("critic/")}
        )
    if hasattr(modules, "value_func"):
        put(modules.value_func, {name.removeprefix("value/"): x for name, x in ours.items() if name[:6] == "value/"})
    for name in vars(modules):
        if name.startswith("targ_"):
            getattr(modules, name).load_state_dict(getattr(modules, name.removeprefix("targ_")).state_dict())
    algorithm.set_grad_step(1)  # a delayed policy moves at the same updates as ours
    intervals, found, probe = np.ones((job["batch_size"], 1), np.float32), {}, ours["probe"]
    for count, picked in enumerate(ours["picks"], 1):
        algorithm.update(batch(rows, picked, intervals, algorithm))
        if f"action/{count}" in ours:
            gap = np.abs(algorithm.predict(rows["observation"][probe]) - ours[f"action/{count}"])
            found[count] = {"action": float(gap.max())}
            if f"q/{count}" in ours:
                q = algorithm.predict_value(rows["observation"][probe], rows["action"][probe])
                scale = np.abs(ours[f"q/{count}"]).mean()
                found[count]["q"] = float(np.abs(q - ours[f"q/{count}"]).mean() / scale)
    return found


def put(network, weights: dict[str, np.ndarray], head: str = "") -> None:
    """Our weights into a network of theirs: hidden layers, their LayerNorms, and the head (the last layer, or one of
    its own name)."""
    layers = list(network._encoder._layers)
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    norms = [layer for layer in layers if isinstance(layer, nn.LayerNorm)]
    last = getattr(network, "_mu", None) or network._fc
    pairs = [(layer, f"MLP_0/Dense_{i}") for i, layer in enumerate(linear)]
    pairs.append((last, head or f"MLP_0/Dense_{len(linear)}"))
    with torch.no_grad():
        for layer, name in pairs:
            layer.weight.copy_(torch.tensor(weights[f"{name}/kernel"].T))
            layer.bias.copy_(torch.tensor(weights[f"{name}/bias"]))
        for i, layer in enumerate(norms):
            layer.weight.copy_(torch.tensor(weights[f"MLP_0/LayerNorm_{i}/scale"]))
            layer.bias.copy_(torch.tensor(weights[f"MLP_0/LayerNorm_{i}/bias"]))


def batch(rows: dict[str, np.ndarray], picked: np.ndarray, intervals: np.ndarray, algorithm) -> TransitionMiniBatch:
    whole = []
    if getattr(algorithm, "need_returns_to_go", False):
        whole = [SimpleNamespace(rewards_to_go=x.reshape(1, 1)) for x in rows["to_go"][picked]]
    return TransitionMiniBatch(
        observations=rows["observation"][picked],
        actions=rows["action"][picked],
        rewards=rows["reward"][picked],
        next_observations=rows["next_observation"][picked],
        next_actions=rows["next_action"][picked],
        terminals=rows["terminal"][picked],
        intervals=intervals,
        transitions=whole,
    )


if __name__ == "__main__":
    main()
