"""Sweeps where there are several devices or processes, in a process of its own.

`python crowd.py devices OUT`: eight simulated devices; prints one JSON object of what was found.
`python crowd.py moved OUT`: sweeps that are begun on some of them and resumed on others.
`python crowd.py process OUT PORT INDEX`: one of two processes that share a sweep.
"""

import json
import os
import sys

WHAT, OUT, *MORE = sys.argv[1:]
DEVICES = 1 if WHAT == "process" else 8
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"

import jax  # noqa: E402

jax.config.update("jax_platforms", "cpu")
if WHAT == "process":
    jax.distributed.initialize(f"localhost:{MORE[0]}", num_processes=2, process_id=int(MORE[1]))

import conftest  # noqa: E402, F401  (the compilation cache)
import numpy as np  # noqa: E402
from tiny import arrays, distance, tiny  # noqa: E402

import purejaxo2o as o2o  # noqa: E402
from purejaxo2o.drive import lanes, programs  # noqa: E402
from purejaxo2o.drive.fit import Watch  # noqa: E402
from purejaxo2o.drive.policies import load_policies  # noqa: E402
from purejaxo2o.drive.sweep import seed_keys  # noqa: E402

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


class Stop:
    """Interrupts at the third row."""

    count = 0

    def write(self, row):
        self.count += 1
        if self.count == 3:
            raise KeyboardInterrupt

    def close(self):
        pass


def moved():
    """Three lanes, one or two side by side, from some devices to others: how far they are from lanes that stayed."""
    found, cases = {}, {"to more": (1, 4), "to fewer": (4, 1), "to as many as lanes": (2, 3)}
    whole = {width: o2o.sweep(*tiny("bc"), seeds=3, width=width, progress=False, devices=one(1)) for width in (1, 2)}
    for name, (before, after) in cases.items():
        for width in (1, 2):
            how = {"seeds": 3, "progress": False, "save_every": 1, "out": f"{OUT}/{name}-{width}"}
            try:
                o2o.sweep(*tiny("bc"), width=width, devices=one(before), sinks=[Stop()], **how)
            except KeyboardInterrupt:
                again = o2o.sweep(*tiny("bc"), devices=one(after), resume=True, **how)
                clamped = width if before < 4 else 1  # more devices than lanes have one lane each
                found[f"{name}-{width}"] = distance(lanes_of(again), lanes_of(whole[clamped]))
    found["policies"] = load_policies(f"{OUT}/to more-1").lanes
    print(json.dumps(found))


def one(count):
    return jax.devices()[:count]


def lanes_of(result):
    return result.returns, result.metrics, result.run.agent


def process():
    """Three lanes: two for the first process, one for the second. Prints what the folder is refused for, if it is."""
    try:
        result = sweep(seeds=3, over={"agent.expectile": [0.6, 0.9]}, width=1, out=OUT)
    except o2o.O2OError as error:
        print(json.dumps({"refused": str(error)}))
    else:
        print(json.dumps({"lanes": len(result.scores)}))


{"devices": devices, "moved": moved, "process": process}[WHAT]()
