"""What all fuzzers share: cases that run one by one in a child process, and one list of everything that failed.

A fuzzer is a module with `CASES`, a dictionary of labels, and `attempt(label, folder)`, which tries one case in an
empty folder and returns what is wrong with the outcome, a `Fault` each; `prepare()`, where there is one, is called
first. The child may crash, hang or ask for too much memory: that is a fault of the case, and another child goes on
with the next one.
"""

import contextlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from purejaxo2o.types import O2OError

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "purejaxo2o"
LONGEST = 600
"""Characters that an error may have."""
MEMORY = 3 << 30
"""Bytes of address space that a case may ask for beyond what the child has."""
SECONDS, WAIT = 10, 25
"""Of computing and of waiting that a case may take; a child that does not stop by itself is killed soon after."""


class Fault(NamedTuple):
    """kind: equal for faults of one cause, such as the exception and where it came from. detail: what came out."""

    kind: str
    detail: str


class TooLong(BaseException):
    """The time of a case is over."""


def ends(text: str) -> str:
    """First and last line of a text, cut to a readable length."""
    lines = [line for line in text.strip().splitlines() if line.strip()] or [""]
    shown = lines[:1] if len(lines) == 1 else [lines[0], lines[-1]]
    return " ... ".join(line if len(line) <= 300 else f"{line[:200]} [{len(line)} characters]" for line in shown)


def crash(error: BaseException) -> Fault:
    """The fault of an exception that should not have come out, with the place in the package where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    place = f"{Path(ours[-1].filename).relative_to(PACKAGE.parent)}:{ours[-1].lineno}" if ours else "outside"
    return Fault(f"{type(error).__name__} at {place}", ends(str(error)))


def refusal(error: O2OError, naming: Iterable[str]) -> list[Fault]:
    """What is wrong with the text of a refusal: one line, not too long, and one of `naming` in it."""
    text, names = str(error), list(naming)
    place = crash(error).kind.rpartition(" at ")[2]
    found = []
    if len(text.splitlines()) != 1:
        found.append(Fault(f"refusal of {len(text.splitlines())} lines, {place}", ends(text)))
    if len(text) >= LONGEST:
        found.append(Fault(f"refusal of more than {LONGEST} characters, {place}", ends(text)))
    if names and not any(name in text for name in names):
        found.append(Fault(f"refusal that does not name what is wrong, {place}", ends(text)))
    return found


def outcome(call: Callable[[], Any], naming: Iterable[str] = ()) -> tuple[Any, list[Fault], bool]:
    """What a call returns (None if it raises), what is wrong with how it ended, and whether it was refused."""
    try:
        return call(), [], False
    except O2OError as error:
        return None, refusal(error, naming), True
    except Exception as error:
        return None, [crash(error)], False


def contents(folder: Path) -> dict[str, Any]:
    """Every entry below a folder, regular files with their bytes; nothing is opened that could block."""
    found: dict[str, Any] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            regular = path.is_file() and not path.is_symlink()
            found[str(path.relative_to(folder))] = path.read_bytes() if regular else path.lstat().st_mode
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names that are new, gone or different."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def chosen(cases: Iterable[str], count: int) -> list[str]:
    """`count` of the labels, always the same ones; all of them where the environment sets `PUREJAXO2O_FUZZ_ALL`."""
    labels = list(cases)
    if os.environ.get("PUREJAXO2O_FUZZ_ALL") or len(labels) <= count:
        return labels
    return sorted(random.Random(0).sample(labels, count), key=labels.index)


# -- the parent ------------------------------------------------------------------------------------------------


def failures(module: str, labels: Iterable[str], **environment: str) -> list[tuple[str, Fault]]:
    """Every fault of every case of a fuzzer, by label; `environment` is added to the child's."""
    todo, found = list(labels), []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.jsonl")
        while todo:
            Path(folder, "todo.json").write_text(json.dumps(todo))
            report.write_text("")
            ended = _child(module, Path(folder), environment)
            lines = [json.loads(line) for line in report.read_text().splitlines()]
            for line in lines:
                found += [(line["label"], Fault(*fault)) for fault in line.get("faults", ())]
            begun, done = ([line["label"] for line in lines if (name in line)] for name in ("begun", "faults"))
            if not begun:
                raise RuntimeError(f"the child of {module} did not begin: {ended}")
            if begun[-1] not in done:  # it took the child down
                found.append((begun[-1], Fault("the process dies or hangs", ended)))
                done.append(begun[-1])
            todo = todo[len(done) :]
    return found


