"""Reading and writing Minari datasets: true next observations, honest flags, bitwise round trips, clear errors."""

import json
import pathlib
import warnings

import gymnasium as gym
import h5py
import jax
import jax.numpy as jnp
import minari as farama
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from purejaxo2o.data import checks, minari
from purejaxo2o.loop import store as stores
from purejaxo2o.types import O2OError, Space, Spaces, Transition

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "minari"
VECTOR = gym.spaces.Box(-np.inf, np.inf, (2,))
BOX = gym.spaces.Box(-1.0, 1.0, (1,))
IMAGE = gym.spaces.Box(0, 255, (9, 8, 3), np.uint8)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root"


def episode(steps=3, **changes):
    values = {
        "observations": np.arange(2 * steps + 2, dtype=np.float32).reshape(-1, 2),
        "actions": np.linspace(-1, 1, steps, dtype=np.float32)[:, None],
        "rewards": np.ones(steps, np.float32),
        "terminations": np.zeros(steps, bool),
        "truncations": np.arange(steps) == steps - 1,
    }
    return EpisodeBuffer(**{**values, **changes})


def write(root, episodes, dataset_id="test/set-v0", obs_space=VECTOR, action_space=BOX):
    """A file as another tool might have left it."""
    (root / dataset_id).mkdir(parents=True)
    storage = MinariStorage.new(root / dataset_id / "data", obs_space, action_space)
    storage.update_metadata({"dataset_id": dataset_id, "minari_version": farama.__version__})
    storage.update_episodes(episodes)
    return dataset_id


def rows(rng, spaces, lengths=(3, 1, 5)):
    """Continuous random trajectories; the second one terminates, the others are truncated."""
    pieces = []
    for i, steps in enumerate(lengths):
        shape = (steps + 1, *spaces.obs.shape)
        if spaces.obs.dtype == "uint8":
            obs = rng.integers(0, 256, shape).astype(np.uint8)
        else:
            obs = rng.normal(size=shape).astype(np.float32)
        if spaces.action.discrete:
            action = rng.integers(0, spaces.action.n, steps).astype(np.int32)
        else:
            action = rng.uniform(-1, 1, (steps, *spaces.action.shape)).astype(np.float32)
        end = np.arange(steps) == steps - 1
        reward = rng.normal(size=steps).astype(np.float32)
        pieces.append(Transition(obs[:-1], action, reward, obs[1:], end & (i == 1), end & (i != 1)))
    return jax.tree.map(lambda *x: jnp.asarray(np.concatenate(x)), *pieces)


def export(data, dataset_id="me/toy/set-v0", spaces=None, **settings):
    spaces = spaces or Spaces(Space((3,)), Space((2,)))
    given = {"algorithm_name": "test", "description": "made by a test", "provenance": {"seed": 0}, **settings}
    return minari.export(data, dataset_id, spaces=spaces, **given)


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def files(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*")) if root.exists() else []


# Reading


def test_collected_pendulum_loads_with_time_limits_and_true_next_obs():
    env = gym.make("Pendulum-v1", max_episode_steps=50)
    collector = farama.DataCollector(env)
    env.action_space.seed(0)
    collector.reset(seed=0)
    for step in range(120):  # the third episode is still running when the recording stops
        *_, terminated, truncated, _ = collector.step(env.action_space.sample())
        if (terminated or truncated) and step < 119:
            collector.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = collector.create_dataset(dataset_id="gym/pendulum/random-v0")
    data = stores.flat(minari.load("gym/pendulum/random-v0"))
    assert not data.terminated.any()
    assert list(np.flatnonzero(data.truncated)) == [49, 99, 119]
    recorded = list(original.iterate_episodes())
    np.testing.assert_array_equal(data.obs, np.concatenate([e.observations[:-1] for e in recorded]))
    np.testing.assert_array_equal(data.next_obs, np.concatenate([e.observations[1:] for e in recorded]))
    # torques of +-2 become actions of +-1
    np.testing.assert_allclose(data.action * 2, np.concatenate([e.actions for e in recorded]), rtol=1e-6)
    described = minari.info("gym/pendulum/random-v0")
    assert (described.env_id, described.episodes, described.steps) == ("Pendulum-v1", 3, 120)
    assert described.env_spec is not None
    assert described.env_spec.max_episode_steps == 50
    assert described.spaces == Spaces(Space((3,)), Space((1,)))


@pytest.mark.parametrize(("name", "reference"), [("medium", 310), ("expert", 103), ("medium-replay", 1605)])
def test_shared_hopper_data(monkeypatch, name, reference):
    if not (SHARED / "sbx/hopper").exists():
        pytest.skip("the shared Hopper recordings are not here")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(SHARED))
    described = minari.info(f"sbx/hopper/{name}-v0")
    assert described.env_id == "Hopper-v5"
    assert described.reference == (-20.272305, 3234.3)
    assert described.spaces == minari.spaces_of(described.id) == Spaces(Space((11,)), Space((3,)))
    store = minari.load(described.id)
    data = jax.tree.map(np.asarray, stores.flat(store))
    assert described.steps == store.size == store.rows
    assert described.episodes == data.last.sum() == reference
    inside = ~data.last[:-1]
    np.testing.assert_array_equal(data.next_obs[:-1][inside], data.obs[1:][inside])
    assert not (data.next_obs[:-1][~inside] == data.obs[1:][~inside]).all(axis=1).any()
    checks.check_store(store, described.spaces)


