"""Datasets that are not what they claim: a named error with its remedy, or honest rows, and nothing is written."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.data import checks, minari
from purejaxo2o.types import O2OError, Space, Spaces, Transition

SPACES = Spaces(Space((1,)), Space((1,)))  # those of toy/reach
NAME = "test/reach-v0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A root with one good dataset: three episodes of 2, 3 and 4 steps, the last one terminated."""
    root = tmp_path_factory.mktemp("bad")
    last = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1], bool)
    ended = last & (np.arange(9) == 8)
    obs = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
    after = np.append(obs[1:], [[2.0]], axis=0).astype(np.float32)
    rows = Transition(obs, 0.5 * obs, obs[:, 0], after, ended, last & ~ended)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        minari.export(rows, NAME, spaces=SPACES, algorithm_name="test", description="a test", provenance={})
    return root


@pytest.fixture
def data(folder, tmp_path, monkeypatch):
    """A copy of it, to spoil: its `data` folder."""
    shutil.copytree(folder, tmp_path / "root")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root" / NAME / "data"


def change_metadata(data, **changes):
    path = data / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_array(data, episode, field, function):
    with h5py.File(data / "main_data.hdf5", "a") as file:
        group = file[f"episode_{episode}"]
        value = function(group[field][()])
        del group[field]
        if value is not None:
            group[field] = value


