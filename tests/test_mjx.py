"""The twins' physics against C MuJoCo, and each correction that it takes, by itself.

`test_robots.py` covers what the tasks make of it.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import shrink

import purejaxo2o as o2o
from experiments import episodes
from experiments.parity import compare, forced, in_float64
from experiments.recording import load, original, record
from purejaxo2o import envs
from purejaxo2o.data import collect
from purejaxo2o.envs import model, physics
from purejaxo2o.tasks import make as make_task
from purejaxo2o.types import O2OError

RECORDING = Path(__file__).parent / "recordings" / "mujoco-3.2.3.npz"  # see experiments/recording.py
OLD, NEW = "mujoco<=3.4", "mujoco>=3.5"
slow = (pytest.mark.slow, pytest.mark.twins)
CASES = [  # each robot under one engine; which one only matters to Hopper and Ant
    ("mjx/Hopper-v5", OLD, ()),
    ("mjx/Reacher-v5", NEW, ()),
    ("mjx/HalfCheetah-v5", NEW, slow),
    ("mjx/Walker2d-v5", OLD, slow),
    ("mjx/Walker2d-v4", NEW, slow),
    ("mjx/Ant-v5", NEW, slow),
    ("mjx/InvertedPendulum-v5", NEW, slow),
    ("mjx/InvertedDoublePendulum-v5", NEW, slow),
    ("mjx/Swimmer-v5", NEW, slow),
]
ENDS = ("Hopper", "Walker2d", "Ant", "Inverted")


def xml(tmp_path, geoms, custom="", option=""):
    """A hopper-like model of one hinge with other shapes than gymnasium's; its path."""
    path = tmp_path / "model.xml"
    path.write_text(f"""<mujoco><option integrator="RK4" {option}/><custom>{custom}</custom>
      <worldbody><geom type="plane" size="9 9 .1"/>
        <body pos="0 0 1"><joint type="hinge" axis="0 1 0"/>{geoms}</body></worldbody></mujoco>""")
    return str(path)


@pytest.mark.parametrize(("name", "engine"), [pytest.param(n, e, marks=m) for n, e, m in CASES])
def test_equals_c_in_float32(name, engine):
    result = compare(name, engine, copies=8, steps=30)
    assert result["position"] < 1e-5
    fast = 5e-3 if "Reacher" in name else 1e-3  # it swings at tens of rad/s, and into its stops
    assert result["velocity"] < fast
    # Ant observes contact forces, an error of 1e-3 m/s within a step of 0.01 s is 0.1 N per kg. Of 800 steps half of
    # those with contacts are right to 2e-6, nine in ten to 5e-5, 99% to 2e-3; the worst has 0.09.
    assert result["obs"] < (0.1 if "Ant" in name else fast)
    assert result["reward"] < 1e-4
    assert result["flags"] == 0
    assert (result["ends"] > 0) == name.removeprefix("mjx/").startswith(ENDS)
    assert result["open loop"]["10"][0][0] < 1e-4


@pytest.mark.twins
@pytest.mark.slow
@pytest.mark.parametrize(("name", "engine"), [case[:2] for case in CASES])
def test_random_episodes_are_those_of_c(name, engine):
    """Returns and lengths of 200; farther than 3.5 standard errors apart would be one chance in two thousand."""
    result = episodes.compare(name, engine, 200)
    assert abs(result["return"]["standard errors"]) < 3.5, result
    assert abs(result["length"]["standard errors"]) < 3.5, result


def exact(*arguments):
    for result in in_float64(*arguments, "--copies", "6", "--steps", "20", hasty=True):
        assert max(result[x] for x in ("position", "velocity", "obs", "reward")) < 1e-10, result
        assert result["flags"] == 0
        assert result["open loop"]["1"][1][1] < 1e-10
        assert result["open loop"]["10"][0][0] < 1e-10


def test_equals_c_in_float64():
    """Ant has all of it: a free joint, friction, contact forces in observation and reward."""
    exact("--envs", "mjx/Ant-v5", "--physics", NEW)


@pytest.mark.slow
def test_equals_an_older_engine_in_float64():
    """Every step of a recording that MuJoCo 3.2.3 itself made."""
    exact("--envs", "mjx/Hopper-v5", "--physics", OLD, "--file", str(RECORDING))