def test_dictionary_observations_are_joined_in_alphabetical_order(root):
    space = gym.spaces.Dict({"b": gym.spaces.Box(-1, 1, (1,)), "a": gym.spaces.Box(-1, 1, (2,), np.float64)})
    observations = {"b": np.full((4, 1), 9.0), "a": np.arange(8.0).reshape(4, 2)}
    write(root, [episode(observations=observations)], obs_space=space)
    assert minari.spaces_of("test/set-v0").obs == Space((3,), parts=(("a", 2), ("b", 1)))
    data = stores.flat(minari.load("test/set-v0"))
    np.testing.assert_array_equal(data.obs, [[0, 1, 9], [2, 3, 9], [4, 5, 9]])
    np.testing.assert_array_equal(data.next_obs[-1], [6, 7, 9])
    assert data.obs.dtype == jnp.float32


def test_discrete_actions_count_from_zero(root):
    actions = np.array([5, 6, 7], np.int64)
    write(root, [episode(actions=actions)], action_space=gym.spaces.Discrete(3, start=5))
    data = stores.flat(minari.load("test/set-v0"))
    assert data.action.dtype == jnp.int32
    np.testing.assert_array_equal(data.action, [0, 1, 2])
    assert minari.spaces_of("test/set-v0").action == Space(n=3)


def test_a_recording_that_stops_is_truncated_and_a_terminal_is_not(root):
    ended = episode(terminations=np.array([False, False, True]), truncations=np.zeros(3, bool))
    write(root, [episode(truncations=np.zeros(3, bool)), ended])
    data = stores.flat(minari.load("test/set-v0"))
    np.testing.assert_array_equal(data.truncated, [0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(data.terminated, [0, 0, 0, 0, 0, 1])


def test_actions_outside_the_bounds_are_refused_unless_clipped(root):
    actions = np.array([[0.5], [1.5], [-1.0]], np.float32)
    write(root, [episode(), episode(actions=actions)])
    with pytest.raises(O2OError, match=r"episode 1, step 1: action \[1.5\].* clip=True"):
        minari.load("test/set-v0")
    data = stores.flat(minari.load("test/set-v0", clip=True))
    np.testing.assert_array_equal(data.action[3:, 0], [0.5, 1.0, -1.0])


def nan_at(row, field):
    values = np.array(getattr(episode(), field))
    values[row] = np.nan
    return {field: values}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (nan_at(1, "rewards"), "episode 1, step 1: reward is not finite"),
        (nan_at(2, "actions"), "episode 1, step 2: action is not finite"),
        (nan_at(0, "observations"), "episode 1, step 0: obs is not finite"),
        (nan_at(3, "observations"), "episode 1, step 2: next_obs is not finite"),
        ({"rewards": np.array([1.0, 1e300, 1.0])}, "episode 1, step 1: reward is not finite"),
        (
            {"terminations": np.array([True, False, False])},
            "episode 1, step 0: it ends here, yet goes on for 2 steps",
        ),
        ({"observations": np.zeros((3, 2), np.float32)}, "episode 1: observations has length 3, 3 rewards ask for 4"),
        ({"actions": np.zeros((4, 1), np.float32)}, "episode 1: actions has length 4, 3 rewards ask for 3"),
        (
            {"observations": np.zeros((4, 5), np.float32)},
            r"episode 1: observations are of shape \[5\], the space declares \[2\].* another environment",
        ),
        ({"observations": np.zeros((4, 1), np.float32)}, r"episode 1: observations are of shape \[1\]"),
    ],
)
def test_bad_episodes_are_named(root, changes, message):
    write(root, [episode(), episode(**changes)])
    before = files(root)
    with pytest.raises(O2OError, match=message) as caught:
        minari.load("test/set-v0")
    assert "test/set-v0" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(root) == before


