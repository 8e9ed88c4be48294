"""Observations and actions of every shape: one vector, or an image, the same from a file as from the environment."""

import json
import warnings
from typing import Any

import gymnasium as gym
import h5py
import jax
import jax.numpy as jnp
import minari as farama
import numpy as np
import pytest
from gymnasium import spaces as gs
from minari.dataset.minari_storage import MinariStorage

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.data import minari
from purejaxo2o.envs.gym_spaces import flat_obs, obs_space, original_action, scaled_action
from purejaxo2o.loop import store as stores
from purejaxo2o.types import O2OError, Space

NAME, STEPS = "test/shape-v0", 5
ACT = gs.Box(-1.0, 1.0, (1,))


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def box(*shape, low=-9.0, high=9.0, dtype: Any = np.float32):
    return gs.Box(low, high, shape, dtype)


def pixels(*shape):
    return box(*shape, low=0, high=255, dtype=np.uint8)


def stacked(samples):
    """As Minari stores episodes: dictionaries of arrays, not arrays of dictionaries."""
    if isinstance(samples[0], dict):
        return {name: stacked([sample[name] for sample in samples]) for name in samples[0]}
    return np.stack(samples)


def record(root, obs, actions, episodes=1):
    """What Minari writes of episodes of random observations and actions; and the single observations."""
    for i, space in enumerate((obs, actions)):
        space.seed(i)
    (root / NAME).mkdir(parents=True)
    storage = MinariStorage.new(root / NAME / "data", obs, actions, jpeg_encoding=False)
    storage.update_metadata({"dataset_id": NAME, "minari_version": farama.__version__})
    seen, done = [], []
    for _ in range(episodes):
        seen.append([obs.sample() for _ in range(STEPS + 1)])
        done.append([actions.sample() for _ in range(STEPS)])
        flags = np.zeros(STEPS, bool)
        columns = {"rewards": np.arange(STEPS, dtype=np.float64), "terminations": flags, "truncations": flags}
        whole = farama.data_collector.EpisodeBuffer(
            observations=stacked(seen[-1]), actions=np.array(done[-1]), **columns
        )
        storage.update_episodes([whole])
    return seen, done


GOAL = gs.Dict({"pose": box(2, 2), "lid": gs.Discrete(3)})
OBSERVATIONS = {
    "a row": (box(1, 2), (2,)),
    "a matrix": (box(4, 3), (12,)),
    "a scalar": (box(), (1,)),
    "a vector": (box(3, dtype=np.float64), (3,)),
    "pictures in a row": (pixels(4, 12, 12, 3), (1728,)),
    "bytes": (pixels(6), (6,)),
    "a flat picture": (pixels(9, 9), (81,)),
    "no picture": (pixels(8, 2, 8), (128,)),
    "a choice": (gs.Discrete(4, start=2), (4,)),
    "choices": (gs.MultiDiscrete([2, 3]), (5,)),
    "switches": (gs.MultiBinary([2, 2]), (4,)),
    "a dictionary": (gs.Dict({"b": box(), "a": gs.Discrete(3), "c": gs.MultiBinary(2)}), (6,)),
    "nested": (gs.Dict({"goal": GOAL, "achieved": GOAL, "x": box(2)}), (16,)),
}


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_everything_but_images_is_one_vector(root, kind):
    space, shape = OBSERVATIONS[kind]
    (seen,), _ = record(root, space, ACT)
    described = minari.info(NAME)
    assert (described.spaces.obs.shape, described.spaces.obs.dtype) == (shape, "float32")
    data = stores.flat(minari.load(NAME))
    wanted = np.stack([flat_obs(obs, space) for obs in seen]).astype(np.float32)  # as `host/` makes them
    assert wanted.shape == (STEPS + 1, *shape)
    np.testing.assert_array_equal(data.obs, wanted[:-1])
    np.testing.assert_array_equal(data.next_obs, wanted[1:])
    if not isinstance(space, gs.Dict):  # Gymnasium's own vector, where the order is not a question
        np.testing.assert_array_equal(wanted, np.float32([gs.flatten(space, obs) for obs in seen]))