@pytest.mark.twins
@pytest.mark.slow
def test_every_twin_equals_c_in_float64():
    """To 1e-10 on nearly all steps, and on all of them where C's solver does not stop early."""
    for result in in_float64("--envs", *envs.mjx.IDS, "--physics", NEW, "--copies", "6", "--steps", "20", hasty=True):
        assert result["exact"] > 0.95, result
        assert result["position"] < 1e-6, result
        assert result["velocity"] < 1e-5, result
        assert result["flags"] == 0


@pytest.mark.twins
@pytest.mark.slow
def test_every_recorded_twin_equals_an_older_engine_in_float64():
    exact("--envs", "mjx/Ant-v5", "mjx/HalfCheetah-v5", "--physics", OLD, "--file", str(RECORDING))


@pytest.mark.parametrize("name", ["Hopper-v5", "Ant-v5", "HalfCheetah-v5"])
def test_the_older_engine_is_half_the_margin(name):
    """C of today takes the recorded steps of 3.2.3, given half the margins; with its own, it does not."""
    wanted = load(RECORDING, name)
    error = {}
    for engine in (OLD, NEW):
        reference, gaps = original(name, engine), []
        for t, action in enumerate(wanted.action):
            for copy in range(action.shape[0]):
                reference.reset()
                reference.set_state(wanted.position[t, copy], wanted.velocity[t, copy])
                reference.data.qacc_warmstart[:] = wanted.warmstart[t, copy]
                reference.step(action[copy].astype(float))
                gaps.append(np.abs(reference.data.qvel - wanted.velocity[t + 1, copy]).max())
        error[engine] = max(gaps)
    assert error[OLD] < 1e-11
    assert (error[NEW] > 1e-3) == (name != "HalfCheetah-v5")


@pytest.mark.parametrize("engine", [OLD, NEW])
def test_model_is_gymnasiums_but_for_margins_and_solver_limits(engine):
    env: Any = envs.make("mjx/Ant-v5", physics=engine)
    reference, ours = original("Ant-v5", engine).model, env.model.mjx
    np.testing.assert_allclose(ours.geom_margin, reference.geom_margin)
    np.testing.assert_allclose(ours.body_mass, reference.body_mass, rtol=1e-6)
    np.testing.assert_allclose(ours.geom_friction, reference.geom_friction, rtol=1e-6)
    assert ours.opt.timestep == np.float32(reference.opt.timestep)
    assert (ours.opt.iterations, ours.opt.ls_iterations) == (10, 10)  # 2.5 to 4 times faster than its 100 and 50
    assert reference.opt.iterations == 100


def test_friction_acts_along_capsules_as_in_c():
    """Contact frames of Ant's legs on the floor, also steeper than 60 degrees, where MJX's own are others."""
    env: Any = envs.make("mjx/Ant-v5")
    reference, rng, frames, places = original("Ant-v5"), np.random.default_rng(0), [], []
    while len(frames) < 24:
        position = reference.init_qpos + rng.uniform(-1, 1, reference.model.nq)
        position[2] = rng.uniform(0.2, 0.9)
        reference.set_state(position, reference.init_qvel)
        found = {(c.geom2, float(np.round(c.dist, 6))): c.frame.reshape(3, 3) for c in reference.data.contact}
        if len(found) > 1:
            frames.append({k: v.copy() for k, v in found.items()})
            places.append(position)

    @jax.jit
    @jax.vmap
    def contacts(position):
        data = physics.place(env.model, position, jnp.zeros(reference.model.nv))
        engine, _ = physics._traced(env.model)
        with physics._exact_colliders():
            ours = model.mjx().collision(engine, data)._impl.contact
        stock = model.mjx().collision(engine, data)._impl.contact
        return ours.geom[:, 1], ours.dist, ours.frame, stock.frame

    compared = astray = 0
    ours = map(np.asarray, contacts(jnp.asarray(np.array(places), jnp.float32)))
    for found, geoms, distances, exact_frames, stock in zip(frames, *ours, strict=True):
        for (geom, depth), wanted in found.items():
            slot = int(np.where(geoms == geom, np.abs(distances - depth), np.inf).argmin())
            if geom != 1:  # the torso is a sphere
                np.testing.assert_allclose(exact_frames[slot], wanted, atol=1e-4)
                compared, astray = compared + 1, astray + (np.abs(stock[slot] - wanted).max() > 0.1)
    assert compared > 30
    assert astray > 5