def test_episodes_without_steps_are_named(root):
    write(root, [episode(), episode()])
    with h5py.File(root / "test/set-v0/data/main_data.hdf5", "a") as file:
        for field in ("actions", "rewards", "terminations", "truncations"):
            file["episode_1"][field].resize(0, axis=0)
    with pytest.raises(O2OError, match="episode 1 has no steps; drop it"):
        minari.load("test/set-v0")


@pytest.mark.parametrize(
    ("obs_space", "action_space", "message"),
    [
        (gym.spaces.Dict({"mission": gym.spaces.Text(9), "x": VECTOR}), BOX, "field observations/mission is Text"),
        (gym.spaces.Dict({"x": gym.spaces.Dict({"y": gym.spaces.Text(3)})}), BOX, "field observations/x/y is Text"),
        (gym.spaces.Dict({"x": IMAGE, "y": VECTOR}), BOX, "field observations/x is an image beside other fields"),
        (gym.spaces.Tuple((VECTOR,)), BOX, "field observations is Tuple"),
        (gym.spaces.Discrete(1 << 20), BOX, "field observations has 1048576 choices; at most 65536"),
        (VECTOR, gym.spaces.Box(-np.inf, np.inf, (1,)), "field actions is Box.* without finite bounds"),
        (VECTOR, gym.spaces.MultiDiscrete([2, 2]), "field actions is MultiDiscrete"),
    ],
)
def test_spaces_that_cannot_be_loaded_are_named(root, obs_space, action_space, message):
    write(root, [], obs_space=obs_space, action_space=action_space)
    with pytest.raises(O2OError, match=message):
        minari.info("test/set-v0")


def test_missing_and_damaged_datasets_are_explained(root):
    with pytest.raises(O2OError, match=r"'test/sat-v0' is not in .*no dataset.*minari download.*purejaxo2o collect"):
        minari.load("test/sat-v0")
    assert not root.exists()
    write(root, [episode()])
    with pytest.raises(O2OError, match="did you mean 'test/set-v0'"):
        minari.load("test/sat-v0")
    with pytest.raises(O2OError, match="is no dataset id"):
        minari.load("../outside")
    (root / "test/set-v0/data/main_data.hdf5").write_bytes(b"not HDF5")
    with pytest.raises(O2OError, match=r"cannot be read .* download or make it again"):
        minari.load("test/set-v0")
    (root / "test/set-v0/data/metadata.json").write_text("{")
    with pytest.raises(O2OError, match=r"metadata.json is no JSON .* download or make it again"):
        minari.info("test/set-v0")


# Writing


@pytest.mark.parametrize(
    "spaces",
    [
        Spaces(Space((3,)), Space((2,))),
        Spaces(Space((5,), parts=(("a", 2), ("b", 3))), Space(n=4)),
        Spaces(Space((33, 32, 3), dtype="uint8"), Space((1,))),
    ],
    ids=["vector", "parts-discrete", "image"],
)
def test_round_trip_is_bitwise(spaces):
    data = rows(np.random.default_rng(0), spaces)
    export(data, spaces=spaces)
    loaded = minari.load("me/toy/set-v0")
    assert_same(stores.flat(loaded), data)
    assert minari.spaces_of("me/toy/set-v0") == spaces
    export(loaded, "me/toy/again-v0", spaces=spaces)
    assert_same(stores.flat(minari.load("me/toy/again-v0")), data)


