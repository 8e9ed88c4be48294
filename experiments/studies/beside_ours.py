"""Our side of `beside`: one job as JSON in, one file of figures a seed out. A process of its own, as theirs."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import purejaxo2o as o2o
from experiments.studies import beside_episodes as episodes
from purejaxo2o import agents
from purejaxo2o.cli.main import cache_compilations
from purejaxo2o.disk.files import write_json
from purejaxo2o.loop import phases, store
from purejaxo2o.loop.policy import Policy
from purejaxo2o.tasks import make


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    cache_compilations()
    about = {"engine": episodes.engine(job["env"]), "versions": episodes.versions("jax", "jaxlib", "optax")}
    data = dataset(job["data"]) if job["data"] else None
    for seed, path in zip(job["seeds"], job["out"], strict=True):
        write_json(Path(path), train(job, data, seed) | about)


def dataset(path: str) -> o2o.Store:
    """The recording as a full store."""
    with np.load(path) as stored:
        names = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
        arrays: Any = {name: jnp.asarray(stored[name]) for name in names}
    return store.from_transitions(o2o.Transition(**arrays))


def recipe_of(job: dict[str, Any]) -> o2o.Recipe:
    """The job's agent and its one phase."""
    sizes = {"actor_hidden": tuple(job["hidden"]), "hidden": tuple(job["hidden"])}
    agent = getattr(agents, job["agent"])
    known = {name: value for name, value in sizes.items() if name in agent.__dataclass_fields__}
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in job["settings"].items()}
    return o2o.Recipe(
        name=job["name"],
        agent=agent(**settings, **known),
        phases=phases_of(job),
        num_envs=job["num_envs"],
        store_rows=job["rollout"] or None,
        eval_episodes=1,
    )


def phases_of(job: dict[str, Any]) -> tuple[o2o.Phase, ...]:
    """Offline, or random steps and then one update a step, or rollouts; a segment to a checkpoint that may count."""
    each = job["steps"] // job["segments"]
    if job["data"]:
        return (phases.offline(job["steps"], segments=job["segments"], batch_size=job["batch_size"]),)
    if job["rollout"]:
        fed: dict[str, Any] = {"feed": "rollout", "rollout": job["rollout"], "mix": "online"}
        return (phases.online(job["steps"], segments=job["segments"], **fed),)
    assert job["warmup"] == each
    learning = phases.online(
        job["steps"] - each, segments=job["segments"] - 1, mix="online", batch_size=job["batch_size"]
    )
    return phases.warmup(each, act="random"), learning


def train(job: dict[str, Any], data: o2o.Store | None, seed: int) -> dict[str, Any]:
    """One seed: returns `[checkpoints][episodes]`, seconds of training alone."""
    task, recipe = make(job["name"], f"host/{job['env']}", reference=(0.0, 1.0)), recipe_of(job)
    agent, returns, spent = recipe.agent_in(recipe.phases[-1]), [], 0.0
    greedy = jax.jit(lambda state, obs: Policy(agent=agent, state=state).scaled(obs, jax.random.key(0)))
    began = time.process_time()

    def each(segment: int, run: Any) -> None:
        nonlocal began, spent
        spent += time.process_time() - began
        done = segment * job["steps"] // job["segments"]
        if done in job["checkpoints"]:
            returns.append(episodes.greedy_returns(lambda obs: np.asarray(greedy(run.agent, obs)), job["env"]))
            print(f"{job['name']} seed {seed}: {done} steps, {spent:.0f} s", file=sys.stderr, flush=True)
        began = time.process_time()

    result = o2o.fit(seed, recipe, task, data, progress=False, each=each)
    assert not result.failures(), result.failures()
    assert len(returns) == len(job["checkpoints"])
    return {"returns": returns, "train_seconds": spent}


if __name__ == "__main__":
    main()
