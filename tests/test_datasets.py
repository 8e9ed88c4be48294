"""From a recording of other software to a trained agent, through the public names only."""

import dataclasses
import warnings
from pathlib import Path

import gymnasium as gym
import jax
import minari
import numpy as np
import pytest
from tiny import shrink

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.data import minari as store
from purejaxo2o.data import specs
from purejaxo2o.loop.env import spaces
from purejaxo2o.types import Transition


def test_a_gymnasium_recording_loads_and_trains(monkeypatch, tmp_path):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collector = minari.DataCollector(gym.make("Pendulum-v1"))
    collector.action_space.seed(0)
    for seed in range(2):
        collector.reset(seed=seed)
        for _ in range(200):
            collector.step(collector.action_space.sample())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collector.create_dataset(dataset_id="gym/pendulum/random-v0")
    data = o2o.dataset("gym/pendulum/random-v0")
    task = o2o.task("pendulum")
    result = o2o.fit(jax.random.key(0), shrink(o2o.recipe("iql", task, "small")), task, data, progress=False)
    assert np.isfinite(result.scores).all()
    assert bool(result.finite.all())
    assert (np.asarray(result.returns) < 0).all()  # every reward of a pendulum is a cost


def test_a_task_without_data_says_so():
    with pytest.raises(o2o.O2OError, match=r"'pendulum' has no dataset; collect one"):
        o2o.dataset(o2o.task("pendulum"))


@pytest.fixture
def write(monkeypatch, tmp_path):
    """A dataset of two rows like those of an environment, that says it was recorded in it."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def call(env_id, *, says=None, **settings):
        env = envs.make(env_id, **settings)
        zeros = np.zeros((2, *env.obs_space.shape), np.float32)
        action, scalar = np.zeros((2, *env.action_space.shape), np.float32), np.zeros(2, np.float32)
        spec, requirements = specs.original(env)
        store.export(
            Transition(zeros, action, scalar, zeros, scalar > 0, np.array([False, True])),
            "me/own-v0",
            spaces=spaces(env),
            algorithm_name="none",
            description="a test",
            provenance={"environment": says} if says else {},
            env_spec=spec,
            requirements=requirements,
            overwrite=True,
        )
        return "me/own-v0"

    return call


def given(task, name):
    return o2o.dataset(dataclasses.replace(o2o.task(task), dataset=name))


UMAZE, SPARE = "##### #...# ###.# #...# #####", "##### #...# #.### #...# #####"


@pytest.mark.parametrize(
    ("env_id", "settings", "task", "text"),
    [
        (
            "maze/PointMaze_UMaze-v3",
            {"maze_map": tuple(tuple(int(cell == "#") for cell in row) for row in SPARE.split())},
            "pointmaze-umaze",
            f"its walls are {SPARE}, those here {UMAZE}",
        ),
        (
            "maze/PointMaze_Open-v3",
            {},
            "pointmaze-umaze",
            f"its walls are ####### #.....# #.....# #.....# #######, those here {UMAZE}",
        ),
        ("maze/PointMaze_UMaze-v3", {"physics": "mujoco<=3.4"}, "pointmaze-umaze", "mujoco<=3.4 there, mujoco>=3.5"),
        ("maze/PointMaze_UMazeDense-v3", {}, "pointmaze-umaze", "maze/PointMaze_UMazeDense-v3 there, maze/PointMaze"),
        ("mjx/Hopper-v4", {}, "mjx/Hopper-v5", "mjx/Hopper-v4 there, mjx/Hopper-v5 here"),
        ("gymnax/Pendulum-v1", {"says": "gymnax/Acrobot-v1"}, "pendulum", "gymnax/Acrobot-v1 there, gymnax/Pend"),
    ],
)
def test_rows_of_another_environment_are_said_to_be(write, env_id, settings, task, text):
    name = write(env_id, **settings)
    with pytest.warns(UserWarning, match="was recorded in another environment than task") as said:
        assert given(task, name).size == 2
    assert text in str(said[0].message)
    assert f"give {name} as the task" in str(said[0].message)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("env_id", "settings", "task"),
    [
        ("maze/PointMaze_UMaze-v3", {"reset_target": True, "max_episode_steps": 900}, "pointmaze-umaze"),
        ("mjx/Hopper-v5", {}, "mjx/Hopper-v5"),
        ("gymnax/Pendulum-v1", {"says": "gymnax/Pendulum-v1"}, "pendulum"),
        ("gymnax/Pendulum-v1", {}, "pendulum"),
    ],
)
def test_rows_of_the_same_environment_are_not(write, env_id, settings, task):
    assert given(task, write(env_id, **settings)).size == 2


def test_data_are_had_by_the_name_of_a_task_and_by_path(write):
    name = write("gymnax/Pendulum-v1")
    assert o2o.dataset(Path(name)).size == 2
    with pytest.raises(o2o.O2OError, match="'pendulum' has no dataset"):
        o2o.dataset("pendulum")
