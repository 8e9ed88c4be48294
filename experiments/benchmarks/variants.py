"""Would the updates be faster another way? Each idea in a process of its own, since most are settings of a process.

`as it is` is what the library does; every other variant changes one thing: the precision of products, the generator
of random bits, one packed vector for Adam, several iterations of the loop unrolled, minibatches that lie ready
(what sampling costs), how XLA starts the loop's kernels. `as it is` is profiled as well: kernels per update, how much
of the time they fill, which ones.
"""

import json
import os
import sys
from typing import Any

import jax
import optax

from experiments.benchmarks import turns, updates
from experiments.benchmarks.kernels import kernels
from experiments.benchmarks.measure import Program, build, race
from experiments.benchmarks.rows import Row, missing, row
from purejaxo2o.agents import base

COMMAND_BUFFERS = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION"
LOOPS = f"--xla_gpu_enable_command_buffer={COMMAND_BUFFERS},CONDITIONAL,WHILE"
AS_IT_IS = "as it is"
VARIANTS: dict[str, dict[str, Any]] = {
    AS_IT_IS: {},
    "products in tf32": {"precision": "tensorfloat32"},
    "products in bfloat16": {"precision": "bfloat16"},
    "random bits by rbg": {"prng": "rbg"},
    "Adam on one packed vector": {"packed": True},
    "loop unrolled 4 times": {"unroll": 4},
    "minibatches ready": {"ready": True},
    "loops in command buffers": {"flags": f"{LOOPS} --xla_gpu_graph_min_graph_size=1"},
    "no command buffers": {"flags": "--xla_gpu_enable_command_buffer="},
    "products by cuBLAS alone": {"flags": "--xla_gpu_enable_triton_gemm=false"},
    "nothing tuned while compiling": {"flags": "--xla_gpu_autotune_level=0"},
    "tf32, rbg, loops in command buffers": {"precision": "tensorfloat32", "prng": "rbg", "flags": LOOPS},
}
HEADLINES = (AS_IT_IS, "products in tf32", "products by cuBLAS alone")
CASE = "iql"
STEPS = {"cpu": {1: 300}, "gpu": {1: 1_000, 64: 200}}
"""Of the loop, by number of seeds; on a CPU many seeds only take long."""


def rows(*, quick: bool = False, at_once: int = 1, limit: float | None = None) -> list[Row]:
    """Updates a second of every variant, agent and number of seeds; flags of a GPU are left out elsewhere."""
    on_gpu = jax.default_backend() == "gpu"
    wanted = [name for name, way in VARIANTS.items() if on_gpu or "flags" not in way]
    wanted = wanted[:2] if quick else wanted
    module = "experiments.benchmarks.variants"
    jobs = {
        name: ([module, name, *(["--quick"] if quick else [])], {"XLA_FLAGS": _flags(VARIANTS[name])})
        for name in wanted
    }
    found = turns.run(jobs, at_once, limit=limit)
    reason = "the process failed or took too long"
    failed = [missing("variants", name, "updates/s", reason) for name, line in found.items() if line is None]
    return [each for line in found.values() if line is not None for each in json.loads(line)] + failed


def _flags(way: dict[str, Any]) -> str:
    return f"{os.environ.get('XLA_FLAGS', '')} {way.get('flags', '')}".strip()


def measure(name: str, *, quick: bool = False) -> list[Row]:
    """The rows of one variant, in this process (whose settings it changes)."""
    way = VARIANTS[name]
    jax.config.update("jax_default_matmul_precision", way.get("precision", "float32"))
    jax.config.update("jax_default_prng_impl", way.get("prng", "threefry2x32"))
    if way.get("packed"):
        rule = base.adam_rule
        base.adam_rule = lambda eps=base.ADAM_EPS: optax.flatten(rule(eps))
    dataset = updates.synthetic(2_000 if quick else updates.ROWS)
    case = next(case for case in updates.CASES if case.name == CASE)
    options = {"unroll": way.get("unroll", 1), "ready": way.get("ready", False)}
    wanted = {1: 20} if quick else STEPS.get(jax.default_backend(), STEPS["gpu"])
    programs = {
        seeds: build(*updates.function(case, dataset, seeds, steps, **options)) for seeds, steps in wanted.items()
    }
    return [_row(name, seeds, wanted[seeds], program) for seeds, program in programs.items()]


def _row(name: str, seeds: int, steps: int, program: Program) -> Row:
    with turns.turn():
        seconds = race({name: program}, rounds=2)[name]
        more: dict[str, Any] = {"seeds": seeds, "variant": name, "xla_flags": os.environ.get("XLA_FLAGS", "")}
        if jax.default_backend() == "gpu" and name in HEADLINES:
            more["headline"] = f"IQL updates, {seeds} seed{'s' * (seeds > 1)}, {name}"
        seen = None
        if name == AS_IT_IS:
            try:
                seen = kernels(program)
            except (OSError, RuntimeError, ValueError) as error:  # a machine without a profiler
                more["not_profiled"] = str(error)
    if seen is not None:
        more |= {
            "kernels_per_iteration": seen["count"] / steps,
            "share_of_time_in_kernels": seen["busy_s"] / seconds,
            "top_kernels_us": [[kind, count / steps, 1e6 * s / steps] for kind, count, s in seen["top"]],
        }
    label, rate = f"{CASE}: {name}", steps * seeds / seconds
    return row("variants", label, rate, "updates/s", program.compile_seconds, **more)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], quick="--quick" in sys.argv)))
