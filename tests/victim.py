"""A training run in a process of its own, made to be killed: `python victim.py CASE OUT CACHE [SEGMENT BYTES]`.

Prints a line per row as it is written, and takes its time over it. With SEGMENT and BYTES, no file may grow past
BYTES from that row on, as on a disk that is full.
"""

import dataclasses
import resource
import sys
import time

import jax

CASE, OUT, CACHE, *LIMIT = sys.argv[1:]
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

from tiny import tiny  # noqa: E402

import purejaxo2o as o2o  # noqa: E402
from purejaxo2o.loop.phases import warmup  # noqa: E402

PAUSE = 0.05
"""Seconds after each row, so that one can hit what comes next."""


class Aloud:
    """A sink that says what it gets."""

    def write(self, row):
        print(f"row {row['segment']} {row['phase']}", flush=True)
        if LIMIT and row["segment"] >= int(LIMIT[0]):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(LIMIT[1]), resource.RLIM_INFINITY))
        time.sleep(PAUSE)

    def close(self):
        pass


def three_phases():
    """The cheapest recipe with an offline phase, a warm-up and an online phase."""
    recipe, task, data = tiny("iql")
    offline, online = recipe.phases
    middle = dataclasses.replace(warmup(40), segments=2)
    return dataclasses.replace(recipe, phases=(offline, middle, online)), task, data


HOW = {"out": OUT, "resume": True, "sinks": [Aloud()], "progress": True}
CASES = {
    "fit": lambda: o2o.fit(jax.random.key(5), *tiny("wsrl"), save_every=1, **HOW),
    "sweep": lambda: o2o.sweep(*three_phases(), seeds=2, over={"agent.expectile": [0.6, 0.9]}, **HOW),
    "parts": lambda: o2o.sweep(*three_phases(), seeds=3, chunk=2, save_every=1, **HOW),
}

if __name__ == "__main__":
    try:
        CASES[CASE]()
    except o2o.O2OError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print("finished", flush=True)
