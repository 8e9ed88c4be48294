"""AntMaze against gymnasium-robotics, walls touched; its three walls against all of them; its own distributions.

Run as a program, this file prints parity errors as JSON; the float64 test does that in its own process.
"""

import json
import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxo2o import envs
from purejaxo2o.envs import ant_maze, box_contacts, goal_maze
from purejaxo2o.envs.ant_maze import AntMaze, AntMazeState
from purejaxo2o.envs.twin import TwinState
from purejaxo2o.types import O2OError

COPIES, STEPS, PATIENT = 12, 30, 1e-14


def original(maze, physics="mujoco>=3.5", version="v5", **options):
    gym = pytest.importorskip("gymnasium", reason="parity needs gymnasium")
    robotics = pytest.importorskip("gymnasium_robotics", reason="parity needs gymnasium-robotics")
    gym.register_envs(robotics)
    env: Any = gym.make(f"AntMaze_{maze}-{version}", **options).unwrapped
    if physics == "mujoco<=3.4":  # margins of a pair were the larger one, not the sum
        env.model.geom_margin *= 0.5
    env.model.opt.tolerance = PATIENT  # else C's solver stops where ours takes one more iteration
    return env


def at_walls(env, reference, copies, steps, seed=0):
    """Random play of ants that were dropped beside walls: states before and after every step `[steps, copies]`."""
    rng, rows, data = np.random.default_rng(seed), [], reference.data
    blocks = {i for i in range(reference.model.ngeom) if reference.model.geom(i).name.startswith("block")}
    for _ in range(copies):
        reference.reset(seed=seed)
        cell = env.open_cells[rng.integers(len(env.open_cells))]
        near = np.where(rng.random(2) < 0.7, rng.uniform(1.3, 1.8, 2), rng.uniform(0, 1.2, 2))
        side = rng.choice([-1, 1], 2) * near
        turn = rng.normal(size=4)
        position = reference.ant_env.init_qpos + rng.uniform(-0.1, 0.1, 15)
        position[:2] = np.asarray(env.cell_centre(cell)) + side
        position[2] = rng.uniform(0.5, 0.9)
        position[3:7] = turn / np.linalg.norm(turn)
        reference.ant_env.set_state(position, rng.normal(0, 0.5, 14))
        reference.goal = position[:2] + rng.uniform(-1, 1, 2)
        copy = []
        for t in range(steps):
            action = rng.uniform(-1, 1, 8).astype(np.float32) if t % 3 == 0 else action  # noqa: F821
            before = data.qpos.copy(), data.qvel.copy(), data.qacc_warmstart.copy(), data.xpos.copy()
            obs, reward, _, _, info = reference.step(action.astype(float))
            touching = [c for c in data.contact if blocks & set(c.geom.tolist())]
            deep = min((c.dist for c in touching), default=0.0)
            flat = np.concatenate([obs[key] for key in sorted(obs)])
            after = data.qpos.copy(), data.qvel.copy()
            seen = flat, reward, info["success"], len(touching), deep, data.ncon
            copy.append((*before, *after, action, reference.goal, *seen))
        rows.append([np.array(x) for x in zip(*copy, strict=True)])
    return [np.stack(x, axis=1) for x in zip(*rows, strict=True)]


def parity(maze, physics, copies=COPIES, steps=STEPS, version="v5"):
    """One-step errors, of the steps that touch a wall and of all."""
    env = AntMaze(maze=maze, physics=physics, version=version)
    recorded = at_walls(env, original(maze, physics, version), copies, steps)
    *before, position, velocity, action, goal, obs, reward, success, touching, deep, contacts = recorded
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, None)))
    errors, seen, wrong = [], [], 0
    dtype = jnp.zeros(()).dtype
    for t in range(steps):
        place, speed, warmstart, bodies = (x[t].copy() for x in before)
        origin = place[:, :2].copy()
        place[:, :2] = 0
        bodies[:, :, :2] -= origin[:, None]
        arrays = [jnp.asarray(x, dtype) for x in (place, speed, warmstart, bodies, origin, goal[t])]
        state = AntMazeState(TwinState(*arrays[:5], time=jnp.zeros(copies, jnp.int32)), arrays[5])
        after, out = step(state, jnp.asarray(action[t]), jax.random.key(0))
        reached = np.array(after.ant.position, float)
        reached[:, :2] = after.ant.origin
        gaps = np.abs(reached - position[t]).max(-1), np.abs(np.asarray(after.ant.velocity) - velocity[t]).max(-1)
        errors.append(gaps)
        forces = [np.abs(np.asarray(out.obs) - obs[t]).max(-1), np.abs(np.asarray(out.reward) - reward[t])]
        seen.append(forces)
        wrong += int((np.asarray(out.info["success"]) != success[t]).sum())
    errors, seen = np.array(errors), np.array(seen)  # [steps, 2, copies]
    cells = np.asarray(env.cell_of(jnp.asarray(before[0][..., :2])))
    # But for the drop, which may throw it there, nothing is ever deeper inside a wall than 5 cm, or on top of one.
    usual = (deep > -0.05) & ~np.asarray(env.walls)[cells[..., 0], cells[..., 1]]
    at_wall = (touching > 0) & usual
    worst = np.maximum(errors[:, 0], errors[:, 1])
    return {
        "maze": maze,
        "physics": physics,
        "touching": float(at_wall.mean()),
        "contacts": int(contacts.max()),
        "position": float(errors[:, 0][usual].max()),
        "velocity": float(errors[:, 1][usual].max()),
        "median at walls": [float(np.median(errors[:, i][at_wall])) for i in (0, 1)],
        "exact at walls": float((worst[at_wall] < (1e-9 if dtype == jnp.float64 else 1e-3)).mean()),
        "exact": float((worst[usual] < (1e-9 if dtype == jnp.float64 else 1e-3)).mean()),
        "obs": [float(np.median(seen[:, 0][usual])), float(seen[:, 0][usual].max())],
        "reward": float(seen[:, 1][usual].max()),
        "wrong": wrong,
    }


