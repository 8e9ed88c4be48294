"""What lies in a checkpoint: the arrays of the run, those of its records, and a seal that says whose they are.

The seal has type, shape and checksum of every array. Orbax commits the three files together, beside the training. It
does so for arrays of its own formats, too, but notices neither a changed byte nor a checkpoint copied in from another
run of the same shapes, and takes neither arrays without elements nor, in one process of several, arrays that this
process has for itself.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.future import CommitFutureAwaitingContractedSignals, Future

from purejaxo2o.disk.files import read_arrays, read_json, seal, write_arrays, write_json

ARRAYS, RECORDS, SEAL = "arrays", "records", "seal.json"
"""Names of the arrays' files without their ending, also in the seal."""


def outline(arrays: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`{name: [type, shape]}` of arrays or shapes."""
    return {name: [str(x.dtype), list(x.shape)] for name, x in arrays.items()}


def sealed_outline(sealed: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`outline` of the arrays that a seal names."""
    return {name: list(entry[:2]) for name, entry in sealed[ARRAYS].items()}


class SealedHandler(ocp.AsyncCheckpointHandler):
    """Writes both files in Orbax's background, from views of the host's memory, and reads them back."""

    async def async_save(self, directory: Any, args: "SealedSave") -> list[Future]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Views taken now: the caller donates the arrays, and XLA leaves memory alone that somebody looks at.
        files = {ARRAYS: jax.device_get(dict(args.arrays)), RECORDS: jax.device_get(dict(args.records))}
        return [CommitFutureAwaitingContractedSignals(_write(directory, dict(args.seal), files), name="sealed")]

    def save(self, directory: Any, args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise TypeError("checkpoints are saved asynchronously")

    def restore(self, directory: Any, args: "SealedRestore") -> dict[str, np.ndarray]:  # pyright: ignore[reportIncompatibleMethodOverride]
        found = read_json(Path(directory) / SEAL)
        tables = ("identity", ARRAYS, RECORDS)
        if not isinstance(found, dict) or not all(isinstance(found.get(name), dict) for name in tables):
            raise ValueError("its seal is none")
        args.check(found)
        return read_arrays(Path(directory) / f"{args.file}.npz", found[args.file])


async def _write(directory: Any, about: dict[str, Any], files: dict[str, dict[str, np.ndarray]]) -> None:
    for name, arrays in files.items():
        write_arrays(Path(directory) / f"{name}.npz", arrays)
        about[name] = seal({key: np.asarray(x) for key, x in arrays.items()})
    write_json(Path(directory) / SEAL, about)


@ocp.args.register_with_handler(SealedHandler, for_save=True)
@dataclasses.dataclass
class SealedSave(ocp.args.CheckpointArgs):
    """seal: what to write about the arrays, in JSON's types; arrays: of the run; records: what was measured."""

    seal: Mapping[str, Any]
    arrays: Mapping[str, jax.Array]
    records: Mapping[str, Any]


@ocp.args.register_with_handler(SealedHandler, for_restore=True)
@dataclasses.dataclass
class SealedRestore(ocp.args.CheckpointArgs):
    """check: is given the seal before any array is read, and raises if it is the wrong one. file: whose arrays."""

    check: Callable[[dict[str, Any]], None]
    file: str = ARRAYS
