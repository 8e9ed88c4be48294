"""Sweeps where there are several devices or processes, in a process of its own.

`python crowd.py devices OUT`: eight simulated devices; prints one JSON object of what was found.
`python crowd.py process OUT PORT INDEX`: one of two processes that share a sweep.
"""

import json
import os
import sys

WHAT, OUT, *MORE = sys.argv[1:]
DEVICES = 8 if WHAT == "devices" else 1
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"

import jax  # noqa: E402

jax.config.update("jax_platforms", "cpu")
if WHAT == "process":
    jax.distributed.initialize(f"localhost:{MORE[0]}", num_processes=2, process_id=int(MORE[1]))

import conftest  # noqa: E402, F401  (the compilation cache)
import numpy as np  # noqa: E402
from tiny import arrays, distance, tiny  # noqa: E402

import purejaxo2o as o2o  # noqa: E402
from purejaxo2o import lanes, programs  # noqa: E402
from purejaxo2o.fit import Watch  # noqa: E402
from purejaxo2o.sweep import seed_keys  # noqa: E402

COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def sweep(**settings):
    return o2o.sweep(*tiny("iql"), progress=False, **settings)


def equal(one, other):
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all(a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def devices():
    """Ten lanes do not divide among eight devices."""
    first = jax.devices()[:1]
    alone, spread = sweep(seeds=10, width=1, devices=first), sweep(seeds=10, width=1, out=OUT)
    wide, wide_spread = sweep(seeds=10, width=10, devices=first), sweep(seeds=10, width=2)
    found = {
        "devices": len(jax.devices()),
        "shards": len(spread.run.agent.actor_opt.count.devices()),
        "bitwise": equal(alone, spread),
        "distance": distance((wide.returns, wide.run.agent), (wide_spread.returns, wide_spread.run.agent)),
        "resumed": equal(sweep(seeds=10, out=OUT, resume=True), spread),
    }
    many = lanes.Lanes(16, 2, tuple(jax.devices()))
    compiled = programs.Programs(seed_keys(16), *tiny("wsrl"), many)
    compiled.compile_after(0, Watch())
    texts = [program.as_text() for program in compiled.all()]
    found["programs"] = len(texts)
    found["collectives"] = sorted({name for text in texts for name in COLLECTIVES if name in text})
    print(json.dumps(found))


def process():
    """Three lanes: two for the first process, one for the second."""
    result = sweep(seeds=3, over={"agent.expectile": [0.6, 0.9]}, width=1, out=OUT)
    print(json.dumps({"lanes": len(result.scores)}))


{"devices": devices, "process": process}[WHAT]()