@pytest.mark.twins
@pytest.mark.slow
@pytest.mark.parametrize(("maze", "physics"), [("UMaze", "mujoco>=3.5"), ("Large", "mujoco<=3.4")])
def test_equals_the_original_in_float32(maze, physics):
    result = parity(maze, physics)
    assert result["touching"] > 0.04
    assert result["contacts"] <= ant_maze.WALLS.contacts
    assert result["exact at walls"] > 0.97, result
    assert result["median at walls"][0] < 1e-5
    assert result["median at walls"][1] < 1e-3
    assert result["obs"][0] < 1e-3
    assert result["reward"] == 0.0  # of a sparse task
    assert result["wrong"] == 0


@pytest.mark.twins
@pytest.mark.slow
def test_equals_the_original_in_float64():
    """To 1e-9, at walls as elsewhere."""
    pytest.importorskip("gymnasium_robotics", reason="parity needs gymnasium-robotics")
    cache = jax.config.values["jax_compilation_cache_dir"]
    done = subprocess.run(
        [sys.executable, __file__, "UMaze,mujoco>=3.5"],
        env=os.environ | {"JAX_ENABLE_X64": "1", "JAX_COMPILATION_CACHE_DIR": cache},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (result,) = json.loads(done.stdout.splitlines()[-1])
    assert result["touching"] > 0.04
    assert result["exact at walls"] == result["exact"] == 1.0, result
    assert max(result["median at walls"]) < 1e-12


@pytest.fixture(scope="module")
def scene():
    """A box in C, and our functions for it: a capsule or sphere of random pose beside it."""
    mujoco = pytest.importorskip("mujoco", reason="needs C MuJoCo")
    model = mujoco.MjModel.from_xml_string("""<mujoco><worldbody>
      <geom type="box" size=".5 .4 .3" pos=".1 .2 .3" euler="20 30 40" margin=".2" contype="1" conaffinity="1"/>
      <body><freejoint/><geom type="capsule" size=".1 .35" margin=".2" contype="1" conaffinity="0"/></body>
      <body><freejoint/><geom size=".1" margin=".2" contype="1" conaffinity="0"/></body>
    </worldbody></mujoco>""")
    return mujoco, model, mujoco.MjData(model)


@pytest.mark.parametrize("shape", ["sphere", "capsule"])
def test_contacts_with_boxes_are_those_of_c(scene, shape):
    """Also before they overlap, and at edges and corners; deep inside, C's sphere is another matter."""
    mujoco, model, data = scene
    rng, body = np.random.default_rng(0), {"capsule": 0, "sphere": 1}[shape]
    poses, wanted = [], []
    for _ in range(400):
        turn = rng.normal(size=4)
        joints = data.qpos.reshape(2, 7)
        joints[:, :3] = 9.0
        joints[body, :3] = model.geom_pos[0] + rng.uniform(-1, 1, 3) * [0.9, 0.8, 0.7]
        joints[body, 3:] = turn / np.linalg.norm(turn)
        mujoco.mj_forward(model, data)
        wanted.append([(c.dist, c.pos.copy(), c.frame.reshape(3, 3).copy()) for c in data.contact])
        poses.append((data.geom_xpos[1 + body].copy(), data.geom_xmat[1 + body].reshape(3, 3).copy()))

    class Geom:
        def __init__(self, pos, mat, size):
            self.pos, self.mat, self.size = (jnp.asarray(x, jnp.float32) for x in (pos, mat, size))

    box = Geom(data.geom_xpos[0], data.geom_xmat[0].reshape(3, 3), model.geom_size[0])
    function = {"sphere": box_contacts.sphere_box, "capsule": box_contacts.capsule_box}[shape]
    run = jax.jit(jax.vmap(lambda pos, mat: function(Geom(pos, mat, model.geom_size[1 + body]), box)))
    found = run(*(np.array(x) for x in zip(*poses, strict=True)))
    touched = agreed = 0
    for dist, pos, frame, contacts in zip(*map(np.asarray, found), wanted, strict=True):
        ours = zip(np.atleast_1d(dist), pos.reshape(-1, 3), frame.reshape(-1, 3, 3), strict=True)
        ours = [c for c in sorted(ours, key=lambda c: c[0]) if c[0] < 0.4]
        touched += len(contacts) > 0
        same = len(ours) == len(contacts) and all(
            abs(a[0] - b[0]) < 1e-4 and np.abs(a[1] - b[1]).max() < 1e-3 and np.abs(a[2] - b[2]).max() < 1e-2
            for a, b in zip(ours, sorted(contacts, key=lambda c: c[0]), strict=True)
        )
        agreed += same and len(contacts) > 0
    assert touched > 150
    assert agreed > 0.97 * touched


@pytest.mark.parametrize("maze", goal_maze.MAZES)
def test_layout_is_the_original(maze):
    gym = pytest.importorskip("gymnasium", reason="needs the original")
    reference, env = original(maze), AntMaze(maze=maze)
    drawn = tuple(map(tuple, reference.maze.maze_map))
    np.testing.assert_array_equal(env.walls, [[cell == 1 for cell in row] for row in drawn])
    np.testing.assert_array_equal(AntMaze(maze_map=drawn).layout.goal_cells, env.layout.goal_cells)
    for cells, theirs in (("goal_cells", "unique_goal_locations"), ("start_cells", "unique_reset_locations")):
        ours = {tuple(xy) for xy in np.asarray(env.cell_centre(getattr(env.layout, cells))).tolist()}
        assert ours == {tuple(xy.tolist()) for xy in getattr(reference.maze, theirs)}
    for cell in env.open_cells:
        xy = reference.maze.cell_rowcol_to_xy(cell)
        np.testing.assert_array_equal(env.cell_centre(cell), xy)
        np.testing.assert_array_equal(env.cell_of(xy + 1.6), cell)
    assert env.horizon == gym.spec(f"AntMaze_{maze}-v5").max_episode_steps
    assert env.obs_space.shape == (109,)
    parts = {name: space.shape[0] for name, space in reference.observation_space.spaces.items()}
    assert dict(env.obs_space.parts) == parts
    assert AntMaze(maze=maze, version="v4").obs_space.shape == (31,)
    assert envs.make(f"maze/AntMaze_{maze}-v5") == env
    assert envs.make(f"maze/AntMaze_{maze}Dense-v4", physics="mujoco<=3.4").name == f"maze/AntMaze_{maze}Dense-v4"


def test_no_wall_in_reach_is_left_out():
    """Every wall of the map that is nearer than 2 m to the torso is one of the three, at its place."""
    env = AntMaze(maze="Large")
    rng = np.random.default_rng(0)
    cells = env.open_cells[rng.integers(len(env.open_cells), size=500)]
    xy = np.asarray(env.cell_centre(cells)) + rng.uniform(-2, 2, (500, 2))
    near = np.asarray(jax.jit(jax.vmap(env.walls_near))(jnp.asarray(xy, jnp.float32)))
    centres = np.asarray(env.cell_centre(np.argwhere(env.walls)))
    for place, walls in zip(xy, near, strict=True):
        gap = np.maximum(np.abs(centres - place) - 2.0, 0.0)
        reach = {tuple(np.round(centre).astype(int)) for centre in centres[np.hypot(*gap.T) < 1.99]}
        given = {tuple(np.round(wall[:2] + place).astype(int)) for wall in walls if wall[2] > 0}
        assert reach <= given
        assert given <= {tuple(np.round(centre).astype(int)) for centre in centres}
        assert all(wall[2] in (1.0, -1000.0) for wall in walls)


def test_maps_are_data():
    """One program serves every map of a size, and a batch of them; a named map is its plan."""
    plans = [np.pad(np.asarray(AntMaze(maze=maze).walls), ((0, 9 - h), (0, 12 - w)), constant_values=True)
             for maze, h, w in (("UMaze", 5, 5), ("Large", 9, 12))]  # fmt: skip
    env = AntMaze(maze="Large", plan=jnp.asarray(np.stack(plans)))
    axes = jax.tree.map(lambda x: 0 if jnp.ndim(x) else None, env)
    keys = jax.random.split(jax.random.key(0), 64)
    drawn = jax.jit(jax.vmap(lambda env: jax.vmap(env.draw)(keys), (axes,)))(env)
    for plan, *points in zip(plans, *drawn, strict=True):
        single = AntMaze(maze="Large", plan=plan)
        for point in points:
            cells = np.asarray(single.cell_of(point))
            assert not plan[cells[:, 0], cells[:, 1]].any()
    named, planned = AntMaze(maze="Large"), AntMaze(maze="Large", plan=plans[1])
    xy = jnp.asarray(drawn[0][1])
    near = [jax.vmap(e.walls_near)(xy) for e in (named, planned)]
    np.testing.assert_array_equal(*near)
    traced = jax.jit(lambda plan: AntMaze(plan=plan).walls_near(xy[0]))(plans[1])
    np.testing.assert_allclose(traced, near[0][0], atol=1e-5)


def test_reset_is_the_original():
    """The initial pose at rest; goal and start up to a metre off their cells' centres, two metres apart or more."""
    env, reference = AntMaze(maze="Medium"), original("Medium")
    state, obs = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 300))
    theirs, _ = reference.reset(seed=0)
    np.testing.assert_allclose(obs[0, 4:], theirs["observation"], atol=1e-6)
    np.testing.assert_array_equal(obs[:, :2], state.ant.origin)
    np.testing.assert_array_equal(obs[:, 2:4], state.goal)
    for point in (obs[:, :2], obs[:, 2:4]):
        cells = np.asarray(env.cell_of(point))
        assert not env.walls[cells[:, 0], cells[:, 1]].any()
        off = np.asarray(point - env.cell_centre(cells))
        assert 0.95 < np.abs(off).max() <= 1.0 + 1e-5
    apart = np.linalg.norm(np.asarray(env.cell_centre(env.cell_of(obs[:, :2])) - obs[:, 2:4]), axis=-1)
    assert apart.min() > 2.0


