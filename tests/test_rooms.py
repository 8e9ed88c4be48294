"""The package's rooms stand on floors: a module imports from its own floor or from lower ones, never in a circle."""

import ast
from pathlib import Path

import purejaxo2o

ROOT = Path(purejaxo2o.__file__).parent
FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "networks", "distributions", "values", "spelling", "shapes"),
    ("loop",),
    ("train", "models", "envs"),
    ("agents", "data"),
    ("recipes", "tasks"),
    ("disk", "figures"),
    ("drive",),
    ("study",),
    ("cli", "", "__main__"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules():
    """Every module by its dotted name inside of the package, packages by theirs."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
        for path in ROOT.rglob("*.py")
    }


def imports():
    """What each module imports of the package, inside of functions and for type checkers, too."""
    known = modules()
    found = {}
    for name, path in known.items():
        of = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("purejaxo2o") for alias in node.names), f"{name}: use from"
            if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != "purejaxo2o":
                continue
            base = node.module.removeprefix("purejaxo2o").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                of.add(inner if inner in known else base)
        found[name] = of - {name}
    return found


def test_every_room_has_a_floor():
    assert {name.partition(".")[0] for name in modules()} == set(FLOOR)


def test_no_import_runs_upward():
    def floor(name):
        return FLOOR[name.partition(".")[0]]

    upward = [f"{one} imports {other}" for one, of in imports().items() for other in of if floor(other) > floor(one)]
    assert not upward


def test_no_import_runs_in_a_circle():
    graph = imports()
    left = set(graph)
    while True:  # those that import nothing that is left go, until none does
        free = {name for name in left if not graph[name] & left}
        if not free:
            break
        left -= free
    assert not left, {name: sorted(graph[name] & left) for name in sorted(left)}
