"""What the benchmark writes: rows with units, under a head that says where they come from."""

import datetime
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from purejaxo2o.disk.versions import PACKAGES

Row = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]


def row(section: str, name: str, value: float, unit: str, compile_seconds: float | None = None, **more: Any) -> Row:
    """One figure. `compile_seconds` is never part of `value`."""
    return {"section": section, "name": name, "value": value, "unit": unit, "compile_s": compile_seconds} | more


def missing(section: str, name: str, unit: str, reason: str, **more: Any) -> Row:
    """A figure that could not be had, and why."""
    return {"section": section, "name": name, "value": None, "unit": unit, "compile_s": None, "reason": reason} | more


def matching(names: Sequence[str], beginning: str) -> list[str]:
    """The name itself where there is such, else all that begin so."""
    return [beginning] if beginning in names else [name for name in names if name.startswith(beginning)]


def device_name() -> str:
    """Platform and kind of the first device, fit for a file name: `cpu`, `gpu-nvidia-h100`."""
    device = jax.devices()[0]
    kind = re.sub(r"[^a-z0-9]+", "-", device.device_kind.lower()).strip("-")
    return device.platform if kind == device.platform else f"{device.platform}-{kind}"


def head(precision: str) -> dict[str, Any]:
    """Where and with what the rows were measured."""
    return {
        "device": device_name(),
        "devices": jax.device_count(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "precision": precision,
        "versions": {name: _version(name) for name in PACKAGES} | {"python": sys.version.split()[0]},
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len((_git("status", "--porcelain", "--untracked-files=no") or "").splitlines()),
        "command": shlex.join(["python", "-m", "experiments.benchmarks", *_asked(sys.argv[1:])]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def origin() -> dict[str, Any]:
    """What of `head` stands under a result that is no benchmark: device, versions, commit, date."""
    about = head("float32")
    return {name: about[name] for name in ("device", "cores", "versions", "commit", "changed_files", "date")}


def measured(about: Mapping[str, Any]) -> str:
    """Of an `origin`: where, when and at which commit, in a sentence for a page."""
    commit = f"commit {about['commit'][:10]}" if about["commit"] else "no commit"
    if about["changed_files"]:
        commit += f" with {_count(about['changed_files'], 'file')} changed"
    return f"Measured on {about['device']}, {_count(about['cores'], 'core')}, {about['date'][:10]}, {commit}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _asked(arguments: Sequence[str]) -> list[str]:
    """Without where it was written to: a machine's path is no part of what was measured."""
    before = ["", *arguments]
    return [now for last, now in zip(before, arguments, strict=False) if "--out" not in (last, now)]


def write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)


def read(path: Path) -> dict[str, Any] | None:
    """An earlier report, if there is one."""
    return json.loads(path.read_text()) if path.exists() else None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if found:
            return found[1].strip()
    return platform.processor()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip()
