"""Who is told how runs go on: a meter, sinks, and the wall time that they took."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from purejaxo2o.drive.progress import Meter, Progress
from purejaxo2o.drive.sinks import Sink
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.task import Task

Each = Callable[[int, Run], None]
NOTHING = "nothing to resume from; starting at the beginning"


@dataclass
class Timing:
    """Wall seconds of a driven run."""

    compile: float = 0.0
    run: float = 0.0
    save: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Watch:
    """Who is told how runs go on, and how often they are saved."""

    sinks: tuple[Sink, ...] = ()
    meter: Meter | None = None
    save_every: int | None = None
    timing: Timing = field(default_factory=Timing)
    before: int = 0  # segments of earlier parts
    each: Each | None = None

    def note(self, text: str) -> None:
        """Say one line, where there is a meter to say it."""
        if self.meter and text:
            self.meter.note(text)


@contextlib.contextmanager
def watched(
    recipe: Recipe,
    task: Task,
    sinks: Sequence[Sink],
    progress: bool | Meter,
    save_every: int | None,
    *,
    timing: Timing | None = None,
    programs: int = 1,
    notes: Sequence[str] = (),
) -> Iterator[Watch]:
    """Sinks and meter, started for runs of so many programs and closed at the end, each whatever the others do.

    notes: what is to be said first."""
    meter = (Progress() if progress else None) if isinstance(progress, bool) else progress
    with contextlib.ExitStack() as closing:
        if meter:
            meter.start(programs * sum(phase.segments for phase in recipe.phases), f"{recipe.name} · {task.name}")
            closing.callback(meter.close)
        for sink in sinks:
            closing.callback(sink.close)
        watch = Watch(tuple(sinks), meter, save_every, timing or Timing())
        for note in notes:
            watch.note(note)
        yield watch
