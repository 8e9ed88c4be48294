"""How much memory a run or a sweep takes, known before it starts, and how much there is.

Arguments are counted from their shapes, temporaries are XLA's own account of the compiled programs.
"""

import contextlib
import dataclasses
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.data.free_memory import SHARE, free_memory, size
from purejaxo2o.drive.lanes import platform
from purejaxo2o.drive.programs import Programs
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.types import Device, O2OError


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes. On accelerators of each device; on a CPU of all its devices together, which share one memory."""

    lanes: int
    dataset: int  # shared by all lanes
    stores: int  # what the lanes collect
    learners: int  # parameters, targets, optimiser states
    rest: int  # environments, keys, counters
    temporaries: int  # of the hungriest program
    saving: int  # a copy of the lanes on the host while a checkpoint is written; counts where the host computes

    @property
    def total(self) -> int:
        return self.dataset + self.lanes_alone + self.temporaries + self.saving

    @property
    def lanes_alone(self) -> int:
        """What lies there between two segments, dataset apart."""
        return self.stores + self.learners + self.rest

    def __str__(self) -> str:
        parts = {name: getattr(self, name) for name in ("dataset", "stores", "learners", "rest", "temporaries")}
        parts |= {"checkpoint copy": self.saving}
        listed = ", ".join(f"{name} {size(value)}" for name, value in parts.items() if value)
        return f"memory {size(self.total)} for {self.lanes} lane{'s' * (self.lanes > 1)}: {listed}"


def estimate(programs: Programs, *, saving: bool) -> Memory:
    """What the compiled programs will take at their peak. `saving`: whether checkpoints are written."""
    devices = max(1, len(programs.lanes.devices))
    host = platform(programs.lanes.devices) == "cpu"
    run = programs.run_shapes[-1]
    stores, learners = nbytes(run.store), nbytes(run.agent)
    rest = nbytes(run) - stores - learners
    extra = max(_beside(program.memory_analysis(), run, devices) for program in programs.all())
    copies = devices if host else 1  # of what every device has for itself
    per = 1 if host else devices
    return Memory(
        lanes=(programs.lanes.count or 1) // per,
        dataset=nbytes(programs.dataset) * copies,
        stores=stores // per,
        learners=learners // per,
        rest=rest // per,
        temporaries=extra * copies,
        saving=(stores + learners + rest) if saving and host else 0,
    )


def _beside(found: Any, run: Any, devices: int) -> int:
    """Bytes that a program takes on a device beside its arguments and the run, in place or newly made."""
    fresh = found.output_size_in_bytes - found.alias_size_in_bytes
    made = 0 if found.alias_size_in_bytes else nbytes(run) // devices
    return found.temp_size_in_bytes + max(0, fresh - made)


def nbytes(tree: Any) -> int:
    """Bytes of all arrays (or shapes) in a pytree."""
    leaves = [x for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]
    return sum(math.prod(x.shape) * _itemsize(x.dtype) for x in leaves)


def _itemsize(dtype: Any) -> int:
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), dtype)).size * 4
    return np.dtype(dtype).itemsize


def limit(devices: tuple[Device, ...], given: float | None = None) -> int | None:
    """Bytes that a run may take, in the sense of `Memory.total`; None where nobody knows.

    given: what the user allows. Raises `O2OError` if that is no positive number."""
    if given is not None:
        if not given > 0:
            raise O2OError(f"memory_limit is {given}; give a positive number of bytes, or None for what is free")
        return int(given)
    if platform(devices) == "cpu":
        free = free_memory()
        return None if free is None else int(SHARE * free)
    stats = (devices[0] if devices else jax.local_devices()[0]).memory_stats() or {}
    return int(SHARE * stats["bytes_limit"]) if "bytes_limit" in stats else None


def refuse_if_too_large(need: Memory, limit: int | None, recipe: Recipe) -> None:
    """Raise `O2OError` for a run that cannot fit, with what would."""
    if limit is None or need.total <= limit:
        return
    remedy, name, fits = "use a smaller dataset or smaller networks", "", 0
    if need.stores and need.lanes == 1:
        twice = 2 if need.saving else 1
        fits = int((limit - need.total + twice * need.stores) / (twice * need.stores / recipe.capacity))
        name = "store_rows"
    elif need.lanes > 1:
        fits = int((limit - need.dataset) / ((need.total - need.dataset) / need.lanes))
        name = "number of lanes"
    if fits < 1 and 2 * need.temporaries > need.total:
        name, value = _most_rows(recipe)
        fits = int(value * (limit - need.total + need.temporaries) / need.temporaries)
    if fits >= 1:
        remedy = f"the largest {name} that fits is about {fits:,}"
    raise O2OError(f"{need}; there are {size(limit)}: {remedy}")


EXHAUSTED = "RESOURCE_EXHAUSTED"
"""How XLA's errors begin where memory ran out."""


@contextlib.contextmanager
def enough(folder: Path | None = None) -> Iterator[None]:
    """One `O2OError` where a device's or the host's memory runs out inside, whatever was foreseen.

    folder: a run's; if nothing was there before and no checkpoint is, it is taken away again."""
    ours = None if folder is None or (folder.exists() and any(folder.iterdir())) else folder
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        text = " ".join(str(error).split())
        if isinstance(error, jax.errors.JaxRuntimeError) and EXHAUSTED not in text:
            raise
        if ours is not None and not any(path.is_file() for path in ours.glob("**/checkpoints/**/*")):
            shutil.rmtree(ours, ignore_errors=True)
        raise O2OError(
            f"memory ran out ({text[:120] or 'of the host'})",
            python="use fewer lanes at a time (sweep with width=1 or chunk=1), or smaller minibatches or stores: "
            "o2o.replace(recipe, {'PHASE.batch_size': ..., 'store_rows': ...})",
            shell="use fewer lanes at a time (--width 1, --chunk 1), or smaller minibatches or stores "
            "(--set PHASE.batch_size=N store_rows=N)",
        ) from error


def _most_rows(recipe: Recipe) -> tuple[str, int]:
    """Name and value of the setting that puts the most rows side by side."""
    found = {"eval_episodes": (recipe.eval_episodes, recipe.eval_episodes)}
    for phase in recipe.phases:
        if phase.samples:
            found[f"{phase.name}.batch_size"] = phase.batch_size * phase.updates, phase.batch_size
        if phase.feed != "sampled":
            found[f"{phase.name}.rollout"] = phase.rollout * recipe.num_envs, phase.rollout
    name = max(found, key=lambda name: found[name][0])
    return name, found[name][1]