def test_others_keep_their_colliders():
    driver = model.mjx_source("collision_driver")
    before = dict(driver._COLLISION_FUNC)
    env: Any = envs.make("mjx/Reacher-v5")
    jax.eval_shape(env.start, jnp.zeros(4), jnp.zeros(4))
    assert before == driver._COLLISION_FUNC


def test_a_far_robot_is_as_exact_as_a_near_one():
    """Speed is a difference of positions: at x = 300 m float32 would lose 2e-3 m/s of it."""
    env: Any = envs.make("mjx/Hopper-v5", physics=OLD)
    recording = record(original("Hopper-v5", OLD), copies=8, steps=2)
    near = forced(env, recording, 0)
    far = near._replace(origin=near.origin + 300.0)
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, None)))
    results = [step(state, jnp.asarray(recording.action[0]), jax.random.key(0)) for state in (near, far)]
    (near_after, near_out), (far_after, far_out) = results
    jax.tree.map(np.testing.assert_array_equal, near_out, far_out)
    np.testing.assert_array_equal(near_after.position[:, 0], 0.0)
    moved = recording.position[1, :, :1] - recording.position[0, :, :1]
    np.testing.assert_allclose(far_after.origin - far.origin, moved, atol=1e-4)


def test_limits_on_contacts_among_custom_numbers_are_refused(tmp_path):
    """MJX reads a number at its id, not its address: with `init_qpos` before it, this cap is 0, no contact at all."""
    numbers = '<numeric name="init_qpos" data="0 0 1"/><numeric name="max_contact_points" data="9"/>'
    capsule = '<geom type="capsule" size=".1 .2"/>'
    with pytest.raises(O2OError, match="MJX keeps 0 of 2 contacts; remove max_contact_points"):
        model.load(xml(tmp_path, capsule, numbers), NEW)
    model.load.cache_clear()
    assert model.load(xml(tmp_path, capsule), NEW).blank._impl.ncon == 2


@pytest.mark.parametrize(
    ("geoms", "option", "message"),
    [
        ('<geom type="box" size=".1 .1 .1"/>', "", "does not collide plane with box"),  # margins
        ('<geom type="cylinder" size=".1 .1"/>', "", "does not collide plane with cylinder"),
        ('<geom size=".1"/>', 'solver="PGS"', "asks for mjSOL_PGS"),
        ('<geom size=".1"/>', 'integrator="implicit"', "asks for mjINT_IMPLICIT"),
        ('<geom size=".1" margin=".1"/>', "", "margins of several sizes"),
        ('<geom size=".1"/><body><joint type="ball"/><geom size=".1"/></body>', "", "ball joints"),
        ("<geom", "", "is no MuJoCo model"),
    ],
)
def test_models_that_mjx_simulates_otherwise_are_refused(tmp_path, geoms, option, message):
    path = xml(tmp_path, geoms, option=option)
    if "integrator" in option:
        Path(path).write_text(Path(path).read_text().replace('integrator="RK4" ', ""))
    with pytest.raises(O2OError, match=message):
        model.load(path, OLD)


def test_a_missing_file_is_named():
    with pytest.raises(O2OError, match=r"xml_file='hoper.xml' is not there"):
        envs.make("mjx/Hopper-v5", xml_file="hoper.xml").obs_space  # noqa: B018


def test_a_file_that_has_changed_since_it_was_loaded_is_refused(tmp_path):
    path = xml(tmp_path, "<geom")
    with pytest.raises(O2OError, match="is no MuJoCo model"):
        model.load(path, OLD)
    xml(tmp_path, '<geom size=".1"/>')  # repaired, and never loaded before
    envs.make("mjx/Hopper-v5", xml_file=path)
    model.load(path, OLD)
    envs.make("mjx/Hopper-v5", xml_file=path)
    xml(tmp_path, '<geom size=".2"/>')
    with pytest.raises(O2OError, match="has changed since it was loaded; give it another name"):
        envs.make("mjx/Hopper-v5", xml_file=path)


@pytest.mark.parametrize(
    ("c", "mjx", "fits"),
    [
        ("3.17.0", "3.17.0", True),
        ("3.18.1", "3.18.0", True),
        ("4.0.0", "3.17.0", False),
        ("4.0.0", "4.0.0", False),
        ("3.17.0", "3.18.0", False),
        ("3.4.0", "3.4.0", False),
    ],
)
def test_versions_must_fit_together(c, mjx, fits):
    if fits:
        model.check_versions(c, mjx)
    else:
        with pytest.raises(O2OError, match="install both from one line"):
            model.check_versions(c, mjx)


