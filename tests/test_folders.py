"""Run folders that nobody vouches for: another run's files, damage, a second process, paths that cannot be used."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest
from tiny import arrays, tiny

import purejaxo2o as o2o
from purejaxo2o.disk import files, lock, results
from purejaxo2o.disk.folder import sealed
from purejaxo2o.drive.agreement import agreed
from purejaxo2o.drive.policies import load_policies
from purejaxo2o.loop.seeds import key_of, numbers_and_keys, seed_keys
from purejaxo2o.study import run as study
from purejaxo2o.study.folder import claim
from purejaxo2o.study.members import plan
from purejaxo2o.types import O2OError

SEEDS = (5, 6)


def sweep(out=None, seeds=SEEDS, changes=None, **how):
    recipe, task, data = tiny("bc")
    recipe = o2o.replace(recipe, {"offline.segments": 2} | (changes or {}))
    settings = {"save_every": 1, "width": 1, "progress": False} | how
    return o2o.sweep(recipe, task, data, seeds=list(seeds), out=out, **settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("folders") / "run"
    return sweep(out), out


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A run of the same shapes."""
    out = tmp_path_factory.mktemp("foreign") / "run"
    sweep(out, changes={"agent.learning_rate": 0.1})
    return out


@pytest.fixture
def out(finished, tmp_path):
    """A copy of the finished run, to be spoiled."""
    return shutil.copytree(finished[1], tmp_path / "run")


def checkpoint(folder, name, segment=2):
    return folder / "checkpoints" / str(segment) / "run" / name


def edited(path, change):
    """The file with its arrays changed, a good archive."""
    found = files.read_arrays(path)
    change(found)
    np.savez(path.with_suffix(""), **found)


def add_one(found):
    name = next(name for name, x in found.items() if x.dtype == np.float32 and x.size)
    found[name] = found[name] + 1


def retype(found):
    """The same bytes of another type."""
    name = next(name for name, x in found.items() if x.dtype == np.float32 and x.size)
    found[name] = found[name].view(np.int32)


def lack(found):
    del found[next(iter(found))]


CHANGES = {
    "values": add_one,
    "types": retype,
    "an array less": lack,
    "an array more": lambda found: found.update(more=np.zeros(3)),
}


def one_line(action, message):
    with pytest.raises(O2OError, match=message) as error:
        action()
    assert "\n" not in str(error.value)


def resumed(out):
    return sweep(out, resume=True)


def refusal(action, folder):
    """Its line; empty where there is none."""
    try:
        action(folder)
    except O2OError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("name", ["arrays.npz", "records.npz"])
def test_a_changed_checkpoint_is_refused(out, name, case):
    edited(checkpoint(out, name), CHANGES[case])
    one_line(lambda: sweep(out, resume=True), r"checkpoints/2 cannot be restored \(.*delete it to go on from the one")
    if name == "arrays.npz":
        one_line(lambda: load_policies(out), r"checkpoints/2 cannot be restored .*resume the run")


