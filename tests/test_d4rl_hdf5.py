"""Files in D4RL's layout: true successors at time-outs, honest ends, the 1000-step rule, clear errors."""

import dataclasses
import json
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.data import d4rl_hdf5, d4rl_names, scores
from purejaxo2o.loop import store as stores
from purejaxo2o.types import O2OError, Space, Spaces, pytree, static

LENGTHS = (4, 3, 5, 2)
TERMINAL = 1  # the second trajectory ends by itself, the last one is not over when the file is


def stream(lengths=LENGTHS, terminal=(TERMINAL,)):
    """A stream of trajectories in which observation 0 names trajectory and step: `100 k + t`."""
    obs = np.concatenate([100.0 * k + np.arange(n) for k, n in enumerate(lengths)])
    after = np.concatenate([100.0 * k + np.arange(n) + 1 for k, n in enumerate(lengths)])
    ends = np.cumsum(lengths) - 1
    at, n = np.arange(len(obs)), len(obs)
    return {
        "observations": np.stack([obs, -obs], axis=1).astype(np.float32),
        "next_observations": np.stack([after, -after], axis=1).astype(np.float32),
        "actions": np.linspace(-1, 1, n, dtype=np.float32)[:, None],
        "rewards": at.astype(np.float32),
        "terminals": np.isin(at, ends[list(terminal)]),
        "timeouts": np.isin(at, np.delete(ends, [*terminal, len(lengths) - 1])),
    }


@pytest.fixture
def write(tmp_path):
    def call(arrays, name="toy-v2.hdf5", drop=()):
        with h5py.File(tmp_path / name, "w") as file:
            for key, value in arrays.items():
                if key not in drop:
                    file[key] = value
            file["infos/qpos"] = np.zeros((3, 2))
            file["metadata/algorithm"] = "SAC"
        return str(tmp_path / name)

    return call


def loaded(path, **settings):
    return jax.tree.map(np.asarray, stores.flat(d4rl_hdf5.load(path, **settings)))


def names(obs):
    return obs[:, 0].astype(int).tolist()


def test_stored_successors_are_kept_at_every_end(write):
    data = loaded(write(stream()))
    assert names(data.obs) == [0, 1, 2, 3, 100, 101, 102, 200, 201, 202, 203, 204, 300, 301]
    np.testing.assert_array_equal(data.next_obs[:, 0], data.obs[:, 0] + 1)
    assert np.flatnonzero(data.terminated).tolist() == [6]
    assert np.flatnonzero(data.truncated).tolist() == [3, 11, 13]  # the end of the file is one, too
    np.testing.assert_array_equal(data.reward, np.arange(14))


def test_without_successors_the_rows_at_time_outs_go_and_those_before_end_the_trajectory(write):
    data = loaded(write(stream(), drop=["next_observations"]))
    assert names(data.obs) == [0, 1, 2, 100, 101, 102, 200, 201, 202, 203, 300]
    assert names(data.next_obs) == [1, 2, 3, 101, 102, 102, 201, 202, 203, 204, 301]  # 102: nothing follows
    assert np.flatnonzero(data.terminated).tolist() == [5]
    assert np.flatnonzero(data.truncated).tolist() == [2, 9, 10]
    starts = data.obs[1:, 0][data.last[:-1]]
    assert not np.isin(data.next_obs[data.last, 0][:-1], starts).any()  # no successor out of another trajectory


def test_a_trajectory_of_a_single_row_without_successor_leaves_nothing(write):
    data = loaded(write(stream((3, 1, 2), terminal=(0,)), drop=["next_observations"]))
    assert names(data.obs) == [0, 1, 2, 200]
    assert data.last.tolist() == [False, False, True, True]
    assert data.terminated.tolist() == [False, False, True, False]


def test_files_without_time_outs_are_cut_at_jumps(write):
    whole = loaded(write(stream()))
    cut = loaded(write(stream(), drop=["timeouts"]))
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["halfcheetah_medium.hdf5", "halfcheetah-random-v0.hdf5"])
def test_a_halfcheetah_is_cut_after_1000_steps_each_counted_from_its_own_start(write, name):
    path = write(stream((1000, 1000, 500), terminal=()), name, drop=["timeouts", "next_observations"])
    data = loaded(path)
    assert np.flatnonzero(data.last).tolist() == [998, 1997, 2496]  # 999 transitions of each 1000 rows, no drift
    assert data.obs[np.flatnonzero(data.last)[:-1] + 1, 0].tolist() == [100.0, 200.0]
    np.testing.assert_array_equal(data.next_obs[:, 0], data.obs[:, 0] + 1)
    assert not data.terminated.any()


def test_a_limit_counts_anew_after_a_terminal(write):
    arrays = stream((4, 2, 4, 3), terminal=(1,))
    data = loaded(write(arrays, drop=["timeouts", "next_observations"]), limit=4)
    assert names(data.obs) == [0, 1, 2, 100, 101, 200, 201, 202, 300, 301]
    assert np.flatnonzero(data.truncated).tolist() == [2, 7, 9]
    assert np.flatnonzero(data.terminated).tolist() == [4]


