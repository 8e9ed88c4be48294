"""Data files that somebody else wrote: nothing in them is run, nothing outside of them is read, nothing waits, and
memory is asked for only where there is something to fill it."""

import json
import os
import shutil
import sys
import zlib
from typing import Any

import gymnasium as gym
import h5py
import jax
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.data import d4rl_hdf5, env_specs, minari
from purejaxo2o.types import O2OError, Space, Spaces, Transition

NAME = "test/set-v0"
SPACES = Spaces(Space((2,)), Space((1,)))
STEPS = 4


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A root with one good dataset of one episode."""
    root = tmp_path_factory.mktemp("good")
    obs = np.arange(2.0 * STEPS + 2, dtype=np.float32).reshape(-1, 2)
    last = np.arange(STEPS) == STEPS - 1
    rows = Transition(obs[:-1], obs[:-1, :1] / 10, obs[:-1, 0], obs[1:], last, ~last & last)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        minari.export(rows, NAME, spaces=SPACES, algorithm_name="none", description="a test", provenance={})
    return root


@pytest.fixture
def data(good, tmp_path, monkeypatch):
    """The files of a copy of it, to spoil."""
    shutil.copytree(good, tmp_path / "root")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root" / NAME / "data"


def change(data, **changes):
    path = data / "metadata.json"
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))


def refused(message, name=NAME):
    with pytest.raises(O2OError, match=message) as caught:
        o2o.dataset(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


# Code


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that the current folder holds, as an attacker's checkout would, and that notes when it is imported."""
    (tmp_path / "trap.py").write_text("import pathlib\npathlib.Path(__file__).with_name('sprung').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPRUNG", str(tmp_path / "sprung"))
    yield
    assert not (tmp_path / "sprung").exists()
    assert "trap" not in sys.modules


def declared(env_id="X-v0", entry="trap:fire", **more):
    fields = {"id": env_id, "entry_point": entry, "kwargs": {"command": 'touch "$SPRUNG"'}, "additional_wrappers": []}
    return json.dumps(fields | more)


WRAPPED = [{"name": "W", "entry_point": "trap:Wrapper", "kwargs": {}}]
CODE = {
    "a call in place of the actions": ({"action_space": ..., "env_spec": declared(entry="os:system")}, "lacks act"),
    "and of the observations": ({"observation_space": ..., "env_spec": declared(entry="os:system")}, "lacks obs"),
    "null spaces": ({"observation_space": None, "env_spec": declared(entry="os:system")}, "lacks obs"),
    "a module": ({"action_space": ..., "env_spec": declared()}, "lacks action_space"),
    "a module in an id": ({"env_spec": declared("trap:X-v0")}, "may name a registered environment only"),
    "in that of the evaluation": ({"eval_env_spec": declared("trap:X-v0")}, "may name a registered environment only"),
    "an entry point": ({"env_spec": declared()}, None),
    "of the evaluation": ({"eval_env_spec": declared(entry="os:system")}, None),
    "a wrapper": ({"env_spec": declared(additional_wrappers=WRAPPED)}, None),
    "vectors": ({"env_spec": declared(vector_entry_point="trap:fire")}, None),
}


@pytest.mark.parametrize("kind", CODE)
def test_nothing_that_metadata_names_is_run(data, trap, kind, capsys):
    changes, message = CODE[kind]
    change(data, **changes)
    assert main(["list", "datasets", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out)["datasets"] if row["dataset"] == NAME)
    if message is None:
        assert row["steps"] == o2o.dataset(NAME).size == STEPS
        described = minari.info(NAME)
        assert {spec.id for spec in (described.env_spec, described.eval_env_spec) if spec} == {"X-v0"}
        assert main(["inspect", NAME]) == 0
    else:
        assert message in row["description"]
        refused(message)
        assert main(["inspect", NAME]) == 2
    assert main(["train", "bc", NAME, "--scale", "small"]) == 2  # there is no such environment


