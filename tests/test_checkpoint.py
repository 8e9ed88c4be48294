"""Checkpoints: restored bit for bit or refused by name; a full disk spares the one before; saved when cheap."""

import json
import os
import re
import shutil
import subprocess
import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tiny import arrays, tiny

import purejaxo2o as o2o
from purejaxo2o.disk import checkpoint
from purejaxo2o.disk.checkpoint import Checkpoints
from purejaxo2o.disk.folder import sealed, write_json
from purejaxo2o.types import O2OError, pytree

CONFIG = {
    "recipe": "iql",
    "task": "slope",
    "dataset": None,
    "data": {"rows": 400, "reward": "01234567"},
    "keys": [0, 3],
    "settings": {"agent.expectile": 0.9, "agent.hidden": [8, 8]},
    "described": {},
    "key_impl": "fry",
    "platform": "cpu",
    "seeds": None,
    "versions": {"jax": "0"},
    "commit": "abc",
}


@pytree
class State:
    """Every kind of leaf that a run has."""

    key: jax.Array
    weights: dict
    flags: jax.Array
    count: jax.Array
    empty: jax.Array
    none: None = None


def state(seed=0, size=300):
    key = jax.random.key(seed)
    weights = {f"w{i}": jax.random.normal(jax.random.fold_in(key, i), (size, size)) for i in range(3)}
    weights |= {"zeros": jnp.zeros((200, 11)).at[:9].set(seed + 0.5), "half": jnp.ones((5,), jnp.bfloat16) * seed}
    return State(
        key=jax.random.split(key, 3),
        weights=weights,
        flags=jnp.arange(40) % 3 == seed % 3,
        count=jnp.int32(seed),
        empty=jnp.zeros((0, 4)),
    )


SHAPES = jax.eval_shape(state)


def folder(path, **changes):
    """A run folder with nothing but its config."""
    path.mkdir(exist_ok=True)
    write_json(path / "config.json", sealed(CONFIG | changes))
    return path


def write(path, *seeds, **options):
    """Checkpoints `seeds` of the states with these seeds."""
    saver = Checkpoints(path, **{"every": 1} | options)
    for seed in seeds:
        saver.save(seed, state(seed), [])
    saver.wait()
    saver.close()
    return path


