"""Saving and restoring a whole `Run` with Orbax: all that changes, by segment number, the newest two kept."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from purejaxo2o.types import O2OError

KEEP = 2


class Checkpoints:
    """The `checkpoints/` of one run folder: whole `Run`s by segment number, the newest two kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = (folder / "checkpoints").resolve()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, create=True, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def latest(self) -> int | None:
        """The newest complete segment, or None."""
        return self._manager.latest_step()

    def save(self, segment: int, run: Any) -> None:
        """Start saving; returns once the arrays are copied, so the caller may go on (and donate them)."""
        self._manager.save(segment, args=ocp.args.StandardSave(run))

    def restore(self, segment: int, like: Any) -> Any:
        """The run saved after `segment`, with the structure and shapes of `like` (arrays or shapes).

        Raises `O2OError` if the checkpoint is damaged or belongs to a run of another structure."""
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        try:
            return self._manager.restore(segment, args=ocp.args.StandardRestore(shapes))
        except Exception as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise O2OError(
                f"checkpoint {self._folder / str(segment)} cannot be restored ({line[:200]}); "
                "delete it to go on from the one before, or start a new folder"
            ) from error

    def close(self) -> None:
        """Wait for what is being saved."""
        self._manager.wait_until_finished()
        self._manager.close()