def test_list_reads_metadata_alone(data, capsys):
    (data / "main_data.hdf5").unlink()
    os.mkfifo(data / "main_data.hdf5")  # opening it would wait for ever
    change(data, description="\n\n  \x1b[31mfirst\nsecond")
    assert main(["list", "datasets", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out)["datasets"] if row["dataset"] == NAME)
    assert row == {"dataset": NAME, "here": "yes", "steps": STEPS, "description": " [31mfirst"}


class Known(gym.Env):
    """An environment whose module the caller has imported: this one."""


def test_an_entry_point_counts_where_its_module_is_imported(trap):
    def entry(text: Any) -> Any:
        return env_specs.loaded_entry(EnvSpec("X-v0", text))

    assert entry(f"{__name__}:Known") is Known
    for text in (f"{__name__}:main", f"{__name__}:gym", "os:system", "trap:fire", "trap", "a:b:c", ":", "", None):
        assert entry(text) is None
    assert entry("gymnasium.wrappers:TimeLimit") is None  # a wrapper, not an environment


@pytest.mark.parametrize(
    "arguments",
    [
        {"xml_file": "scene.xml"},
        {"xml_file": "scene"},
        {"model_path": "hopper"},
        {"options": {"deep": ["/etc/passwd"]}},
        {"name": "../secret"},
        {"name": "C:\\secret"},
        {"env_id": "trap:X-v0"},
        {"maze": "walls.npz"},
    ],
)
def test_arguments_that_name_files_are_refused(arguments):
    with pytest.raises(O2OError, match=r"dataset 'x' asks for .* may not choose files or modules .* env="):
        env_specs.check_arguments("dataset 'x'", arguments)


def test_no_environment_is_made_with_a_file_that_metadata_choose(data):
    for env_id in ("Hopper-v5", "Reacher-v5"):  # one with a twin, one on the host
        fields = declared(env_id, kwargs={"xml_file": "/etc/passwd"})
        change(data, env_spec=fields, ref_min_score=0.0, ref_max_score=1.0)
        with pytest.raises(O2OError, match=f"{NAME}.* asks for 'xml_file'='/etc/passwd': a dataset may not choose"):
            o2o.task_from_minari(NAME)


def test_other_arguments_are_not():
    maze, kitchen = {"maze_map": [[1, "r", 0], ["g", 1, 1]], "reward_type": "sparse"}, {"tasks": ["slide cabinet"]}
    numbers = {"healthy_z_range": [0.7, 2.0], "profile": True, "version": "v1.2", "path": None}
    env_specs.check_arguments("dataset 'x'", maze | kitchen | numbers)


# Other files


def _outside(path, kind, group, name, value):
    """Put what `value` is into another file, and into `group` only what points there."""
    other = path.with_name("other.hdf5")
    with h5py.File(other, "w") as file:
        file.create_dataset("x", data=value)
        offset = file["x"].id.get_offset()
    if kind == "external link":
        group[name] = h5py.ExternalLink(other.name, "/x")
    elif kind == "soft link":
        group["through"] = h5py.ExternalLink(other.name, "/x")
        group[name] = h5py.SoftLink("through")
    elif kind == "raw storage":
        given = [(str(other), offset, value.nbytes)]
        group.create_dataset(name, shape=value.shape, dtype=value.dtype, external=given)
    else:
        layout = h5py.VirtualLayout(value.shape, value.dtype)
        layout[:] = h5py.VirtualSource(str(other), "x", shape=value.shape)
        group.create_virtual_dataset(name, layout)


OUTSIDE = {
    "external link": "is a link to another place",
    "soft link": "is a link to another place",
    "raw storage": "stored in other files",
    "virtual": "put together from other files",
}


@pytest.mark.parametrize("field", ["rewards", "observations"])
@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_minari_file_that_points_outside_is_refused(data, kind, field):
    path = data / "main_data.hdf5"
    with h5py.File(path, "a") as file:
        group = file["episode_0"]
        value = group[field][()]
        del group[field]
        _outside(path, kind, group, field, value)
    assert f"episode 0: {field}" in refused(OUTSIDE[kind])


