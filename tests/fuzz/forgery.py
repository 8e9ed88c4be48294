"""JSON files and results with other entries, also sealed again by somebody who wants them to pass."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from purejaxo2o.disk import files
from purejaxo2o.disk import folder as runs


def entry(path: tuple[str, ...], value: Any, name: str = "config.json", *, sealed: bool = False):
    """One entry of a JSON file changed; `...` drops it. sealed: a configuration, by somebody who wants it to pass."""

    def spoil(folder: Path) -> None:
        document = _put(json.loads((folder / name).read_text()), path, value)
        (folder / name).write_text(json.dumps(runs.sealed(document) if sealed else document))

    return spoil


JUNK: tuple[Any, ...] = (
    *(None, [], {}, "", -1, 0, 1, 10**30, 1.5, True, [[]], [None], "os:system", "a\0b", float("nan"), ...),
    *(
        {"@class": "x:y"},
        {"@class": "purejaxo2o.envs.host:HostEnv"},
        {"@number": "x"},
        {"@list": 3},
        {"@code": "x:y"},
    ),
    *({"@array": "float32[3]"}, {"@array": "float32[3]", "values": [1]}, {"@array": "void[99999999]", "values": []}),
    *({"@array": "float32[99999999999]", "values": []}, {"@key": "fry", "data": [0]}, {"@array": 5}, {"@list": 3}),
)


def junk(seed: int, name: str = "config.json", *, sealed: bool = False):
    """Something else at one place of a JSON file, drawn at random."""

    def spoil(folder: Path) -> None:
        draw = random.Random(seed)
        found = list(_places(json.loads((folder / name).read_text())))
        entry(draw.choice(found[1:]), draw.choice(JUNK), name, sealed=sealed)(folder)

    return spoil


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from _places(part, (*path, name))


def _put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    inner = document
    for part in path[:-1]:
        inner = inner[part]
    if value is ...:
        inner.pop(path[-1], None) if isinstance(inner, dict) else inner.pop(path[-1])
    else:
        inner[path[-1]] = value
    return document


def forged(spoil: Any, part: str = ""):
    """A damage of a configuration, and all that is sealed with it sealed anew. Whoever can do that can write any run:
    the numbers may be others."""

    def function(folder: Path) -> None:
        spoil(folder)
        config = json.loads((folder / part / "config.json").read_text())
        try:
            identity = runs.identity(config)
        except (AttributeError, TypeError):  # of a configuration that is none
            return
        resealed(lambda found: found, identity=config["identity"])(folder / part)
        for path in (folder / part / "checkpoints").rglob("seal.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"identity": identity}))

    return function


def resealed(change: Any, **about: Any):
    """Results that were changed and sealed again, which anybody can do."""

    def spoil(folder: Path) -> None:
        found, old = files.read_sealed(folder / "results.npz")
        (folder / "results.npz").unlink()
        files.write_sealed(folder / "results.npz", change(found), old | about)

    return spoil
