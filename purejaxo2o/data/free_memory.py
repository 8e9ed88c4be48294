"""How much memory this machine has left, and how sizes are written."""

import os
from pathlib import Path

SHARE = 0.9
"""Of the free memory that anything may plan with; allocators need some air."""
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes, of the machine, or of the container if that allows less; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            return None
    try:
        most, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        counts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return min(free, most - used + int(counts["inactive_file"]))  # copies of files are given up when asked for
    except (OSError, ValueError, KeyError):  # no container, or one without a limit ("max")
        return free


def size(count: float) -> str:
    """`512 B`, `1.5 kB`, `3.2 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB", "EB"):
        if abs(count) < 1000 or unit == "EB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