def test_columns_of_one_number_and_doubles_are_taken(write):
    arrays = stream()
    odd = {k: v.astype(np.float64)[:, None] if v.ndim == 1 else v.astype(np.float64) for k, v in arrays.items()}
    for a, b in zip(jax.tree.leaves(loaded(write(odd))), jax.tree.leaves(loaded(write(arrays))), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("file", "name", "limit", "reference", "env_id"),
    [
        ("mini_kitchen_microwave_kettle_light_slider-v0.hdf5", "kitchen-complete-v0", 280, (0, 4), None),
        ("kitchen_microwave_kettle_bottomburner_light-v0.hdf5", "kitchen-mixed-v0", 280, (0, 4), None),
        ("pen-v0_demos_clipped.hdf5", "pen-human-v0", 100, scores.DOMAINS["pen"], "AdroitHandPen-v1"),
        ("door-demos-v0-bc-combined.hdf5", "door-cloned-v0", 200, scores.DOMAINS["door"], "AdroitHandDoor-v1"),
        ("hammer-human-longhorizon-v1.hdf5", "hammer-human-longhorizon-v1", 600, scores.DOMAINS["hammer"], None),
        ("maze2d-umaze-sparse-v1.hdf5", "maze2d-umaze-v1", 300, (23.85, 161.86), None),
        ("maze2d-umaze-v1.h5", "maze2d-umaze-v1", 300, (23.85, 161.86), None),
        ("maze2d-large-sparse.hdf5", "maze2d-large-v0", 600, None, None),
        ("maze2d-eval-medium-sparse-v1.hdf5", "maze2d-eval-medium-v1", 600, None, None),
        (
            "Ant_maze_u-maze_noisy_multistart_True_multigoal_True_sparse_fixed.hdf5",
            *("antmaze-umaze-diverse-v2", 700, (0, 1), None),
        ),
        (
            "Ant_maze_hardest-maze_noisy_multistart_True_multigoal_False_sparse.hdf5",
            *("antmaze-large-play-v0", 1000, (0, 1), None),
        ),
        ("walker_mixed.hdf5", "walker2d-medium-replay-v0", 1000, scores.DOMAINS["walker2d"], "Walker2d-v2"),
        ("hopper_medium_replay-v2.hdf5", "hopper-medium-replay-v2", 1000, scores.DOMAINS["hopper"], "Hopper-v2"),
        ("flow-ring-v0-idm.hdf5", "flow-ring-controller-v0", 500, scores.DOMAINS["flow-ring"], None),
        ("carla_town_subsamp_flat-v0.hdf5", "carla-town-v0", 1000, (-114.81579500772153, 2440.1772022247314), None),
        ("minigrid4rooms.hdf5", "minigrid-fourrooms-v0", 50, (0.01442, 2.89685), None),
        ("hopper-of_mine.hdf5", "hopper-of-mine", None, None, None),
    ],
)
def test_published_files_are_known_by_their_own_names(file, name, limit, reference, env_id):
    found = d4rl_names.published(f"some/folder/{file}")
    assert (found.id, found.limit, scores.reference(found.id)) == (name, limit, reference)
    assert found.env_id == env_id or (env_id is None and "longhorizon" in name)


def test_limit_and_clip_are_taken_where_files_are_named(write, monkeypatch):
    arrays = stream((4, 2, 4, 3), terminal=(1,))
    arrays["actions"][2] = 1.5
    path = Path(write(arrays, name="mine.h5", drop=["timeouts", "next_observations"]))
    with pytest.raises(O2OError, match=r"no time limit is known for it; pass limit=") as caught:
        o2o.dataset(path)
    assert "give --limit STEPS" in caught.value.in_shell
    with pytest.raises(O2OError, match=r"leaves \[-1, 1\].*clip=True"):
        o2o.dataset(path, limit=4)
    assert o2o.dataset(path, limit=4, clip=True).size == 10
    env = Form(sizes=(2, 1))
    task = o2o.task_from_minari(path, limit=4, clip=True, env=env)
    assert (task.dataset, task.limit, task.clip, task.raw) == (str(path), 4, True, True)
    assert o2o.dataset(task).size == 10
    scored = o2o.task_from_minari(path, limit=4, clip=True, env=env, reference=(0.0, 10.0))
    assert scored.score(5.0) == 50.0


@pytree
class Form:
    """An environment of which only the form matters."""

    sizes: tuple = static()
    name: str = static(default="mine/form")
    horizon: int = static(default=4)

    @property
    def obs_space(self):
        return Space((self.sizes[0],))

    @property
    def action_space(self):
        return Space((self.sizes[1],))


