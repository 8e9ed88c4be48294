"""PointMaze against gymnasium-robotics, and its own distributions.

Run as a program, this file prints parity errors as JSON; the float64 test does that in its own process.
"""

import functools
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o.envs.maze import PointMaze, PointMazeState
from purejaxo2o.types import O2OError

VARIANTS = {  # one of each flag, so that parity needs one compilation a maze and physics
    "UMaze": {},
    "Medium": {"reward_type": "dense"},
    "Large": {"continuing_task": False},
}
CASES = [(maze, physics) for maze in VARIANTS for physics in ("mujoco>=3.5", "mujoco<=3.4")]
STEPS, RUNS = 100, 64


def original(maze, physics):
    gym = pytest.importorskip("gymnasium", reason="parity needs gymnasium")
    robotics = pytest.importorskip("gymnasium_robotics", reason="parity needs gymnasium-robotics")
    gym.register_envs(robotics)
    env = gym.make(f"PointMaze_{maze}-v3", **VARIANTS.get(maze, {})).unwrapped
    if physics == "mujoco<=3.4":  # margins of a pair were the larger one, not the sum
        env.model.geom_margin *= 0.5
    return env


def start_states(env, count, seed=0):
    """Positions anywhere in open cells, most at walls or in corners; any speed; a goal nearby."""
    rng = np.random.default_rng(seed)
    cells = env.open_cells[rng.integers(len(env.open_cells), size=count)]
    offset = rng.uniform(-0.4, 0.4, (count, 2))
    at_wall = rng.random((count, 2)) < 0.45
    offset = np.where(at_wall, rng.choice([-1, 1], (count, 2)) * rng.uniform(0.39, 0.405, (count, 2)), offset)
    position = np.asarray(env.cell_centre(cells)) + offset
    velocity = rng.uniform(-6, 6, (count, 2))
    goal = position + rng.uniform(-0.6, 0.6, (count, 2))
    action = np.repeat(rng.uniform(-1.2, 1.2, (count, STEPS // 10, 2)), 10, axis=1)
    return [x.astype(np.float32) for x in (position, velocity, goal, action)]


def ours(env, position, velocity, goal, action):
    @jax.jit
    @jax.vmap
    def trajectory(position, velocity, goal, action):
        state = PointMazeState(position, velocity, goal, jnp.int32(0))
        return jax.lax.scan(lambda s, a: env.step(s, a, jax.random.key(0)), state, action)[1]

    dtype = jnp.zeros(()).dtype
    return jax.tree.map(np.asarray, trajectory(*(x.astype(dtype) for x in (position, velocity, goal, action))))


def theirs(env, position, velocity, goal, action):
    rows, touches = [], 0
    for p, v, g, actions in zip(*(x.astype(np.float64) for x in (position, velocity, goal, action)), strict=True):
        env.reset(seed=0)
        env.goal = g
        env.point_env.set_state(p, v)
        for a in actions:
            obs, reward, terminated, _, info = env.step(a)
            touches += any(0 not in contact.geom for contact in env.data.contact)  # geom 0 is the floor
            rows.append([*np.concatenate([obs[k] for k in sorted(obs)]), reward, terminated, info["success"]])
    return np.array(rows).reshape(len(position), STEPS, 11), touches


@functools.lru_cache
def parity(maze, physics):
    """Largest errors over `RUNS` trajectories; flags only count farther than 1 mm from the goal's edge."""
    env = PointMaze(maze=maze, physics=physics, **VARIANTS[maze])
    states = start_states(env, RUNS)
    expected, touches = theirs(original(maze, physics), *states)
    step = ours(env, *states)
    error = np.abs(step.obs - expected[..., :8]).reshape(RUNS, STEPS, 4, 2).max(-1)
    position, velocity = error[..., 0], error[..., 3]
    clear = np.abs(np.linalg.norm(expected[..., :2] - expected[..., 2:4], axis=-1) - 0.45) > 1e-3
    clear &= np.maximum.accumulate(velocity, axis=1) < 1e-2
    ends = env.reward_type == "sparse"
    flags = [step.terminated != expected[..., 9], step.info["success"] != expected[..., 10]]
    reward = np.abs(step.reward - expected[..., 8])
    return {
        "first": [position[:, 0].max(), velocity[:, 0].max()],
        "all": [position.max(), velocity.max()],
        "median": [np.median(position[:, -1]), np.median(velocity[:, -1])],
        "astray": (velocity.max(-1) > 1e-2).mean(),
        "goal": error[..., 1].max(),
        "same": np.abs(step.obs[..., :2] - step.obs[..., 4:6]).max(),
        "reward": (reward * clear).max() if ends else (reward[np.maximum.accumulate(velocity, 1) < 1e-2]).max(),
        "flags": int(sum((f & clear).sum() for f in flags)),
        "successes": int((expected[..., 10] > 0).sum()),
        "terminations": int(expected[..., 9].sum()),
        "touching": touches / (RUNS * STEPS),
    }


@pytest.mark.parametrize(("maze", "physics"), CASES)
def test_equals_the_original_in_float32(maze, physics):
    result = parity(maze, physics)
    assert result["touching"] > 0.15
    assert result["successes"] > 100
    assert (result["terminations"] > 100) == (maze == "Large")
    assert result["first"][0] < 1e-6
    assert result["first"][1] < 5e-5
    assert result["median"][0] < 1e-5
    assert result["median"][1] < 1e-4
    # a wall's force is discontinuous at its margin, so rounding may move a touch by one step
    assert result["astray"] <= 2 / RUNS
    assert result["goal"] < 1e-6
    assert result["same"] == 0
    assert result["reward"] < 1e-3
    assert result["flags"] == 0


def test_equals_the_original_in_float64():
    pytest.importorskip("gymnasium_robotics", reason="parity needs gymnasium-robotics")
    done = subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    for result in json.loads(done.stdout.splitlines()[-1]):
        assert max(result["first"]) < 1e-12
        assert result["all"][0] < 2e-11
        assert result["all"][1] < 1e-9
        assert result["median"][0] < 1e-13
        assert result["reward"] < 1e-11
        assert result["flags"] == 0


@pytest.mark.parametrize("maze", ["UMaze", "Medium", "Large", "Open"])
def test_layout_is_the_original(maze):
    gym = pytest.importorskip("gymnasium", reason="needs the original")
    reference, env = original(maze, "mujoco>=3.5"), PointMaze(maze=maze)
    np.testing.assert_array_equal(env.walls, np.array(reference.maze.maze_map) == 1)
    for cell in env.open_cells:
        xy = reference.maze.cell_rowcol_to_xy(cell)
        np.testing.assert_array_equal(env.cell_centre(cell), xy)
        np.testing.assert_array_equal(env.cell_of(xy + 0.4), cell)
    np.testing.assert_array_equal(env.cell_of(np.array([-100.0, 0.2])), reference.maze.cell_xy_to_rowcol([-100, 0.2]))
    assert env.horizon == gym.spec(f"PointMaze_{maze}-v3").max_episode_steps
    assert (reference.position_noise_range, reference.reset_target) == (0.25, env.reset_target)


def chi_square(count, expected):
    return (((count - expected) ** 2) / expected).sum()


def test_reset_has_the_distribution_of_the_original():
    """Uniform goal cell, uniform start cell among those farther than 0.5 from the moved goal."""
    n = 20_000
    reset = jax.jit(lambda env, keys: jax.vmap(env.reset)(keys))
    for noise in (0.25, 0.45):  # the larger one lets a start share the goal's cell
        env = PointMaze(position_noise_range=noise)
        state, obs = jax.tree.map(np.asarray, reset(env, jax.random.split(jax.random.key(1), n)))
        centres = np.asarray(env.cell_centre(env.open_cells))
        index = {tuple(cell): i for i, cell in enumerate(env.open_cells)}
        goal_cell = np.array([index[tuple(c)] for c in np.asarray(env.cell_of(state.goal))])
        start_cell = np.array([index[tuple(c)] for c in np.asarray(env.cell_of(state.position))])
        for xy, cell in ((state.goal, goal_cell), (state.position, start_cell)):
            offset = xy - centres[cell]
            assert noise * 0.99 < np.abs(offset).max() <= noise + 1e-6
            np.testing.assert_allclose(offset.mean(0), 0, atol=0.01)
            np.testing.assert_allclose(offset.var(0), noise**2 / 3, rtol=0.05)
        allowed = np.linalg.norm(centres[None] - state.goal[:, None], axis=-1) > 0.5  # [n, K]
        assert allowed[np.arange(n), start_cell].all()
        assert (start_cell == goal_cell).any() == (noise == 0.45)
        k = len(centres)
        assert chi_square(np.bincount(goal_cell, minlength=k), n / k) < 30  # 6 degrees of freedom
        expected = (allowed / allowed.sum(-1, keepdims=True)).sum(0)
        assert chi_square(np.bincount(start_cell, minlength=k), expected) < 30
        assert not state.velocity.any()
        assert not state.time.any()
        np.testing.assert_array_equal(
            obs, np.concatenate([state.position, state.goal, obs[:, :2], state.velocity], 1)
        )


def test_reset_target_draws_the_next_goal_like_the_original():
    env, n = PointMaze(reset_target=True), 20_000
    position = np.array([0.45, 1.1], np.float32)  # between two cells, so that some of their goals are refused
    state = PointMazeState(jnp.array(position), jnp.zeros(2), jnp.array(position + 0.1), jnp.int32(5))
    step = jax.jit(jax.vmap(env.step, in_axes=(None, None, 0)))
    after, result = jax.tree.map(np.asarray, step(state, jnp.zeros(2), jax.random.split(jax.random.key(0), n)))
    assert result.info["success"].all()
    assert not result.terminated.any()
    np.testing.assert_array_equal(result.obs[:, 2:4], np.tile(position + np.float32(0.1), (n, 1)))
    assert (np.linalg.norm(after.goal - after.position, axis=-1) > 0.45).all()

    rng = np.random.default_rng(0)
    cells = rng.integers(7, size=(10 * n,))
    goals = np.asarray(env.cell_centre(env.open_cells))[cells] + rng.uniform(-0.25, 0.25, (10 * n, 2))
    kept = np.linalg.norm(goals - position, axis=-1) > 0.45
    share = np.bincount(cells[kept], minlength=7) / kept.sum()
    drawn = np.asarray(env.cell_of(after.goal))
    count = np.array([(drawn == cell).all(-1).sum() for cell in env.open_cells])
    assert 0 < share.min() < 0.9 * share.max()
    assert chi_square(count, share * n) < 30

    far = state._replace(goal=jnp.array([1.0, -1.0]))
    after, result = step(far, jnp.zeros(2), jax.random.split(jax.random.key(0), n))
    assert not result.info["success"].any()
    np.testing.assert_array_equal(after.goal, np.tile([1.0, -1.0], (n, 1)))


def test_truncates_at_the_horizon_and_batches_like_single_steps():
    env = PointMaze(max_episode_steps=3)
    position, velocity, goal, _ = start_states(env, 8)
    state = PointMazeState(*(jnp.asarray(x) for x in (position, velocity, goal)), jnp.zeros(8, jnp.int32))
    action, keys = jnp.ones((8, 2)), jax.random.split(jax.random.key(0), 8)
    single = jax.jit(env.step)
    batched = jax.jit(jax.vmap(env.step))
    for expected in (False, False, True):
        alone = [single(jax.tree.map(lambda x: x[i], state), action[i], keys[i]) for i in range(8)]  # noqa: B023
        state, result = batched(state, action, keys)
        alone = jax.tree.map(lambda *x: np.stack(x), *alone)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), (state, result), alone)
        assert (np.asarray(result.truncated) == expected).all()
        assert not np.asarray(result.terminated).any()


def test_never_leaves_the_maze():
    env = PointMaze(maze="Large")

    def step(carry, t):
        state, inside, key = carry
        action = jax.random.uniform(jax.random.fold_in(key, t // 25), (64, 2), minval=-1, maxval=1)
        state, _ = jax.vmap(env.step, in_axes=(0, 0, None))(state, action, key)
        cell = env.cell_of(state.position)
        return (state, inside & ~jnp.asarray(env.walls)[cell[:, 0], cell[:, 1]], key), state.position

    @jax.jit
    def run(key):
        state, _ = jax.vmap(env.reset)(jax.random.split(key, 64))
        return jax.lax.scan(step, (state, jnp.ones(64, bool), key), jnp.arange(2000))

    (_, inside, _), positions = run(jax.random.key(2))
    assert inside.all()
    assert jnp.isfinite(positions).all()
    assert (jnp.abs(positions[-1] - positions[0]).max(-1) > 0.5).mean() > 0.5


def test_gradients_at_a_corner_match_finite_differences():
    """While the touched walls stay the same, the next velocity is linear in the action."""
    env = PointMaze()
    corner = jnp.array([0.5, 0.5])  # of the inner wall; the ball leans on it at an angle
    state = PointMazeState(
        position=corner + 0.102 * jnp.array([jnp.sin(0.6), jnp.cos(0.6)]),
        velocity=jnp.array([0.0, -0.05]),
        goal=jnp.array([1.0, -1.0]),
        time=jnp.int32(0),
    )

    def velocity(action, position):
        return env.step(state._replace(position=position), action, jax.random.key(0))[0].velocity

    action = jnp.array([-0.1, -0.5])
    by_action, by_position = jax.jit(jax.jacrev(velocity, argnums=(0, 1)))(action, state.position)
    step = jax.jit(velocity)
    columns = [(step(action + d, state.position) - step(action - d, state.position)) / 0.2 for d in 0.1 * jnp.eye(2)]
    np.testing.assert_allclose(by_action, jnp.stack(columns, axis=1), rtol=1e-3, atol=1e-4)
    assert abs(by_action[0, 1]) > 0.02  # pushing down slides the ball sideways
    assert jnp.isfinite(by_position).all()
    assert jnp.isfinite(jax.jacrev(velocity, argnums=1)(action, corner)).all()  # the ball's centre on the wall


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"maze": "Medum"}, "Medium"),
        ({"physics": "mujoco<=4"}, "physics='mujoco<=4'"),
        ({"reward_type": "shaped"}, "reward_type='shaped'"),
        ({"max_episode_steps": 0}, "max_episode_steps=0"),
        ({"position_noise_range": 0.7}, "position_noise_range=0.7"),
        ({"goal_radius": 0.0}, "goal_radius=0.0"),
    ],
)
def test_bad_settings_are_named(settings, named):
    with pytest.raises(O2OError, match=named):
        PointMaze(**settings)


if __name__ == "__main__":
    print(json.dumps([parity(*CASES[i]) for i in (0, 3, 4)], default=float))  # every maze, both physics
