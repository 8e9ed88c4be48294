"""Run folders spoiled at random: every command on them ends well, or in one line. The seeds are fixed."""

import json
import random
import shutil

import pytest
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o import archive, files, runs
from purejaxo2o.policies import load_policies
from purejaxo2o.types import O2OError

JUNK = [
    None,
    [],
    {},
    "",
    "x" * 999,
    -1,
    0,
    1,
    10**30,
    1.5,
    True,
    [[]],
    [None],
    "os:system",
    "a\\0b",
    {"@class": "x:y"},
]
JUNK += [{"@array": "float32[3]"}, {"@array": "float32[3]", "values": [1]}, {"@number": "x"}, {"@list": 3}]
JUNK += [{"@array": "void[99999999]", "values": []}, {"@class": "purejaxo2o.envs.host:HostEnv"}, float("nan")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("fuzz") / "run"
    recipe, task, data = tiny("bc")
    o2o.sweep(recipe, task, data, seeds=[5, 6], out=out, save_every=2, width=1, progress=False)
    return out


def places(value, path=()):
    """Every place in a tree of JSON."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from places(part, (*path, name))


def put(tree, path, value):
    """The tree with another value at a place; what is put may be to take it away."""
    if not path:
        return value
    holder = tree
    for name in path[:-1]:
        holder = holder[name]
    if value == "x" * 999 and isinstance(holder, dict):
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return tree


def spoil_json(path, draw):
    tree = json.loads(path.read_text())
    tree = put(tree, draw.choice(list(places(tree))), draw.choice(JUNK))
    if path.name == "config.json" and isinstance(tree, dict) and draw.random() < 0.8:
        tree = runs.sealed(tree)  # by somebody who wants it to pass
    path.write_text(json.dumps(tree))


def spoil_bytes(path, draw):
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 4])):
        at = draw.randrange(len(content))
        content[at] = draw.randrange(256)
    path.write_bytes(bytes(content[: draw.choice([None, None, len(content) // 2])]))


def check(folder, config):
    """What is there without being asked for by a type or two is no bug of ours; a traceback is."""
    asked = (archive.load_results, load_policies, lambda folder: runs.check_free(folder, config, resume=True))
    for action in asked:
        try:
            action(folder)
        except O2OError as error:
            yield str(error)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(240))
def test_a_folder_spoiled_at_random(finished, seed, tmp_path):
    draw, out = random.Random(seed), shutil.copytree(finished, tmp_path / "run")
    config = json.loads((finished / "config.json").read_text())
    paths = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix in (".json", ".npz"))
    path = draw.choice([out / "config.json", draw.choice(paths)])
    if path.suffix == ".json" and draw.random() < 0.8:
        spoil_json(path, draw)
    else:
        spoil_bytes(path, draw)
    for line in check(out, config):
        assert "\n" not in line
        assert len(line) < 1500
    assert files.read_json(finished / "config.json") == config
