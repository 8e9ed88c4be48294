"""Observation, reward, end and start of every twin, with C MuJoCo's own physics put in the place of MJX's.

What is compared here is the task alone, under every option of Gymnasium's constructors; `test_mjx.py` compares the
physics. Nothing is compiled but a few lines.
"""

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.recording import original
from purejaxo2o import envs
from purejaxo2o.envs import twin
from purejaxo2o.envs.twin import TwinState
from purejaxo2o.types import O2OError

CASES = [
    ("Hopper-v5", {}),
    ("Hopper-v4", {"reset_noise_scale": 0.1}),
    ("Hopper-v5", {"forward_reward_weight": 2.0, "ctrl_cost_weight": 0.3, "healthy_reward": 0.5}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "exclude_current_positions_from_observation": False}),
    ("Hopper-v4", {"terminate_when_unhealthy": False}),
    ("Hopper-v5", {"healthy_z_range": (1.0, 1.24), "healthy_angle_range": (-0.5, 0.02)}),
    ("Hopper-v5", {"healthy_state_range": (-1.0, 2.0), "healthy_angle_range": (-9.0, 9.0), "frame_skip": 2}),
    ("HalfCheetah-v5", {"forward_reward_weight": 0.5, "ctrl_cost_weight": 1.0}),
    ("HalfCheetah-v4", {"exclude_current_positions_from_observation": False}),
    ("Walker2d-v5", {}),
    ("Walker2d-v4", {"healthy_z_range": (1.0, 1.3)}),
    ("Walker2d-v5", {"healthy_angle_range": (-0.1, 0.1), "healthy_reward": 3.0, "terminate_when_unhealthy": False}),
    ("Ant-v5", {}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.1}),
    ("Ant-v5", {"contact_force_range": (-0.2, 3.0), "healthy_z_range": (0.4, 0.7), "main_body": "front_left_leg"}),
    ("Ant-v5", {"main_body": 4, "exclude_current_positions_from_observation": False, "healthy_reward": 0.1}),
    ("Ant-v4", {}),
    ("Ant-v4", {"use_contact_forces": True, "contact_cost_weight": 0.1, "terminate_when_unhealthy": False}),
    ("Ant-v4", {"use_contact_forces": True, "contact_force_range": (0.0, 0.0)}),
    ("Swimmer-v5", {}),
    ("Swimmer-v4", {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 0.1}),
    ("InvertedPendulum-v5", {}),
    ("InvertedPendulum-v4", {}),
    ("InvertedDoublePendulum-v5", {"healthy_reward": 3.0}),
    ("InvertedDoublePendulum-v4", {}),
    ("Reacher-v5", {"reward_dist_weight": 2.0, "reward_control_weight": 0.1}),
    ("Reacher-v4", {}),
]
ENDS = ("Hopper", "Walker2d", "Ant", "Inverted")
DERIVED = ("qpos", "qvel", "xpos", "site_xpos", "qfrc_constraint")
EPISODES, STEPS = 6, 20


def play(reference, seed=1):
    """Random steps in C, every other episode from far off: states before and after, actions, and what was seen."""
    rng, rows = np.random.default_rng(seed), []
    for episode in range(EPISODES):
        reference.reset(seed=episode)
        if episode % 2:
            noise = rng.uniform(-0.5, 0.5, reference.model.nq), rng.normal(0, 2, reference.model.nv)
            reference.set_state(reference.init_qpos + noise[0], noise[1])
        for _ in range(STEPS):
            before = snapshot(reference)
            action = rng.uniform(-1, 1, reference.model.nu).astype(np.float32)
            obs, reward, terminated, _, _ = reference.step(action.astype(float) * reference.action_space.high)
            rows.append((before, snapshot(reference), action, obs, reward, terminated))
    return jax.tree.map(lambda *x: np.stack(x), *rows)


def snapshot(reference):
    return {name: np.array(getattr(reference.data, name)) for name in (*DERIVED, "cfrc_ext")}


