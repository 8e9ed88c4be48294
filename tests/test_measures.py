"""Quality, coverage and cleanliness of datasets against counts made by hand, and the command that shows them."""

import json
import math

import numpy as np
import pytest

from purejaxo2o.cli.main import main
from purejaxo2o.data import measures, minari
from purejaxo2o.types import O2OError, Space, Spaces, Transition


def rows(obs, action, *, last=None, terminated=None, reward=None):
    obs, action = np.asarray(obs, np.float32), np.asarray(action)
    n = len(obs)
    last = np.arange(n) == n - 1 if last is None else np.isin(np.arange(n), last)
    terminated = np.zeros(n, bool) if terminated is None else np.isin(np.arange(n), terminated)
    reward = np.ones(n, np.float32) if reward is None else np.asarray(reward, np.float32)
    return Transition(obs, action, reward, obs + 1, terminated, last & ~terminated)


def test_trajectory_quality_is_a_share_of_the_way_to_the_best_policy():
    assert measures.trajectory_quality(np.array([0.0, 100.0]), 10, 200) == pytest.approx(40 / 190)
    with pytest.raises(O2OError, match="low < high"):
        measures.trajectory_quality(np.ones(2), 1.0, 1.0)


def test_coverage_counts_pairs_and_not_visits():
    obs = [[0.0], [10.0], [0.0], [10.0], [0.0]]
    action = np.array([[-1.0], [1.0], [1.0], [-1.0], [-1.0]], np.float32)
    small = rows(obs, action)
    assert measures.state_action_pairs(small) == 4
    large = rows(np.linspace(0, 10, 10)[:, None], np.linspace(-1, 1, 10, dtype=np.float32)[:, None])
    assert measures.coverage(small, large) == 0.4
    twice = rows(obs * 2, np.concatenate([action, action]))
    assert measures.coverage(twice, large) == 0.4
    # States and actions are joined, not added up: (1, 2) is not (2, 1).
    assert measures.state_action_pairs(rows([[1.0], [2.0]], np.array([2, 1], np.int32))) == 2
    # Differences below a hundredth of the range are none.
    near = rows([[0.0], [0.004], [1.0]], np.array([0, 0, 0], np.int32))
    assert measures.state_action_pairs(near) == 2
    with pytest.raises(O2OError, match="other observations or actions"):
        measures.coverage(small, rows(np.zeros((3, 2)), np.zeros((3, 1), np.float32)))


def test_pairs_are_counted_exactly_where_a_set_can_count_them():
    rng = np.random.default_rng(0)
    data = rows(rng.integers(0, 9, (5000, 3)), rng.integers(0, 3, 5000).astype(np.int32))
    exact = len({(*map(float, o), int(a)) for o, a in zip(data.obs, data.action, strict=True)})
    assert measures.state_action_pairs(data) == exact


def test_duplicates_are_equal_in_every_bit():
    rng = np.random.default_rng(0)
    data = rows(rng.integers(0, 2, (400, 2)) * 1024.0, rng.integers(0, 2, (400, 1)).astype(np.float32))
    exact = len({tuple(x[i].tobytes() for x in data[:6]) for i in range(400)})
    assert measures.duplicates(data) == 400 - exact
    assert measures.duplicates(rows(np.arange(9.0)[:, None], np.zeros((9, 1), np.float32))) == 0


def test_numbers_that_are_not_finite_and_actions_at_their_bounds():
    obs, action = np.zeros((4, 2), np.float32), np.array([[1, 0], [-1, 0.5], [0, 0], [0.5, -1]], np.float32)
    obs[1, 0], obs[1, 1], obs[2, 1] = np.nan, np.inf, np.nan
    data = rows(obs, action)
    assert measures.not_finite(data) == {"obs": 2, "action": 0, "reward": 0, "next_obs": 2}
    np.testing.assert_array_equal(measures.saturation(action), [0.5, 0.25])
    assert measures.state_action_pairs(data) > 0


def test_trajectories_know_where_they_are():
    data = rows(
        np.zeros((6, 1)), np.zeros((6, 1), np.float32), last=[1, 5], terminated=[5], reward=[1, 2, 3, 4, 5, 6]
    )
    found = measures.trajectories(data)
    assert [x.tolist() for x in found] == [[0, 2], [2, 4], [3, 18], [False, True], [False, False]]
    assert measures.trajectories(data, limit=4).cut.tolist() == [True, False]  # two steps, and not terminated
    assert measures.trajectories(data, limit=2).cut.tolist() == [False, False]


def test_means_are_of_whole_episodes():
    reward = [9, 9, 1, 2, 3, 4]
    data = rows(np.zeros((6, 1)), np.zeros((6, 1)), last=[1, 3, 5], terminated=[5], reward=reward)
    found = measures.trajectories(data, limit=3)  # the first two were cut after two of three steps
    facts = measures.summary(found, (0.0, 10.0))
    assert facts == {"episodes": 3, "cut": 2, "mean_return": 7.0, "mean_length": 2.0, "mean_score": 70.0}
    assert measures.by_return(found).tolist() == [2]
    nothing = measures.summary(measures.trajectories(rows(np.zeros((1, 1)), np.zeros((1, 1))), limit=2), (0.0, 1.0))
    assert nothing == {"episodes": 1, "cut": 1, "mean_return": None, "mean_length": None, "mean_score": None}


