"""Experiment trackers: one of their runs for each lane, told who it is before its first row.

A `Sink` gets the rows of all lanes together. A `Tracker` is a sink that takes them apart: every seed of every setting
is a run of its own, with its settings, its name, and environment steps as the x axis.
"""

import abc
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from purejaxo2o.disk.files import write_json
from purejaxo2o.disk.rows import Row, flat, plain
from purejaxo2o.drive.sinks import Csv, Sink
from purejaxo2o.figures.report import setting_text
from purejaxo2o.types import O2OError

BEFORE = "before acting"
"""Heading of figures from before the first environment step: they lie over gradient steps."""


class Lane(NamedTuple):
    """One run of a batch."""

    recipe: str
    task: str
    seed: int
    varied: dict[str, Any]  # the settings that differ from lane to lane, by name
    config: dict[str, Any]  # every setting, dataset, versions

    @property
    def group(self) -> str:
        return f"{self.recipe}/{self.task}"

    @property
    def label(self) -> str:
        """What tells it from the others of its group: `agent.expectile=0.7, seed 3`."""
        return ", ".join([*(setting_text(name, value) for name, value in self.varied.items()), f"seed {self.seed}"])


def lanes_of(about: Mapping[str, Any]) -> list[Lane]:
    """The lanes that a `config.json` describes, in their order. A run whose key has no number is seed 0."""
    numbers = about.get("seeds") or [0]
    fixed = {name: about.get(name) for name in ("recipe", "task", "dataset", "data", "commit", "versions")}

    def lane(seed: int, varied: dict[str, Any]) -> Lane:
        config = fixed | about["settings"] | varied | {"seed": numbers[seed]}
        return Lane(about["recipe"], about["task"], numbers[seed], varied, config)

    if "lanes" not in about:
        return [lane(0, {})]
    over, static = about["over"], [name for name in about["axes"] if name in about["static"]]
    batched = [name for name in about["axes"] if name not in static]
    program = np.unravel_index(about["program"], [len(over[name]) for name in static])
    found = []
    for number in about["lanes"]:
        *at, seed = np.unravel_index(number, [*(len(over[name]) for name in batched), len(numbers)])
        chosen = dict(zip([*static, *batched], [*program, *at], strict=True))
        found.append(lane(int(seed), {name: over[name][chosen[name]] for name in about["axes"]}))
    return found


class Tracker(abc.ABC):
    """A sink with a sink of its own for each lane."""

    def __init__(self) -> None:
        self._lanes: list[Sink] = []

    def begin(self, about: Mapping[str, Any], folder: Path | None, done: int) -> None:
        """The lanes of a run, or of the next part of a sweep, start or go on after `done` segments.

        about: what `config.json` says of them; folder: theirs, None where they have none."""
        self.close()
        self._lanes = self.open(lanes_of(about), folder, done)

    @abc.abstractmethod
    def open(self, lanes: Sequence[Lane], folder: Path | None, done: int) -> list[Sink]:
        """A sink for each lane."""

    def write(self, row: Row) -> None:
        for index, sink in enumerate(self._lanes):
            sink.write(_of_lane(row, index))

    def close(self) -> None:
        lanes, self._lanes = self._lanes, []
        for sink in lanes:
            sink.close()


def _of_lane(row: Row, index: int) -> dict[str, Any]:
    """A row's entries of one lane; what has no axis of lanes is the same for all."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found[name] = _of_lane(value, index)
        else:
            found[name] = np.asarray(value)[index] if np.ndim(value) else value
    return found


class CsvTable(Tracker):
    """`metrics.csv` in the run folder: a line for each segment and lane, which seed and settings it has in front."""

    def open(self, lanes: Sequence[Lane], folder: Path | None, done: int) -> list[Sink]:
        if folder is None:
            raise O2OError("a CSV table lies in the run folder and there is none; give out=")
        file = Csv(folder / "metrics.csv", keep=len(lanes) * (done + 1) if done else 0)
        return [_CsvLane(file, lane) for lane in lanes]


class _CsvLane:
    def __init__(self, file: Csv, lane: Lane) -> None:
        self._file, self._lane = file, lane

    def write(self, row: Row) -> None:
        self._file.write({"seed": self._lane.seed, **plain(self._lane.varied), **row})

    def close(self) -> None:
        self._file.close()


class TensorBoard(Tracker):
    """Event files for TensorBoard, by tensorboardX: `FOLDER/RECIPE-TASK/LANE`, by default below the run folder.

    The step is the environment's; what is written before the first of these stands under "before acting", over
    gradient steps. Raises `O2OError` where tensorboardX is missing."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        try:
            import tensorboardX
        except ImportError as error:
            raise O2OError("TensorBoard needs tensorboardX, not installed; pip install tensorboardX") from error
        self._writer, self._folder = tensorboardX.SummaryWriter, folder

    def open(self, lanes: Sequence[Lane], folder: Path | None, done: int) -> list[Sink]:
        root = Path(self._folder or (folder or Path("runs")) / "tensorboard")
        places = [root / lane.group.replace("/", "-") / lane.label.replace("/", "-") for lane in lanes]
        return [_Events(self._writer(str(p)), lane, new=not done) for p, lane in zip(places, lanes, strict=True)]