def test_nested_parts_are_named_by_their_path_and_written_apart_again(root):
    space, _ = OBSERVATIONS["nested"]
    record(root, space, ACT)
    rows, spaces = minari.load(NAME), minari.spaces_of(NAME)
    assert spaces.obs.parts == (
        ("achieved/lid", 3),
        ("achieved/pose", 4),
        ("goal/lid", 3),
        ("goal/pose", 4),
        ("x", 2),
    )
    about = {"algorithm_name": "none", "description": "a test", "provenance": {}}
    minari.export(rows, "test/again-v0", spaces=spaces, **about)
    assert minari.spaces_of("test/again-v0") == spaces
    for one, other in zip(minari.load("test/again-v0").data[:6], rows.data[:6], strict=True):
        np.testing.assert_array_equal(one, other)
    again = farama.load_dataset("test/again-v0")
    np.testing.assert_array_equal(again[0].observations["goal"]["pose"][:-1], np.asarray(rows.data.obs)[:, 0, 10:14])


IMAGES = {
    "colour": (pixels(9, 8, 3), (9, 8, 3)),
    "a stack": (pixels(12, 12, 12), (12, 12, 12)),
    "grey": (pixels(3, 4, 1), (3, 4, 1)),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_stay(root, kind):
    space, shape = IMAGES[kind]
    (seen,), _ = record(root, space, ACT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert minari.spaces_of(NAME).obs == Space(shape, dtype="uint8")
    np.testing.assert_array_equal(stores.flat(minari.load(NAME)).next_obs, seen[1:])


def test_channels_first_are_turned_with_a_line(root):
    (seen,), _ = record(root, pixels(4, 8, 9), ACT)
    with pytest.warns(
        UserWarning, match=r"images \[4, 8, 9\] with their channels first; they are turned to \[8, 9, 4\]"
    ):
        data = stores.flat(minari.load(NAME))
    np.testing.assert_array_equal(data.obs, np.moveaxis(np.stack(seen), 1, -1)[:-1])


ACTIONS = [box(low=-2, high=4.0), box(1, low=-2, high=4.0), box(2, 3, low=-2, high=4.0), gs.Discrete(3, start=-1)]


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_actions_are_one_vector_or_a_choice(root, space):
    _, (done,) = record(root, box(2), space)
    data, described = stores.flat(minari.load(NAME)), minari.spaces_of(NAME).action
    assert described == (Space(n=3) if isinstance(space, gs.Discrete) else Space((max(1, np.size(done[0])),)))
    assert data.action.shape == (STEPS, *described.shape)
    for ours, theirs in zip(np.asarray(data.action), done, strict=True):
        back = original_action(ours, space)
        assert space.contains(back if isinstance(space, gs.Box) else np.int64(back))
        np.testing.assert_allclose(back, theirs, atol=1e-6)
    assert scaled_action(np.array(done), space, clip=False).shape == data.action.shape


@pytest.mark.parametrize("fields", [("rewards", "terminations", "truncations"), ("actions",), ("observations",)])
def test_columns_may_have_an_axis_of_length_one(root, fields):
    record(root, box(2), gs.Discrete(3))
    before = minari.load(NAME)
    with h5py.File(root / NAME / "data" / "main_data.hdf5", "a") as file:
        for field in fields:
            value = file["episode_0"][field][()]
            del file["episode_0"][field]
            file["episode_0"][field] = value[:, None]
    for one, other in zip(minari.load(NAME).data[:6], before.data[:6], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "observations",
            np.zeros((STEPS + 1, 3, 4)),
            r"observations are of shape \[3, 4\], the space .* \[4, 3\]",
        ),
        ("observations", np.zeros((STEPS + 1, 12)), r"observations are of shape \[12\], the space declares \[4, 3\]"),
        ("actions", np.full((STEPS, 1), 0.5), "actions are no whole numbers"),
        ("actions", np.full(STEPS, 2**32), r"episode 0, step 0: action 3 \(scaled\) leaves 0 to 2"),
        ("actions", np.full((STEPS, 2), 1), r"actions are of shape \[2\], the space declares \[\]"),
        ("rewards", np.zeros((STEPS, 2)), r"rewards are of shape \[2\], the space declares \[\]"),
    ],
)
def test_other_shapes_are_refused(root, field, value, message):
    record(root, box(4, 3), gs.Discrete(3))
    with h5py.File(root / NAME / "data" / "main_data.hdf5", "a") as file:
        del file["episode_0"][field]
        file["episode_0"][field] = value
    with pytest.raises(O2OError, match=f"{NAME}.*{message}"):
        minari.load(NAME)


