"""A dataset whose writer is killed, at every single step: it is whole or not there, and nothing stays."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from purejaxo2o.data import minari, staging
from purejaxo2o.data.folder import local_ids
from purejaxo2o.types import O2OError, Space, Spaces, Transition

pytestmark = pytest.mark.skipif(staging.fcntl is None, reason="the system has no file locks")
NAME = "ab/set-v0"
WRITER = """
import importlib.util, os, signal, sys
path, root, killed_at, exchange = sys.argv[1:]
spec = importlib.util.spec_from_file_location("staging", path)
staging = importlib.util.module_from_spec(spec)
spec.loader.exec_module(staging)
from pathlib import Path
if exchange == "no":
    staging._exchange = lambda one, other: False
STEPS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "open", "fcntl.flock", "ctypes.dlsym")
steps = 0
def step(event, arguments):
    global steps
    if event in STEPS:
        steps += 1
        if steps == int(killed_at):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
with staging.staging(Path(root)) as folder:
    (folder / "new" / "data").mkdir(parents=True)
    (folder / "new" / "data" / "metadata.json").write_text("new")
    staging.publish(folder, "ab/set-v0", Path(root) / "ab" / "set-v0", overwrite=True)
"""


def write(root, killed_at, exchange):
    command = [sys.executable, "-c", WRITER, staging.__file__, str(root), str(killed_at), exchange]
    return subprocess.run(command, capture_output=True, check=False).returncode


def content(root):
    path = root / NAME / "data" / "metadata.json"
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize("exchange", ["yes", "no"])
@pytest.mark.parametrize("old", [True, False], ids=["overwrite", "anew"])
def test_a_writer_that_is_killed_at_any_step_leaves_old_or_new(tmp_path, old, exchange):
    """`exchange="no"`: on a system that cannot let two folders change names at once."""
    seen, killed_at, bare = [], 1, 0
    while True:
        root = tmp_path / str(killed_at)
        (root / "ab").mkdir(parents=True)
        if old:
            (root / NAME / "data").mkdir(parents=True)
            (root / NAME / "data" / "metadata.json").write_text("old")
        code = write(root, killed_at, exchange)
        bare += content(root) is None
        staging.recover(root)  # what a reader does
        found = content(root)
        assert found in (("old", "new") if old else (None, "new"))
        seen.append(found)
        staging.clear(root)  # what the next writer does
        assert content(root) == found
        assert list(root.glob(".staging-*")) == []
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed_at += 1
    assert killed_at > 10
    assert seen == sorted(seen, key=lambda text: text == "new")  # once new, always new
    assert seen[-1] == "new"
    assert bare == (0 if exchange == "yes" else 1) or not old


def test_a_living_writer_is_left_alone(tmp_path):
    with staging.staging(tmp_path) as mine:
        (mine / "new").mkdir()
        with staging.staging(tmp_path) as other:
            assert mine.is_dir()
            assert mine != other
        staging.clear(tmp_path)
        staging.recover(tmp_path)
        assert (mine / "new").is_dir()
        assert not other.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_writer_of_another_dataset_left_is_never_put_outside(tmp_path):
    left, root = tmp_path / "root" / ".staging-x", tmp_path / "root"
    (left / "old").mkdir(parents=True)
    (left / "new").mkdir()
    for name in ("../outside", "/outside", "", "a\x00b"):
        (left / "name").write_text(name)
        staging.recover(root)
        assert (left / "new").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]
    staging.clear(root)
    assert list(root.iterdir()) == []


# Whole datasets


def rows(value):
    obs = np.full((3, 1), value, np.float32)
    last = np.array([False, False, True])
    return Transition(obs, obs * 0, obs[:, 0], obs, last, ~last & last)


def export(value, **more):
    spaces = Spaces(Space((1,)), Space((1,)))
    about = {"algorithm_name": "none", "description": "a test", "provenance": {}}
    return minari.export(rows(value), NAME, spaces=spaces, **about, **more)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def value():
    return float(np.asarray(minari.load(NAME).data.reward)[0, 0])


@pytest.mark.parametrize("exchange", [True, False])
def test_a_reader_and_a_writer_finish_what_was_begun(root, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(staging, "_exchange", lambda one, other: False)
    folder = export(1.0)
    export(2.0, overwrite=True)
    assert value() == 2.0
    left = root / ".staging-dead"  # as after the first of two renames
    shutil.copytree(folder, left / "new")
    (left / "name").write_text(NAME)
    folder.rename(left / "old")
    with pytest.raises(O2OError, match="exists in"):
        export(3.0)
    assert local_ids() == [NAME]
    assert value() == 2.0
    export(3.0, overwrite=True)
    assert value() == 3.0
    assert sorted(path.name for path in root.iterdir()) == ["ab"]


@pytest.mark.parametrize("call", ["rename", "fsync"])
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_disk_that_fails_leaves_what_was_there(root, monkeypatch, call, fails_at):
    export(1.0)
    before, done, calls = sorted(root.rglob("*")), getattr(os, call), []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device")
        return done(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "_exchange", lambda one, other: False)
        patch.setattr(os, call, failing)
        if call == "rename" and fails_at == 3:  # there are two
            export(2.0, overwrite=True)
        else:
            with pytest.raises(O2OError, match=r"cannot be written to .*No space left on device"):
                export(2.0, overwrite=True)
    assert value() == (2.0 if call == "rename" and fails_at == 3 else 1.0)
    assert sorted(root.rglob("*")) == before


def test_of_two_writers_of_one_name_the_second_is_refused(root, monkeypatch):
    publish = minari.publish

    def late(folder, *arguments, **settings):
        monkeypatch.setattr(minari, "publish", publish)
        export(1.0)  # the other one is done first
        publish(folder, *arguments, **settings)

    monkeypatch.setattr(minari, "publish", late)
    with pytest.raises(O2OError, match=r"cannot be written to .*not empty"):
        export(2.0)
    assert value() == 1.0
    assert sorted(path.name for path in root.iterdir()) == ["ab"]


EXPORTS = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_staging
for i in range(3, 1000):
    test_staging.export(float(i), overwrite=True)
    print(i, flush=True)
"""


@pytest.mark.slow
def test_exports_that_are_killed_at_any_moment_leave_a_whole_dataset(root):
    export(1.0)
    random = np.random.default_rng(0)
    for _ in range(8):
        command = [sys.executable, "-c", EXPORTS, str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()  # it has begun
            time.sleep(random.uniform(0, 0.2))
            writer.kill()
        assert value() >= 1.0
        assert json.loads((root / NAME / "data" / "metadata.json").read_text())["total_steps"] == 3
    export(2.0, overwrite=True)
    assert value() == 2.0
    assert sorted(path.name for path in root.iterdir()) == ["ab"]