@pytest.mark.parametrize("name", ["arrays.npz", "records.npz"])
def test_another_runs_arrays_are_refused_and_the_checkpoint_before_is_good(finished, foreign, out, name):
    shutil.copy(checkpoint(foreign, name), checkpoint(out, name))
    one_line(lambda: sweep(out, resume=True), r"checkpoints/2 cannot be restored \(its \S+ is not what was sealed")
    shutil.rmtree(out / "checkpoints" / "2")
    again = sweep(out, resume=True)
    for a, b in zip(arrays(again), arrays(finished[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_results_of_another_run_are_refused_and_written_again(finished, foreign, out):
    shutil.copy(foreign / "results.npz", out / "results.npz")
    one_line(lambda: results.load_results(out), r"results\.npz belongs to another run than the folder; resume")
    for change in CHANGES.values():
        shutil.copy(finished[1] / "results.npz", out / "results.npz")
        edited(out / "results.npz", change)
        one_line(lambda: results.load_results(out), r"holds no finished run \(.*results\.npz.*resume it")
    (out / "metrics.jsonl").write_bytes(b"\xff garbage\n")
    sweep(out, resume=True)
    np.testing.assert_array_equal(results.load_results(out).scores, results.load_results(finished[1]).scores)
    assert (out / "metrics.jsonl").read_bytes() == (finished[1] / "metrics.jsonl").read_bytes()


# -- damage ------------------------------------------------------------------------------------------------


def rewritten(**changes):
    """A configuration with its hash made anew, as from somebody who wants it to pass."""

    def change(folder):
        config = json.loads((folder / "config.json").read_text()) | changes
        files.write_json(folder / "config.json", sealed(config))

    return change


def edited_config(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"width": 1', '"width": 3'))


def replaced(content):
    def change(folder):
        path = folder / "config.json"
        path.unlink()
        path.mkdir() if content is None else path.write_bytes(content)

    return change


CONFIGS = {
    "an array": replaced(b"[]"),
    "nothing": replaced(b"null"),
    "a table of nothing": replaced(b"{}"),
    "a folder": replaced(None),
    "no text": replaced(b"\xff\xfe\0"),
    "too deep": replaced(b"[" * 100_000),
    "a number of 5000 digits": replaced(b"1" * 5000),
    "other values": edited_config,
    "a pipe": lambda folder: ((folder / "config.json").unlink(), os.mkfifo(folder / "config.json")),
    "no width": rewritten(width=0),
    "a width of text": rewritten(width="1"),
    "keys of text": rewritten(keys="keys"),
    "lanes that are not there": rewritten(lanes=[7, 8]),
    "lanes of text": rewritten(lanes=["a"]),
    "a table for a name": rewritten(recipe={}),
    "no description": rewritten(described={}),
    "a class of nobody": rewritten(described={"recipe": {"@class": "os:system", "phases": []}, "task": {}}),
    "axes of nothing": rewritten(axes=["agent.nothing"]),
    "seeds of text": rewritten(seeds=["a", None]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_damaged_configuration_ends_in_one_line(out, case):
    CONFIGS[case](out)
    refusals = [refusal(action, out) for action in (load_policies, results.load_results, resumed)]
    assert any(refusals)
    for line in filter(None, refusals):
        assert "\n" not in line
        assert str(out) in line


def encrypted(path):
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + at] |= 1
            start = content.find(mark, start + 4)
    path.write_bytes(bytes(content))


def packed(path):
    found = files.read_arrays(path)
    np.savez_compressed(path.with_suffix(""), **found)


def with_objects(path):
    np.savez(path.with_suffix(""), scores=np.array([{}, None], dtype=object))


def too_large(path):
    """A header that declares more than there is."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(path, "w") as results:
        results.writestr("scores.npy", b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header)


ARCHIVES = {
    "encrypted": encrypted,
    "packed": packed,
    "objects": with_objects,
    "too large": too_large,
    "nothing": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"x" * 100),
    "an empty archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_damaged_archive_ends_in_one_line(out, case):
    for path in (out / "results.npz", checkpoint(out, "arrays.npz")):
        ARCHIVES[case](path)
    one_line(lambda: results.load_results(out), rf"{out} holds no finished run \(.*\); resume it")
    one_line(lambda: load_policies(out), r"checkpoints/2 cannot be restored \(")


JUNK = {
    "a file": lambda folder: (folder / "7").write_text("x"),
    "a word": lambda folder: (folder / "seven").mkdir(),
    "a hidden file": lambda folder: (folder / ".DS_Store").write_text("x"),
}


@pytest.mark.parametrize("case", JUNK)
def test_junk_among_checkpoints_does_no_harm(out, case):
    JUNK[case](out / "checkpoints")
    assert load_policies(out).segment == 2
    assert resumed(out).scores.shape == (2, 3)


def test_checkpoints_that_are_no_folder(out):
    shutil.rmtree(out / "checkpoints")
    (out / "checkpoints").write_text("x")
    one_line(lambda: load_policies(out), "has no checkpoint yet")
    one_line(lambda: sweep(out, resume=True), rf"{out}")


def test_an_empty_checkpoint_is_refused(out):
    (out / "checkpoints" / "9").mkdir()
    one_line(lambda: load_policies(out), r"checkpoints/9 cannot be restored|has no checkpoint")


# -- paths -------------------------------------------------------------------------------------------------

PATHS = {
    "a file": ("file", "file is a file; choose another"),
    "below a file": ("file/x/y", "lies below .*file, which is a file"),
    "a device": ("/dev/null", "/dev/null is a file"),
    "too long": ("x" * 300, "cannot be used .*too long"),
    "a NUL": ("a\0b", "cannot be used .*null"),
    "no path": (3, "cannot be used"),
}


@pytest.mark.parametrize("case", PATHS)
@pytest.mark.parametrize("driver", ["fit", "sweep", "study"])
def test_paths_that_cannot_be_used(tmp_path, monkeypatch, case, driver):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    path, message = PATHS[case]
    recipe, task, data = tiny("bc")
    run = {
        "fit": lambda: o2o.fit(1, recipe, task, data, out=path, progress=False),
        "sweep": lambda: sweep(path),
        "study": lambda: study.run(o2o.Study(recipes=[recipe], tasks=[task], dataset=data), out=path, progress=False),
    }
    one_line(run[driver], message)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


class Remove:
    """A sink that takes the folder away."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, row):
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self):
        pass


def test_a_folder_that_is_deleted_while_running_ends_in_one_line(tmp_path):
    out = tmp_path / "run"
    one_line(
        lambda: sweep(out, sinks=[Remove(out)]), rf"{out}.*(cannot be saved|No such file|no folder)|cannot .*{out}"
    )


def test_a_full_disk_while_a_report_is_written(finished, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    one_line(
        lambda: o2o.report(finished[0], tmp_path / "report"), r"cannot write to \S*report \(No space left.*make room"
    )


# -- one process -------------------------------------------------------------------------------------------


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(out):
    before = sorted(path.name for path in out.iterdir())
    with subprocess.Popen([sys.executable, "-c", HOLD, out / lock.NAME], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        one_line(lambda: sweep(out, resume=True), rf"another process is at work in {out}; wait")
        first.kill()
    assert lock.NAME in {path.name for path in out.iterdir()}  # left by the killed one, and in nobody's way
    sweep(out, resume=True)
    assert sorted(path.name for path in out.iterdir()) == before


def test_a_folder_that_is_refused_is_left_as_it_was(tmp_path):
    target, notes = tmp_path / "a" / "b", []
    with lock.held(target, notes.append):
        one_line(lambda: sweep(target), "another process is at work")
    assert not list(tmp_path.iterdir())
    assert notes == []


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    notes = []
    with lock.held(tmp_path / "run", notes.append):
        pass
    assert notes == [
        f"cannot lock {tmp_path / 'run'} (No locks available): see to it that no other process writes there"
    ]


class Store:
    """The key-value store of `jax.distributed`, where process 1 has said `said` already."""

    def __init__(self, said):
        self.said, self.values = said, {}

    def key_value_set(self, key, value):
        self.values[key] = value

    def blocking_key_value_get(self, key, milliseconds):
        return self.values.get(key) or json.dumps(self.said)


def refuse():
    raise O2OError("mine")


@pytest.mark.parametrize(
    ("said", "check", "message"), [("theirs", int, "theirs"), ("", refuse, "mine"), ("", int, None)]
)
def test_one_decision_for_all_processes(monkeypatch, said, check, message):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr("orbax.checkpoint.multihost.is_jax_distributed_client_initialized", lambda: True)
    monkeypatch.setattr("orbax.checkpoint.multihost.get_jax_distributed_client", lambda: Store(said))
    if message is None:
        assert agreed(check) == 0
    else:
        one_line(lambda: agreed(check), message)


# -- seeds -------------------------------------------------------------------------------------------------


def bits(keys):
    return np.asarray(jax.random.key_data(keys))


def test_a_seeds_key_depends_on_its_number_alone():
    np.testing.assert_array_equal(bits(seed_keys(9)), bits(jax.random.split(jax.random.key(0), 9)))
    np.testing.assert_array_equal(bits(seed_keys(9)[:4]), bits(seed_keys(4)))
    np.testing.assert_array_equal(bits(key_of(7)[1]), bits(seed_keys(8)[7]))
    with jax.threefry_partitionable(False):  # JAX's former default, where a split depends on how many there are
        np.testing.assert_array_equal(bits(seed_keys(9)[:4]), bits(seed_keys(4)))


SEEDS_GIVEN = {
    "how many": (3, (0, 1, 2)),
    "how many, by NumPy": (np.int64(3), (0, 1, 2)),
    "numbers": ([5, 2, 9], (5, 2, 9)),
    "a range": (range(4, 7), (4, 5, 6)),
    "an array": (np.array([4, 5]), (4, 5)),
    "an array of JAX": (jax.numpy.array([4, 5]), (4, 5)),
    "the last": ([2**32 - 1], (2**32 - 1,)),
}


@pytest.mark.parametrize("case", SEEDS_GIVEN)
def test_seeds_by_number(case):
    given, wanted = SEEDS_GIVEN[case]
    numbers, keys = numbers_and_keys(given)
    assert numbers == wanted
    for number, key in zip(numbers, keys, strict=True):
        np.testing.assert_array_equal(bits(key), bits(jax.random.fold_in(jax.random.key(0), np.uint32(number))))


def test_seeds_as_keys():
    key = jax.random.key(7)
    numbers, keys = numbers_and_keys(key)
    assert numbers == (0,)
    np.testing.assert_array_equal(bits(keys), bits(key)[None])
    assert numbers_and_keys(jax.random.split(key, 3))[0] == (0, 1, 2)


BAD_SEEDS = {
    "none": 0,
    "negative": [-1],
    "too many": 10**11,
    "many digits": 10**400,
    "a long range": range(10**30),
    "too high": [2**32],
    "twice": [1, 2, 1],
    "a flag": [True],
    "a number": 2.5,
    "numbers": [0.0, 1.0],
    "text": "8",
    "an empty list": [],
    "a table": np.zeros((2, 2), int),
    "raw keys": jax.random.PRNGKey(5),
    "a table of keys": jax.random.split(jax.random.key(0), (2, 2)),
}


@pytest.mark.parametrize("case", BAD_SEEDS)
def test_bad_seeds_are_refused_before_anything_is_written(case, tmp_path):
    recipe, task, data = tiny("bc")
    with pytest.raises(O2OError, match=r"^seeds .*(give|must be)") as error:
        o2o.sweep(recipe, task, data, seeds=BAD_SEEDS[case], out=tmp_path / "run", progress=False)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert not list(tmp_path.iterdir())


def test_a_grid_that_nobody_can_run_is_refused(tmp_path):
    recipe, task, data = tiny("bc")
    over = {"agent.learning_rate": np.linspace(1e-4, 1e-2, 2000).tolist()}
    with pytest.raises(O2OError, match=r"over makes 2,000,000 lanes .*at most 100,000.*; give fewer values"):
        o2o.sweep(recipe, task, data, seeds=1000, over=over, out=tmp_path / "run", progress=False)
    assert not list(tmp_path.iterdir())


def test_two_halves_are_told_apart_and_joined(finished, tmp_path):
    first, one = finished
    second = sweep(tmp_path / "two", seeds=(3, 4))
    whole = sweep(seeds=(3, 4, 5, 6))
    assert first.axes == (("seed", (5, 6)),)
    joined = results.load_results(one, tmp_path / "two")
    assert joined.axes == whole.axes == (("seed", (3, 4, 5, 6)),)
    np.testing.assert_array_equal(joined.scores, whole.scores)
    np.testing.assert_array_equal(results.join([first, second]).scores, whole.scores)
    one_line(lambda: results.join([first, first]), "seed 5 is in two of the results; join each seed once")
    one_line(lambda: results.join([]), "got no results")
    solo = dataclasses.replace(first, axes=())
    one_line(lambda: results.join([first, solo]), "take.* results with a seed axis|takes results with a seed axis")


def test_results_of_other_settings_are_not_joined(finished, foreign):
    one_line(
        lambda: results.load_results(finished[1], foreign),
        r"cannot be joined with .*: its agent\.learning_rate is 0\.1, not .*give",
    )


# -- studies -----------------------------------------------------------------------------------------------


def small(**changes):
    recipe, task, data = tiny("bc")
    return o2o.Study(recipes=[recipe], tasks=[dataclasses.replace(task, **changes)], dataset=data, seeds=2)


def claim_small(folder, *, resume, **changes):
    study = small(**changes)
    claim(folder, study, plan(study), resume=resume)


def test_a_study_with_another_task_is_refused_by_name(tmp_path):
    claim_small(tmp_path, resume=False)
    claim_small(tmp_path, resume=True)
    with pytest.raises(
        O2OError, match=r"holds another study: its slope/bc: task\.fail_reward is None, not -1\.0; choose"
    ):
        claim_small(tmp_path, fail_reward=-1.0, resume=True)


@pytest.mark.parametrize(
    "content", ["[]", "null", "{}", '{"members": [1]}', '{"members": {"slope/bc": 3}}', "[" * 9999]
)
def test_a_damaged_study_ends_in_one_line(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    one_line(lambda: claim_small(tmp_path, resume=True), rf"{tmp_path}.* choose another")
