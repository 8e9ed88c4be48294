"""Cases of damaged run folders: what was measured, checkpoints, and whatever else lies there."""

import json
import shutil
from pathlib import Path
from typing import Any

import damaged_configs  # noqa: F401  (whose cases come first)
import numpy as np
from damage import (
    CASES,
    CHANGES,
    DOCUMENTS,
    ODD,
    RUN,
    SWAPS,
    SWEEP,
    arrays,
    both_foreign,
    case,
    checkpoint,
    cut,
    edited,
    encrypted,
    flip,
    foreign,
    foreign_inside,
    gone,
    header,
    inside,
    instead,
    one,
    put,
    twice,
)
from forgery import entry, junk, resealed

__all__ = ["ASKED", "CASES"]

OUTSIDE: dict[str, Any] = {
    "a link to another file": lambda path: path.symlink_to(path.parents[1] / "good-other" / "config.json"),
    "a link to nothing": lambda path: path.symlink_to(path.parents[1] / "made-by-a-link"),
}
"""What writing there would write into."""
HEADERS = {
    "declares 10**12": b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n",
    "declares -1": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n",
    "declares objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n",
    "is code": b"__import__('os').system('touch marker')\n",
    "is deep": b"(" * 9_000 + b"\n",
}


def _archives() -> None:
    _archive("results.npz", lambda spoil_named: spoil_named("results.npz"), flips=12)
    for name in ("arrays.npz", "records.npz"):
        _archive(name, lambda spoil_named, name=name: inside(name, spoil_named), flips=12)
        case(RUN, f"{name} of another run", foreign_inside(name))
    case(RUN, "records.npz as the arrays", _renamed("records.npz", "arrays.npz"))
    case(RUN, "arrays.npz as the records", _renamed("arrays.npz", "records.npz"))
    case(RUN, "the checkpoint of another run", checkpoint(both_foreign))
    for kind, function in CHANGES.items():
        for which in (0, 3, 7, 9) if kind != "as objects" else ():  # which nobody can seal
            case(RUN, f"results.npz array {which} {kind}, sealed again", resealed(one(function, which)), other=True)
    for about in ODD:
        case(RUN, f"results.npz, identity {about!r:.20}", resealed(lambda found: found, identity=about))
        case(RUN, f"results.npz, arrays {about!r:.20}", _seal_entry("arrays", about))
    case(RUN, "results.npz without arrays, sealed again", resealed(lambda found: {}))
    case(RUN, "results.npz of another run", foreign("results.npz"))
    name, other = "part-0/results.npz", "part-1/results.npz"
    case(SWEEP, f"no {name}", gone(name))
    case(SWEEP, f"{name} cut", cut(name, 0.5))
    case(SWEEP, f"{name} edited", arrays(name, lambda found: {k: edited(v) for k, v in found.items()}))
    case(SWEEP, f"{name} of the other part", lambda d: shutil.copy(d / other, d / name))
    case(SWEEP, "no part", lambda d: [shutil.rmtree(d / f"part-{i}") for i in range(2)])
    case(SWEEP, "one part lacks", gone("part-1"))
    case(SWEEP, "a part is a file", instead("part-1", lambda path: path.write_text("x")))
    case(SWEEP, "a part twice", lambda d: shutil.copytree(d / "part-0", d / "part-2"))
    case(
        SWEEP,
        "a part is the other",
        lambda d: (shutil.rmtree(d / "part-1"), shutil.copytree(d / "part-0", d / "part-1")),
    )


def _renamed(source: str, target: str):
    def function(newest: Path, folder: Path) -> None:
        path = next(newest.rglob(source))
        shutil.copy(path, path.with_name(target))

    return checkpoint(function)


