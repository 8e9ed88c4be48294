"""From a dataset to the task that recorded it."""

import dataclasses
import json
import sys
import types
import warnings
from pathlib import Path

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxo2o as o2o
from experiments.recording import original
from purejaxo2o import envs
from purejaxo2o.data import minari
from purejaxo2o.loop import store as stores
from purejaxo2o.types import O2OError, Space, Spaces, Transition, pytree, static

SHARED = Path(__file__).parents[2] / "shared" / "data" / "minari"
OLD, NEW = "mujoco<=3.4", "mujoco>=3.5"
SCORES = {"reference": (0.0, 1.0)}
STACKED = gym.envs.registration.WrapperSpec("FrameStackObservation", "none:None", None)


def two_rows(size, actions, rewards=(0.0, 0.0)):
    obs, reward = np.zeros((2, size), np.float32), np.array(rewards, np.float32)
    return Transition(
        obs, np.zeros((2, actions), np.float32), reward, obs, np.zeros(2, bool), np.array([False, True])
    )


def write(
    name, env_id, size, actions, *, requirements=(), provenance=None, reference=None, rewards=(0.0, 0.0), **spec
):
    """A dataset of two rows that declares `env_id`."""
    minari.export(
        two_rows(size, actions, rewards),
        name,
        spaces=Spaces(Space((size,)), Space((actions,))),
        algorithm_name="none",
        description="a test",
        provenance=provenance or {},
        env_spec=gym.envs.registration.EnvSpec(env_id, entry_point="none:None", **spec) if env_id else None,
        requirements=requirements,
        reference=reference,
        overwrite=True,
    )
    return name


def test_declared_environment_arguments_and_limit_reach_the_twin(minari_root):
    arguments = {"healthy_z_range": [0.5, 9.0], "exclude_current_positions_from_observation": False, "width": 480}
    name = write("mujoco/hopper/odd-v0", "Hopper-v5", 12, 3, kwargs=arguments, max_episode_steps=250)
    task = o2o.task_from_minari(name)
    assert (task.name, task.dataset, task.env.name, task.env.horizon) == (name, name, "mjx/Hopper-v5", 250)
    assert task.env.healthy_z_range == (0.5, 9.0)
    assert task.env == task.eval_env
    assert (task.score_low, task.score_high) == (-20.272305, 3234.3)
    assert (task.domain, task.fail_reward) == ("locomotion", None)
    assert o2o.task(name) == task  # so that a run folder finds it again
    assert o2o.dataset(task).size == 2


@pytest.mark.parametrize(
    ("given", "env_id", "engine"),
    [
        ({"requirements": ("mujoco==3.2.3", "gymnasium>=1.0.0")}, "Hopper-v5", OLD),
        ({"requirements": ("mujoco>=3.5,<4",)}, "Hopper-v5", NEW),
        ({"requirements": ("mujoco-py>=2.1",)}, "Hopper-v5", OLD),
        ({"requirements": ("gymnasium>=1.0.0",)}, "Hopper-v5", NEW),
        ({"provenance": {"versions": {"mujoco": "3.17.0"}}}, "Hopper-v5", NEW),
        ({"provenance": {"versions": {"mujoco": "3.3.7"}}}, "Hopper-v5", OLD),
        ({}, "Hopper-v5", NEW),
        ({}, "Hopper-v2", OLD),
        ({"requirements": ("mujoco==3.17.0",)}, "Hopper-v4", NEW),
    ],
)
def test_physics_follows_from_what_the_dataset_says(minari_root, given, env_id, engine):
    name = write("test/hopper/said-v0", env_id, 11, 3, **given)
    task = o2o.task_from_minari(name)
    assert task.env.physics == engine
    assert task.env.name == ("mjx/Hopper-v5" if env_id.endswith("5") else "mjx/Hopper-v4")
    other = OLD if engine == NEW else NEW
    assert o2o.task_from_minari(name, physics=other).env.physics == other


