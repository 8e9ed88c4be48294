"""Settings x seeds: lanes of few programs, spread over devices and processes, cut into parts that fit memory.

Each program's lanes are dealt to the processes (where `jax.distributed` is initialised), each process's share is
cut into parts, and a part runs like a single run (`fit.drive`), sharded over the local devices. A sweep that is one
part is a run folder; one of several parts is a folder of run folders that `results.load_results` joins.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxo2o.disk import checkpoint
from purejaxo2o.disk.files import full_disk, output_folder
from purejaxo2o.disk.folder import claim, load_config
from purejaxo2o.drive import demand, grid, memory, sweep_folder
from purejaxo2o.drive.agreement import agreed
from purejaxo2o.drive.driver import drive
from purejaxo2o.drive.fit import PathLike, check_all
from purejaxo2o.drive.grid import Grid
from purejaxo2o.drive.lanes import Lanes, platform
from purejaxo2o.drive.programs import Programs
from purejaxo2o.drive.progress import Meter
from purejaxo2o.drive.sinks import Sink
from purejaxo2o.drive.watching import NOTHING, Timing, Watch, watched
from purejaxo2o.drive.width import choose
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import Result
from purejaxo2o.loop.seeds import Seeds, numbers_and_keys, seed_keys
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.tasks import Named, as_task
from purejaxo2o.types import Array, Device

__all__ = ["seed_keys", "sweep"]


def sweep(
    recipe: Recipe,
    task: Task | Named,
    dataset: Store | None = None,
    *,
    seeds: Seeds = 8,
    over: Mapping[str, Sequence[Any]] | None = None,
    out: PathLike | None = None,
    resume: bool = False,
    save_every: int | None = None,
    width: int | None = None,
    chunk: int | None = None,
    devices: Sequence[Device] | None = None,
    memory_limit: float | None = None,
    sinks: Sequence[Sink] = (),
    progress: bool | Meter = True,
    timing: Timing | None = None,
) -> Result:
    """Train every combination of the settings in `over` with every seed.

    task: also by name, as in `o2o.task`.
    seeds: how many (0, 1, ...), their numbers (`[4, 5, 6, 7]`), a key, or an array of keys `[n]`. The key of a seed
        depends on its number alone, so that the results of several sweeps can be joined (`results.join`).
    over: `{"*.learning_rate": [1e-4, 3e-4], "agent.hidden": [(64, 64), (256, 256)]}`. Numbers are batched in
        one program; static settings (sizes, step counts, choices) get a program for each value.
    out, resume, save_every: as in `fit`.
    width: lanes side by side on each device, the rest after them; None: all, or on a CPU one at a time where
        a lane computes much. The same width gives the same bits on any number of devices, and 1 those of a run alone.
    chunk: lanes in memory at once, the rest after them; None: as many as fit.
    devices: None means all local ones; lanes are dealt out evenly (padded with copies of the last).
    memory_limit: bytes for the sweep (on accelerators of each device); None: what is free.
    Returns a `Result` with leading axes `[*settings in the order of over, seed]`, named in its `axes`; every lane
    equals the solo `fit` with the same key and settings up to XLA's rounding. The dataset is shared by all lanes. A
    sweep in several parts keeps the trained agents but not the stores. With several processes the result holds this
    process's lanes, on one axis; `purejaxo2o.disk.results.load_results(out)` joins all.
    Raises `O2OError` for unknown names and values that do not fit, before anything is compiled or written, and for
    lanes that need more memory than there is.
    """
    task = as_task(task)
    numbers, keys = numbers_and_keys(seeds)
    whole = grid.make(recipe, keys, over, numbers)
    width, chunk = grid.lane_count("width", width), grid.lane_count("chunk", chunk)
    save_every = checkpoint.check_every(save_every)
    programs = whole.programs()
    for program in programs:
        check_all(program, task, dataset)
    used = tuple(jax.local_devices() if devices is None else devices)
    told = _Told(width, chunk, memory.limit(used, memory_limit))
    folder = None if out is None else agreed(lambda: output_folder(out))
    about = sweep_folder.about(whole, task, dataset) if folder is not None or sinks else {}
    with memory.enough(folder), full_disk(folder), contextlib.ExitStack() as closing:
        notes: list[str] = []
        if folder is not None:  # before minutes go into compiling
            notes = agreed(lambda: sweep_folder.take(folder, about, resume, closing))
        how = {"timing": timing, "programs": len(programs), "notes": notes}
        watch = closing.enter_context(watched(recipe, task, sinks, progress, save_every, **how))
        run = _Sweep(whole, task, dataset, used if len(used) > 1 else (), told, folder, about, resume, watch)
        return run.run(programs)


@dataclasses.dataclass(frozen=True)
class _Told:
    """What the caller has decided."""

    width: int | None
    chunk: int | None
    limit: int | None


@dataclasses.dataclass
class _Sweep:
    whole: Grid
    task: Task
    dataset: Store | None
    devices: tuple[Device, ...]
    told: _Told
    folder: Path | None
    about: dict[str, Any]
    resume: bool
    watch: Watch
    parts: int = 0  # begun so far
    alone: bool = True  # whether there is one part only

    def run(self, programs: list[Recipe]) -> Result:
        self.alone = len(programs) == 1 and jax.process_count() == 1
        if self.folder is not None and not self.alone:
            for program in programs:
                self._refuse_too_large(program)
            self._claim_folder()
        results = [list(self._program(index, program)) for index, program in enumerate(programs)]
        if jax.process_count() > 1:
            return _flat(results)
        return self.whole.join(results)

    def _program(self, index: int, recipe: Recipe) -> Iterator[Result]:
        """The results of this process's lanes of one program, part by part."""
        share = np.array_split(np.arange(self.whole.lanes), jax.process_count())[jax.process_index()].tolist()
        if not share:
            return
        programs, chunk = self._plan(recipe, share)
        pieces = [share[at : at + chunk] for at in range(0, len(share), chunk)]
        if len(pieces) > 1 and self.alone:
            self.alone = False
            if self.folder is not None:
                self._claim_folder()
        if len(pieces) > 1 and self.watch.meter:  # as if every program had as many
            segments = sum(phase.segments for phase in recipe.phases)
            self.watch.meter.expect((self.parts + len(pieces) * (len(self.whole.programs()) - index)) * segments)
        for lanes in pieces:
            result = self._part(index, recipe, programs, lanes, chunk)
            yield result if self.alone else _light(result)

    # -- how the lanes of a program run --------------------------------------------------------------------

    def _plan(self, recipe: Recipe, share: list[int]) -> tuple[Programs, int]:
        """Programs for the parts of a share, and how many lanes a part has."""
        before = self._earlier_plan()
        if not before:  # else it has fitted then
            self._refuse_too_large(recipe)
        chunk = min(self.told.chunk or before.get("chunk") or self._guess(recipe, share), len(share))
        width, reason = self.told.width or before.get("width"), "as told" if self.told.width else "as before"
        if width is None:
            each = -(-chunk // max(1, len(self.devices)))
            sample = self.whole.batch(recipe, share[:each])
            arguments = *sample, self.task, self.dataset, each, platform(self.devices)
            choice = choose(*arguments)
            width, reason = (len(share) if choice.width > 1 else 1), choice.reason
        while True:
            programs = self._programs(recipe, share[:chunk], width, exactly=bool(before))
            if before:  # it has fitted then
                break
            programs.compile_after(0, self.watch)
            need = memory.estimate(programs, saving=self.folder is not None)
            if self.told.limit is None or need.total <= self.told.limit:
                self.watch.note(str(need))
                break
            fits = int(chunk * (self.told.limit - need.dataset) / max(1, need.total - need.dataset))
            if self.told.chunk is not None or fits < 1:
                memory.refuse_if_too_large(need, self.told.limit, recipe)
            chunk = self._even(min(fits, chunk - 1), len(share))
        parts = -(-len(share) // chunk)
        self.watch.note(
            f"{len(share)} lanes in {parts} part{'s' * (parts > 1)}, {programs.lanes.width} side by side on each of "
            f"{max(1, len(programs.lanes.devices))} {platform(self.devices)} devices ({reason})"
        )
        return programs, chunk

    def _programs(self, recipe: Recipe, lanes: list[int], width: int, *, exactly: bool = False) -> Programs:
        """For a part of so many lanes, `width` of them (or all of a device) side by side.

        exactly: as many as that, whatever the devices, of which some may get none: the width decides the bits."""
        used = self.devices
        if exactly:
            width = min(width, len(lanes))
            used = used[: -(-len(lanes) // width)] if len(lanes) > width else ()
        devices = max(1, len(used))
        width = min(width, -(-len(lanes) // devices))
        count = len(lanes) + -len(lanes) % (devices * width)
        keys, batched = self._padded(recipe, lanes, count)
        return Programs(keys, batched, self.task, self.dataset, Lanes(count, width, used if len(used) > 1 else ()))

    def _padded(self, recipe: Recipe, lanes: list[int], count: int) -> tuple[Array, Recipe]:
        return self.whole.batch(recipe, lanes + lanes[-1:] * (count - len(lanes)))

    def _refuse_too_large(self, recipe: Recipe) -> None:
        """Raise `O2OError` if not even one lane can fit, before anything is compiled or tried."""
        saving = self.folder is not None
        demand.refuse(self._programs(recipe, [0], 1), self.told.limit, saving=saving)

    def _guess(self, recipe: Recipe, share: list[int]) -> int:
        """Lanes that fit by what lies there between two segments; the compiled programs correct it."""
        if self.told.limit is None:
            return len(share)
        one = self._programs(recipe, share[:1], 1)
        lane = memory.nbytes(one.run_shapes[-1]) / one.lanes.count  # type: ignore[operator]
        free = self.told.limit - memory.nbytes(self.dataset)
        memories = 1 if platform(self.devices) == "cpu" else max(1, len(self.devices))
        return self._even(max(1, memories * int(free / max(lane, 1.0))), len(share))

    def _even(self, most: int, lanes: int) -> int:
        """Lanes of each part, as equal as can be."""
        parts = -(-lanes // min(most, lanes))
        return -(-lanes // parts)

    # -- folders -------------------------------------------------------------------------------------------

    def _claim_folder(self) -> None:
        """The folder of a sweep in parts."""
        assert self.folder is not None
        if jax.process_index() == 0:
            claim(self.folder, self.about | {"parts": True}, resume=self.resume)

    def _part_folder(self) -> Path:
        """The folder of the next part of several."""
        assert self.folder is not None
        of = f"process-{jax.process_index()}-" if jax.process_count() > 1 else ""
        return self.folder / f"{of}part-{self.parts}"

    def _earlier_plan(self) -> dict[str, int]:
        """Width and chunk with which the next part was begun before: another width would give other bits."""
        if not self.resume or self.folder is None:
            return {}
        for folder in (self.folder, self._part_folder()):
            if (folder / "config.json").exists():
                config = load_config(folder)
                if "width" in config:
                    return {name: config[name] for name in ("width", "chunk")}
        return {}

    def _part(self, index: int, recipe: Recipe, programs: Programs, lanes: list[int], chunk: int) -> Result:
        assert programs.lanes.count is not None
        keys, batched = self._padded(recipe, lanes, programs.lanes.count)
        folder, earlier = None, False
        plan = {"width": programs.lanes.width, "chunk": chunk, "program": index, "lanes": lanes}
        about = self.about | plan if self.about else {}
        if self.folder is not None:
            folder = self.folder if self.alone else self._part_folder()
            earlier = claim(folder, about, resume=self.resume)
            if self.resume and not earlier:
                self.watch.note(NOTHING)
        watch = dataclasses.replace(self.watch, before=self.parts * sum(phase.segments for phase in recipe.phases))
        self.parts += 1
        arguments = (programs, keys, batched, self.dataset)
        return drive(*arguments, folder=folder, earlier=earlier, watch=watch, about=about, keep=len(lanes))


def _light(result: Result) -> Result:
    """On the host and without stores: the reason for parts is that not everything fits at once."""
    run = dataclasses.replace(result.run, env=None, obs=None, episodes=None, store=None)
    return jax.device_get(dataclasses.replace(result, run=run))


def _flat(results: list[list[Result]]) -> Result:
    """What one of several processes has, lane after lane."""
    parts = [part for program in results for part in program]
    return parts[0] if len(parts) == 1 else grid.chain(parts)