def stepped(env, before, after, action, monkeypatch, time=0):
    """The twin's steps from `before`, with `after` for what physics makes of them."""
    roots = env.ROOTS
    origin = before["qpos"][:, :roots].copy()
    for state in (before, after):
        state["qpos"][:, :roots] -= origin
        state["xpos"][:, :, :roots] -= origin[:, None]
    before, after, origin = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (before, after, origin))

    def step(before, after, origin, action):
        def simulate(model, position, velocity, warmstart, control, *, frames, contact_forces):
            assert frames == env.frames
            data = jax.tree.map(jnp.asarray, model.blank).replace(**{name: after[name] for name in DERIVED})
            forces = after["cfrc_ext"] if contact_forces else jnp.full_like(after["cfrc_ext"], jnp.nan)
            return data.tree_replace({"_impl.cfrc_ext": forces})

        monkeypatch.setattr(twin, "simulate", simulate)
        state = TwinState(
            position=before["qpos"],
            velocity=before["qvel"],
            warmstart=jnp.zeros_like(before["qvel"]),
            bodies=before["xpos"],
            origin=origin,
            time=jnp.int32(time),
        )
        return env.step(state, action, jax.random.key(0))

    return jax.jit(jax.vmap(step))(before, after, origin, action)


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)])
def test_task_is_gymnasiums(name, options, monkeypatch):
    env: Any = envs.make(f"mjx/{name}", **options)
    reference = original(name, **options)
    assert env.obs_space.shape == reference.observation_space.shape
    assert env.action_space.shape == reference.action_space.shape
    assert env.interval == pytest.approx(reference.dt)
    assert env.horizon == gym.spec(name).max_episode_steps
    before, after, action, obs, reward, terminated = play(reference)
    _, step = stepped(env, before, after, action, monkeypatch)
    np.testing.assert_allclose(step.obs, obs, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(step.reward, reward, rtol=1e-4, atol=2e-4)
    np.testing.assert_array_equal(step.terminated, terminated)
    may_end = name.startswith(ENDS) and options.get("terminate_when_unhealthy", True)
    assert terminated.any() == may_end
    assert not terminated.all()
    assert not np.asarray(step.truncated).any()


def test_truncates_at_the_horizon_only(monkeypatch):
    env: Any = envs.make("mjx/InvertedPendulum-v5", max_episode_steps=7)
    before, after, action, *_, terminated = play(original(env.name))
    state, step = stepped(env, before, after, action, monkeypatch, time=6)
    assert (np.asarray(state.time) == 7).all()
    assert np.asarray(step.truncated).all()
    np.testing.assert_array_equal(step.terminated, terminated)  # both may be set
    state, step = stepped(env, before, after, action, monkeypatch, time=5)
    assert not np.asarray(step.truncated).any()


def test_numbers_are_leaves(monkeypatch):
    """Many settings in one program, ranges included."""
    weights = jnp.array([0.0, 1.0, 10.0])
    env: Any = envs.make("mjx/Hopper-v5", ctrl_cost_weight=weights, healthy_z_range=(0.7, jnp.array([9.0, 0.1, 9.0])))
    axes = jax.tree.map(lambda x: 0 if jnp.ndim(x) else None, env)
    before, after, action, *_ = play(original("Hopper-v5"))
    steps = jax.vmap(lambda e: stepped(e, *jax.tree.map(np.copy, (before, after)), action, monkeypatch)[1], (axes,))(
        env
    )
    cost = np.square(action).sum(-1)
    np.testing.assert_allclose(steps.reward[0] - steps.reward[2], 10 * cost, rtol=1e-3)
    assert np.asarray(steps.terminated)[1].all()
    assert not np.asarray(steps.terminated)[0].all()


def test_wide_controls_are_scaled():
    env: Any = envs.make("mjx/InvertedPendulum-v5")
    np.testing.assert_array_equal(env.model.control, [[-3, 3]])
    np.testing.assert_allclose(env.control(jnp.array([0.5])), [1.5])
    np.testing.assert_allclose(env.control(jnp.array([-7.0])), [-3.0])


@pytest.mark.parametrize("name", ["Ant-v5", "InvertedDoublePendulum-v5", "Reacher-v4"])
def test_first_observation_is_gymnasiums(name):
    """Also where the start is no proper pose: Ant's noise is on its quaternion too."""
    env: Any = envs.make(f"mjx/{name}")
    reference, rng = original(env.name), np.random.default_rng(0)
    starts, obs = [], []
    for seed in range(8):
        reference.reset(seed=seed)
        noise = rng.uniform(-1, 1, reference.model.nq)
        reference.set_state(reference.init_qpos + noise, rng.normal(0, 1, reference.model.nv))
        starts.append((reference.data.qpos.copy(), reference.data.qvel.copy()))
        obs.append(reference._get_obs())
    position, velocity = (jnp.asarray(np.stack(x), jnp.float32) for x in zip(*starts, strict=True))
    state, seen = jax.jit(jax.vmap(env.start))(position, velocity)
    np.testing.assert_allclose(seen, obs, rtol=1e-4, atol=1e-4)
    roots = env.ROOTS
    np.testing.assert_allclose(state.origin, position[:, :roots])
    assert not np.asarray(state.position)[:, :roots].any()
    assert not np.asarray(state.time).any()


@pytest.mark.parametrize("name", ["Hopper-v5", "HalfCheetah-v5", "Reacher-v5"])
def test_starts_have_the_distribution_of_the_original(name):
    env: Any = envs.make(f"mjx/{name}")
    draws = 4000

    @jax.jit
    @jax.vmap
    def reset(key):
        state, _ = env.reset(key)
        return jnp.concatenate([state.origin, state.position[env.ROOTS :], state.velocity])

    ours = np.asarray(reset(jax.random.split(jax.random.key(0), draws)))
    reference = original(env.name)
    theirs = []
    for seed in range(400):
        reference.reset(seed=seed)
        theirs.append(np.concatenate([reference.data.qpos, reference.data.qvel]))
    theirs = np.array(theirs)
    spread = theirs.std(0)
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=5 * spread.max() / np.sqrt(len(theirs)))
    np.testing.assert_allclose(ours.std(0), spread, rtol=0.15, atol=1e-6)
    kurtosis = [((x - x.mean(0)) ** 4).mean(0) / np.maximum(x.var(0) ** 2, 1e-30) for x in (ours, theirs)]
    np.testing.assert_allclose(kurtosis[0], kurtosis[1], atol=1.0)  # 1.8 where uniform, 3 where normal
    if name == "Reacher-v5":
        radius = np.linalg.norm(ours[:, 2:4], axis=1)
        assert radius.max() <= 0.2
        np.testing.assert_allclose((radius**2).mean(), 0.02, rtol=0.05)  # uniform over the disc


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Hopper-v5", {"physics": "mujoco<=4"}, "physics is 'mujoco<=4'"),
        ("Hopper-v5", {"frame_skip": 0}, "frame_skip=0"),
        ("Hopper-v5", {"max_episode_steps": 0}, "max_episode_steps=0"),
        ("Hopper-v5", {"healthy_z_range": (1.0, 0.5)}, r"healthy_z_range=\(1.0, 0.5\)"),
        ("Hopper-v5", {"healthy_z_range": (1.0,)}, "low <= high"),
        ("Hopper-v5", {"healthy_z_range": 1.0}, "must be of type tuple"),
        ("Ant-v5", {"use_contact_forces": True}, "unknown setting 'use_contact_forces'"),
        ("Ant-v4", {"include_cfrc_ext_in_observation": True}, "unknown setting"),
        ("Humanoid-v5", {}, "unknown environment"),
    ],
)
def test_bad_settings_are_named(name, options, message):
    with pytest.raises(O2OError, match=message):
        envs.make(f"mjx/{name}", **options)


def test_an_unknown_body_is_named(monkeypatch):
    env: Any = envs.make("mjx/Ant-v5", main_body="head")
    with pytest.raises(O2OError, match=r"no body 'head'.*front_left_leg"):
        stepped(env, *play(original("Ant-v5"))[:3], monkeypatch)