@pytest.mark.twins
@pytest.mark.slow
def test_goals_rewards_and_ends(monkeypatch):
    """The task alone: physics leaves the ant where it is."""
    env = AntMaze(continuing_task=False, reward_type="dense", max_episode_steps=2)
    monkeypatch.setattr(ant_maze, "simulate", lambda model, q, v, w, u, **rest: _still(model, q, v))
    blank = env._ant.model.blank
    start = jnp.asarray(blank.qpos).at[:2].set(jnp.array([3.0, 4.0]))
    step = jax.jit(env.step)
    for goal, reached in ((jnp.array([3.0, 4.4]), True), (jnp.array([3.0, 4.5]), False)):
        state, _ = env.start(start, jnp.asarray(blank.qvel), goal)
        after, out = step(state, jnp.zeros(8), jax.random.key(0))
        assert bool(out.info["success"]) == bool(out.terminated) == reached
        np.testing.assert_allclose(out.reward, np.exp(-abs(float(goal[1]) - 4.0)), rtol=1e-5)
        assert not out.truncated
        assert step(after, jnp.zeros(8), jax.random.key(0))[1].truncated
    env = AntMaze(reset_target=True)
    state, _ = env.start(start, jnp.asarray(blank.qvel), jnp.array([3.0, 4.4]))
    after, out = jax.jit(env.step)(state, jnp.zeros(8), jax.random.key(0))
    assert float(out.reward) == 1.0
    assert not out.terminated
    np.testing.assert_allclose(out.obs[2:4], [3.0, 4.4])
    assert float(jnp.abs(after.goal - state.goal).max()) > 0.1


def _still(model, position, velocity):
    data = jax.tree.map(jnp.asarray, model.blank)
    return data.replace(qpos=position, qvel=velocity)


def test_keeps_the_protocol_and_lowers_for_every_platform():
    env: Any = envs.make("maze/AntMaze_UMaze-v5")
    assert isinstance(env, envs.Env)
    state, obs = jax.eval_shape(env.reset, jax.random.key(0))
    after, out = jax.eval_shape(env.step, state, env.action_space.zeros(), jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert obs.shape == out.obs.shape == env.obs_space.shape


def test_bad_settings_are_named():
    with pytest.raises(O2OError, match="version='v3'"):
        AntMaze(version="v3")  # type: ignore[arg-type]
    with pytest.raises(O2OError, match="give rows of one length"):
        AntMaze(maze_map=((1, 1), (1,)))
    with pytest.raises(O2OError, match=r"AntMaze: goal_radius=0\.0"):
        AntMaze(goal_radius=0.0)
    with pytest.raises(O2OError, match="unknown environment"):
        envs.make("maze/AntMaze_BigMaze-v5")


if __name__ == "__main__":
    print(json.dumps([parity(maze, physics) for maze, physics in (arg.split(",") for arg in sys.argv[1:])]))
