"""Command lines that nobody should write: refused in one line with a shell's remedy, or accepted; no traceback.

A case is one command in an empty folder with a small dataset. What passes every check would train, which is stopped
where the first program would be compiled or the first row recorded: that counts as accepted. After a refusal the
folder is as it was.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import bench
import pytest
from bench import Fault
from spoiling import SPACES, rows

from purejaxo2o import cli
from purejaxo2o.data import collect, minari

pytestmark = pytest.mark.slow

NAME = "test/reach-v0"
LONGEST = 1_000
"""Characters of an error beyond those of the arguments, which it may repeat."""
DIGITS = "9" * 400
LONG = "x" * 300
PYTHON = re.compile(
    r"\b(overwrite|clip|resume)=True|\b(env|reference|limit|dataset|physics|memory_limit)=|\bo2o\.|=\("
)
"""Remedies that a shell cannot take."""

NUMBERS = (
    *(
        "0",
        "-1",
        DIGITS,
        "-" + DIGITS,
        "1e3",
        "1.5",
        "nan",
        "inf",
        "",
        " ",
        "abc",
        "1_0",
        "٣",
        "0x10",
        "100000000000",
    ),
    *("2147483648", "4294967296", "9223372036854775808", "True", "None", "1,2", "--", "\uff11"),
)
REALS = (*NUMBERS, "1e308", "1e400", "-1e-300", "-inf")
PATHS = (
    "FILE",
    "FILE/x",
    "/dev/null",
    "/dev/null/x",
    "/proc/x",
    LONG,
    f"{LONG}/{LONG}",
    "a\0b",
    "",
    "\ud800",
    "a\nb",
    "..",
)
FOLDERS = (
    "nowhere",
    "EMPTY",
    "FILE",
    "FILE/x",
    "/dev/null",
    LONG,
    "a\0b",
    "",
    "\ud800",
    "a\nb",
    "-",
    "~",
    "ü",
    "*",
    ".",
)
WORDS = (
    "nothing",
    "",
    " ",
    LONG,
    "a\0b",
    "\ud800",
    "a\nb",
    "ü",
    "../x",
    "/",
    "-1",
    DIGITS,
    "IQL",
    "None",
    "os:system",
    "{}",
)
DATASETS = (
    *(
        "nothing/here-v0",
        "test/reach-v0/",
        "/etc/passwd",
        "FILE",
        "x.hdf5",
        "FILE.hdf5",
        "EMPTY",
        "a/../../b-v0",
        "x-v0\n",
    ),
    *(
        LONG + "-v0",
        LONG + ".hdf5",
        "a\0b-v0",
        "",
        ".",
        "/",
        "test",
        "test/reach",
        "test/reach-v1",
        "\ud800-v0",
        "DIR.hdf5",
    ),
)
VALUES = (
    *(
        "nan",
        "inf",
        "1e999",
        "-1",
        "0",
        "1e308",
        DIGITS,
        "True",
        "None",
        "abc",
        "''",
        "()",
        "[]",
        "(1,",
        "{}",
        "{[]: 1}",
    ),
    *(
        "(0,)",
        "(-1,)",
        "(True,)",
        "('a',)",
        "(8.5,)",
        "(None,)",
        "(8,(8,))",
        "1j",
        "b'x'",
        "...",
        "(" * 5_000,
        "-" * 5_000,
    ),
    *(
        "[" * 300 + "]" * 300,
        "0" * 5_000,
        "1e-400",
        "'" + LONG + "'",
        "\ud800",
        "a\0b",
        "1,2",
        "(1000000000,1000000000)",
    ),
)
SETTINGS = (
    *(
        "agent.learning_rate",
        "agent.hidden",
        "offline.steps",
        "offline.batch_size",
        "offline.segments",
        "reward_scale",
    ),
    *("agent.discount", "num_envs", "eval_episodes", "store_rows", "offline.offline_fraction", "offline.mix"),
)
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
        "offline.override=1",
        "offline.override.x=1",
        "phase.=1",
        f"{LONG}=1",
    ):
        case([*TRAIN, "--set", text])
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


GOOD = 'recipes = ["bc"]\ntasks = ["reach"]\ndataset = "test/reach-v0"\nscale = "small"\nseeds = 1\n'
STUDIES = (
    *(
        "",
        "[",
        "recipes",
        "recipes = 1",
        'recipes = "bc"',
        "recipes = []\ntasks = []",
        'recipes = ["bc"]',
        "\0",
        "\ufeffa = 1",
    ),
    *(
        "a = " + "[" * 3_000,
        "a = " + "{b=" * 3_000,
        "[" + "a." * 5_000 + "a]",
        "a.b.c.d = 1\na.b = 2",
        "seeds = " + DIGITS,
    ),
    *(
        GOOD + line
        for line in ("seeds = 2", "seed0 = -1", "seed0 = 2147483648", "nonsense = 1", "out = 5", 'out = ""')
    ),
    *(
        GOOD.replace("seeds = 1", f"seeds = {x}")
        for x in ("0", "-1", "1.5", "true", '"1"', "nan", "100000000000", "[1, 2]")
    ),
    *(GOOD + f"[set]\n{line}" for line in ("agent.lr = 1", "agent.learning_rate = nan", "agent.learning_rate = inf")),
    *(
        GOOD + f"[set]\n{line}"
        for line in ("reward_scale = nan", "reward_bias = 1e308", "agent = 1", "agent.hidden = [[8]]")
    ),
    *(
        GOOD + f"[set]\nagent.hidden = {x}"
        for x in ("[]", "[0]", "[1.5]", "[true]", '["a"]', "[1979-05-27]", '"x"', "{}")
    ),
    *(
        GOOD + f"[set]\noffline.steps = {x}"
        for x in ("0", "-1", "1.5", "true", '"1"', "nan", "[40]", "1979-05-27", DIGITS[:18])
    ),
    *(
        GOOD + f"[over]\nagent.learning_rate = {x}"
        for x in ("1", "[]", "[nan]", "[true]", '["a"]', "[1, 1]", "[[1]]", "[1e308]")
    ),
    *(
        GOOD + f"[over]\n{x}"
        for x in ("agent.hidden = [[8], [0]]", "agent.hidden = [[8], 8]", "offline.mix = ['x']", "x = [1]")
    ),
    GOOD + "[over]\n" + "\n".join(f"{name} = {list(range(1, 201))}" for name in NUMERIC),
    *(
        GOOD + line
        for line in ("[recipe]\nbc = 1", "[recipe.iql.set]\na = 1", "[recipe.bc]\nx = 1", "[recipe.bc.set]\na = 1")
    ),
    *(
        GOOD + "[set]\noffline.updates = 1\nphase.offline.updates = 2",
        GOOD + "[set]\nreward_scale = 2\n[over]\nreward_scale = [1, 2]",
    ),
    *(
        GOOD.replace('"reach"', x)
        for x in ('"nothing"', '"a/b"', '""', "5", '"reach", "reach"', '"../x"', '"a\\u0000b"')
    ),
    *(GOOD.replace('"bc"', x) for x in ('"nothing"', '""', "5", '"bc", "bc"', '"../bc"')),
    *(GOOD.replace('"test/reach-v0"', x) for x in ('"nothing-v0"', "5", "{reach = 5}", '{nobody = "x"}', '"x.hdf5"')),
    *(GOOD.replace('"small"', x) for x in ('"medium"', "5", "true")),
)
SCRIPTS = (
    "study = 5",
    "raise ValueError('two\\nlines')",
    "import nothing_like_this",
    "x = (",
    "",
    "\0",
    "raise SystemExit(3)",
    "raise KeyboardInterrupt",
    "def f(): f()\nf()",
    "import purejaxo2o as o2o\nstudy = o2o.Study(recipes=['nothing'], tasks=['reach'])",
    "import purejaxo2o as o2o\nstudy = o2o.Study(recipes=[5], tasks=[None], seeds='1')",
    "import purejaxo2o as o2o\nstudy = o2o.Study(recipe={}, tasks=['reach'])",
)


def _studies() -> None:
    for text in STUDIES:
        case(["sweep", "study.toml"], "study.toml", text)
    for text in SCRIPTS:
        case(["sweep", "study.py"], "study.py", text)
    for argv in (
        ["sweep", "FILE.toml"],
        ["sweep", "DIR.toml"],
        ["sweep", "/dev/zero/x.toml"],
        ["sweep", "study.toml", "reach"],
    ):
        case(argv)
    for flags in (
        ["--seeds", "0"],
        ["--seeds", DIGITS],
        ["--out", "FILE/x"],
        ["--out", "a\0b"],
        ["--width", "1"],
        [*OVER],
    ):
        case(["sweep", "study.toml", *flags], "study.toml", GOOD)


_options()
_settings()
_contradictions()
_studies()


# -- one case --------------------------------------------------------------------------------------------------


class Accepted(BaseException):
    """Every check was passed: the work would begin."""


def _begin(*_: Any, **__: Any) -> Any:
    raise Accepted


_READY: list[Any] = []


def ready() -> None:
    """Work is stopped where it would begin; nothing is kept from one case to the next."""
    if _READY:
        return
    import jax

    from purejaxo2o import programs
    from purejaxo2o.data import embedded

    jax.stages.Lowered.compile = _begin  # pyright: ignore[reportAttributeAccessIssue]
    programs.Programs.compile = _begin  # lowering takes a second
    collect.collect = _begin
    embedded.make_dataset = _begin
    cli.cache_compilations = lambda: None
    _READY.append(True)


def fill(folder: Path) -> None:
    """What the arguments name: a file, an empty folder, a dataset."""
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "datasets")
    minari.export(rows(), NAME, spaces=SPACES, algorithm_name="test", description="a test", provenance={})
    for name in ("FILE", "FILE.hdf5"):
        (folder / name).write_text("a file")
    (folder / "FILE.toml").write_bytes(b"\xff\xfe")
    for name in ("EMPTY", "DIR.hdf5", "DIR.toml"):
        (folder / name).mkdir()


def run(argv: list[str]) -> tuple[Any, str, str, list[Fault]]:
    """Exit code ("accepted" where work would begin), both outputs, and what is wrong with how it ended."""
    out, err = io.StringIO(), io.StringIO()
    code, faults = None, []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(argv)
        except Accepted:
            code = "accepted"
        except SystemExit as error:
            code = ("parsed", error.code)
        except Exception as error:
            faults = [bench.crash(error)]
    return code, out.getvalue(), err.getvalue(), faults


def attempt(label: str, folder: Path) -> list[Fault]:
    argv, *file = CASES[label]
    ready()
    fill(folder)
    if file:
        Path(folder, file[0]).write_text(file[1])
    before = bench.contents(folder)
    code, _, err, faults = run(argv)
    if faults:
        return faults + leftovers(before, folder)
    if code == "accepted":
        return []
    if isinstance(code, tuple):  # the arguments do not parse: usage in a frame
        wrong = code[1] not in (0, 2) or "Traceback" in err
        return [Fault(f"exit code {code[1]} of the parser", bench.ends(err))] if wrong else leftovers(before, folder)
    if code not in (0, 2, 130):
        faults.append(Fault(f"exit code {code}", bench.ends(err)))
    if "Traceback" in err:
        faults.append(Fault("traceback", bench.ends(err)))
    if code == 2:
        faults += text_faults(err, argv, str(file)) + leftovers(before, folder)
    return faults


def text_faults(err: str, argv: list[str], file: str) -> list[Fault]:
    """What is wrong with the text of an error."""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    if len(errors) != 1 or err.splitlines()[-1] != errors[0]:
        return [Fault("an error of not one line", bench.ends(err))]
    found, given = [], " ".join(argv) + file
    if len(errors[0]) > LONGEST:
        found.append(Fault(f"an error of more than {LONGEST} characters", bench.ends(err)))
    python = {match[0] for match in PYTHON.finditer(errors[0])}
    if (
        any(word not in given for word in python) and "study.py" not in given
    ):  # a study in Python may be told of Python
        found.append(Fault(f"a remedy for Python: {', '.join(sorted(python))}", bench.ends(err)))
    return found


def leftovers(before: dict[str, Any], folder: Path) -> list[Fault]:
    written = bench.changed(before, bench.contents(folder))
    return [Fault("something stays on disk after a refusal", ", ".join(written)[:300])] if written else []


# -- whole processes -------------------------------------------------------------------------------------------

HUGE_LAYERS = [*TRAIN, *SMALL, "--set", "agent.actor_hidden=(1000000000,1000000000)"]
PROCESSES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "list to a full device": (["list", "envs", "--json"], {"stdout": "/dev/full"}),
    "list without standard output": (["list", "envs"], {"stdout": None}),
    "list to a reader that has left": (["list", "envs", "--json"], {"stdout": "closed pipe"}),
    "inspect to a full device": (["inspect", NAME], {"stdout": "/dev/full"}),
    "layers of 10**9": (HUGE_LAYERS, {}),
    "no HOME and no passwd entry": (["list", "tasks"], {"homeless": True}),
    "no HOME and no passwd entry, datasets": (["list", "datasets"], {"homeless": True}),
}
HOMELESS = """
import pwd, sys
def nobody(uid): raise KeyError(uid)
pwd.getpwuid = nobody
from purejaxo2o.cli import main
sys.exit(main())
"""
"""The command line for a user whom the system does not know."""


def process(argv: list[str], options: dict[str, Any], folder: Path) -> tuple[int, str]:
    """Exit code and standard error of the command as a process of its own."""
    homeless = "homeless" in options
    environment = {name: value for name, value in os.environ.items() if not homeless or name != "HOME"}
    read, write = os.pipe()
    os.close(read)
    stdout = options.get("stdout", "/dev/null")
    command = [sys.executable, *(["-c", HOMELESS] if homeless else ["-m", "purejaxo2o"]), *argv]
    if stdout is None:  # a shell's `>&-`
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    with open("/dev/full" if stdout == "/dev/full" else "/dev/null", "w") as target:
        done = subprocess.run(
            command,
            stdout=write if stdout == "closed pipe" else target,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            timeout=120,
            check=False,
        )
    os.close(write)
    return done.returncode, done.stderr.decode(errors="replace")


def processes(folder: Path) -> list[tuple[str, Fault]]:
    found = []
    for label, (argv, options) in PROCESSES.items():
        code, err = process(argv, options, folder)
        if code not in (0, 1, 2, 130) or "Traceback" in err or "Exception ignored" in err:
            found.append((label, Fault(f"a process ends with {code}", bench.ends(err))))
    return found


def test_every_command_line_is_taken_or_refused_in_one_line(tmp_path, monkeypatch):
    labels = bench.chosen(CASES, 300)
    assert len(labels) >= 200
    found = bench.failures("test_command_lines", labels)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    fill(tmp_path)
    found += processes(tmp_path)
    assert not found, bench.listed(found, len(labels) + len(PROCESSES))