def test_rows_dropped_at_time_outs_leave_episodes_whole(write, capsys):
    """1000 rows make 999 transitions; they are no less an episode."""
    path = write(stream((1000, 1000, 500), terminal=()), "hopper_random.hdf5", drop=["timeouts", "next_observations"])
    assert main(["inspect", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["truncated"], found["cut"]) == (3, 1)
    assert found["quantiles"]["length"]["mean"] == 999


def changed(name, row, value):
    arrays = stream()
    arrays[name][row] = value
    return arrays


@pytest.mark.parametrize(
    ("arrays", "drop", "message"),
    [
        (stream(), ["terminals"], "has no terminals; it is not in D4RL's layout"),
        (stream(), ["timeouts", "next_observations"], "no timeouts, and no time limit is known for it; pass limit="),
        (stream() | {"actions": np.zeros((9, 1))}, [], r"actions is \[9, 1\], there are 14 rewards"),
        (stream() | {"rewards": np.zeros(0)}, [], "holds no rows"),
        (stream() | {"rewards": 1.0}, [], "holds no rows"),
        (stream() | {"actions": np.full((14, 1), b"up")}, [], r"actions are \|S2, no real numbers"),
        (stream() | {"observations": np.zeros((14, 4, 4, 3), np.uint8)}, [], r"observations are images \[4, 4, 3\]"),
        (stream() | {"terminals": np.full(14, 0.5)}, [], "step 0: terminals is 0.5; a flag is 0 or 1"),
        (stream() | {"terminals": np.full(14, -1)}, [], "step 0: terminals is -1; a flag is 0 or 1"),
        (stream() | {"timeouts": np.full(14, np.nan)}, [], "step 0: timeouts is nan; a flag is 0 or 1"),
        (stream() | {"rewards": np.zeros((14, 2))}, [], "only one number a row"),
        (stream() | {"next_observations": np.zeros((14, 3))}, [], "of another shape than observations"),
        (changed("rewards", 5, np.nan), [], "row 5: reward is not finite"),
        (changed("actions", 3, 1.5), [], r"row 3: action \[1.5\].* leaves \[-1, 1\]"),
        (changed("timeouts", 3, False), [], r"row 3: the next row is not its successor.*\(1 such rows\)"),
        (
            stream() | {"timeouts": np.roll(stream()["timeouts"], 1)},
            [],
            "row 3: .* flags are shifted or missing; drop",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(write, arrays, drop, message):
    path = write(arrays, drop=drop)
    with pytest.raises(O2OError, match=message) as caught:
        d4rl_hdf5.load(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_are_named_as_the_file_counts_them(write):
    path = write(changed("rewards", 10, np.inf), drop=["next_observations"])
    with pytest.raises(O2OError, match="row 10: reward is not finite"):  # three rows before it are dropped
        d4rl_hdf5.load(path)


def test_missing_and_damaged_files_are_explained(write, tmp_path):
    path = write(stream())
    with pytest.raises(O2OError, match="there is no file"):
        o2o.dataset(str(tmp_path / "other.hdf5"))
    whole = (tmp_path / "toy-v2.hdf5").read_bytes()
    (tmp_path / "toy-v2.hdf5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(O2OError, match=r"cannot be read .*download or make it again") as caught:
        o2o.dataset(path)
    assert "\n" not in str(caught.value)


def test_a_file_is_a_dataset_like_any_other(write, tmp_path, capsys):
    n = 40
    rng = np.random.default_rng(0)
    arrays = stream((10,) * 4, terminal=())
    arrays |= {"observations": rng.normal(size=(n, 11)), "actions": rng.uniform(-1, 1, (n, 3))}
    path = write(arrays, "hopper_medium-v2.hdf5", drop=["next_observations"])
    data = o2o.dataset(path)
    assert data.size == 36
    task = o2o.task(path)
    assert (task.env.name, task.env.physics, task.env.horizon) == ("mjx/Hopper-v4", "mujoco<=3.4", 1000)
    assert (task.score_low, task.score_high, task.domain) == (-20.272305, 3234.3, "locomotion")
    assert o2o.dataset(task).size == 36
    assert main(["inspect", path]) == 0
    assert "4: 0 terminated, 4 truncated" in capsys.readouterr().out
    assert d4rl_hdf5.read(path).info.spaces == Spaces(Space((11,)), Space((3,)))
    with pytest.raises(O2OError, match=r"has observations Box\(11,\), mjx/Ant-v5 has Box\(105,\).*task_from_minari"):
        o2o.dataset(dataclasses.replace(o2o.task("ant-medium"), dataset=path))


def test_everything_but_images_is_a_vector(write):
    arrays = stream() | {"terminals": stream()["terminals"][:, None].astype(np.float64)}
    arrays["observations"] = arrays["observations"][:, None]
    arrays["next_observations"] = arrays["next_observations"][:, :, None]
    data, plain = loaded(write(arrays)), loaded(write(stream(), "plain-v2.hdf5"))
    for one, other in zip(data[:6], plain[:6], strict=True):
        np.testing.assert_array_equal(one, other)
