"""Cases of damaged run folders."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from damage import (
    CHANGES,
    RUN,
    SWEEP,
    arrays,
    both_foreign,
    checkpoint,
    cut,
    edited,
    encrypted,
    entry,
    flip,
    foreign,
    foreign_arrays,
    gone,
    header,
    inside,
    instead,
    one,
    put,
    twice,
)

CASES: dict[str, tuple[str, Any]] = {}
"""Label: the folder that is damaged, and how."""


def case(folder: str, label: str, spoil: Any) -> None:
    label = f"{folder}: {label}"
    assert label not in CASES, label
    CASES[label] = (folder, spoil)


DOCUMENTS: dict[str, bytes] = {
    **{text: text.encode() for text in ("[]", "null", '""', "0", "{}", "true", "NaN", "[{}]", '{"recipe": "bc"}')},
    **{"empty": b"", "binary": b"\x80\xff\x00", "deep": b"[" * 100_000, "digits": b'{"a": ' + b"9" * 5_000 + b"}"},
}
ODD = (None, 5, -1, 1e999, True, "x", "line\nbreak", "x" * 2_000, [], [[]], {}, {"a": [1]}, 10**400)
OWN = ("recipe", "task", "keys", "key_impl", "settings", "data", "dataset")
SWEPT = ("axes", "over", "static", "seeds", "processes", "parts")
PART = ("width", "chunk", "program", "lanes")
NUMBERS = (0, -1, 999, 10**12, 1.5, True, None, "2", [], [99], [0, 0], {})
SWAPS: dict[str, Any] = {
    "a FIFO": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/null": lambda path: path.symlink_to("/dev/null"),
}
HEADERS = {
    "declares 10**12": b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n",
    "declares -1": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n",
    "declares objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n",
    "is code": b"__import__('os').system('touch marker')\n",
    "is deep": b"(" * 9_000 + b"\n",
}


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
        for value in ODD:
            case(RUN, f"{key} {value!r:.20}", entry((key,), value))
    for key in (
        "agent.hidden",
        "agent.learning_rate",
        "offline.steps",
        "offline.segments",
        "eval_episodes",
        "num_envs",
    ):
        case(RUN, f"no setting {key}", entry(("settings", key), ...))
        for value in (*ODD[::2], [0], 10**9):
            case(RUN, f"setting {key} {value!r:.20}", entry(("settings", key), value))
    case(RUN, "an unknown setting", entry(("settings", "agent.nothing"), 1))
    case(RUN, "another seed's key", entry(("keys",), [0, 1]))
    case(RUN, "another task", entry(("task",), "pointmaze-medium"))
    case(RUN, "another recipe", entry(("recipe",), "iql"))
    for key in ("versions", "commit", "platform"):
        case(RUN, f"{key} null", entry((key,), None))
    for key in SWEPT:
        case(SWEEP, f"no {key}", entry((key,), ...))
        for value in NUMBERS:
            case(SWEEP, f"{key} {value!r:.20}", entry((key,), value))
    for key in PART:
        case(SWEEP, f"part, no {key}", entry((key,), ..., "part-0/config.json"))
        for value in NUMBERS:
            case(SWEEP, f"part, {key} {value!r:.20}", entry((key,), value, "part-0/config.json"))


def _archives() -> None:
    for name in ("results.npz", "records.npz"):
        _archive(name, lambda spoil_named, name=name: spoil_named(name), flips=12)
    _archive("arrays.npz", lambda spoil_named: inside("arrays.npz", spoil_named), flips=12)
    for name in ("results.npz", "records.npz"):
        case(RUN, f"{name} of another run", foreign(name))
    case(RUN, "arrays.npz of another run", checkpoint(foreign_arrays))
    case(RUN, "the checkpoint of another run", checkpoint(both_foreign))
    for name in ("part-0/results.npz", "part-0/records.npz"):
        case(SWEEP, f"no {name}", gone(name))
        case(SWEEP, f"{name} cut", cut(name, 0.5))
        case(SWEEP, f"{name} edited", arrays(name, lambda found: {k: edited(v) for k, v in found.items()}))
        other = name.replace("part-0", "part-1")
        case(SWEEP, f"{name} of the other part", lambda d, name=name, other=other: shutil.copy(d / other, d / name))
    case(SWEEP, "no part", lambda d: [shutil.rmtree(d / f"part-{i}") for i in range(2)])
    case(SWEEP, "one part lacks", gone("part-1"))
    case(SWEEP, "a part is a file", instead("part-1", lambda path: path.write_text("x")))
    case(SWEEP, "a part twice", lambda d: shutil.copytree(d / "part-0", d / "part-2"))
    case(
        SWEEP,
        "a part is the other",
        lambda d: (shutil.rmtree(d / "part-1"), shutil.copytree(d / "part-0", d / "part-1")),
    )


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
    for key in ("identity", "segment", "arrays"):
        case(RUN, f"seal.json, no {key}", inside("seal.json", lambda n, key=key: entry((key,), ..., n)))
        for value in ODD:
            spoil = inside("seal.json", lambda n, key=key, value=value: entry((key,), value, n))
            case(RUN, f"seal.json, {key} {value!r:.20}", spoil)
    case(RUN, "no seal.json", inside("seal.json", gone))
    case(RUN, "seal.json a FIFO", inside("seal.json", lambda n: instead(n, os.mkfifo)))
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
        for kind, make in SWAPS.items():
            case(RUN, f"{name} {kind}", instead(name, make))
        case(RUN, f"no {name}", gone(name))
    case(RUN, "the folder is a file", lambda d: (shutil.rmtree(d), d.write_text("x")))
    case(RUN, "the folder is a link to itself", lambda d: (shutil.rmtree(d), d.symlink_to(d.name)))
    case(RUN, "the folder is empty", lambda d: (shutil.rmtree(d), d.mkdir()))
    case(RUN, "the folder is gone", shutil.rmtree)
    case(RUN, "a stranger's file beside", put("notes.txt", b"x"))
    case(RUN, "a temporary file beside", put("results.npz.tmp", b"x"))
    case(RUN, "a temporary folder beside", lambda d: (d / "results.npz.tmp").mkdir())


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


_configs()
_archives()
_checkpoints()
_others()
for asked in ASKED:
    case(RUN, f"undamaged, {asked}", nothing)
case(RUN, "undamaged", nothing)
case(SWEEP, "undamaged", nothing)
