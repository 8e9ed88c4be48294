"""What a checkpoint says about itself: whose it is, after which segment, and a checksum of every array.

Saved as an item of the checkpoint, beside the arrays and committed together with them. Orbax notices files that are
cut short or gone, but not a changed byte, nor a checkpoint that was copied in from another run of the same shapes.
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.future import CommitFutureAwaitingContractedSignals, Future

FILE = "seal.json"


def outline(tree: Any) -> dict[str, list[Any]]:
    """`{path: [type, shape]}` of every leaf (arrays or shapes)."""
    return {jax.tree_util.keystr(path): [str(x.dtype), list(x.shape)] for path, x in _leaves(tree)}


def checksums(tree: Any) -> dict[str, str]:
    """`{path: CRC-32}` of every leaf's bytes."""
    return {jax.tree_util.keystr(path): _checksum(np.asarray(x)) for path, x in _leaves(tree)}


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _checksum(array: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data):08x}"


class SealHandler(ocp.AsyncCheckpointHandler):
    """Writes and reads the seal. The checksums are taken in Orbax's background, from views of the host's memory."""

    async def async_save(self, directory: Any, args: "SealSave") -> list[Future]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Views taken now: the caller donates the arrays, and XLA leaves memory alone that somebody looks at.
        state = jax.device_get(args.state)
        content = {"identity": dict(args.identity), "segment": args.segment, "arrays": outline(state)}
        return [CommitFutureAwaitingContractedSignals(_write(directory, content, state), name="seal")]

    def save(self, directory: Any, args: "SealSave") -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise TypeError("the seal of a checkpoint is only ever saved asynchronously")

    def restore(self, directory: Any, args: Any = None) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return json.loads((Path(directory) / FILE).read_text())


async def _write(directory: Any, content: dict[str, Any], state: Any) -> None:
    (Path(directory) / FILE).write_text(json.dumps(content | {"checksums": checksums(state)}))


@ocp.args.register_with_handler(SealHandler, for_save=True)
@dataclasses.dataclass
class SealSave(ocp.args.CheckpointArgs):
    """identity: what makes the run the one it is, in JSON's types; state: the arrays that are saved beside it."""

    identity: Mapping[str, Any]
    segment: int
    state: Any


@ocp.args.register_with_handler(SealHandler, for_restore=True)
@dataclasses.dataclass
class SealRestore(ocp.args.CheckpointArgs):
    """Nothing to ask for."""
