"""Command lines made of values that no option was made for."""

from typing import Any

from odd_words import DATASETS, DIGITS, FOLDERS, LONG, NUMBERS, PATHS, REALS, SETTINGS, VALUES, WORDS
from spoiling import NAME

__all__ = ["CASES", "DIGITS", "NUMERIC", "OVER", "SMALL", "TRAIN", "case"]

NUMERIC = ("agent.learning_rate", "reward_scale", "reward_bias", "offline.offline_ratio")
"""Two hundred values of each are a grid of more than 10**9."""
TRAIN = ["train", "bc", "reach", "--scale", "small", "--dataset", NAME, "--seeds", "1"]
SWEEP = ["sweep", "bc", "reach", "--scale", "small", "--dataset", NAME, "--seeds", "1"]
SMALL = ["--set", "offline.steps=40", "offline.segments=4"]
OVER = ["--over", "agent.learning_rate=1e-3,1e-4"]
COLLECT = ["collect", "toy/reach", "--id", "me/new-v0"]

CASES: dict[str, Any] = {}
"""Label: the arguments, or `(arguments, name of a file, its text)`."""


def case(argv: list[str], *file: Any) -> None:
    label = " ".join(x if len(x) < 40 else f"{x[:20]}...[{len(x)}]" for x in argv)
    label = repr(label)[1:-1] + (f"  # {file[0]}: {file[1][:60]!r} [{len(file[1])}]" if file else "")
    while label in CASES:
        label += " again"
    CASES[label] = (argv, *file)


def _options() -> None:
    """Every option with odd values."""
    for base, flags in (
        (TRAIN, ("seeds", "seed0", "save-every", "width", "chunk")),
        (SWEEP + OVER, ("width", "chunk")),
    ):
        for flag in flags:
            for value in NUMBERS:
                case([*base, f"--{flag}", value] if flag != "seeds" else [*base[:-1], value])
    for value in NUMBERS:
        case([*COLLECT, "--steps", value])
        case([*COLLECT, "--num-envs", value])
        case([*COLLECT, "--seed", value])
    for value in REALS:
        case([*COLLECT, "--noise", value])
    for value in PATHS:
        case([*TRAIN, "--out", value])
        case([*SWEEP, *OVER, "--out", value])
        case(["inspect", NAME, "--out", value])
        case(["report", "EMPTY", "--out", value])
    for value in FOLDERS:
        for command in ("evaluate", "report", "render"):
            case([command, value])
        case([*COLLECT, "--policy", value])
        case([*TRAIN, "--out", value, "--resume"])
    for value in WORDS:
        case(["train", value, "reach"])
        case(["train", "bc", value])
        case(["sweep", value, "reach", *OVER])
        case(["sweep", value])
        case(["collect", value, "--id", "me/new-v0"])
        case([value])
        case(["list", value])
        case([*TRAIN, "--scale", value])
    for value in DATASETS:
        case([*TRAIN[:5], "--dataset", value])
        case(["inspect", value])
        case(["inspect", NAME, "--coverage-of", value])
        case(["collect", "toy/reach", "--id", value, "--steps", "100"])
        case(["train", "bc", value])