def files(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def halved(data):
    path = data / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SPOILED = {
    "shifted truncation": (
        lambda data: change_array(data, 1, "truncations", lambda x: np.roll(x, -1)),
        r"episode 1, step 1: it ends here, yet goes on for 1 steps; split the episode",
    ),
    "missing truncations": (
        lambda data: change_array(data, 1, "truncations", lambda x: None),
        "episode 1: it lacks truncations; .*delete it, then download or make it again",
    ),
    "observations of another version": (
        lambda data: change_array(data, 2, "observations", lambda x: np.tile(x, 2)),
        r"episode 2: observations are of shape \[2\], the space declares \[1\].*another environment or version",
    ),
    "actions outside the box": (
        lambda data: change_array(data, 0, "actions", lambda x: x + 3),
        r"episode 0, step 0: action \[3.0\].*leaves \[-1, 1\].*clip=True",
    ),
    "not a number": (
        lambda data: change_array(data, 1, "observations", lambda x: np.where(x == x[1], np.nan, x)),
        r"episode 1, step 0: next_obs is not finite; drop or repair|episode 1, step 1: obs is not finite",
    ),
    "an infinite reward": (
        lambda data: change_array(data, 1, "rewards", lambda x: x + np.inf),
        "episode 1, step 0: reward is not finite; drop or repair",
    ),
    "an empty episode": (
        lambda data: [
            change_array(data, 1, field, lambda x: x[:0])
            for field in ("actions", "rewards", "terminations", "truncations")
        ],
        "episode 1 has no steps; drop it",
    ),
    "half a file": (halved, "cannot be read .*download or make it again"),
    "no file": (lambda data: (data / "main_data.hdf5").unlink(), "cannot be read .*download or make it again"),
    "no metadata": (lambda data: (data / "metadata.json").unlink(), "cannot be read .*download or make it again"),
    "an episode too few": (
        lambda data: change_metadata(data, total_episodes=4, total_steps=12),
        "has 3 of the 4 episodes that its metadata tells of; .*download or make it again",
    ),
    "steps too few": (
        lambda data: change_metadata(data, total_steps=12),
        "has 9 of the 12 steps that its metadata tells of; it was not downloaded or written completely",
    ),
    "steps too many": (lambda data: change_metadata(data, total_steps=5), "more than the 5 steps that its metadata"),
    "an unknown format": (
        lambda data: change_metadata(data, data_format="zarr"),
        r"is stored as 'zarr', this Minari reads .*hdf5.*; update Minari, or convert",
    ),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_dataset_is_named_with_its_remedy_before_anything_is_written(
    data, kind, capsys, tmp_path, monkeypatch
):
    spoil, message = SPOILED[kind]
    spoil(data)
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    with pytest.raises(O2OError, match=message) as caught:
        o2o.dataset(NAME)
    assert NAME in str(caught.value)
    assert "\n" not in str(caught.value)
    assert main(["train", "bc", "reach", "--scale", "small", "--dataset", NAME]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert files(tmp_path) == before


def test_a_format_without_its_package_says_which(data, monkeypatch):
    change_metadata(data, data_format="arrow")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(O2OError, match=r"stored as 'arrow', which needs pyarrow; pip install 'minari\[arrow\]'"):
        o2o.dataset(NAME)


def test_data_of_another_environment_is_refused_for_a_task(data):
    import dataclasses

    task = dataclasses.replace(o2o.task("pendulum"), dataset=NAME)
    with pytest.raises(
        O2OError, match=r"has observations Box\(1,\), gymnax/Pendulum-v1 has Box\(3,\): another environ"
    ):
        o2o.dataset(task)


def test_one_row_is_a_continuous_dataset():
    one = np.zeros((1, 2), np.float32)
    flag = np.array([True])
    checks.check_continuous(Transition(one, one, one[:, 0], one, flag, ~flag))
    checks.check_continuous(Transition(one, one, one[:, 0], one, ~flag, ~flag))


FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")
EFFECTS = {
    "drop": lambda x: None,
    "shorten": lambda x: x[:-1],
    "empty": lambda x: x[:0],
    "lengthen": lambda x: np.concatenate([x, x]),
    "widen": lambda x: x[..., None],
    "scalar": lambda x: np.float32(1),
    "nan": lambda x: x * np.nan,
    "huge": lambda x: x * 1e300,
    "true": lambda x: x == x,
    "text": lambda x: np.full(len(x), b"abc"),
    "integers": lambda x: np.arange(len(x)),
    "complex": lambda x: x * 1j,
    "half": lambda x: x * 0 + 0.5,
    "negative": lambda x: x * 0 - 1,
    "column": lambda x: x.reshape(len(x), -1)[:, :1],
}
VALUES = st.one_of(
    st.none(),
    st.integers(-5, 10**12),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.floats(),
    st.booleans(),
    st.just({}),
)
KEYS = (
    *("total_steps", "total_episodes", "data_format", "observation_space", "action_space", "env_spec"),
    *("dataset_id", "eval_env_spec", "minari_version", "jpeg_encoding", "author", "description", "requirements"),
    *("ref_min_score", "ref_max_score", "provenance"),
)
SPOILS = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.sampled_from(["main_data.hdf5", "metadata.json"])),
    st.tuples(st.just("metadata"), st.sampled_from(KEYS), VALUES),
    st.tuples(st.just("array"), st.sampled_from(FIELDS), st.sampled_from(sorted(EFFECTS)), st.integers(0, 2)),
)


def spoil(data, what, *arguments):
    if what == "cut":
        share, name = arguments
        content = (data / name).read_bytes()
        (data / name).write_bytes(content[: int(share * len(content))])
    elif what == "metadata":
        key, value = arguments
        change_metadata(data, **{key: value})
    else:
        field, effect, episode = arguments
        change_array(data, episode, field, EFFECTS[effect])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SPOILS, min_size=1, max_size=2))
def test_whatever_is_done_to_the_files_rows_are_good_or_refused_in_one_line(folder, tmp_path, monkeypatch, spoils):
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(folder, root)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    for one in spoils:
        try:
            spoil(root / NAME / "data", *one)
        except (OSError, KeyError, ValueError, TypeError, IndexError):
            continue  # the first has left nothing for the second to spoil
    before = files(root)
    try:
        rows = o2o.dataset(NAME)
    except O2OError as error:
        text = str(error)
    else:
        text = NAME
        checks.check_store(rows, minari.spaces_of(NAME))
    assert NAME in text
    assert "\n" not in text
    assert files(root) == before