def _child(module: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a child until it has done all, dies or stands still; how it ended."""
    report, said = folder / "report.jsonl", folder / "said"
    path = os.pathsep.join([str(PACKAGE.parent), str(HERE), str(HERE.parent)])
    extra = {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "MPLBACKEND": "Agg", **environment}
    with said.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys, bench; bench.main(*sys.argv[1:])", module, str(folder)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | extra,
        )
        size, since = -1, time.monotonic()
        while child.poll() is None:
            time.sleep(0.05)
            if report.stat().st_size != size:
                size, since = report.stat().st_size, time.monotonic()
            # Importing JAX and compiling for the first case takes its time.
            if time.monotonic() - since > (2 if size > 0 else 5) * WAIT:
                child.kill()
                child.wait()
                return f"killed after {2 * WAIT} s without an answer"
    return f"exit code {child.returncode}: {ends(said.read_text(errors='replace'))}"


def listed(found: list[tuple[str, Fault]], cases: int) -> str:
    """All faults, kind by kind, with every input: what an assertion says."""
    kinds: dict[str, list[str]] = {}
    for label, fault in found:
        kinds.setdefault(fault.kind, []).append(f"      {label}: {fault.detail}")
    lines = [f"{len({label for label, _ in found})} of {cases} cases fail in {len(kinds)} ways"]
    for kind, inputs in sorted(kinds.items(), key=lambda entry: -len(entry[1])):
        lines += [f"  {len(inputs)} x {kind}", *inputs]
    return "\n".join(lines)


# -- the child -------------------------------------------------------------------------------------------------


def _over(*_: Any) -> None:
    raise TooLong


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Seconds and address space of one case."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    timers = ((signal.SIGALRM, signal.ITIMER_REAL, WAIT), (signal.SIGPROF, signal.ITIMER_PROF, SECONDS))
    for number, timer, seconds in timers:
        signal.signal(number, _over)
        signal.setitimer(timer, seconds)
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def one(fuzzer: Any, label: str) -> list[Fault]:
    """The faults of one case, in a folder of its own."""
    folder, home = Path(tempfile.mkdtemp(prefix="case-")).resolve(), Path.cwd()
    os.chdir(folder)
    try:
        with limited():
            return list(fuzzer.attempt(label, folder))
    except TooLong as error:
        return [Fault(f"takes too long, {crash(error).kind.rpartition(' at ')[2]}", "")]
    except Exception as error:
        return [Fault(f"the fuzzer itself: {traceback.format_exc().splitlines()[-3].strip()}", ends(repr(error)))]
    finally:
        os.chdir(home)
        shutil.rmtree(folder, ignore_errors=True)


def main(module: str, folder: str) -> None:
    fuzzer = importlib.import_module(module)
    getattr(fuzzer, "prepare", lambda: None)()  # what is made once is not a case's time
    with Path(folder, "report.jsonl").open("a") as report:

        def say(**line: Any) -> None:
            report.write(json.dumps(line) + "\n")
            report.flush()

        for label in json.loads(Path(folder, "todo.json").read_text()):
            say(label=label, begun=True)
            began = time.perf_counter()
            faults = one(fuzzer, label)
            say(label=label, faults=faults, seconds=round(time.perf_counter() - began, 3))