def test_an_early_ant_saw_forces_of_zero(minari_root):
    task = o2o.task_from_minari(write("test/ant/early-v0", "Ant-v2", 111, 8))
    assert (task.env.name, task.env.physics, task.env.contact_force_range) == ("mjx/Ant-v4", OLD, (0.0, 0.0))


def test_mazes_are_found_by_their_map(minari_root):
    walls = [[int(cell) for cell in row] for row in envs.make("maze/PointMaze_Medium-v3").walls]
    own = [[1, 1, 1, 1], [1, 0, "g", 1], [1, 1, 1, 1]]
    spaces = minari.spaces_of(_maze("D4RL/pointmaze/medium-v2", walls))
    task = o2o.task_from_minari("D4RL/pointmaze/medium-v2", reference=(0.0, 100.0))
    assert (task.env.name, task.env.physics, task.env.reset_target) == ("maze/PointMaze_Medium-v3", OLD, True)
    assert (task.domain, task.fail_reward, task.env.obs_space) == ("maze", 0.0, spaces.obs)
    assert o2o.task_from_minari("D4RL/pointmaze/medium-v2").raw  # it goes on, and pays more than once
    assert task.env.maze_map is None
    _maze("D4RL/pointmaze/medium-v2", own)
    task = o2o.task_from_minari("D4RL/pointmaze/medium-v2", **SCORES)
    assert task.env.walls.shape == (3, 4)
    assert task.env.layout.goal_cells.tolist() == [[1, 2]]


def ant_maze(name, plan, judged, eval_id="AntMaze_UMaze-v4", reference=None, **more):
    """A dataset recorded in an AntMaze with the map `plan` that asks to be judged in one with the map `judged`."""
    parts = (("achieved_goal", 2), ("desired_goal", 2), ("observation", 27))
    specs = [
        gym.envs.registration.EnvSpec(env_id, entry_point="none:None", kwargs={"maze_map": rows, **arguments})
        for env_id, rows, arguments in (
            ("AntMaze_UMaze-v4", plan, {"reset_target": True}),
            (eval_id, judged, {"continuing_task": False} | more),
        )
    ]
    path = minari.export(
        two_rows(31, 8),
        name,
        spaces=Spaces(Space((31,), parts=parts), Space((8,))),
        algorithm_name="none",
        description="a test",
        provenance={},
        env_spec=specs[0],
        reference=reference,
        overwrite=True,
    )
    metadata = path / "data" / "metadata.json"
    stored = json.loads(metadata.read_text()) | {"eval_env_spec": specs[1].to_json()}
    metadata.write_text(json.dumps(stored))
    return name


PLAIN = [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]]
MARKED = [[1, 1, 1, 1], [1, "r", 0, 1], [1, "g", 1, 1], [1, 1, 1, 1]]


@pytest.mark.filterwarnings("error")
def test_antmaze_is_found(minari_root):
    """As D4RL's were recorded: another map for the evaluation, with marked cells."""
    task = o2o.task_from_minari(ant_maze("D4RL/antmaze/umaze-v1", PLAIN, MARKED))
    assert (task.env.name, task.env.physics, task.domain) == ("maze/AntMaze_UMaze-v4", OLD, "maze")
    assert (task.env.reset_target, task.eval_env.continuing_task) == (True, False)
    assert len(task.env.layout.start_cells) == 3
    assert task.eval_env.layout.start_cells.tolist() == [[1, 1]]
    assert task.eval_env.layout.goal_cells.tolist() == [[2, 1]]
    assert (task.score_low, task.score_high) == (0.0, 1.0)  # of what is judged; the recorded task goes on