def _seal_entry(key: str, value: Any):
    """One entry of the seal within results."""

    def change(found: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(json.loads(found["seal"].tobytes()) | {key: value}).encode()
        return found | {"seal": np.frombuffer(text, np.uint8)}

    return arrays("results.npz", change)


def _archive(name: str, at: Any, flips: int) -> None:
    """Every damage of a file of arrays; `at(spoil_named)` says where it lies."""
    case(RUN, f"no {name}", at(gone))
    for kind, make in SWAPS.items():
        case(RUN, f"{name} {kind}", at(lambda n, make=make: instead(n, make)))
    case(RUN, f"{name} text", at(lambda n: put(n, b"no zip" * 100)))
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        case(RUN, f"{name} cut to {share:.1%}", at(lambda n, share=share: cut(n, share)))
    for seed in range(flips):
        case(RUN, f"{name} changed bytes, seed {seed}", at(lambda n, seed=seed: flip(n, seed)))
    for kind, function in CHANGES.items():
        for which in (0, 3, 7):
            change = one(function, which)
            case(RUN, f"{name} array {which} {kind}", at(lambda n, change=change: arrays(n, change)))
    for which in range(0, 12, 2):

        def drop(found: dict[str, Any], which: int = which) -> dict[str, Any]:
            return {key: x for key, x in found.items() if key != sorted(found)[which % len(found)]}

        def rename(found: dict[str, Any], which: int = which) -> dict[str, Any]:
            return {f"{key}x" if i == which % len(found) else key: found[key] for i, key in enumerate(sorted(found))}

        case(RUN, f"{name} lacks array {which}", at(lambda n, drop=drop: arrays(n, drop)))
        case(RUN, f"{name} array {which} renamed", at(lambda n, rename=rename: arrays(n, rename)))
    case(RUN, f"{name} all edited", at(lambda n: arrays(n, lambda found: {k: edited(v) for k, v in found.items()})))
    case(RUN, f"{name} one more", at(lambda n: arrays(n, lambda found: found | {"more": np.zeros(3)})))
    case(RUN, f"{name} no arrays", at(lambda n: arrays(n, lambda found: {})))
    case(RUN, f"{name} compressed", at(lambda n: arrays(n, lambda found: found, np.savez_compressed)))
    case(RUN, f"{name} encrypted", at(encrypted))
    case(RUN, f"{name} every name twice", at(twice))
    for kind, text in HEADERS.items():
        case(RUN, f"{name} a header {kind}", at(lambda n, text=text: header(n, text)))


def _checkpoints() -> None:
    for name, content in DOCUMENTS.items():
        case(RUN, f"seal.json {name}", inside("seal.json", lambda n, content=content: put(n, content)))
    for key in ("identity", "segment", "arrays", "records"):
        case(RUN, f"seal.json, no {key}", inside("seal.json", lambda n, key=key: entry((key,), ..., n)))
        for value in ODD:
            spoil = inside("seal.json", lambda n, key=key, value=value: entry((key,), value, n))
            case(RUN, f"seal.json, {key} {value!r:.20}", spoil)
    for seed in range(40):
        case(RUN, f"seal.json with junk, seed {seed}", inside("seal.json", lambda n, seed=seed: junk(seed, n)))
    for name in ("seal.json", "_CHECKPOINT_METADATA", "commit_success.txt"):
        case(RUN, f"no {name}", inside(name, gone))
        for kind, make in SWAPS.items():
            case(RUN, f"{name} {kind}", inside(name, lambda n, make=make: instead(n, make)))
    for kind in ("[]", "null", "{}", "empty", "binary", "deep"):
        content = DOCUMENTS[kind]
        case(RUN, f"Orbax's metadata {kind}", inside("_CHECKPOINT_METADATA", lambda n, c=content: put(n, c)))
    case(RUN, "checkpoints a file", instead("checkpoints", lambda path: path.write_text("x")))
    case(RUN, "checkpoints a link to itself", instead("checkpoints", lambda path: path.symlink_to(path.name)))
    case(RUN, "checkpoints empty", lambda d: (shutil.rmtree(d / "checkpoints"), (d / "checkpoints").mkdir()))
    case(RUN, "no checkpoints", gone("checkpoints"))
    case(RUN, "no newest checkpoint", checkpoint(lambda newest, d: shutil.rmtree(newest)))
    case(RUN, "newest checkpoint empty", checkpoint(lambda newest, d: (shutil.rmtree(newest), newest.mkdir())))
    case(
        RUN, "newest checkpoint a file", checkpoint(lambda newest, d: (shutil.rmtree(newest), newest.write_text("x")))
    )
    case(RUN, "newest checkpoint without run", checkpoint(lambda newest, d: shutil.rmtree(newest / "run")))
    for name in ("99", "0", "-1", "abc", "9" * 200, "1e3", "٣", ".hidden", "3.orbax-checkpoint-tmp"):
        case(
            RUN,
            f"checkpoints/{name:.10} copied",
            checkpoint(lambda n, d, name=name: shutil.copytree(n, n.parent / name)),
        )
        case(RUN, f"checkpoints/{name:.10} empty", lambda d, name=name: (d / "checkpoints" / name).mkdir())
    case(RUN, "the older checkpoint as the newest", checkpoint(_older))


def _older(newest: Path, folder: Path) -> None:
    shutil.rmtree(newest)
    shutil.copytree(next((folder / "checkpoints").iterdir()), newest)


def _others() -> None:
    for name in ("metrics.jsonl", "timing.json"):
        for kind, content in {"empty": b"", "binary": b"\xff\x00" * 50, "one long line": b"x" * 10**6}.items():
            case(RUN, f"{name} {kind}", put(name, content))
        case(RUN, f"no {name}", gone(name))
    written = ("metrics.jsonl", "timing.json", ".lock", "results.npz.tmp", "config.json.tmp", "timing.json.tmp")
    for name in written:
        for kind, make in (SWAPS | OUTSIDE).items():
            case(RUN, f"{name} {kind}", instead(name, make))
    case(RUN, ".lock of a process that was killed", put(".lock", b""))
    case(RUN, ".lock with text", put(".lock", b"x" * 1000))
    case(RUN, "an older version's records.npz beside", put("records.npz", b"x"))
    case(RUN, "the folder is a file", lambda d: (shutil.rmtree(d), d.write_text("x")))
    case(RUN, "the folder is a link to itself", lambda d: (shutil.rmtree(d), d.symlink_to(d.name)))
    case(RUN, "the folder is empty", lambda d: (shutil.rmtree(d), d.mkdir()))
    case(RUN, "the folder is gone", shutil.rmtree)
    case(RUN, "a stranger's file beside", put("notes.txt", b"x"))
    case(RUN, "a temporary file beside", put("results.npz.tmp", b"x"))


ASKED: dict[str, list[str]] = {
    "10**12 episodes": ["evaluate", "RUN", "--episodes", "1000000000000"],
    "10**400 episodes": ["evaluate", "RUN", "--episodes", "9" * 400],
    "seed 10**400": ["evaluate", "RUN", "--episodes", "1", "--seed", "9" * 400],
    "10**12 episodes drawn": ["render", "RUN", "--episodes", "1000000000000"],
    "lane 99": ["render", "RUN", "--lane", "99"],
    "a picture on a file": ["render", "RUN", "--episodes", "1", "--out", "RUN/config.json/x.png"],
    "a picture of no kind": ["render", "RUN", "--episodes", "1", "--out", "x.nothing"],
    "a report on a file": ["report", "RUN", "--out", "RUN/config.json"],
    "a report below a file": ["report", "RUN", "--out", "RUN/config.json/x"],
    "a report on a full device": ["report", "RUN", "--out", "/dev/full"],
    "a report twice": ["report", "RUN", "RUN", "--out", "RUN/config.json"],
}
"""Of an undamaged folder, what cannot be."""


def nothing(folder: Path) -> None:
    """No damage."""


_archives()
_checkpoints()
_others()
for asked in ASKED:
    case(RUN, f"undamaged, {asked}", nothing)
case(RUN, "undamaged", nothing)
case(SWEEP, "undamaged", nothing)