class _Events:
    def __init__(self, writer: Any, lane: Lane, *, new: bool) -> None:
        self._writer = writer
        if new:
            writer.add_text("settings", f"```\n{json.dumps(plain(lane.config), indent=1)}\n```")

    def write(self, row: Row) -> None:
        before = not row["env_steps"] and row["grad_steps"]
        at, prefix = (int(row["grad_steps"]), f"{BEFORE}/") if before else (int(row["env_steps"]), "")
        for name, value in flat(row).items():
            if isinstance(value, int | float):
                self._writer.add_scalar(prefix + name, value, at)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB(Tracker):
    """Weights & Biases: a run for each lane, in the group RECIPE/TASK, every setting in its config. Charts lie over
    environment steps, segments are W&B's own steps.

    project: by default $WANDB_PROJECT, else purejaxo2o. settings go to `wandb.init`, `mode="offline"` say.
    A run that is resumed in its folder goes on in the same W&B runs (`wandb.json`).
    Raises `O2OError` where wandb is missing; and at the start of a run, where W&B refuses it."""

    def __init__(self, project: str | None = None, **settings: Any) -> None:
        super().__init__()
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise O2OError("WandB needs the package wandb, not installed; pip install wandb") from error
        project = project or os.environ.get("WANDB_PROJECT") or "purejaxo2o"
        self._wandb, self._settings = wandb, {"project": project, **settings}

    def open(self, lanes: Sequence[Lane], folder: Path | None, done: int) -> list[Sink]:
        identity = _identity(folder)
        opened: list[Sink] = []
        try:
            for index, lane in enumerate(lanes):
                about: dict[str, Any] = {"group": lane.group, "name": lane.label, "config": plain(lane.config)}
                about |= {"reinit": "create_new"}  # side by side in one process
                if folder is not None:
                    about |= {"dir": str(folder), "id": f"{identity}-{index}", "resume": "allow"}
                opened.append(_WandBRun(self._wandb.init(**about | self._settings)))
        except Exception as error:  # whatever W&B may raise: no login, no network
            for run in opened:
                run.close()
            line = " ".join(str(error).split())
            raise O2OError(
                f"W&B does not start ({type(error).__name__}: {line}); log in (wandb login), or set "
                "WANDB_MODE=offline"
            ) from error
        return opened


def _identity(folder: Path | None) -> str:
    """What the W&B runs of a folder are called; kept there, so that a resumed run finds them again."""
    if folder is None:
        return ""
    path = folder / "wandb.json"
    try:
        return str(json.loads(path.read_text())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        identity = secrets.token_hex(4)
        write_json(path, {"id": identity})
        return identity


class _WandBRun:
    def __init__(self, run: Any) -> None:
        self._run = run
        run.define_metric("env_steps")
        run.define_metric("*", step_metric="env_steps")

    def write(self, row: Row) -> None:
        self._run.log(flat(row), step=int(row["segment"]))

    def close(self) -> None:
        self._run.finish()


KINDS: dict[str, type[Tracker]] = {"wandb": WandB, "tensorboard": TensorBoard, "csv": CsvTable}
"""By the name that the command line and study files use."""


def make(names: Sequence[str]) -> list[Tracker]:
    """The trackers called so, each once. Raises `O2OError` for one whose package is missing."""
    return [KINDS[name]() for name in dict.fromkeys(names)]