def test_an_evaluation_within_other_walls_is_refused_with_both_maps(minari_root):
    """Minari#304."""
    name = ant_maze("D4RL/antmaze/umaze-v1", PLAIN, [row[::-1] for row in PLAIN])
    maps = r"its walls are #### #..# ##.# ####, those here #### #..# #.## ####"
    with pytest.raises(O2OError, match=f"evaluates: {maps}.*such scores mean nothing; pass one environment") as e:
        o2o.task(name)
    assert "train in maze/AntMaze_UMaze-v4 with --dataset" in e.value.in_shell
    one = envs.make("maze/AntMaze_UMaze-v4", maze_map=tuple(map(tuple, PLAIN)), continuing_task=False)
    task = o2o.task_from_minari(name, env=one)
    assert task.env == task.eval_env == one


def test_another_evaluation_is_said(minari_root):
    name = ant_maze("me/antmaze/dense-v0", PLAIN, MARKED, reward_type="dense")
    with pytest.warns(UserWarning, match="maze/AntMaze_UMazeDense-v4 there, maze/AntMaze_UMaze-v4 here.*pass env="):
        task = o2o.task(name)
    assert task.raw


@pytest.fixture
def hosted(monkeypatch):
    """Gymnasium's own environments on the host, without what they need. Records what is made."""
    made, make = [], envs.make

    def fake(name, **settings):
        if not (isinstance(name, str) and name.startswith("host/")):
            return make(name, **settings)
        made.append((name, settings))
        return Named(name=name, sizes=(45, 24))

    monkeypatch.setattr(envs, "make", fake)
    return made


@pytree
class Named:
    """An environment of which only the form matters."""

    name: str = static()
    sizes: tuple = static()
    horizon: int = static(default=100)

    @property
    def obs_space(self):
        return Space((self.sizes[0],))

    @property
    def action_space(self):
        return Space((self.sizes[1],))


def test_what_has_no_twin_is_run_by_gymnasium(minari_root, hosted):
    name = write(
        "D4RL/pen/human-v2", "AdroitHandPen-v1", 45, 24, max_episode_steps=100, kwargs={"odd": [[1, 2], [3]]}
    )
    task = o2o.task_from_minari(name)
    assert hosted == [("host/AdroitHandPen-v1", {"odd": ((1, 2), (3,)), "max_episode_steps": 100})]
    assert (task.domain, task.score_low, task.score_high) == ("adroit", 96.262799, 3076.8331017826877)
    assert task.fail_reward is None
    with pytest.raises(O2OError, match="AdroitHandPen-v1, which has no twin, so physics= cannot be chosen"):
        o2o.task_from_minari(name, physics=OLD)


