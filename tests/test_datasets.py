"""From a recording of other software to a trained agent, through the public names only."""

import warnings

import gymnasium as gym
import jax
import minari
import numpy as np
import pytest
from tiny import shrink

import purejaxo2o as o2o


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
