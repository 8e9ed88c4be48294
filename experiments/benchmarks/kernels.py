"""What a program does on an accelerator while it runs: kernels started, time they fill, which ones take it.

Read from JAX's own profile of one call. On a device whose kernels the profiler does not list (a CPU) there is nothing
to read.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

TOP = 8


def kernels(program: Callable[[], Any]) -> dict[str, Any] | None:
    """count, busy_s (their summed time), span_s (first start to last end), top (`[name, count, seconds]` by time)."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(program())
        files = list(Path(folder).rglob("*.xplane.pb"))
        events = [event for path in files for event in _device_events(jax.profiler.ProfileData.from_file(str(path)))]
    if not events:
        return None
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for name, start, end in events:
        sums[name][0] += 1
        sums[name][1] += (end - start) / 1e9
    top = sorted(sums.items(), key=lambda item: -item[1][1])[:TOP]
    return {
        "count": len(events),
        "busy_s": sum(seconds for _, seconds in sums.values()),
        "span_s": (max(end for *_, end in events) - min(start for _, start, _ in events)) / 1e9,
        "top": [[name, int(count), seconds] for name, (count, seconds) in top],
    }


def _device_events(profile: Any) -> list[tuple[str, float, float]]:
    """Name, start and end in nanoseconds of everything on the devices' streams."""
    return [
        (event.name, event.start_ns, event.start_ns + event.duration_ns)
        for plane in profile.planes
        if plane.name.startswith("/device:")
        for line in plane.lines
        if line.name.startswith("Stream")
        for event in line.events
    ]
