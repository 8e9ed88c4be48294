"""What lies in a checkpoint: every array, and a seal that says whose they are.

Orbax commits the two files together, beside the training. It does so for arrays of its own formats, too, but notices
neither a changed byte nor a checkpoint copied in from another run of the same shapes, and takes neither arrays
without elements nor, in one process of several, arrays that this process has for itself.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.future import CommitFutureAwaitingContractedSignals, Future

from purejaxo2o.files import read_arrays, write_arrays, write_json

ARRAYS, SEAL = "arrays.npz", "seal.json"


def outline(arrays: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`{name: [type, shape]}` of arrays or shapes."""
    return {name: [str(x.dtype), list(x.shape)] for name, x in arrays.items()}


class SealedHandler(ocp.AsyncCheckpointHandler):
    """Writes both files in Orbax's background, from views of the host's memory, and reads them back."""

    async def async_save(self, directory: Any, args: "SealedSave") -> list[Future]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Views taken now: the caller donates the arrays, and XLA leaves memory alone that somebody looks at.
        arrays = jax.device_get(dict(args.arrays))
        return [CommitFutureAwaitingContractedSignals(_write(directory, dict(args.seal), arrays), name="sealed")]

    def save(self, directory: Any, args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise TypeError("checkpoints are saved asynchronously")

    def restore(self, directory: Any, args: "SealedRestore") -> dict[str, np.ndarray]:  # pyright: ignore[reportIncompatibleMethodOverride]
        seal = json.loads((Path(directory) / SEAL).read_text())
        args.check(seal)
        arrays = read_arrays(Path(directory) / ARRAYS)  # raises if a checksum is wrong
        # Types that NumPy does not know (bfloat16) come back as bytes.
        return {name: x.view(np.dtype(seal["arrays"][name][0])) for name, x in arrays.items()}


async def _write(directory: Any, seal: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    write_arrays(Path(directory) / ARRAYS, arrays)
    write_json(Path(directory) / SEAL, seal | {"arrays": outline(arrays)})


@ocp.args.register_with_handler(SealedHandler, for_save=True)
@dataclasses.dataclass
class SealedSave(ocp.args.CheckpointArgs):
    """seal: what to write about the arrays, in JSON's types; arrays: by name."""

    seal: Mapping[str, Any]
    arrays: Mapping[str, jax.Array]


@ocp.args.register_with_handler(SealedHandler, for_restore=True)
@dataclasses.dataclass
class SealedRestore(ocp.args.CheckpointArgs):
    """check: is given the seal before any array is read, and raises if it is the wrong one."""

    check: Callable[[dict[str, Any]], None]
