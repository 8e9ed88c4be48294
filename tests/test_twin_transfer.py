"""The study's parts: what is read of a recording, what a replay reports, when two means agree."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from experiments.recording import original
from experiments.studies import twin_transfer as study
from purejaxo2o import envs

SHARED = Path(__file__).parents[2] / "shared" / "data" / "minari"


def write(root, name, *, states):
    """Two episodes of random play in C, as Minari keeps them."""
    path = root / name / "data" / "main_data.hdf5"
    path.parent.mkdir(parents=True)
    reference, rng = original("Hopper-v5"), np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for index in range(2):
            obs = [reference.reset(seed=index)[0]]
            places, speeds, steps = [reference.data.qpos.copy()], [reference.data.qvel.copy()], []
            for _ in range(30):
                action = rng.uniform(-1, 1, 3).astype(np.float32)
                seen, reward, over, *_ = reference.step(action)
                steps.append((action, reward, over))
                for column, value in ((obs, seen), (places, reference.data.qpos), (speeds, reference.data.qvel)):
                    column.append(value.copy())
            episode = file.create_group(f"episode_{index}")
            episode["observations"] = np.array(obs, np.float32)
            for key, column in zip(("actions", "rewards", "terminations"), zip(*steps, strict=True), strict=True):
                episode[key] = np.array(column)
            if states:
                episode["infos/qpos"], episode["infos/qvel"] = np.array(places), np.array(speeds)
    return name


def test_states_are_read_or_rebuilt(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "root", lambda: tmp_path)
    full = study.recorded(write(tmp_path, "full", states=True), 60)
    poor = study.recorded(write(tmp_path, "poor", states=False), 30)
    assert full["states"]
    assert not poor["states"]
    assert len(full["reward"]) == 60
    assert (np.abs(full["next_position"][:, 1:] - full["obs"][:, :5]) < 1e-5).all()
    assert (poor["position"][:, 0] == 0).all()
    assert (np.abs(poor["velocity"]) < 10).all()
    moved = full["position"][1:30, 1] == full["next_position"][:29, 1]
    assert moved.all()  # one episode's steps follow each other


def test_means_agree_within_their_joint_interval():
    rng = np.random.default_rng(0)
    one, other = rng.normal(100, 10, 50), rng.normal(101, 10, 50)
    assert study.difference(one, other)["agree"]
    apart = study.difference(one, other - 20)
    gap, low, high = apart["difference"]
    assert not apart["agree"]
    assert low < gap < high
    np.testing.assert_allclose(high - low, 2 * 1.96 * 2.0, rtol=0.2)


@pytest.mark.twins
@pytest.mark.slow
def test_the_twin_repeats_real_recordings(monkeypatch):
    """Under the engine's physics that recorded them, and not under the other."""
    if not SHARED.exists():
        pytest.skip("needs the sbx recordings")
    monkeypatch.setattr(study, "root", lambda: SHARED)
    rows = study.recorded("sbx/hopper/medium-v0", study.BATCH)
    found = {}
    for physics in ("mujoco>=3.5", "mujoco<=3.4"):
        env: Any = envs.make("mjx/Hopper-v5", physics=physics)
        found[physics] = study.replay(env, rows)
    assert found["mujoco>=3.5"]["repeated"] == 1.0
    assert found["mujoco>=3.5"]["wrong ends"] == 0
    assert found["mujoco<=3.4"]["repeated"] < 0.9
