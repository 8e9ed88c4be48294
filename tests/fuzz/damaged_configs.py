"""Cases of run folders whose `config.json` is another, sealed again or not."""

from pathlib import Path
from typing import Any

from damage import DOCUMENTS, ODD, RUN, SWAPS, SWEEP, case, cut, flip, gone, instead, put
from forgery import entry, forged, junk

OWN = (
    *("recipe", "task", "keys", "key_impl", "settings", "data", "dataset", "described", "seeds", "identity"),
    *("platform", "versions", "commit"),
)
SWEPT = ("axes", "over", "static", "seeds", "processes", "parts")
PART = ("width", "chunk", "program", "lanes")
NUMBERS = (0, -1, 999, 10**12, 1.5, True, None, "2", [], [99], [0, 0], {})


def _configs() -> None:
    for folder in (RUN, SWEEP):
        for name, content in DOCUMENTS.items():
            case(folder, f"config.json {name}", put("config.json", content))
        for name, make in SWAPS.items():
            case(folder, f"config.json {name}", instead("config.json", make))
        for share in (0.1, 0.9, 0.99):
            case(folder, f"config.json cut to {share:.0%}", cut("config.json", share))
        case(folder, "no config.json", gone("config.json"))
    for key in OWN:
        case(RUN, f"no {key}", entry((key,), ...))
        case(RUN, f"{key} {ODD[1]!r}", entry((key,), ODD[1]))
        case(RUN, f"no {key}, sealed", entry((key,), ..., sealed=key != "identity"))
        for value in ODD:
            _entry(RUN, f"{key} {value!r:.20}", (key,), value)
    settings = ("agent.actor_hidden", "agent.learning_rate", "offline.steps", "offline.segments", "num_envs")
    for key in settings:
        for value in (..., *ODD[::2], [0], 10**9):
            _entry(RUN, f"setting {key} {value!r:.20}", ("settings", key), value)
    for value in (..., *ODD):
        for path in (("recipe",), ("task",), ("env",), ("recipe", "agent"), ("recipe", "phases"), ("task", "env")):
            _entry(RUN, f"described {'.'.join(path)} {value!r:.20}", ("described", *path), value)
    case(RUN, "an unknown setting", entry(("settings", "agent.nothing"), 1, sealed=True))
    case(RUN, "another seed's key", entry(("keys",), [0, 1], sealed=True))
    case(RUN, "another task", entry(("task",), "pointmaze-medium", sealed=True))
    case(RUN, "another recipe", entry(("recipe",), "iql", sealed=True))
    for seed in range(120):
        case(RUN, f"config.json with junk, seed {seed}", junk(seed, sealed=True))
        case(RUN, f"config.json with junk, forged, seed {seed}", forged(junk(seed, sealed=True)), other=True)
        case(SWEEP, f"config.json with junk, seed {seed}", junk(seed, sealed=True))
    for seed in range(12):
        case(RUN, f"config.json with junk, seed {seed}, not sealed", junk(seed))
        case(SWEEP, f"config.json changed bytes, seed {seed}", flip("config.json", seed))
        case(SWEEP, f"part-0 config.json with junk, seed {seed}", junk(seed, "part-0/config.json", sealed=True))
    for key in SWEPT:
        for value in (..., *NUMBERS):
            _entry(SWEEP, f"{key} {value!r:.20}", (key,), value)
    for key in (*SWEPT, *PART):
        for value in (..., *NUMBERS):
            _entry(SWEEP, f"{key} {value!r:.20}", (key,), value, "part-0")


def _entry(folder: str, label: str, path: tuple[str, ...], value: Any, part: str = "") -> None:
    """Twice: the configuration sealed again, and all that belongs to it, too."""
    label = f"{part} {label}".strip()
    spoil = entry(path, value, str(Path(part, "config.json")), sealed=path != ("identity",))
    case(folder, f"{label}, sealed again", spoil)
    if folder == RUN or part:
        case(folder, f"{label}, forged", forged(spoil, part), other=True)


_configs()