def test_so_is_an_episode_of_another_file(data):
    path = data / "main_data.hdf5"
    path.rename(data / "other.hdf5")
    with h5py.File(path, "w") as file:
        file["episode_0"] = h5py.ExternalLink("other.hdf5", "/episode_0")
    refused("episode_0 is a link to another place")


def d4rl_arrays():
    obs = np.arange(8.0, dtype=np.float32).reshape(4, 2)
    ends = np.array([False, False, False, True])
    return {
        "observations": obs,
        "next_observations": obs + 2,
        "actions": obs[:, :1] / 10,
        "rewards": obs[:, 0],
        "terminals": ends,
        "timeouts": ~ends & ends,
    }


@pytest.mark.parametrize("field", ["rewards", "next_observations"])
@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_d4rl_file_that_points_outside_is_refused(tmp_path, kind, field):
    path, arrays = tmp_path / "hopper.hdf5", d4rl_arrays()
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            if name == field:
                _outside(path, kind, file, name, value)
            else:
                file[name] = value
    assert field in refused(OUTSIDE[kind], str(path))


# Memory


def test_counts_are_compared_with_what_is_there(data):
    change(data, total_episodes=10**9, total_steps=10**9)
    refused("has 1 of the 1000000000 episodes that its metadata tells of")
    change(data, total_episodes=1, total_steps=10**12)
    refused("has 4 of the 1000000000000 steps that its metadata tells of")


def _unfold(group, name, value, *, rows, **how):
    """The same array with far more rows, of which the file holds the first."""
    array = group.create_dataset(name, (rows, *value.shape[1:]), value.dtype, **how)
    array[: len(value)] = value