def _settings() -> None:
    for name in SETTINGS:
        for value in VALUES if name in ("agent.learning_rate", "agent.hidden") else VALUES[::4]:
            case([*TRAIN, "--set", f"{name}={value}"])
            case([*SWEEP, "--over", f"{name}={value}"])
    for text in (
        "",
        "=",
        "a",
        "a=",
        "=1",
        "agent=1",
        "agent.=1",
        ".=1",
        "agent..x=1",
        "agent.lr=1e-3",
        "name=x",
        "phases=()",
    ):
        case([*TRAIN, "--set", text])
        case([*SWEEP, "--over", text])
    for text in (
        "__class__=1",
        "agent.__init__=1",
        "offline.agent=1",
        "offline.agent.x=1",
        "phase.=1",
        f"{LONG}=1",
    ):
        case([*TRAIN, "--set", text])
    for text in (
        *("offline.agent.learning_rate=1", "offline.agent.hidden=(8,)", "offline.agent.learning_rate=nan"),
        *("offline.mix=online", "offline.mix=prioritised", "offline.feed=rollout"),
        *("offline.act=random", "offline.updates=0", "offline.history=2", "offline.steps=41", "offline.nothing=1"),
        *("agent.nothing=1", "nothing=1", "offline=1", "agent=1", "batch_size=1", "agent.batch_size=1"),
    ):
        case([*TRAIN, "--set", text])
        case([*SWEEP, "--over", text])
    same = ["offline.updates=1", "phase.offline.updates=2"]
    case([*TRAIN, "--set", *same])
    case([*SWEEP, "--over", *same])
    case([*TRAIN, "--set", "agent.learning_rate=1", "agent.learning_rate=2"])
    case([*SWEEP, *OVER, "--set", "agent.learning_rate=1e-3"])
    case([*SWEEP, "--over", "agent.learning_rate=" + ",".join(f"{i}e-9" for i in range(1, 300))])
    case([*SWEEP, "--over", *(f"{name}=" + ",".join(map(str, range(1, 201))) for name in NUMERIC)])


def _contradictions() -> None:
    for extra in (
        ["--resume"],
        ["--overwrite"],
        ["--width", "0"],
        ["--dataset", "x.hdf5"],
        ["--over", "agent.learning_rate=1"],
        ["--episodes", "5"],
        ["--seeds"],
        ["--set"],
        ["--json", "--json"],
        ["extra"],
        ["--no-such-flag"],
        ["--help"],
    ):
        case([*TRAIN, *extra])
        case([*SWEEP, *extra])
        case([*COLLECT, *extra])
    case([])
    for words in (["settings"], ["settings", "bc"], ["settings", "nobody"], ["settings", ""], ["tasks", "bc"]):
        case(["list", *words])
    for flags in (
        ["--reference", "1", "0"],
        ["--reference", "nan", "1"],
        ["--limit", "0"],
        ["--limit", "5"],
        ["--clip"],
    ):
        case([*TRAIN, *flags])
        case([*SWEEP, *OVER, *flags])
        case(["train", "bc", "mjx/Hopper-v5", *flags])
        case(["evaluate", "EMPTY", *flags])
    case(["--version"])
    case(["--help"])
    case(["sac", "reach"])
    case(["train", "sac", "reach", "--dataset", NAME])
    case(["train", "sac", "cartpole", "--scale", "small"])
    case(["train", "dqn", "reach", "--scale", "small"])
    case(["train", "bc", "pendulum"])
    case(["train", "bc", "gymnax/Pendulum-v1"])
    case(["train", "bc", "host/Nothing-v0"])
    case(["train", "bc", "host/os:system"])
    case(["sweep", "bc", "reach"])
    case(["sweep", "bc"])
    case(["report"])
    case(["report", "EMPTY", "EMPTY"])
    case([*COLLECT, "--policy", "waypoint"])
    case([*COLLECT, "--policy", "medium", "--noise", "1"])
    case([*COLLECT, "--policy", "all", "--set", "agent.lr=1"])
    case([*COLLECT, "--policy", "nobody"])
    case(["collect", "toy/reach"])
    case(["collect", "toy/reach", "--id", NAME])
    case(["collect", "host/Nothing-v0", "--id", "me/new-v0"])
    case(["collect", "gymnax/Nothing-v0", "--id", "me/new-v0"])
    case(["collect", "mjx/Nothing-v0", "--id", "me/new-v0"])
    case(["collect", "toy/continuous-lock", "--id", "me/new-v0", "--policy", "expert"])
    for steps in ("0", "-1", DIGITS, "1000000000000"):
        case(["collect", "purejaxo2o/combination-lock/epsilon-greedy-v0", "--steps", steps])
    for episodes in NUMBERS:
        case(["evaluate", "EMPTY", "--episodes", episodes])
        case(["render", "EMPTY", "--episodes", episodes, "--lane", episodes])


_options()
_settings()
_contradictions()
