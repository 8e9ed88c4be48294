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
import odd_studies  # noqa: F401  (it adds cases)
import pytest
from bench import Fault
from odd_arguments import CASES, SMALL, TRAIN
from spoiling import NAME, SPACES, rows

from purejaxo2o.cli import main as command_line
from purejaxo2o.cli import terminal
from purejaxo2o.cli.main import main
from purejaxo2o.data import collect, minari

pytestmark = pytest.mark.slow

LONGEST = 500
"""Characters of an error beyond those of the arguments, which it may repeat."""
PYTHON = re.compile(
    r"\b\w+=True|\b(env|reference|limit|dataset|physics|memory_limit|seeds|width|chunk|task|recipe)="
    r"|\b(purejax)?o2o\.|=\(|\w\w\(\w+="
)
"""Remedies that a shell cannot take."""


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

    from purejaxo2o.data import embedded
    from purejaxo2o.drive import programs

    jax.stages.Lowered.compile = _begin  # pyright: ignore[reportAttributeAccessIssue]
    programs.Programs.compile = _begin  # lowering takes a second
    collect.collect = _begin
    embedded.make_dataset = _begin
    command_line.cache_compilations = lambda: None
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
            code = main(argv)
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
CLOSED = "closed pipe"
PROCESSES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "list to a full device": (["list", "envs", "--json"], {"stdout": "/dev/full"}),
    "list without standard output": (["list", "envs"], {"stdout": None}),
    "list to a reader that has left": (["list", "envs", "--json"], {"stdout": CLOSED}),
    "inspect to a full device": (["inspect", NAME], {"stdout": "/dev/full"}),
    "layers of 10**9": (HUGE_LAYERS, {}),
    "no HOME and no passwd entry": (["list", "tasks"], {"homeless": True}),
    "no HOME and no passwd entry, datasets": (["list", "datasets"], {"homeless": True}),
}
HOMELESS = """
import pwd, sys
def nobody(uid): raise KeyError(uid)
pwd.getpwuid = nobody
from purejaxo2o.cli.main import main
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
            stdout=write if stdout == CLOSED else target,
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
        right = (terminal.PIPE_CLOSED,) if options.get("stdout") == CLOSED else (0, 2, 130)
        if code not in right or "Traceback" in err or "Exception ignored" in err:
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
