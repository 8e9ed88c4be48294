"""What `beside` compares: sizes, recordings, and what a method is made of (`beside_settings.py` has them all)."""

import dataclasses
from typing import Any

MARGIN = 10.0
"""Points of normalised score; `beside` says why. Fixed before the first run."""
UPDATES = 30_000
SIZE = 64
"""Width of both hidden layers, and rows of a minibatch."""
SEEDS = 6
SEGMENTS = 10
LAST = 3
"""Checkpoints that count: at 80, 90 and 100% of the updates."""
HOPPER = (-20.27, 3234.3)
"""Returns that score 0 and 100 (D4RL)."""
PENDULUM = (-1200.0, -150.0)


@dataclasses.dataclass(frozen=True)
class Same:
    """One setting. theirs, ours: its names (several, if it has several; none, if it is fixed there)."""

    value: Any
    theirs: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, str]:
        """For a table: theirs, ours."""
        return ", ".join(self.theirs) or "fixed", ", ".join(self.ours) or "fixed"


@dataclasses.dataclass(frozen=True)
class Online:
    """Learning without data. warmup: steps of random actions; rollout: steps of each environment, on-policy."""

    steps: int
    warmup: int = 0
    num_envs: int = 1
    rollout: int = 0


@dataclasses.dataclass(frozen=True)
class Case:
    """A method. theirs: the library and its class; agent: our class; settings: all of both; differs: what stays."""

    theirs: str
    algorithm: str
    agent: str
    settings: tuple[Same, ...]
    differs: tuple[str, ...] = ()
    layer_norm: bool = False
    log_std: float = 0.0
    extras: dict[str, Any] = dataclasses.field(default_factory=dict)  # what their script is told besides
    online: Online | None = None


@dataclasses.dataclass(frozen=True)
class Recording:
    """Offline data. env: where it was made and both are judged; low, high: returns that score 0 and 100."""

    dataset: str
    env: str
    low: float
    high: float


RECORDINGS = {
    "hopper-medium": Recording("sbx/hopper/medium-v0", "Hopper-v5", *HOPPER),
    "hopper-medium-replay": Recording("sbx/hopper/medium-replay-v0", "Hopper-v5", *HOPPER),
    "pendulum": Recording("", "Pendulum-v1", *PENDULUM),
}
ONLINE = Recording("", "Pendulum-v1", *PENDULUM)
"""Of methods without data."""


def theirs(case: Case) -> dict[str, Any]:
    """Their settings by name."""
    return {name: same.value for same in case.settings for name in same.theirs}


def ours(case: Case) -> dict[str, Any]:
    """Our agent's settings by name."""
    return {name: same.value for same in case.settings for name in same.ours}