def test_a_binary_hand_is_told_by_its_id_and_the_rows_are_held_against_it(minari_root, hosted):
    binary = o2o.task(write("me/pen/binary-v0", "pen-binary-v0", 45, 24, max_episode_steps=100))
    assert (binary.env.name, binary.domain, binary.fail_reward) == ("host/pen-binary-v0", "adroit-binary", -1.0)
    dense = o2o.task(write("me/pen/dense-v0", "AdroitHandPen-v1", 45, 24, max_episode_steps=100, rewards=(-1.0, 0.5)))
    assert (dense.domain, dense.fail_reward) == ("adroit", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert o2o.dataset(binary).size == o2o.dataset(dense).size == 2
    with pytest.warns(UserWarning, match=r"has only the rewards -1 and 0, yet .* 'adroit': .*domain='adroit-binary'"):
        o2o.dataset(dataclasses.replace(binary, domain="adroit", fail_reward=None))
    with pytest.warns(
        UserWarning, match=r"has other rewards than -1 and 0, yet .* 'adroit-binary': .*fail_reward=None"
    ):
        o2o.dataset(dataclasses.replace(dense, domain="adroit-binary", fail_reward=-1.0))


def wrapped(name, **arguments):
    return gym.envs.registration.WrapperSpec(name, f"anywhere:{name}", arguments)


def test_harmless_wrappers_change_nothing_and_a_time_limit_is_read(minari_root):
    names = ("Monitor", "RecordVideo", "RecordEpisodeStatistics", "PassiveEnvChecker", "OrderEnforcing")
    layers = (*map(wrapped, names), wrapped("FlattenObservation"), wrapped("TimeLimit", max_episode_steps=70))
    task = o2o.task(write("me/hopper/wrapped-v0", "Hopper-v5", 11, 3, additional_wrappers=layers))
    assert (task.env.name, task.env.horizon) == ("mjx/Hopper-v5", 70)
    task = o2o.task("me/hopper/wrapped-v0", limit=50)
    assert task.env.horizon == task.eval_env.horizon == 50


class Corridor(gym.Env):
    """What the author of a dataset has at home."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, width=1.0):
        self.width = width

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.full(2, self.width, np.float32), 1.0, False, False, {}


@pytest.fixture
def registry(monkeypatch):
    pytest.importorskip("gymnasium_robotics", reason="registers itself once, and not in a copy that goes")
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)


def corridor(entry_point, **more):
    rows = {"additional_wrappers": (wrapped("TimeLimit", max_episode_steps=9),), "kwargs": {"width": 0.5}} | more
    name = write("me/corridor/own-v0", "me/Corridor-v7", 2, 1, **rows)
    path = minari.root() / name / "data" / "metadata.json"
    stored = json.loads(path.read_text())
    spec = json.loads(stored["env_spec"]) | {"entry_point": entry_point}
    path.write_text(json.dumps(stored | {"env_spec": json.dumps(spec)}))
    return name


def test_the_class_of_an_entry_point_is_used_if_its_module_is_imported(minari_root, registry, monkeypatch):
    module = types.ModuleType("a_module_of_the_caller")
    module.Corridor = Corridor
    name = corridor("a_module_of_the_caller:Corridor")
    with pytest.raises(O2OError, match=r"import or install what registers it \(a_module_of_the_caller, says"):
        o2o.task(name)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    task = o2o.task(name)
    assert (task.env.name, task.env.horizon, task.raw) == ("host/me/Corridor-v7", 9, True)
    state, obs = task.env.reset(jax.random.key(0))
    _, step = task.env.step(state, jnp.zeros(1), jax.random.key(0))
    assert (obs.tolist(), step.obs.tolist()) == ([0.0, 0.0], [0.5, 0.5])


@pytest.mark.parametrize("entry_point", ["os:system", "this:Corridor", "{here}:corridor", "{here}:nothing"])
def test_nothing_else_that_an_entry_point_names_is_used(minari_root, registry, entry_point):
    """`os` is imported, `this` must not be; what is no environment class is no environment."""
    name = corridor(entry_point.format(here=__name__))
    sys.modules.pop("this", None)
    with pytest.raises(O2OError, match="cannot be run by Gymnasium either"):
        o2o.task(name)
    assert "this" not in sys.modules
    assert "me/Corridor-v7" not in gym.registry


@pytest.mark.parametrize("arguments", [{"xml_file": "own.xml"}, {"model": "/etc/passwd"}, {"model_path": "x"}])
def test_arguments_that_name_files_are_refused(minari_root, arguments):
    name = write("test/hopper/file-v0", "Hopper-v5", 11, 3, kwargs=arguments)
    with pytest.raises(O2OError, match=f"asks for .*{next(iter(arguments))}.*may not choose files"):
        o2o.task(name)


def test_the_environment_decides_which_reference_and_not_the_folder(minari_root):
    swimmer = write("mujoco/hopper/medium-v9", "Swimmer-v5", 8, 2)
    assert minari.info(swimmer).reference is None
    assert o2o.task(swimmer).raw
    hopper = write("me/swimmer/own-v0", "Hopper-v5", 11, 3)
    assert minari.info(hopper).reference == (-20.272305, 3234.3)
    assert o2o.task(hopper).score_high == 3234.3
    body = write("brax/hopper/own-v0", None, 11, 3, provenance={"environment": "brax/hopper"})
    assert minari.info(body).reference is None
    assert minari.info(write("mujoco/hopper/silent-v0", None, 11, 3)).reference == (-20.272305, 3234.3)


@pytest.mark.parametrize("pair", [(3234.3, -20.3), (5.0, 5.0)])
def test_references_are_checked_where_they_come_in_and_go_out(minari_root, pair):
    with pytest.raises(O2OError, match="give two finite numbers, low < high"):
        write("test/hopper/pair-v0", "Hopper-v5", 11, 3, reference=pair)
    name = write("test/hopper/pair-v0", "Hopper-v5", 11, 3, reference=(0.0, 1.0))
    path = minari.root() / name / "data" / "metadata.json"
    stored = json.loads(path.read_text()) | dict(zip(("ref_min_score", "ref_max_score"), pair, strict=True))
    path.write_text(json.dumps(stored))
    with pytest.raises(O2OError, match=r"dataset 'test/hopper/pair-v0': its \(ref_min_score, ref_max_score\)"):
        minari.info(name)


def test_a_recording_of_ours_finds_its_environment(minari_root):
    about = {"provenance": {"source": "pendulum", "environment": "gymnax/Pendulum-v1"}}
    task = o2o.task(write("me/pendulum/odd-v0", None, 3, 1, **about))
    assert (task.env.name, task.score_low, task.score_high) == ("gymnax/Pendulum-v1", -1200.0, -150.0)
    about["provenance"]["source"] = "gymnax/Pendulum-v1"
    assert o2o.task(write("me/pendulum/odd-v0", None, 3, 1, **about)).env == task.env


def _maze(name, plan):
    parts = (("achieved_goal", 2), ("desired_goal", 2), ("observation", 4))
    arguments = {"maze_map": plan, "reward_type": "sparse", "continuing_task": True, "reset_target": True}
    minari.export(
        two_rows(8, 2),
        name,
        spaces=Spaces(Space((8,), parts=parts), Space((2,))),
        algorithm_name="none",
        description="a test",
        provenance={},
        env_spec=gym.envs.registration.EnvSpec("PointMaze_Medium-v3", entry_point="none:None", kwargs=arguments),
        overwrite=True,
    )
    return name


@pytest.mark.parametrize(
    ("env_id", "size", "spec", "message"),
    [
        (None, 11, {}, r"declares no environment; pass it: env=envs.make"),
        (
            "Nowhere-v5",
            348,
            {},
            r"recorded in Nowhere-v5, which has no twin \(purejaxo2o list envs\) .* install what registers",
        ),
        ("AntMaze_Nowhere-v4", 27, {}, "recorded in AntMaze_Nowhere-v4, which has no twin"),
        (
            "Hopper-v5",
            11,
            {"additional_wrappers": (STACKED,)},
            "recorded through FrameStackObservation, which no twin",
        ),
        ("Hopper-v5", 11, {"kwargs": {"gravity": -5.0}}, "mjx/Hopper-v5: unknown setting 'gravity'"),
        ("Hopper-v5", 12, {}, r"observations Box\(12,\) .* mjx/Hopper-v5 has Box\(11,\)"),
    ],
)
def test_what_is_wrong_or_missing_is_one_line(minari_root, env_id, size, spec, message):
    name = write("test/broken/one-v0", env_id, size, 3, **spec)
    with pytest.raises(O2OError, match=message) as caught:
        o2o.task_from_minari(name)
    assert "\n" not in str(caught.value)


def test_a_missing_dataset_is_named(minari_root):
    with pytest.raises(O2OError, match="minari download"):
        o2o.task("mujoco/hopper/medium-v0")


def test_an_environment_can_be_given(minari_root):
    name = write("test/broken/one-v0", None, 3, 1)
    task = o2o.task_from_minari(name, env=envs.make("gymnax/Pendulum-v1"))
    assert (task.env.name, task.score_low) == ("gymnax/Pendulum-v1", -1200.0)


def test_it_may_be_an_object_of_a_library_or_an_id(minari_root):
    import gymnax

    name = write("test/broken/two-v0", None, 3, 1)
    own, parameters = gymnax.make("Pendulum-v1")
    for given in (own, (own, parameters), "gymnax/Pendulum-v1"):
        task = o2o.task_from_minari(name, env=given)
        assert (task.env.name, task.env.horizon) == ("gymnax/Pendulum-v1", 200)
    with pytest.raises(O2OError, match="env is 5, no environment; give one"):
        o2o.task_from_minari(name, env=5)


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("Pendulum-v1", {"g": "abc"}, "cannot be run by Gymnasium either .*Pendulum-v1: TypeError: "),
        ("Pendulum-v1", {"what": 1}, "cannot be run by Gymnasium either .*Pendulum-v1 cannot be made: TypeError: "),
        ("Pendulum-v1", {"max_episode_steps": "abc"}, "kwargs has max_episode_steps=, which is no constructor's"),
        ("Hopper-v5", {"physics": "x"}, "kwargs has physics=, which is no constructor's; correct or drop it"),
    ],
)
def test_arguments_that_are_none_are_one_line_before_anything_is_stepped(minari_root, env_id, kwargs, message):
    name = write("test/odd/arguments-v0", env_id, 3, 1, kwargs=kwargs)
    with pytest.raises(O2OError, match=message) as caught:
        o2o.task_from_minari(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_named_tasks_are_twins_of_minaris_datasets():
    for robot, size in (("hopper", 11), ("halfcheetah", 17), ("walker2d", 17), ("ant", 105)):
        task = o2o.task(f"{robot}-medium")
        assert task.dataset == f"mujoco/{robot}/medium-v0"
        assert (task.env.physics, task.env.obs_space.shape, task.domain) == (OLD, (size,), "locomotion")


@pytest.fixture
def shared(monkeypatch):
    if not (SHARED / "sbx/hopper").exists():
        pytest.skip("the shared Hopper recordings are not here")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(SHARED))


@pytest.mark.parametrize("kind", ["medium", "medium-replay", "expert"])
def test_shared_hopper_data_finds_its_twin(shared, kind):
    task = o2o.task_from_minari(f"sbx/hopper/{kind}-v0")
    assert (task.env.name, task.env.physics, task.env.horizon) == ("mjx/Hopper-v5", NEW, 1000)
    assert (task.score_low, task.score_high) == (-20.272305, 3234.3)


def test_the_twin_repeats_recorded_steps(shared):
    """Other software's steps, of a trained policy; x and clipped speeds are not recorded, and not needed."""
    task = o2o.task_from_minari("sbx/hopper/medium-v0")
    data = jax.tree.map(np.asarray, stores.flat(o2o.dataset(task)))
    rows = np.random.default_rng(0).choice(len(data.reward), 256, replace=False)
    rows = rows[np.abs(data.obs[rows, 5:]).max(-1) < 10]  # speeds are clipped there
    rows = rows[:200].reshape(25, 8)
    assert data.terminated.any()

    @jax.jit
    @jax.vmap
    def repeat(obs, action):
        state, _ = task.env.start(jnp.concatenate([jnp.zeros(1), obs[:5]]), obs[5:])
        return task.env.step(state, action, jax.random.key(0))[1]

    steps = [jax.tree.map(np.asarray, repeat(data.obs[i], data.action[i])) for i in rows]
    step, rows = jax.tree.map(lambda *x: np.concatenate(x), *steps), rows.reshape(-1)
    error = np.abs(step.obs - data.next_obs[rows]).max(-1)
    assert np.median(error) < 1e-5
    assert error.max() < 1e-3
    np.testing.assert_allclose(step.reward, data.reward[rows], atol=1e-4)
    np.testing.assert_array_equal(step.terminated, data.terminated[rows])
    assert original("Hopper-v5").dt == task.env.interval