def test_a_choice_that_there_is_not_is_refused(root):
    record(root, gs.Dict({"lid": gs.Discrete(3)}), ACT)
    with h5py.File(root / NAME / "data" / "main_data.hdf5", "a") as file:
        file["episode_0/observations/lid"][2] = 3
    with pytest.raises(O2OError, match=f"{NAME}.*episode 0: observations/lid are none of their 3 choices from .0."):
        minari.load(NAME)


def test_spaces_that_cannot_be_taken_name_the_dataset(root):
    record(root, box(2), gs.MultiBinary(2))
    with pytest.raises(O2OError, match=f"{NAME}.*field actions is MultiBinary.2.; only Box and Discrete"):
        o2o.dataset(NAME)


def test_what_a_filter_leaves_can_be_loaded(root):
    record(root, box(2), ACT, episodes=4)
    whole = o2o.dataset(NAME)
    opened = farama.load_dataset(NAME)
    kept = opened.filter_episodes(lambda episode: episode.id % 2 == 1)
    rows = o2o.dataset(kept)
    assert rows.size == 2 * STEPS
    second, fourth = slice(STEPS, 2 * STEPS), slice(3 * STEPS, 4 * STEPS)
    for one, all_of_it in zip(rows.data[:6], whole.data[:6], strict=True):
        np.testing.assert_array_equal(one, np.concatenate([all_of_it[second], all_of_it[fourth]]))
    assert (minari.info(kept).episodes, minari.info(kept).steps) == (2, 2 * STEPS)
    assert minari.read(kept).where(STEPS + 1) == f"dataset {NAME!r}, episode 3, step 1"
    assert o2o.dataset(opened).size == 4 * STEPS
    assert o2o.dataset(opened.filter_episodes(lambda episode: True)).size == 4 * STEPS
    with pytest.raises(O2OError, match="holds no episodes"):
        o2o.dataset(opened.filter_episodes(lambda episode: False))


@pytest.mark.parametrize("stored_as", ["arrow", "parquet"])
@pytest.mark.parametrize("kind", ["a matrix", "nested", "colour"])
def test_other_formats_are_read_alike(root, stored_as, kind):
    pytest.importorskip("pyarrow", reason="Arrow and Parquet need pyarrow")
    space, _ = (OBSERVATIONS | IMAGES)[kind]
    record(root, space, ACT, episodes=3)
    wanted = minari.load(NAME)
    episodes = list(farama.load_dataset(NAME).iterate_episodes())
    other = "test/other-v0"
    (root / other).mkdir(parents=True)
    storage = MinariStorage.new(root / other / "data", space, ACT, data_format=stored_as, jpeg_encoding=False)
    storage.update_metadata({"dataset_id": other, "minari_version": farama.__version__})
    for episode in episodes:
        columns = {name: getattr(episode, name) for name in ("rewards", "terminations", "truncations")}
        buffer = farama.data_collector.EpisodeBuffer(
            observations=episode.observations, actions=episode.actions, **columns
        )
        storage.update_episodes([buffer])
    for one, another in zip(minari.load(other).data[:6], wanted.data[:6], strict=True):
        np.testing.assert_array_equal(one, another)
    metadata = root / other / "data" / "metadata.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"total_episodes": 10**9}))
    with pytest.raises(O2OError, match="of the 1000000000 episodes"):
        minari.load(other)


