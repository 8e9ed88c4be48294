"""Saving and restoring a whole `Run` with Orbax: all that changes, by segment number, the newest two kept.

Saving goes on beside the training, and only as often as it costs little. Each checkpoint holds the records so far and
carries what it belongs to (`sealed.py`): one that is damaged or another run's is refused by name, never half-loaded.
"""

import contextlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from purejaxo2o.disk import sealed
from purejaxo2o.disk.folder import identity, load_config
from purejaxo2o.disk.results import record_arrays, records_of
from purejaxo2o.loop.identity import differing
from purejaxo2o.loop.result import Record
from purejaxo2o.types import O2OError, whole

KEEP = 2
SHARE = 0.05
"""By default, saving takes no more than this share of the wall time."""


def check_every(every: Any) -> int | None:
    """`every` as Python's own integer. Raises `O2OError` unless it is None or a whole number of at least 1."""
    remedy = "give a number of segments (1 or more), or None to save when cheap"
    return None if every is None else whole("save_every", every, remedy)


class Checkpoints:
    """The `checkpoints/` of one run folder: whole `Run`s by segment number, the newest two kept.

    every: save after each `every`-th segment. None: after a segment when all saving so far, this one included, is
        expected to take at most `SHARE` of the wall time so far, and none is under way. `last` is always saved, and
        with None the first segment that this process completes, too.
    read_only: only look; another process may be writing there.
    Raises `O2OError` for a folder without a run, and where `checkpoints` is something else.
    """

    def __init__(
        self, folder: Path, *, every: int | None = None, last: int | None = None, read_only: bool = False
    ) -> None:
        # Of a link to itself `resolve` makes an error of its own.
        self._folder, self._read_only = Path(os.path.realpath(folder / "checkpoints")), read_only
        if os.path.lexists(self._folder) and not self._folder.is_dir():
            raise O2OError(f"{folder / 'checkpoints'} is no folder; remove it, or choose another output folder")
        for path in self._folder.glob("*/*"):
            if os.path.lexists(path) and not (path.is_file() or path.is_dir()):
                raise O2OError(f"{path} is no ordinary file, which Orbax might wait for; delete {path.parent}")
        self._identity = identity(load_config(folder))
        self._every, self._last = every, last
        self._opened = time.perf_counter()
        self._began = self._ended = 0.0  # the newest save
        self._spent = 0.0  # by all saves before that one, from begin to end
        self.seconds = 0.0
        """Wall seconds that the caller has waited for saving."""
        logging.getLogger("absl").addFilter(_not_from_orbax)
        if not read_only:
            self._folder.mkdir(exist_ok=True)
        # Of several processes (`jax.distributed`), each saves its own share and waits for none of the others.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(),
            active_processes={jax.process_index()},
            barrier_sync_key_prefix=f"process{jax.process_index()}",
        )
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEEP,
            create=False,
            read_only=read_only,
            cleanup_tmp_directories=True,  # what a killed process left
            save_root_metadata=False,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._finished),
            multiprocessing_options=alone,
        )
        try:
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_handlers={"run": sealed.SealedHandler()}
            )
        except Exception as error:  # Orbax reads what it has written about each of them
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise O2OError(
                f"the checkpoints in {self._folder} cannot be listed ({line[:200]}); delete the newest to go on from "
                "the one before, or start a new folder"
            ) from error

    def latest(self) -> int | None:
        """The newest complete segment, or None."""
        return self._manager.latest_step()

    def due(self, segment: int) -> bool:
        """Whether to save after this segment. Raises `O2OError` if the save before has failed."""
        running = self._manager.is_saving_in_progress()
        if not running:
            self.wait()
        if segment == self._last:
            return True
        if self._every is not None:
            return segment % self._every == 0
        if running or not self._began:
            return not running
        newest = self._ended - self._began
        now = time.perf_counter()
        return self._spent + 2 * newest <= SHARE * (now - self._opened)

    def save(self, segment: int, run: Any, records: Sequence[Record]) -> None:
        """Start saving the run with its records; returns once the arrays are safe from being donated.

        Waits for a save that is still under way. Raises `O2OError` if that one has failed, or this one has."""
        self.wait()
        began = time.perf_counter()
        self._spent += self._ended - self._began
        self._began = self._ended = began
        about = {"identity": self._identity, "segment": segment}
        args = sealed.SealedSave(about, _named(run), record_arrays(records))
        try:
            self._manager.save(segment, args=ocp.args.Composite(run=args), force=True)
        except Exception as error:
            raise self._failed(error) from error
        self.seconds += time.perf_counter() - began

    def wait(self) -> None:
        """Until what is being saved is on disk. Raises `O2OError` if it could not be saved."""
        began = time.perf_counter()
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failed(error) from error
        self.seconds += time.perf_counter() - began

    def restore(self, segment: int, like: Any) -> Any:
        """The run saved after `segment`, with the structure, types and shardings of `like` (arrays or shapes).

        Raises `O2OError` if the checkpoint is damaged, another run's, or of other arrays."""
        arrays = self._arrays(segment, sealed.ARRAYS, jax.eval_shape(_named, like))
        return jax.tree_util.tree_map_with_path(lambda path, x: _restored(arrays[_name(path)], x), like)

    def records(self, segment: int) -> list[Record]:
        """What had been measured until then: `segment + 1` records. Raises `O2OError` as `restore`."""
        try:
            return records_of(self._arrays(segment, sealed.RECORDS), segment + 1)
        except ValueError as error:
            if isinstance(error, O2OError):
                raise
            raise self._refused(segment, f"cannot be restored ({error})") from error

    def _arrays(self, segment: int, file: str, like: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        args = sealed.SealedRestore(lambda seal: self._check(seal, segment, like), file)
        try:
            return self._manager.restore(segment, args=ocp.args.Composite(run=args))["run"]
        except O2OError:
            raise
        except Exception as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise self._refused(segment, f"cannot be restored ({line[:200]})") from error

    def close(self) -> None:
        """End Orbax's threads. A failed save is `wait`'s to report."""
        with contextlib.suppress(Exception):
            self._manager.wait_until_finished()
        self._manager.close()
        logging.getLogger("absl").removeFilter(_not_from_orbax)

    def _finished(self) -> None:
        self._ended = time.perf_counter()

    def _check(self, seal: Mapping[str, Any], segment: int, like: Mapping[str, Any] | None) -> None:
        wrong = differing(seal["identity"], self._identity)
        wrong = wrong or differing({"segment": seal.get("segment")}, {"segment": segment})
        if wrong:
            raise self._refused(segment, f"belongs to another run: {wrong}")
        if like is not None and (wrong := differing(sealed.sealed_outline(seal), sealed.outline(like))):
            raise self._refused(segment, f"is of other code: {wrong}")

    def _refused(self, segment: int, why: str) -> O2OError:
        """With advice for who writes here, or for who only reads."""
        path = self._folder / str(segment)
        if not self._read_only:
            return O2OError(f"checkpoint {path} {why}; delete it to go on from the one before, or start a new folder")
        return O2OError(
            f"checkpoint {path} {why}; resume the run to have it trained again, or give another run folder"
        )

    def _failed(self, error: Exception) -> O2OError:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        reason = ": ".join(line.split(" [")[0].split(": ")[-2:])  # paths come before, addresses in sources after
        return O2OError(
            f"a checkpoint in {self._folder} cannot be saved ({reason[-200:]}); the one before is good: make room, "
            "then go on from it by resuming (--resume)"
        )


def _not_from_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs every failure with several stack traces, and raises it as well."""
    return "orbax" not in record.pathname


def _named(run: Any) -> dict[str, jax.Array]:
    """Every array of a run by its path, random keys as their bits."""
    return {
        _name(path): jax.random.key_data(x) if _is_key(x) else x
        for path, x in jax.tree_util.tree_leaves_with_path(run)
    }


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _restored(saved: np.ndarray, like: Any) -> jax.Array:
    array = jnp.asarray(saved)
    if _is_key(like):
        array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(jnp.empty((), like.dtype)))
    return jax.device_put(array, like.sharding) if like.sharding is not None else array