@pytest.mark.parametrize("how", [{"compression": "gzip"}, {"chunks": True}])
def test_arrays_far_larger_than_the_file_are_refused(data, tmp_path, how):
    rows = 10**9
    with h5py.File(data / "main_data.hdf5", "a") as file:
        group = file["episode_0"]
        value = group["observations"][()]
        del group["observations"]
        _unfold(group, "observations", value, rows=rows, **how)
    refused(r"has .* kB on the disk and declares arrays of 8 GB; if you trust it, set PUREJAXO2O_DATA_LIMIT")
    with h5py.File(tmp_path / "hopper.hdf5", "w") as file:
        for name, value in d4rl_arrays().items():
            _unfold(file, name, value, rows=rows // 8, **how)
    refused(r"(declares arrays of|takes) .* GB.* PUREJAXO2O_DATA_LIMIT", str(tmp_path / "hopper.hdf5"))


def _bomb(group, value, *, chunk, packed):
    """An array of a few numbers whose only chunk unpacks to 100 MB."""
    content = zlib.compress(value.tobytes() + bytes(10**8), 9) + bytes(packed)
    array = group.create_dataset("rewards", value.shape, "f4", chunks=(chunk,), maxshape=(None,), compression="gzip")
    array.id.write_direct_chunk((0,), content)


@pytest.mark.parametrize(("chunk", "packed"), [(STEPS, 0), (1 << 19, 1 << 20)])
def test_chunks_that_swell_are_refused(data, chunk, packed):
    with h5py.File(data / "main_data.hdf5", "a") as file:
        value = file["episode_0/rewards"][()]
        del file["episode_0/rewards"]
        _bomb(file["episode_0"], value, chunk=chunk, packed=packed)
    refused("episode 0: rewards unpacks to more than its own size")


def test_chunks_far_larger_than_the_array_are_refused(data):
    with h5py.File(data / "main_data.hdf5", "a") as file:
        value = file["episode_0/rewards"][()]
        del file["episode_0/rewards"]
        chunks = {"chunks": (1 << 29,), "maxshape": (None,), "compression": "gzip"}
        array = file["episode_0"].create_dataset("rewards", value.shape, "f4", **chunks)
        array.id.write_direct_chunk((0,), zlib.compress(bytes(2**10)))
    refused("declares arrays of 2.15 GB")


def test_packed_arrays_are_read(data):
    before = jax.tree.map(np.asarray, o2o.dataset(NAME).data)
    with h5py.File(data / "main_data.hdf5", "a") as file:
        group = file["episode_0"]
        packings = ({"compression": "gzip", "shuffle": True}, {"compression": "lzf"}, {"fletcher32": True})
        for name, packing in zip(("observations", "actions", "rewards"), packings, strict=True):
            value = group[name][()]
            del group[name]
            group.create_dataset(name, data=value, chunks=True, **packing)
    for one, other in zip(o2o.dataset(NAME).data[:6], before[:6], strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays_that_were_never_written_are_refused(data):
    with h5py.File(data / "main_data.hdf5", "a") as file:
        del file["episode_0/rewards"]
        file["episode_0"].create_dataset("rewards", (STEPS,), "f4")
    refused("episode 0: rewards was declared and never written")


def test_the_limit_can_be_set(data, monkeypatch):
    monkeypatch.setenv("PUREJAXO2O_DATA_LIMIT", "1e-9")
    refused("takes .* B, PUREJAXO2O_DATA_LIMIT allows 1 B; raise it")
    for text in ("lots", "-1", "nan"):
        monkeypatch.setenv("PUREJAXO2O_DATA_LIMIT", text)
        refused("PUREJAXO2O_DATA_LIMIT is .*; give a positive number of GB")
    monkeypatch.setenv("PUREJAXO2O_DATA_LIMIT", "1")
    assert o2o.dataset(NAME).size == STEPS


def test_no_more_than_the_free_memory_is_asked_for(data, monkeypatch):
    from purejaxo2o.data import limits

    monkeypatch.setattr(limits, "free_memory", lambda: 100)
    refused("takes .* of memory and 100 B are free")


def test_infos_are_not_read(data):
    with h5py.File(data / "main_data.hdf5", "a") as file:
        file["episode_0"].create_dataset("infos/large", (10**10,), "f8", compression="gzip")
        file["episode_0/infos/gone"] = h5py.ExternalLink("nowhere.hdf5", "/x")
    assert o2o.dataset(NAME).size == STEPS


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("name", ["metadata.json", "main_data.hdf5", "hopper.hdf5"])
def test_only_ordinary_files_are_opened(data, kind, name, tmp_path):
    path = (data if name != "hopper.hdf5" else tmp_path) / name
    path.unlink(missing_ok=True)
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda path: path.symlink_to("/dev/zero")}[kind](path)
    refused("is no regular file", str(path) if name == "hopper.hdf5" else NAME)


# Metadata


BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": [0.0, 0.0], "high": [1.0, 1.0]}
DEEP = "[" * 200 + "]" * 200
WRONG = [
    ({"total_steps": "abc"}, "total_steps is 'abc', not a number of steps"),
    ({"total_steps": [4]}, r"total_steps is \[4\], not a number of steps"),
    ({"total_steps": 4.0}, "total_steps is 4.0, not a number"),
    ({"total_steps": True}, "total_steps is True, not a number"),
    ({"total_steps": -4}, "total_steps is -4, not a number"),
    ({"total_steps": 10**400}, r"total_steps is 10+\.\.\.0+, not a number"),
    ({"total_episodes": None}, "lacks total_episodes"),
    ({"total_episodes": {}}, "total_episodes is {}, not a number of episodes"),
    ({"data_format": ["hdf5"]}, "data_format is .'hdf5'., not text"),
    ({"data_format": "pickle"}, "is stored as 'pickle', this Minari reads"),
    ({"jpeg_encoding": "no"}, "jpeg_encoding is 'no', not true or false"),
    ({"minari_version": "99.0"}, "written by Minari '99.0', which this one does not read; update"),
    ({"minari_version": 5}, "minari_version is 5, not text"),
    ({"author": {"a": 1}}, "author is {'a': 1}, not a list of texts"),
    ({"description": ["a"]}, "description is .'a'., not text"),
    ({"requirements": [1]}, r"requirements is \[1\], not a list of texts"),
    ({"ref_min_score": "low", "ref_max_score": 1.0}, "ref_min_score is 'low', not a finite number"),
    ({"ref_min_score": float("nan"), "ref_max_score": 1.0}, "ref_min_score is nan, not a finite number"),
    ({"observation_space": BOX}, "observation_space is {.*}, no text that describes a space"),
    ({"observation_space": "{"}, "observation_space is no JSON"),
    ({"observation_space": DEEP}, "observation_space is nested more than 64 levels"),
    ({"observation_space": "[" * 10**5}, "observation_space is (nested too deeply|no JSON)"),
    ({"observation_space": json.dumps(BOX | {"type": "Evil"})}, "is of the type 'Evil'; known"),
    ({"observation_space": json.dumps(BOX | {"type": []})}, r"is of the type \[\]; known"),
    ({"observation_space": json.dumps(BOX | {"shape": [10**12], "low": 0})}, "is no Box space .*more than"),
    ({"observation_space": json.dumps(BOX | {"shape": [-2]})}, r"is no Box space \(shape is \[-2\]\)"),
    ({"observation_space": json.dumps(BOX | {"shape": [3]})}, r"low is of shape \[2\], not \[3\]"),
    ({"observation_space": json.dumps(BOX | {"low": [[0], [1, 2]]})}, "is no Box space"),
    ({"observation_space": json.dumps(BOX | {"dtype": "O"})}, "dtype is 'O'"),
    ({"observation_space": json.dumps({"type": "Box"})}, "is no Box space .it lacks 'shape'."),
    ({"observation_space": json.dumps({"type": "Dict", "subspaces": []})}, r"subspaces is \[\]"),
    ({"observation_space": json.dumps({"type": "Dict", "subspaces": {"a": 3}})}, "observation_space/a is 3, no desc"),
    ({"action_space": json.dumps({"type": "Discrete", "n": 10**12})}, "is no Discrete space"),
    ({"action_space": json.dumps({"type": "Discrete", "n": -1})}, "is no Discrete space"),
    ({"action_space": json.dumps({"type": "MultiBinary", "n": [10**9, 10**9]})}, "is no MultiBinary space"),
    ({"env_spec": 3}, "env_spec is 3, no environment's specification"),
    ({"env_spec": "X-v0"}, "env_spec is no JSON"),
    ({"env_spec": declared(env_id=["a"])}, r"env_spec has the id \['a'\]; a dataset may name"),
    ({"env_spec": declared(max_episode_steps="ten")}, "max_episode_steps is 'ten', no number of steps"),
    ({"env_spec": declared(max_episode_steps=10**30)}, "max_episode_steps is 10+, no number of steps"),
    ({"env_spec": declared(kwargs=[1])}, r"kwargs is \[1\], no object"),
    ({"env_spec": declared(entry=3)}, "entry_point is 3, no text"),
    ({"env_spec": declared(additional_wrappers=[{}])}, "wrapper {} has no name"),
    ({"eval_env_spec": declared(additional_wrappers=3)}, "additional_wrappers is 3, no list"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_metadata_of_the_wrong_kind_are_one_line(data, changes, message):
    change(data, **changes)
    assert NAME in refused(message)


@pytest.mark.parametrize("value", [None, 3, "text", [], [[1, "x"]], {"a": 1}])
def test_provenance_may_be_anything(data, value):
    """It is nobody's standard: what is not as we write it says nothing."""
    for field in ("source", "environment", "versions", None):
        change(data, provenance=value if field is None else {field: value}, env_spec=declared("Hopper-v5", kwargs={}))
        assert main(["inspect", NAME]) == 0
        for spec in ({}, {"env_spec": ...}):
            change(data, **spec)
            with pytest.raises(O2OError, match=f"{NAME}' (has observations|declares no environment)"):
                o2o.task_from_minari(NAME, reference=(0.0, 1.0))


@pytest.mark.parametrize("plan", [3, True, "maze", [1], {"a": 1}])
def test_a_map_that_is_none_is_named(data, plan):
    change(data, env_spec=declared("PointMaze_UMaze-v3", kwargs={"maze_map": plan}))
    with pytest.raises(O2OError, match=f"{NAME}.* maze_map is .*, no rows of cells"):
        o2o.task_from_minari(NAME, reference=(0.0, 1.0))


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"x"', "{[]: 1}", "{1: 2}", "\x00", "9" * 5000, "[" * 10**5])
def test_metadata_that_are_no_object_are_one_line(data, text):
    (data / "metadata.json").write_text(text)
    assert NAME in refused(r"metadata.json is (no JSON|nested)|, no object")
    (data / "metadata.json").write_bytes(b"\xff\xfe{}")
    refused("cannot be read")


@pytest.mark.parametrize(
    "name", ["a" * 300 + "-v0", "../x-v0", "a/../b-v0", "/etc/x-v0", "x", "", "a\x00-v0", "a\n-v0", 3, None]
)
def test_what_is_no_id_is_named(data, name):
    with pytest.raises(O2OError, match="is no dataset id"):
        minari.read(name)


def test_a_fault_of_ours_is_no_fault_of_the_dataset(data, monkeypatch):
    """It was reported as a damaged dataset, with the advice to delete it."""

    def broken(*_, **__):
        raise AttributeError("a bug")

    monkeypatch.setattr("purejaxo2o.data.episodes.flat_obs", broken)
    with pytest.raises(AttributeError, match="a bug"):
        minari.read(NAME)


@pytest.mark.parametrize("flag", [0.5, -1.0, np.nan, 2.0])
@pytest.mark.parametrize("field", ["terminations", "truncations"])
def test_flags_are_zero_or_one(data, field, flag):
    with h5py.File(data / "main_data.hdf5", "a") as file:
        del file[f"episode_0/{field}"]
        file[f"episode_0/{field}"] = np.array([0, 0, flag, 1])
    refused(f"episode 0, step 2: {field} is {flag}; a flag is 0 or 1")


def test_flags_may_be_numbers(data):
    before = jax.tree.map(np.asarray, o2o.dataset(NAME).data)
    with h5py.File(data / "main_data.hdf5", "a") as file:
        for field in ("terminations", "truncations"):
            value = file[f"episode_0/{field}"][()]
            del file[f"episode_0/{field}"]
            file[f"episode_0/{field}"] = value[:, None].astype(np.float64)
    for one, other in zip(o2o.dataset(NAME).data[:6], before[:6], strict=True):
        np.testing.assert_array_equal(one, other)


def test_checks_of_a_d4rl_file_come_before_anything_is_trained(tmp_path):
    with h5py.File(tmp_path / "hopper.hdf5", "w") as file:
        for name, value in d4rl_arrays().items():
            file[name] = value
    assert d4rl_hdf5.load(str(tmp_path / "hopper.hdf5")).size == STEPS
    with pytest.raises(O2OError, match="there is no file"):
        d4rl_hdf5.read("x" * 300 + ".hdf5")


@pytest.mark.slow
def test_whatever_bytes_are_changed_rows_are_good_or_refused_in_one_line(data, tmp_path):
    """Bytes of all three kinds of files, in a fixed order of chance."""
    d4rl = tmp_path / "hopper.hdf5"
    with h5py.File(d4rl, "w") as file:
        for name, value in d4rl_arrays().items():
            file[name] = value
    places = [(data / "main_data.hdf5", NAME), (data / "metadata.json", NAME), (d4rl, str(d4rl))]
    good = [path.read_bytes() for path, _ in places]
    random, outcomes = np.random.default_rng(0), set()
    for turn in range(1500):
        path, name = places[turn % 3]
        spoiled = bytearray(good[turn % 3])
        for at in random.integers(len(spoiled), size=random.integers(1, 6)):
            spoiled[at] = random.choice([0, 1, 255, random.integers(256)])
        path.write_bytes(spoiled)
        try:
            (d4rl_hdf5 if path == d4rl else minari).read(name).check()
        except O2OError as error:
            outcomes.add("refused")
            lines = str(error).splitlines()
        else:
            outcomes.add("read")
            lines = [""]
        assert len(lines) == 1
        path.write_bytes(good[turn % 3])
    assert outcomes == {"read", "refused"}