def test_same_rows_give_the_same_bytes(root):
    data = rows(np.random.default_rng(0), Spaces(Space((3,)), Space((2,))))
    first = {p.name: p.read_bytes() for p in (export(data) / "data").iterdir()}
    again = {p.name: p.read_bytes() for p in (export(data, overwrite=True) / "data").iterdir()}
    assert first.keys() == {"main_data.hdf5", "metadata.json"}
    assert first == again
    assert set(files(root)) == {
        "me",
        "me/namespace_metadata.json",
        "me/toy",
        "me/toy/namespace_metadata.json",
        "me/toy/set-v0",
        "me/toy/set-v0/data",
        "me/toy/set-v0/data/main_data.hdf5",
        "me/toy/set-v0/data/metadata.json",
    }


def test_minari_itself_understands_what_was_exported(root):
    spaces = Spaces(Space((3,), parts=(("achieved", 1), ("observation", 2))), Space((2,)))
    data = rows(np.random.default_rng(0), spaces)
    spec = EnvSpec("PointMaze-v9", "not_installed:Env", max_episode_steps=5, kwargs={"maze_map": [[1, 0]]})
    provenance = {"seed": 3, "versions": {"jax": "x"}}
    export(data, spaces=spaces, env_spec=spec, reference=(0.0, 2.0), provenance=provenance)
    dataset = farama.load_dataset("me/toy/set-v0")
    assert list(farama.list_local_datasets()) == ["me/toy/set-v0"]
    assert (dataset.total_episodes, dataset.total_steps) == (3, 9)
    assert farama.get_normalized_score(dataset, np.array(1.0)) == 0.5
    assert dataset.storage.metadata["provenance"] == provenance
    assert dataset.env_spec is not None
    assert dataset.env_spec.kwargs == spec.kwargs
    one = dataset[1]
    np.testing.assert_array_equal(one.observations["observation"], [data.obs[3, 1:], data.next_obs[3, 1:]])
    assert one.terminations.tolist() == [True]
    described = minari.info("me/toy/set-v0")
    assert described.reference == (0.0, 2.0)
    assert (described.env_id, described.path) == ("PointMaze-v9", root / "me/toy/set-v0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d._replace(obs=d.obs.at[1, 0].set(jnp.nan)), "row 1: obs is not finite"),
        (lambda d: d._replace(action=d.action.at[4].set(1.1)), "row 4: action .* leaves"),
        (lambda d: d._replace(obs=d.obs.at[5].add(1.0)), "row 4: next_obs is not the obs of the following row"),
        (lambda d: d._replace(truncated=d.truncated.at[-1].set(False)), "row 8: the final row does not end"),
        (lambda d: d._replace(reward=d.reward.astype(jnp.int32)), "reward is int32"),
        (lambda d: d._replace(action=d.action[:, :1]), "action is float32.*spaces ask for"),
    ],
)
def test_bad_rows_are_refused_and_leave_no_files(root, change, message):
    data = change(rows(np.random.default_rng(0), Spaces(Space((3,)), Space((2,)))))
    with pytest.raises(O2OError, match=message):
        export(data)
    assert files(root) == []
    if "following" not in message:  # shuffled rows are a fine store
        with pytest.raises(O2OError, match=message):
            checks.check_store(stores.from_transitions(data), Spaces(Space((3,)), Space((2,))))


def test_export_refuses_existing_ids_bad_ids_and_reversed_references(root):
    data = rows(np.random.default_rng(0), Spaces(Space((3,)), Space((2,))))
    with pytest.raises(O2OError, match="low < high"):
        export(data, reference=(1.0, 0.0))
    with pytest.raises(O2OError, match="provenance is no JSON"):
        export(data, provenance={"spaces": minari})
    with pytest.raises(O2OError, match="is no dataset id"):
        export(data, "no good-v0")
    assert files(root) == []
    path = export(data)
    before = json.loads((path / "data/metadata.json").read_text())
    with pytest.raises(O2OError, match=r"exists in .* overwrite=True"):
        export(data, description="another")
    assert json.loads((path / "data/metadata.json").read_text()) == before


def test_a_failed_write_leaves_what_was_there(root, monkeypatch):
    data = rows(np.random.default_rng(0), Spaces(Space((3,)), Space((2,))))
    export(data)
    before = files(root)

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(MinariStorage, "update_metadata", full)
    with pytest.raises(O2OError, match=r"disk full.*MINARI_DATASETS_PATH"):
        export(data, overwrite=True)
    assert files(root) == before
