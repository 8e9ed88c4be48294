"""Steps a second of the twins, alone and in batches, beside Gymnasium's C environments and brax's bodies.

A program is a scan of random steps in all copies, from fresh starts, without resets; compile seconds and the
program's own account of its memory stand beside it. The C environments are stepped by Gymnasium's vector environment,
the faster of `sync` and `async`. brax's bodies of the same names are other physics and no substitute.
"""

import sys
import time
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.measure import build, race
from experiments.benchmarks.rows import Row, missing, row
from experiments.benchmarks.turns import turn
from purejaxo2o import envs
from purejaxo2o.loop import rollout
from purejaxo2o.loop.env import Env

COPIES = (1, 16, 128, 1024)
MORE_COPIES = (8192,)
"""On accelerators."""
CPU_LIMIT = 256
"""XLA's CPU runtime may hang in larger batches of MJX."""
TWINS = tuple(name for name in envs.mjx.IDS if name.endswith("-v5"))
BRAX = (("brax/hopper", "generalized"), ("brax/hopper", "spring"))
STEPS = 4096  # in all copies together
GPU_LENGTH = 64  # steps of every copy on a GPU, where a few copies are as slow as many


def names() -> list[str]:
    """Rows of the full section that are ours."""
    return [f"{name}, {count} copies" for name in (*TWINS, *map(_named, BRAX)) for count in _copies()]


def rows(*, quick: bool = False, wanted: list[str] | None = None) -> list[Row]:
    """One row per environment and number of copies. wanted: of `names()`, None for all."""
    if quick:
        return [each for count in (1, 4) for each in _both("mjx/InvertedPendulum-v5", {}, count, 64)]
    found = []
    for label, name, settings in [(name, name, {}) for name in TWINS] + [
        (_named(body), body[0], {"backend": body[1]}) for body in BRAX
    ]:
        for count in _copies():
            if wanted is None or f"{label}, {count} copies" in wanted:
                found += _both(name, settings, count, STEPS)
    return found


def _copies() -> tuple[int, ...]:
    return COPIES if jax.default_backend() == "cpu" else COPIES + MORE_COPIES


def _named(body: tuple[str, str]) -> str:
    return f"{body[0]} ({body[1]})"


def _both(name: str, settings: dict[str, str], count: int, steps: int) -> list[Row]:
    """Ours, and for twins Gymnasium's where that many copies are of use."""
    label = _named((name, settings["backend"])) if settings else name
    found = [_ours(envs.make(name, **settings), f"{label}, {count} copies", count, steps)]
    if name.startswith("mjx/") and count <= CPU_LIMIT:
        found.append(_in_c(name.removeprefix("mjx/"), count, steps))
    return found


def _ours(env: Env, name: str, count: int, steps: int) -> Row:
    print(f"twins: {name}", file=sys.stderr, flush=True)
    if jax.default_backend() == "cpu" and count > CPU_LIMIT:
        return missing("twins", name, "steps/s", "XLA's CPU runtime may hang in batches above 256")
    length = max(4, steps // count) if jax.default_backend() == "cpu" else GPU_LENGTH
    program = build(lambda key: _play(env, key, count, length), jax.random.key(0))
    best = race({name: program}, rounds=2)[name]
    memory = None if program.memory is None else program.memory / 1e6
    more = {"copies": count, "memory_mb": memory}
    return row("twins", name, count * length / best, "steps/s", program.compile_seconds, **more)


def _play(env: Env, key: jax.Array, copies: int, length: int) -> jax.Array:
    """Rewards `[copies]` of random play, so that nothing is left out."""
    state, _ = rollout.reset(env, key, copies)

    def body(state: Any, index: jax.Array) -> tuple[Any, jax.Array]:
        action = rollout.random_action(env.action_space, jax.random.fold_in(key, index), (copies,))
        state, step = jax.vmap(env.step, (0, 0, None))(state, action, key)
        return state, step.reward + step.obs.sum(-1)

    return jax.lax.scan(body, state, jax.numpy.arange(length))[1].sum(0)


def _in_c(name: str, copies: int, steps: int) -> Row:
    """Gymnasium's own vector environment."""
    import gymnasium

    rates = {}
    for mode in ("sync", "async") if copies > 1 else ("sync",):
        env = gymnasium.make_vec(name, num_envs=copies, vectorization_mode=mode)
        env.reset(seed=0)
        actions = np.random.default_rng(0).uniform(-1, 1, (max(4, steps // copies), *(env.action_space.shape or ())))
        seconds = []
        with turn():
            for _ in range(2):
                began = time.perf_counter()
                for action in actions:
                    env.step(action.astype(np.float32))
                seconds.append(time.perf_counter() - began)
        rates[mode] = len(actions) * copies / min(seconds)
        env.close()
    mode = max(rates, key=lambda mode: rates[mode])
    return row("twins", f"{name} in C ({mode}), {copies} copies", rates[mode], "steps/s", copies=copies)