def read(path, segment, like=SHAPES, *, read_only=False):
    saver = Checkpoints(path, read_only=read_only)
    try:
        return saver.restore(segment, like)
    finally:
        saver.close()


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(arrays(one), arrays(other), strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write(folder(tmp_path_factory.mktemp("good") / "run"), 1, 2, 3)


def test_restores_bit_for_bit(good):
    assert sorted(path.name for path in (good / "checkpoints").iterdir()) == ["2", "3"]
    for segment in (2, 3):
        same(read(good, segment), state(segment))
    same(read(good, 3, like=state(0)), state(3))  # arrays do as well as shapes


def test_restores_what_was_saved_when_the_arrays_are_donated(tmp_path):
    saver = Checkpoints(folder(tmp_path / "run"), every=1)
    run = state(1, size=500)
    saver.save(1, run, [])
    overwrite = jax.jit(lambda run: jax.tree.map(jnp.zeros_like, run.weights), donate_argnums=0)
    for _ in range(20):
        jax.block_until_ready(overwrite(run))
        run = state(2, size=500)
    saver.wait()
    saver.close()
    same(read(tmp_path / "run", 1, like=run), state(1, size=500))


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "gone": lambda content: None,
    "changed": lambda content: (
        content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 16]) + content[len(content) // 2 + 1 :]
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_whole_or_refused(good, damage, tmp_path):
    """Every file in turn."""
    files = [path.relative_to(good) for path in sorted((good / "checkpoints" / "3").rglob("*")) if path.is_file()]
    assert {"arrays.npz", "seal.json"} <= {name.name for name in files}
    expected, refused = state(3), {}
    for number, name in enumerate(files):
        out = tmp_path / str(number)
        shutil.copytree(good, out)
        content = (out / name).read_bytes()
        changed = DAMAGES[damage](content) if content else None
        (out / name).unlink() if changed is None else (out / name).write_bytes(changed)
        try:
            found = read(out, 3)
        except O2OError as error:
            refused[name] = str(error)
        else:
            same(found, expected)
    same(read(out, 2), state(2))
    for message in refused.values():
        assert re.search(r"^checkpoint \S*/checkpoints/3 .*delete it to go on from the one before.*$", message)
    assert {"arrays.npz", "seal.json"} <= {name.name for name in refused}


def test_notices_a_changed_byte_anywhere(good, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(good, out)
    path = next((out / "checkpoints" / "3").rglob("arrays.npz"))
    content, expected = path.read_bytes(), state(3)
    whole = 0
    for at in np.random.default_rng(0).integers(0, len(content), 40):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            found = read(out, 3)
        except O2OError:
            continue
        same(found, expected)
        whole += 1
    assert whole < 5  # bytes that mean nothing


FOREIGN = {
    "recipe": ({"recipe": "bc"}, r"its recipe is 'bc', not 'iql'"),
    "task": ({"task": "reach"}, r"its task is 'reach', not 'slope'"),
    "data": ({"data": {"rows": 400, "reward": "9"}}, r"its data\.reward is '9', not '01234567'"),
    "keys": ({"keys": [0, 4]}, r"its keys is \[0, 4\], not \[0, 3\]"),
    "setting": (
        {"settings": {"agent.expectile": 0.6, "agent.hidden": [8, 8]}},
        r"its agent\.expectile is 0\.6, not 0\.9",
    ),
    "more": ({"processes": 2}, r"its processes is 2, not None"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_refuses_the_checkpoint_of_another_run(good, case, tmp_path):
    changes, message = FOREIGN[case]
    other = write(folder(tmp_path / "other", **changes), 4)
    out = tmp_path / "run"
    shutil.copytree(good, out)
    shutil.copytree(other / "checkpoints" / "4", out / "checkpoints" / "4")
    with pytest.raises(O2OError, match=r"checkpoints/4 belongs to another run: " + message) as error:
        read(out, 4)
    assert "\n" not in str(error.value)
    same(read(out, 3), state(3))


def test_refuses_another_segment_and_other_arrays(good, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(good, out)
    shutil.copytree(out / "checkpoints" / "3", out / "checkpoints" / "7")
    with pytest.raises(O2OError, match=r"checkpoints/7 belongs to another run: its segment is 3, not 7; delete it"):
        read(out, 7)
    with pytest.raises(O2OError, match=r"checkpoints/3 .*its weights.w0 is .*300, 300.*, not .*8, 8"):
        read(out, 3, like=jax.eval_shape(lambda: state(size=8)))
    next((out / "checkpoints" / "3").rglob("seal.json")).unlink()
    with pytest.raises(O2OError, match=r"checkpoints/3 cannot be restored .*delete it"):
        read(out, 3)


def test_versions_and_commit_may_change(good, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(good, out)
    folder(out, versions={"jax": "1"}, commit="def")
    same(read(out, 3), state(3))


def test_only_a_writer_clears_what_a_killed_process_left(good, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(good, out)
    left = out / "checkpoints" / "4.orbax-checkpoint-tmp"
    shutil.copytree(out / "checkpoints" / "3", left)
    same(read(out, 3, read_only=True), state(3))
    assert left.exists()
    write(out, 4)
    assert not left.exists()
    same(read(out, 4), state(4))


def mounted(path, size):
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"cannot mount: {error}")
    if done.returncode:
        pytest.skip(f"not allowed to mount: {done.stderr.strip()}")
    return path


@pytest.fixture
def small_disk(tmp_path):
    """A file system that has room for two checkpoints of `state` (1.1 MB each), not for three."""
    path = mounted(tmp_path / "disk", "2800k")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_spares_the_checkpoint_before(small_disk, capfd, caplog):
    out = folder(small_disk / "run")
    saver = Checkpoints(out, every=1)
    saver.save(1, state(1), [])
    saver.save(2, state(2), [])
    saver.wait()
    saver.save(3, state(3), [])
    with pytest.raises(
        O2OError, match=r"checkpoint in \S*/checkpoints cannot be saved .*No space left.*--resume"
    ) as error:
        saver.wait()
    assert "\n" not in str(error.value)
    saver.close()
    assert capfd.readouterr().err == ""  # one error is enough: no stack traces beside it
    assert not caplog.records
    saver = Checkpoints(out, every=1)
    assert saver.latest() == 2
    same(saver.restore(2, SHAPES), state(2))
    shutil.rmtree(out / "checkpoints" / "1")
    saver.save(3, state(3), [])
    saver.wait()
    saver.close()
    same(read(out, 3), state(3))


class Fill:
    """A sink that leaves no room on a disk from some row on."""

    def __init__(self, path, at):
        self.path, self.at, self.rows = path, at, 0

    def write(self, row):
        self.rows += 1
        if self.rows == self.at:
            free = os.statvfs(self.path.parent)
            self.path.write_bytes(bytes(free.f_bavail * free.f_frsize))

    def close(self):
        pass


def test_a_run_on_a_full_disk_ends_in_one_line_and_goes_on_with_space(small_disk, tmp_path):
    def fit(out, **how):
        recipe, task, data = tiny("bc")
        return o2o.fit(jax.random.key(1), recipe, task, data, out=out, save_every=1, progress=False, **how)

    filler = small_disk / "filler"
    with pytest.raises(O2OError, match=r"(cannot write to|cannot be saved).*No space left.*resuming") as error:
        fit(small_disk / "run", sinks=[Fill(filler, 3)])
    assert "\n" not in str(error.value)
    assert str(small_disk / "run") in str(error.value)
    filler.unlink()
    same(fit(small_disk / "run", resume=True), fit(tmp_path / "run"))
    one, other = (path / "run" / "metrics.jsonl" for path in (small_disk, tmp_path))
    assert one.read_bytes() == other.read_bytes()


@pytest.fixture
def clock(monkeypatch):
    """Time as the test says; Orbax's threads, which end a save, are a second ahead."""
    now = SimpleNamespace(seconds=0.0)
    main = threading.current_thread()
    time = SimpleNamespace(perf_counter=lambda: now.seconds + (threading.current_thread() is not main))
    monkeypatch.setattr(checkpoint, "time", time)
    return now


def test_saves_when_it_is_cheap(clock, tmp_path, monkeypatch):
    saver = Checkpoints(folder(tmp_path / "run"), last=9)

    def due(segment, at):
        clock.seconds = at
        return saver.due(segment)

    assert due(1, at=0.1)  # the first, whatever it costs
    saver.save(1, state(1), [])
    saver.wait()
    assert not due(2, at=39)  # a second spent, another to come
    assert due(2, at=41)
    assert due(9, at=1)  # the last
    clock.seconds = 41
    saver.save(2, state(2), [])
    saver.wait()
    assert not due(3, at=59)
    assert due(3, at=61)
    monkeypatch.setattr(ocp.CheckpointManager, "is_saving_in_progress", lambda manager: True)
    assert not due(3, at=1000)  # never waits for the save before
    assert due(9, at=1000)
    saver.close()


def test_saves_every_so_many_segments_and_the_last(tmp_path):
    saver = Checkpoints(folder(tmp_path / "run"), every=3, last=8)
    assert [segment for segment in range(1, 9) if saver.due(segment)] == [3, 6, 8]
    saver.close()


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2"])
def test_refuses_a_bad_interval_before_anything_is_written(every, tmp_path):
    recipe, task, data = tiny("bc")
    with pytest.raises(O2OError, match=rf"save_every is {every!r}; give a number of segments"):
        o2o.fit(jax.random.key(1), recipe, task, data, out=tmp_path / "run", save_every=every, progress=False)
    assert not list(tmp_path.iterdir())


CONTENTS = {
    "no folder": lambda out: None,
    "an empty folder": lambda out: out.mkdir(),
    "a half written config": lambda out: (out.mkdir(), (out / "config.json.tmp").write_text('{"rec')),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_resuming_nothing_starts(case, tmp_path, capsys):
    recipe, task, data = tiny("bc")
    CONTENTS[case](tmp_path / "run")
    result = o2o.fit(jax.random.key(1), recipe, task, data, out=tmp_path / "run", resume=True, save_every=3)
    assert "nothing to resume from" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["3", "4"]
    assert not list((tmp_path / "run").rglob("*.tmp"))
    timing = json.loads((tmp_path / "run" / "timing.json").read_text())
    assert timing["save"] > 0
    assert result.scores.shape == (5,)


def test_finished_without_checkpoints_is_trained_again_to_the_same(tmp_path):
    recipe, task, data = tiny("bc")
    out = tmp_path / "run"
    how = {"out": out, "resume": True, "progress": False}
    first = o2o.fit(jax.random.key(1), recipe, task, data, **how)
    before = (out / "metrics.jsonl").read_bytes()
    shutil.rmtree(out / "checkpoints")
    same(o2o.fit(jax.random.key(1), recipe, task, data, **how), first)
    assert (out / "metrics.jsonl").read_bytes() == before
