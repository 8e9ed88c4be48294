"""Recording: rows in trajectories with true successors, scripted drivers, and the datasets made from a seed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o import envs
from purejaxo2o.cli.main import main
from purejaxo2o.data import checks, collect, embedded, minari, specs, waypoint
from purejaxo2o.envs.maze import PointMaze, PointMazeState
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.extras import trajectory_returns
from purejaxo2o.types import O2OError, Space, Step, pytree, static

HORIZON = 5


@pytree
class Counter:
    """Counts from 0 up to a random end (terminated) or to the time limit; observes count, end and last action."""

    pooled_resets: bool = static(default=False)
    name = "test/Counter"
    obs_space = Space((3,))
    action_space = Space((1,))
    horizon = HORIZON

    def reset(self, key):
        end = jax.random.randint(key, (), 1, 8).astype(jnp.float32)
        return (jnp.float32(0), end), jnp.stack([0.0, end, 0.0])

    def step(self, state, action, key):
        count, end = state[0] + 1, state[1]
        obs = jnp.stack([count, end, action[0]])
        terminated, truncated = count >= end, count >= HORIZON
        return (count, end), Step(obs, count, terminated, truncated & ~terminated, {})


@pytest.fixture(scope="module", params=[False, True], ids=["fresh", "pooled"])
def counted(request):
    env = Counter(pooled_resets=request.param)
    policy = collect.random_policy(env.action_space)
    store = collect.collect(env, policy, jax.random.key(0), steps=205, num_envs=10)  # 21 rows each, 5 too many
    again = collect.collect(env, policy, jax.random.key(0), steps=205, num_envs=10)
    other = collect.collect(env, policy, jax.random.key(1), steps=205, num_envs=10)
    return env, store, again, other


def test_collected_rows_are_whole_trajectories_with_true_successors(counted):
    env, store, _, _ = counted
    checks.check_store(store, spaces(env))
    data = jax.tree.map(np.asarray, stores.flat(store))
    assert len(data.reward) == store.size == 205
    starts = np.concatenate([[0], np.flatnonzero(data.last) + 1])[:-1]
    assert (data.obs[starts, 0] == 0).all()
    assert (data.next_obs[:, 0] == data.obs[:, 0] + 1).all()  # also where the episode ended, before the reset
    assert (data.next_obs[:, 1] == data.obs[:, 1]).all()
    assert (data.next_obs[:, 2] == data.action[:, 0]).all()
    inside = ~data.last[:-1]
    np.testing.assert_array_equal(data.next_obs[:-1][inside], data.obs[1:][inside])
    assert len(np.unique(data.obs[starts, 1])) == 7  # every kind of start


def test_terminations_and_truncations_stay_apart(counted):
    data = jax.tree.map(np.asarray, stores.flat(counted[1]))
    count, end = data.next_obs[:, 0], data.next_obs[:, 1]
    np.testing.assert_array_equal(data.terminated, count >= end)
    by_limit = (count >= HORIZON) & ~data.terminated
    lane_ends = np.append(np.arange(20, 204, 21), 204)
    by_recording = np.zeros(205, bool)
    by_recording[lane_ends] = ~data.terminated[lane_ends]
    np.testing.assert_array_equal(data.truncated, by_limit | by_recording)
    assert by_limit.any()
    assert (by_recording & ~by_limit).any()


def test_recording_is_deterministic_in_the_key(counted):
    _, store, again, other = counted
    for a, b in zip(jax.tree.leaves(store), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(store.data.action, other.data.action)


def test_behaviours_know_the_time_in_their_episode_and_its_key():
    def tell(obs, key, clock):
        return jnp.where(clock.lane == 0, clock.time / 10, jax.random.uniform(clock.episode))[None]

    store = collect.collect_with(Counter(), tell, jax.random.key(0), steps=60, num_envs=2)
    data = jax.tree.map(np.asarray, stores.flat(store))
    np.testing.assert_allclose(data.action[:30, 0], data.obs[:30, 0] / 10)
    moods = data.action[30:, 0]
    np.testing.assert_array_equal(np.diff(moods) != 0, data.last[30:-1])


@pytest.mark.parametrize("sizes", [{"steps": 0}, {"steps": 4, "num_envs": 5}, {"steps": 4, "num_envs": 0}])
def test_sizes_that_do_not_fit_are_refused(sizes):
    env = Counter()
    with pytest.raises(O2OError, match=f"steps={sizes['steps']} with num_envs"):
        collect.collect(env, collect.random_policy(env.action_space), jax.random.key(0), **sizes)


@pytest.mark.parametrize(
    ("steps", "horizon", "lanes"), [(100_000, 1000, 50), (2000, 200, 10), (2500, 200, 12), (150, 200, 1), (0, 200, 1)]
)
def test_as_many_environments_record_as_have_time_for_an_episode(steps, horizon, lanes):
    assert collect.lanes(steps, horizon) == lanes


def test_episodes_cut_by_the_recording_are_said_and_in_no_mean(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    command = ["collect", "pendulum", "--steps", "600"]  # every episode has 200
    assert main([*command, "--num-envs", "20", "--id", "me/cut-v0"]) == 0
    said = capsys.readouterr().err
    assert "20 of 20 episodes were cut off by the end of the recording (after 30 steps on average" in said
    assert "the time limit is 200): no mean return or score includes them; give --num-envs 3 at most" in said
    assert minari.info("me/cut-v0").metadata["provenance"]["mean_score"] is None
    assert main([*command, "--id", "me/whole-v0"]) == 0
    about = minari.info("me/whole-v0").metadata["provenance"]
    assert (about["num_envs"], about["time_limit"]) == (3, 200)
    assert about["mean_length"] == 200
    assert "recording 600 steps of gymnax/Pendulum-v1 with 3 environments" in capsys.readouterr().err
    assert main([*command[:3], "5", "--num-envs", "6", "--id", "me/none-v0"]) == 2
    assert (
        "--steps 5 with 6 environments: give --num-envs of at least 1 and a step for each" in capsys.readouterr().err
    )


def test_continuing_recordings_need_an_observer():
    env = Counter()
    behaviour = collect.Memoryless(collect.random_policy(env.action_space))
    with pytest.raises(O2OError, match=r"test/Counter has no observe\(state\)"):
        collect.collect_with(env, behaviour, jax.random.key(0), steps=10, num_envs=1, continuing=True)


def test_random_and_noisy_policies():
    keys = jax.random.split(jax.random.key(0), 2000)
    obs = jnp.zeros(3)
    discrete = jax.vmap(lambda k: collect.random_policy(Space(n=3))(obs, k))(keys)
    assert discrete.dtype == jnp.int32
    np.testing.assert_allclose(np.bincount(discrete, minlength=3) / 2000, 1 / 3, atol=0.05)

    def constant(obs, key):
        return jnp.array([0.5, -0.9])

    noise = jax.vmap(lambda k: collect.noisy(constant, sigma=0.1)(obs, k))(keys)
    assert abs(noise[:, 0].std() - 0.1) < 0.01
    assert abs(noise[:, 0].mean() - 0.5) < 0.01
    assert noise[:, 1].min() == -1  # clipped
    mixed = jax.vmap(lambda k: collect.noisy(constant, epsilon=0.25)(obs, k))(keys)
    changed = (mixed != jnp.array([0.5, -0.9])).any(axis=1)
    assert abs(changed.mean() - 0.25) < 0.04
    assert abs(mixed[changed].mean()) < 0.1
    assert jnp.abs(mixed).max() <= 1


def test_held_actions_and_mixtures_follow_the_clock():
    aimless = collect.held(collect.random_policy(Space((2,))), steps=4)
    zero = collect.Memoryless(lambda obs, key: jnp.zeros(2))
    both = collect.mixture((zero, 2), (aimless, 1))
    episode = jax.random.key(1)

    def act(lane, time, key):
        return both(jnp.zeros(3), key, collect.Clock(lane, episode, time))

    lanes, times = jnp.arange(6), jnp.arange(12)
    keys = jax.random.split(jax.random.key(0), (6, 12))
    actions = np.asarray(jax.vmap(jax.vmap(act, (None, 0, 0)), (0, None, 0))(lanes, times, keys))
    assert (actions[[0, 1, 3, 4]] == 0).all()
    for lane in (2, 5):
        blocks = actions[lane].reshape(3, 4, 2)
        assert (blocks == blocks[:, :1]).all()
        assert len(np.unique(blocks[:, 0, 0])) == 3


def test_next_cells_lead_to_the_goal_on_shortest_paths():
    walls = np.array([[c == "#" for c in row] for row in ("######", "#....#", "#.##.#", "#..#.#", "######")])
    table = waypoint.next_cells(walls)

    def distance(cell, goal):
        for steps in range(20):
            if cell == goal:
                return steps
            cell = table[goal, cell]
        return None

    corner, below, far = 1 * 6 + 1, 3 * 6 + 2, 3 * 6 + 4
    assert distance(corner, far) == 5
    assert distance(below, far) == 8
    assert distance(far, below) == 8
    assert distance(corner, corner) == 0
    assert distance(0, far) is None  # a wall leads nowhere


@pytest.mark.parametrize("maze", ["UMaze", "Medium", "Large"])
def test_the_waypoint_driver_reaches_every_goal_from_every_start(maze):
    env = PointMaze(maze=maze, continuing_task=False)
    drive = waypoint.waypoint_policy(env)
    centres = np.asarray(env.cell_centre(env.open_cells))
    start, goal = (i.ravel() for i in np.indices((len(centres),) * 2))
    noise = np.random.default_rng(0).uniform(-0.25, 0.25, (2, len(start), 2))
    position, goal = (jnp.asarray(centres[i] + n, jnp.float32) for i, n in zip((start, goal), noise, strict=True))
    states = PointMazeState(position, jnp.zeros_like(position), goal, jnp.zeros(len(start), jnp.int32))

    def move(carry, _):
        states, done = carry
        key = jax.random.key(0)  # nothing here is random

        def one(state):
            return env.step(state, drive(env.observe(state), key), key)

        states, result = jax.vmap(one)(states)
        return (states, done | result.terminated), None

    run = jax.jit(lambda s: jax.lax.scan(move, (s, jnp.zeros(len(start), bool)), length=env.horizon * 2 // 3)[0][1])
    assert run(states).all()


@pytest.fixture(scope="module")
def umaze_waypoint():
    return embedded.generate("purejaxo2o/pointmaze-umaze/waypoint-v0", 0, steps=8_000)


def test_waypoint_recordings_cut_at_each_goal_and_go_on(umaze_waypoint):
    data = jax.tree.map(np.asarray, stores.flat(umaze_waypoint))
    found = embedded.statistics(umaze_waypoint)
    assert found["success_rate"] > 0.85  # all but the tails of the 8 environments
    assert 60 < found["mean_length"] < 110
    assert not data.terminated.any()
    success = data.reward == 1
    lane_end = np.arange(8_000) % 1_000 == 999
    np.testing.assert_array_equal(data.truncated, success | lane_end)
    goal, next_goal, position = data.obs[:, 2:4], data.next_obs[:, 2:4], data.next_obs[:, 4:6]
    np.testing.assert_array_equal(goal, next_goal)  # a successor shows the goal that was pursued
    np.testing.assert_array_equal(success, np.linalg.norm(position - next_goal, axis=1) <= 0.45)
    on = np.flatnonzero(success & ~lane_end)
    assert (np.linalg.norm(goal[on + 1] - position[on], axis=1) > 0.45).all()  # a new goal, away from the ball
    np.testing.assert_array_equal(data.obs[on + 1, 4:], data.next_obs[on, 4:])  # and no reset
    spread = data.action.std(axis=0)
    assert (spread > 0.4).all()


def test_mixed_recordings_succeed_sometimes():
    rows = embedded.generate("purejaxo2o/pointmaze-umaze/mixed-v0", 0, steps=20_000)
    data = jax.tree.map(np.asarray, stores.flat(rows))
    found = embedded.statistics(rows)
    assert 0.2 < found["success_rate"] < 0.65
    assert found["success_rate"] == found["mean_return"]
    assert 120 < found["mean_length"] < 290
    np.testing.assert_array_equal(data.terminated, data.reward == 1)
    _, lengths = trajectory_returns(data.reward, data.last)
    assert lengths.max() == 300
    assert len(np.unique(data.action[4_800:5_000], axis=0)) > 150  # lane 1 is driven, step by step
    assert len(np.unique(data.action[7_500:7_700], axis=0)) <= 13  # lane 3 holds each action for 20 steps


def test_datasets_are_made_once_and_say_where_they_come_from(tmp_path, monkeypatch, umaze_waypoint):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    name = "purejaxo2o/pointmaze-umaze/waypoint-v0"
    monkeypatch.setattr(embedded, "generate", lambda *_, **__: umaze_waypoint)
    path = embedded.make_dataset(name, steps=8_000)
    first = {p.name: p.read_bytes() for p in (path / "data").iterdir()}
    for a, b in zip(jax.tree.leaves(embedded.read(name).store()), jax.tree.leaves(umaze_waypoint), strict=True):
        np.testing.assert_array_equal(a, b)
    described = minari.info(name)
    assert described.env_id == "PointMaze_UMaze-v3"
    assert described.reference == (0.0, 1.0)
    assert described.spaces == spaces(PointMaze())
    assert described.metadata["provenance"]["seed"] == 0
    assert described.metadata["provenance"]["statistics"] == embedded.statistics(umaze_waypoint)
    assert embedded.make_dataset(name, steps=8_000) == path
    with pytest.raises(O2OError, match=r"has \(seed, steps\) = \(0, 8000\), not \(1, 8000\); give overwrite=True"):
        embedded.make_dataset(name, 1, steps=8_000)
    embedded.make_dataset(name, steps=8_000, overwrite=True)
    assert {p.name: p.read_bytes() for p in (path / "data").iterdir()} == first
    with pytest.raises(O2OError, match="did you mean 'purejaxo2o/pointmaze-umaze/waypoint-v0'"):
        embedded.make_dataset("purejaxo2o/pointmaze-umaze/waypoint")


def test_the_stored_spec_makes_the_original_environment():
    gym = pytest.importorskip("gymnasium")
    pytest.importorskip("gymnasium_robotics")
    env = embedded.EMBEDDED["purejaxo2o/pointmaze-medium/mixed-v0"].env()
    original = gym.make(specs.maze_spec(env))
    assert original.spec.max_episode_steps == env.horizon == 600
    np.testing.assert_array_equal(np.array(original.unwrapped.maze.maze_map), env.walls)
    assert not original.unwrapped.continuing_task
    original.close()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("maze/PointMaze_Medium_Diverse_GR-v3", {}),
        ("maze/AntMaze_Medium_Diverse_G-v5", {}),
        ("maze/PointMaze_UMaze-v3", {"maze_map": ((1, 1, 1, 1), (1, "r", "g", 1), (1, 1, 1, 1))}),
    ],
)
def test_a_stored_spec_keeps_where_goals_and_starts_may_be(name, settings):
    gym = pytest.importorskip("gymnasium")
    pytest.importorskip("gymnasium_robotics")
    env = envs.make(name, **settings)
    maze = gym.make(specs.original(env)[0]).unwrapped.maze
    for theirs, ours in ((maze.unique_goal_locations, "goal_cells"), (maze.unique_reset_locations, "start_cells")):
        theirs = [*theirs, *maze.combined_locations]
        np.testing.assert_allclose(
            np.array(sorted(set(map(tuple, theirs)))),
            sorted(map(tuple, env.cell_centre(getattr(env.layout, ours)).tolist())),
        )