SPACES = {
    "vector": Spaces(Space((4,)), Space((2,))),
    "goal": Spaces(Space((4,), parts=(("achieved_goal", 2), ("observation", 2))), Space((2,))),
    "discrete": Spaces(Space((1,)), Space(n=3)),
}


def recording(spaces, episodes=8, steps=5):
    rng = np.random.default_rng(0)
    n = episodes * steps
    obs = rng.normal(size=(episodes, steps + 1, *spaces.obs.shape)).astype(np.float32)
    if spaces.action.discrete:
        action = rng.integers(0, spaces.action.n, n).astype(np.int32)
    else:
        action = rng.uniform(-1, 1, (n, *spaces.action.shape)).astype(np.float32)
    last, first = np.arange(n) % steps == steps - 1, np.arange(n) < n // 2
    flat = (-1, *spaces.obs.shape)
    reward = (np.arange(n) // steps).astype(np.float32)
    return Transition(
        obs[:, :-1].reshape(flat), action, reward, obs[:, 1:].reshape(flat), last & first, last & ~first
    )


@pytest.fixture
def inspect(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))

    def call(kind, *arguments, change=lambda data: data, rows=lambda data: data, **settings):
        spaces = SPACES[kind]
        about = {"algorithm_name": "test", "description": "a test", "provenance": {"seed": 1}} | settings
        minari.export(rows(recording(spaces)), f"test/{kind}-v0", spaces=spaces, overwrite=True, **about)
        change(tmp_path / "root" / f"test/{kind}-v0" / "data" / "main_data.hdf5")
        assert main(["inspect", f"test/{kind}-v0", *arguments]) == 0
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("kind", SPACES)
def test_inspect_draws_a_page_and_writes_its_figures(inspect, kind, tmp_path):
    out = tmp_path / "page"
    text = inspect(kind, "--out", str(out), "--coverage-of", f"test/{kind}-v0", reference=(0.0, 40.0))
    assert {path.name for path in out.iterdir()} == {"dataset.png", "figures.json"}
    assert (out / "dataset.png").read_bytes()[:4] == b"\x89PNG"
    figures = json.loads((out / "figures.json").read_text())
    assert figures["quantiles"]["return"]["mean"] == 17.5
    assert (figures["terminated"], figures["truncated"], figures["duplicates"]) == (4, 4, 0)
    assert figures["tq"] == pytest.approx(17.5 / 40)
    assert figures["saco"] == 1.0
    assert sum(figures["histogram"]["counts"]) == 8
    assert [t["episode"] for t in figures["best"]] == [7, 6, 5]
    assert figures["worst"][0] == {"episode": 0, "return": 0.0, "steps": 5, "end": "terminated", "first_row": 0}
    for part in ("TQ", "SACo", "best 7", "worst 0", "episodes by return", "duplicate rows", "not finite"):
        assert part in text
    assert "attention" not in text


def test_inspect_describes_what_training_would_refuse(inspect):
    import h5py

    def spoil(path):
        with h5py.File(path, "a") as file:
            file["episode_2/rewards"][1] = math.nan
            file["episode_3/observations"][0, 0] = math.inf

    found = json.loads(inspect("vector", "--json", change=spoil))
    assert found["not_finite"] == {"obs": 1, "action": 0, "reward": 1, "next_obs": 0}
    assert sum(found["histogram"]["counts"]) == 7
    assert found["remarks"] == [
        "dataset 'test/vector-v0', episode 3, step 0: obs is not finite; drop or repair that trajectory"
    ]
    assert "attention" in inspect("vector", change=spoil)


@pytest.mark.parametrize(("limit", "remark"), [(5, "4 episodes terminate exactly"), (4, "truncation may be missing")])
def test_inspect_looks_at_the_time_limit(inspect, limit, remark):
    from gymnasium.envs.registration import EnvSpec

    spec = EnvSpec("Toy-v0", "none:None", max_episode_steps=limit)
    assert remark in inspect("vector", env_spec=spec)


def test_inspect_leaves_cut_episodes_out_of_every_mean(inspect, tmp_path):
    """Four of eight episodes are truncated, after 5 steps of 6; their returns are 20 to 35."""
    about = {"provenance": {"time_limit": 6}, "reference": (0.0, 40.0)}
    found = json.loads(inspect("vector", "--json", **about))
    assert (found["cut"], found["truncated"], found["terminated"]) == (4, 4, 4)
    assert found["quantiles"]["return"]["mean"] == 7.5
    assert found["tq"] == pytest.approx(7.5 / 40)
    assert sum(found["histogram"]["counts"]) == 4
    assert [t["episode"] for t in found["best"]] == [3, 2, 1]
    assert "4 terminated, 4 truncated (4 by the end of the recording, in no mean)" in inspect("vector", **about)


def test_inspect_shows_a_recording_without_a_whole_episode(inspect, tmp_path):
    cut = lambda data: data._replace(truncated=data.truncated | data.terminated, terminated=data.terminated & False)  # noqa: E731
    text = inspect("vector", "--out", str(tmp_path / "page"), provenance={"time_limit": 6}, rows=cut)
    assert "attention          8 of 8 episodes were cut off by the end of the recording" in text
    assert "no episode is whole" in text
    assert (tmp_path / "page" / "dataset.png").exists()