def test_installed_versions_fit_together():
    model.check_versions(mujoco.__version__, importlib.metadata.version("mujoco-mjx"))


def test_keeps_the_protocol_and_lowers_for_every_platform():
    env: Any = envs.make("mjx/InvertedPendulum-v5")
    assert isinstance(env, envs.Env)
    assert env.pooled_resets
    state, obs = jax.eval_shape(env.reset, jax.random.key(0))
    given = state, env.action_space.zeros(), jax.random.key(0)
    exported = jax.export.export(jax.jit(env.step), platforms=("tpu", "cuda", "cpu"))(*given)
    assert exported.platforms == ("tpu", "cuda", "cpu")
    assert "callback" not in exported.mlir_module()
    after, step = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert obs.shape == step.obs.shape == env.obs_space.shape
    kinds = [(x.shape, x.dtype.name) for x in (step.obs, step.reward, step.terminated, step.truncated)]
    assert kinds == [((4,), "float32"), ((), "float32"), ((), "bool"), ((), "bool")]
    assert step.info == {}


@pytest.mark.twins
@pytest.mark.slow
def test_trains_from_data_collected_in_it():
    """Reset pools, auto-resets, evaluation: a whole run inside one program."""
    env: Any = envs.make("mjx/InvertedPendulum-v5", max_episode_steps=20)
    task = make_task("pole", env, score_high=20.0)
    data = collect.collect(env, collect.random_policy(env.action_space), jax.random.key(1), steps=200, num_envs=4)
    result = jax.jit(o2o.train)(jax.random.key(0), shrink(o2o.recipe("wsrl", task)), task, data)
    assert np.asarray(result.finite).all()
    assert (np.asarray(result.returns) <= 20).all()
    assert (np.asarray(result.returns) > 2).all()


def test_importing_mjx_prints_nothing(capfd):
    model.mjx()
    assert capfd.readouterr().out == ""


def test_ids_are_gymnasiums():
    for name in envs.mjx.IDS:
        assert name.removeprefix("mjx/") in gymnasium.registry
        assert envs.make(name).name == name


@pytest.mark.parametrize("shapes", ["sphere capsule", "capsule capsule"])
def test_round_shapes_touch_as_in_c(shapes):
    """Closer than MJX's own functions, which add 1e-6 to a divisor; this was 1.1% of Hopper's steps."""
    sizes = {"sphere": (0.2,), "capsule": (0.15, 0.4)}
    one, other = shapes.split()
    bodies = "".join(
        f'<body><freejoint/><geom type="{shape}" size="{" ".join(map(str, sizes[shape]))}" margin=".2"/></body>'
        for shape in (one, other)
    )
    scene: Any = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{bodies}</worldbody></mujoco>")
    data, rng = mujoco.MjData(scene), np.random.default_rng(0)
    poses, wanted = [], []
    for _ in range(200):
        joints = data.qpos.reshape(2, 7)
        joints[:, :3], joints[:, 3:] = rng.uniform(-0.4, 0.4, (2, 3)), rng.normal(size=(2, 4))
        mujoco.mj_forward(scene, data)
        if data.ncon == 1:
            contact = data.contact[0]
            poses.append((data.geom_xpos.copy(), data.geom_xmat.reshape(2, 3, 3).copy()))
            wanted.append((contact.dist, contact.pos.copy(), contact.frame[:3].copy()))

    class Geom:
        def __init__(self, pos, mat, size):
            self.pos, self.mat, self.size = pos, mat, size

    def touch(pos, mat):
        function = {"sphere": physics.sphere_capsule, "capsule": physics.capsule_capsule}[one]
        return function(*(Geom(pos[i], mat[i], jnp.asarray(scene.geom_size[i])) for i in range(2)))

    with jax.enable_x64(True):
        distance, point, frame = jax.vmap(touch)(*(jnp.asarray(np.array(x)) for x in zip(*poses, strict=True)))
    expected = [np.array(x) for x in zip(*wanted, strict=True)]
    assert len(expected[0]) > 100
    for found, right in zip((distance, point, frame[:, 0]), expected, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-10)