def test_pictures_of_another_size_are_not_unpacked(root):
    """JPEG bombs: the headers say how large a picture is."""
    space = pixels(32, 40, 3)
    (root / NAME).mkdir(parents=True)
    storage = MinariStorage.new(root / NAME / "data", space, ACT)
    storage.update_metadata({"dataset_id": NAME, "minari_version": farama.__version__})
    columns = {"rewards": np.zeros(1), "terminations": np.zeros(1, bool), "truncations": np.ones(1, bool)}

    def add(shape):
        pictures = np.full((2, *shape), 100, np.uint8)
        buffer = farama.data_collector.EpisodeBuffer(
            observations=pictures, actions=np.zeros((1, 1), np.float32), **columns
        )
        storage.update_episodes([buffer])

    add((32, 40, 3))
    rows = stores.flat(minari.load(NAME))
    np.testing.assert_array_equal(rows.obs, np.full((1, 32, 40, 3), 100, np.uint8))
    add((640, 400, 3))
    with pytest.raises(O2OError, match=r"episode 1 cannot .*picture 0 is of \(400, 640\) pixels, .*\[32, 40, 3\]"):
        minari.load(NAME)


class Odd(gym.Env):
    """Observes a nested dictionary, takes a matrix."""

    observation_space = OBSERVATIONS["nested"][0]
    action_space = box(2, 2, low=0.0, high=4.0)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert action.shape == (2, 2)
        return self.observation_space.sample(), float(action[1, 0]), False, False, {}


def test_the_host_makes_the_same_of_an_environment():
    gym.register("OddShapes-v0", Odd, max_episode_steps=3)
    try:
        env: Any = envs.make("host/OddShapes-v0")
        assert env.obs_space == obs_space(Odd.observation_space)
        assert env.action_space == Space((4,))
        state, obs = env.reset(jax.random.key(0))
        state, step = env.step(state, jnp.array([-1.0, 0.0, 0.5, 3.0]), jax.random.key(0))
        original = Odd()
        np.testing.assert_array_equal(obs, flat_obs(original.reset(seed=int(state.seed))[0], Odd.observation_space))
        assert step.reward == 3.0
    finally:
        del gym.registry["OddShapes-v0"]


@pytest.mark.parametrize("name", ["FetchReach-v4", "FrankaKitchen-v1"])
def test_robots_with_goals_run(root, name):
    """From a recording of Minari's to the environment that made it, with nested goals in the kitchen."""
    pytest.importorskip("gymnasium_robotics", reason="they are gymnasium-robotics'")
    env: Any = envs.make(f"host/{name}", max_episode_steps=3)
    original = gym.make(name, max_episode_steps=3)
    collector = farama.DataCollector(original, record_infos=False)
    state, obs = env.reset(jax.random.key(0))
    collector.reset(seed=int(state.seed))
    action = jnp.linspace(-0.5, 0.5, env.action_space.size)
    rewards = []
    for _ in range(3):
        collector.step(np.asarray(action, original.action_space.dtype))
        state, step = env.step(state, action, jax.random.key(0))
        rewards.append(float(step.reward))
    assert bool(step.truncated)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collector.create_dataset(dataset_id=NAME)
    rows = jax.tree.map(np.asarray, stores.flat(o2o.dataset(NAME)))
    assert minari.spaces_of(NAME) == (env.obs_space, env.action_space)
    assert any("/" in part for part, _ in env.obs_space.parts) == (name == "FrankaKitchen-v1")
    np.testing.assert_allclose(rows.obs[0], obs, atol=1e-6)
    np.testing.assert_allclose(rows.next_obs[-1], step.obs, atol=1e-5)
    np.testing.assert_allclose(rows.reward, rewards, atol=1e-6)


def test_a_constructor_that_fails_without_a_word_is_named():
    def broken(**settings):
        raise AssertionError

    gym.register("Broken-v0", broken, max_episode_steps=3)
    try:
        with pytest.raises(O2OError, match="host/Broken-v0 cannot be made: its constructor raises AssertionError"):
            envs.make("host/Broken-v0")
    finally:
        del gym.registry["Broken-v0"]
