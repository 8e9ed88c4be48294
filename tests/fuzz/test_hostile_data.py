"""Datasets that were damaged, or made to do harm: honest rows or one line, no code run, nothing written.

A case spoils a small good dataset, Minari's or D4RL's. Then it is loaded, described, listed, inspected and taken for
a task. Rows that come out must be those of the good one wherever the damage has no right to change them. The code
that some of the files name would leave a marker; nobody may ask for much more memory than the file has bytes.
"""

import contextlib
import io
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import bench
import h5py
import jax
import numpy as np
import pytest
from bench import Fault
from hostile_hdf5 import STREAM, stream
from hostile_metadata import MODULE
from spoiling import CASES, MARKER, NAME, OTHER, REFUSED, ROWS, SAME, SPACES, rows

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.data import checks, minari, sources
from purejaxo2o.types import Space, Spaces

pytestmark = pytest.mark.slow

MOST = 64 << 20
"""Bytes that one call may allocate: the good files have less than a hundred kilobytes."""


def make(folder: Path) -> Path:
    """Two good Minari datasets and a good D4RL file below `folder/root`, made once for a child."""
    root = folder / "root"
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    for name in (NAME, OTHER):
        minari.export(rows(), name, spaces=SPACES, algorithm_name="test", description="a test", provenance={})
    with h5py.File(root / STREAM, "w") as opened:
        for name, value in stream().items():
            opened[name] = value
    return root


def template() -> Path:
    """The good root, in a folder that is left to the system to clear."""
    if "made" not in _TEMPLATE:
        import tempfile

        _KEEP.append(tempfile.TemporaryDirectory())
        _TEMPLATE["made"] = make(Path(_KEEP[-1].name))
        tracemalloc.start()
    return _TEMPLATE["made"]


_TEMPLATE: dict[str, Path] = {}
_KEEP: list[Any] = []


def prepare() -> None:
    template()


def attempt(label: str, folder: Path) -> list[Fault]:
    kind, spoil, allowed = CASES[label]
    root = folder / "a" / "root"
    shutil.copytree(template(), root)
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    (folder / f"{MODULE}.py").write_text(f"open({str(folder / 'a' / MARKER)!r}, 'w')\nmake = print\n")
    place = root / NAME / "data" if kind == "minari" else root
    spoil(place)
    name, naming = (NAME, [NAME]) if kind == "minari" else (str(root / STREAM), [STREAM])
    before, faults = bench.contents(folder), []
    for what, call in CALLS.items():
        faults += [Fault(f"{what}: {fault.kind}", fault.detail) for fault in _call(call, kind, name, naming, allowed)]
    marker = folder / "a" / MARKER
    if marker.exists():
        faults.append(Fault("code that the file names is run", ""))
    written = [path for path in bench.changed(before, bench.contents(folder)) if "__pycache__" not in path]
    if written and not marker.exists():
        faults.append(Fault("something is written", ", ".join(written)))
    return faults


def _call(call: Any, kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    tracemalloc.reset_peak()
    held = tracemalloc.get_traced_memory()[0]
    faults = call(kind, name, naming, allowed)
    peak = tracemalloc.get_traced_memory()[1] - held
    if peak > MOST:
        faults.append(Fault(f"takes more than {MOST >> 20} MB", f"{peak:,} bytes"))
    return faults


def _load(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    found, faults, refused = bench.outcome(lambda: o2o.dataset(name), naming)
    if refused or faults:
        return faults
    if allowed == REFUSED:
        return [Fault("accepted", f"{found.rows} rows")]
    good = jax.tree.map(np.asarray, rows())
    data = jax.tree.map(lambda x: np.asarray(x)[:, 0], found.data)
    if allowed == SAME and not all(np.array_equal(a, b) for a, b in zip(data[:6], good[:6], strict=True)):
        return [Fault("other rows", f"{found.rows} rows")]
    spaces = Spaces(Space(data.obs.shape[1:]), Space(data.action.shape[1:]))
    _, faults, refused = bench.outcome(lambda: checks.check_store(found, spaces))
    discrete = data.action.dtype.kind == "i"
    if refused and not discrete:
        return [Fault("rows that its own checks refuse", f"{found.rows} rows")]
    return [Fault("more rows than the file", f"{found.rows} rows")] if found.rows > ROWS else faults


def _describe(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    found, faults, _ = bench.outcome(lambda: sources.info(name), naming)
    if found is not None and found.reference is not None:
        low, high = found.reference
        if not (np.isfinite([low, high]).all() and low < high):
            faults.append(Fault("a reference that is none", f"{found.reference}"))
    return faults


def _as_task(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    found, faults, _ = bench.outcome(lambda: o2o.task_from_minari(name), naming)
    if found is not None and name == NAME and "xml_file" in (minari.root() / NAME / "data/metadata.json").read_text():
        faults.append(Fault("a path in the metadata is followed", found.env.name))
    return faults


def command(argv: list[str]) -> tuple[int | None, str, str, list[Fault]]:
    """Exit code, both outputs, and what is wrong with how the command ended."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except Exception as error:
            return None, out.getvalue(), err.getvalue(), [bench.crash(error)]
    return code, out.getvalue(), err.getvalue(), []


def _list(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    code, out, _, faults = command(["list", "datasets", "--json"])
    if not faults and (code != 0 or OTHER not in out):
        faults.append(Fault("one damaged dataset hides the others", f"exit code {code}"))
    return faults


def _inspect(kind: str, name: str, naming: list[str], allowed: str) -> list[Fault]:
    code, _, err, faults = command(["inspect", name])
    if code == 2 and (len(err.splitlines()) != 1 or len(err) > bench.LONGEST or not any(x in err for x in naming)):
        faults.append(Fault("an error that is not one short line that names it", bench.ends(err)))
    return faults


CALLS = {"dataset": _load, "info": _describe, "task": _as_task, "list": _list, "inspect": _inspect}


def test_hostile_data_give_honest_rows_or_one_line_and_run_nothing(minari_root, tmp_path):
    labels = bench.chosen(CASES, 500)
    assert len(labels) >= 200
    found = bench.failures("test_hostile_data", labels)
    assert not found, bench.listed(found, len(labels))
