"""Gymnasium environments on the host: the same as stepping them by hand, whatever the program around them does."""

import json
import subprocess
import sys
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import arrays, distance, lane, shrink

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.cli.main import main
from purejaxo2o.envs import host
from purejaxo2o.tasks import make as make_task
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.types import O2OError

COPIES = 3


def roll(env, key, actions):
    """First observations `[N, ...]`, states and steps `[T, N, ...]` under actions `[T, N, ...]`, in one program."""

    @jax.jit
    def run(keys, actions):
        state, obs = jax.vmap(env.reset)(keys)

        def body(state, action):
            after, step = jax.vmap(env.step)(state, action, keys)
            return after, (after, step)

        return state, obs, jax.lax.scan(body, state, actions)[1]

    start, obs, (states, steps) = run(jax.random.split(key, actions.shape[1]), actions)
    return start, obs, states, steps


def by_hand(env, seed, actions, original):
    """Observations, rewards and flags of the original until its end."""
    obs, _ = original.reset(seed=int(seed))
    rows = [(obs, 0.0, False, False)]
    for action in actions:
        rows.append(original.step(action)[:4])
        if any(rows[-1][2:]):
            break
    return [np.array(column) for column in zip(*rows, strict=True)]


CASES = [
    ("Pendulum-v1", lambda rng: rng.uniform(-1.2, 1.2, (25, COPIES, 1)), lambda a: np.clip(2 * a, -2, 2)),
    ("Hopper-v5", lambda rng: rng.uniform(-1, 1, (25, COPIES, 3)), lambda a: a),
    ("CartPole-v1", lambda rng: rng.integers(0, 2, (25, COPIES)), lambda a: a),
]


@pytest.mark.parametrize(("name", "draw", "scaled"), CASES)
def test_equals_stepping_it_by_hand(name, draw, scaled):
    env: Any = envs.make(f"host/{name}", max_episode_steps=20)
    kind = np.int32 if env.action_space.discrete else np.float32
    actions = draw(np.random.default_rng(0)).astype(kind)
    start, obs, _, steps = roll(env, jax.random.key(0), jnp.asarray(actions))
    original = gym.make(name, max_episode_steps=20)
    lengths = []
    for i in range(COPIES):
        seen, reward, terminated, truncated = by_hand(env, start.seed[i], scaled(actions[:, i]), original)
        length = len(seen) - 1
        lengths.append(length)
        np.testing.assert_array_equal(obs[i], seen[0].astype(np.float32))
        np.testing.assert_allclose(steps.obs[:length, i], seen[1:], atol=1e-5)
        np.testing.assert_allclose(steps.reward[:length, i], reward[1:], atol=1e-5)
        np.testing.assert_array_equal(steps.terminated[:length, i], terminated[1:])
        np.testing.assert_array_equal(steps.truncated[:length, i], truncated[1:])
        # Past the end nothing moves, and nothing is earned.
        assert (np.asarray(steps.obs[length:, i]) == np.asarray(steps.obs[length - 1, i])).all()
        assert not np.asarray(steps.reward[length:, i]).any()
        assert (steps.terminated[length:, i] == steps.terminated[length - 1, i]).all()
    assert len({int(seed) for seed in start.seed}) == COPIES
    if name == "Pendulum-v1":
        assert lengths == [20] * COPIES
        assert not np.asarray(steps.terminated).any()


def test_a_state_is_a_value():
    """The same state gives the same step again: branched, in another order, and where no simulator is in it."""
    env: Any = envs.make("host/Hopper-v5")
    actions = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (12, 2, 3)), jnp.float32)
    start, _, states, steps = roll(env, jax.random.key(3), actions)
    step = jax.jit(env.step)
    middle = lane(lane(states, 5), 1)
    wanted = lane(lane(steps, 6), 1)
    other = step(middle, -actions[6, 1], jax.random.key(0))[1]
    assert distance(step(middle, actions[6, 1], jax.random.key(9))[1], wanted) == 0.0
    assert distance(other, wanted) > 1e-3
    held = env._host
    held.live.clear()
    held.spare.clear()
    assert distance(step(middle, actions[6, 1], jax.random.key(0))[1], wanted) == 0.0
    again = step(lane(start, 1), actions[0, 1], jax.random.key(0))[1]
    assert distance(again, lane(lane(steps, 0), 1)) == 0.0


def test_copies_of_one_start_do_not_mix():
    """A pool of starts deals the same one to several copies."""
    env: Any = envs.make("host/Pendulum-v1")
    alone = jnp.asarray(np.random.default_rng(2).uniform(-1, 1, (8, 1, 1)), jnp.float32)

    @jax.jit
    def run(actions):
        state, _ = env.reset(jax.random.key(0))
        states = jax.tree.map(lambda x: jnp.stack([x] * actions.shape[1]), state)
        step = jax.vmap(env.step, (0, 0, None))
        return jax.lax.scan(lambda s, a: step(s, a, jax.random.key(0)), states, actions)[1]

    single = run(alone)
    together = run(jnp.concatenate([-alone, alone, 0 * alone, alone], axis=1))
    for i in (1, 3):
        assert distance(lane(jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), together), i).obs, single.obs[:, 0]) == 0.0
    assert np.abs(np.asarray(together.obs[-1, 0] - together.obs[-1, 1])).max() > 1e-2


def test_simulators_are_used_again():
    env: Any = envs.make("host/Pendulum-v1", max_episode_steps=5)
    keys = jax.random.split(jax.random.key(0), 4)
    run = jax.jit(lambda key: evaluate(lambda obs, _: obs[:, :1], env, key, episodes=6))
    for key in keys:
        result = run(key)
        assert (np.asarray(result.lengths) == 5).all()
    assert not env._host.live
    assert len(env._host.spare) <= 6


def test_nested_batches_are_flattened():
    env: Any = envs.make("host/Pendulum-v1")
    keys = jax.random.split(jax.random.key(0), (2, 3))
    state, obs = jax.jit(jax.vmap(jax.vmap(env.reset)))(keys)
    action = jnp.zeros((3, 1))
    _, step = jax.jit(jax.vmap(jax.vmap(env.step), (0, None, 0)))(state, action, keys)
    assert (obs.shape, step.obs.shape, step.reward.shape) == ((2, 3, 3), (2, 3, 3), (2, 3))
    one, _ = env.reset(keys[1, 2])
    _, alone = env.step(one, action[2], keys[1, 2])
    np.testing.assert_array_equal(alone.obs, step.obs[1, 2])


def test_trains_seeds_in_one_program_and_resumes(tmp_path):
    env: Any = envs.make("host/Pendulum-v1", max_episode_steps=15)
    task = make_task("host-pendulum", env, score_low=-200.0, score_high=0.0)
    recipe = shrink(o2o.recipe("sac", task))
    keys = jax.random.split(jax.random.key(0), 2)
    both = jax.jit(jax.vmap(o2o.train, in_axes=(0, None, None, None)))(keys, recipe, task, None)
    assert np.asarray(both.finite).all()
    assert (np.asarray(both.returns) < 0).all()
    assert len(np.unique(both.returns)) > 4
    whole = o2o.fit(keys[0], recipe, task, out=tmp_path / "whole")
    np.testing.assert_allclose(whole.returns, both.returns[0], rtol=1e-3)
    host._host.cache_clear()  # as in a new process: every simulator is made anew
    checkpoints = sorted((tmp_path / "whole" / "checkpoints").iterdir())
    assert checkpoints
    for name in ("results.npz", "timing.json"):
        (tmp_path / "whole" / name).unlink(missing_ok=True)
    resumed = o2o.fit(keys[0], recipe, task, out=tmp_path / "whole", resume=True)
    assert all((a == b).all() for a, b in zip(arrays(resumed.returns), arrays(whole.returns), strict=True))


def test_refuses_a_tpu_before_compiling():
    env: Any = envs.make("host/Pendulum-v1")
    state, _ = env.reset(jax.random.key(0))
    given = state, jnp.zeros(1), jax.random.key(0)
    line = "host environments run in Python beside a CPU or GPU; give a TPU another one"
    with pytest.raises(O2OError, match=line):
        jax.export.export(jax.jit(env.step), platforms=("tpu",))(*given)
    with pytest.raises(O2OError, match=line):
        jax.jit(jax.vmap(env.reset)).trace(jax.random.split(given[2], 3)).lower(lowering_platforms=("tpu",))
    jax.jit(env.step).trace(*given).lower(lowering_platforms=("cpu",))  # JAX needs a GPU to lower callbacks for one


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("host/Hoper-v5", {}, "unknown environment 'host/Hoper-v5'; did you mean 'Hopper-v5'"),
        ("host/Pendulum-v1", {"gravity": 9.0}, r"host/Pendulum-v1 cannot be made: .*gravity"),
        ("host/Hopper-v5", {"healthy_z_range": [0.7, 2.0]}, "pass tuples"),
        ("host/Blackjack-v1", {"max_episode_steps": 9}, "spaces that no agent here takes"),
        ("host/Blackjack-v1", {}, "declares no time limit; pass max_episode_steps="),
        ("host/Hopper-v2", {}, "host/Hopper-v2 cannot be made"),
        (
            "host/Pendulum-v1",
            {"g": "abc"},
            "Pendulum-v1: TypeError: .*when it was reset and stepped for the first time",
        ),
        ("host/Pendulum-v1", {"what": 1}, "Pendulum-v1 cannot be made: TypeError: .*'what'"),
        ("host/FrozenLake-v1", {"desc": "abc"}, "FrozenLake-v1 cannot be made: ValueError: not enough values"),
    ],
)
def test_what_cannot_be_stepped_is_named(name, settings, message):
    with pytest.raises(O2OError, match=message):
        envs.make(name, **settings)


def test_options_reach_the_environment():
    env: Any = envs.make("host/Pendulum-v1", g=0.0)
    assert env != envs.make("host/Pendulum-v1")
    state, _ = env.reset(jax.random.key(0))
    resting = env._host.spare[0].unwrapped
    assert resting.g == 0.0
    assert env.horizon == 200
    assert state.actions.shape == (200, 1)


def test_adroit_runs():
    pytest.importorskip("gymnasium_robotics", reason="Adroit is gymnasium-robotics'")
    env: Any = envs.make("host/AdroitHandPen-v1", max_episode_steps=4)
    actions = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (4, 2, 24)), jnp.float32)
    start, obs, states, steps = roll(env, jax.random.key(0), actions)
    assert (obs.shape, steps.info["success"].shape) == ((2, 45), (4, 2))
    original = gym.make("AdroitHandPen-v1", max_episode_steps=4)
    seen, reward, _, truncated = by_hand(env, start.seed[1], np.asarray(actions[:, 1]), original)
    np.testing.assert_allclose(steps.obs[:, 1], seen[1:], atol=1e-5)
    np.testing.assert_allclose(steps.reward[:, 1], reward[1:], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(steps.truncated[:, 1], truncated[1:])
    env._host.live.clear()
    again = jax.jit(env.step)(lane(lane(states, 2), 1), actions[3, 1], jax.random.key(0))[1]
    assert distance(again, lane(lane(steps, 3), 1)) == 0.0  # its reset forgets what was before


class Four(gym.Env):
    """Pays 4 for choices that count from 1."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(3, start=1)
    reward = 4.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.zeros(2, np.float32), self.reward, False, False, {}


class Twenty(Four):
    reward = 20.0


class Careless(Four):
    """Its reset ignores the seed."""

    def reset(self, *, seed=None, options=None):
        return np.random.default_rng().uniform(-1, 1, 2).astype(np.float32), {}


class Noisy(Four):
    """Its steps ignore the seed."""

    def step(self, action):
        return self.reset()[0], np.random.default_rng().uniform(), False, False, {}


@pytest.fixture
def registered():
    """Registers classes under one id."""

    def register(kind):
        gym.registry.pop("purejaxo2o/Mine-v0", None)
        gym.register("purejaxo2o/Mine-v0", entry_point=kind, max_episode_steps=5)
        return "host/purejaxo2o/Mine-v0"

    yield register
    gym.registry.pop("purejaxo2o/Mine-v0", None)


STEP = jax.jit(lambda env, key: env.step(env.reset(key)[0], jnp.int32(0), key)[1].reward)


def test_an_id_that_is_registered_again_is_another_environment(registered):
    first: Any = envs.make(registered(Four))
    assert float(STEP(first, jax.random.key(0))) == 4.0
    second: Any = envs.make(registered(Twenty))
    assert float(STEP(second, jax.random.key(0))) == 20.0
    first._host.spare.clear()  # what was made before stays what it was
    assert float(STEP(first, jax.random.key(0))) == 4.0
    assert second == envs.make("host/purejaxo2o/Mine-v0") != first


@pytest.mark.parametrize(("kind", "message"), [(Careless, r"reset\(seed=0\) gave"), (Noisy, "and 1 step gave")])
def test_an_environment_that_does_another_thing_each_time_is_refused(registered, kind, message):
    with pytest.raises(O2OError, match=f"Mine-v0: .*{message} other numbers the second time; its reset must"):
        envs.make(registered(kind))


def test_objects_are_made_anew_by_their_spec(registered):
    low = gym.wrappers.RescaleAction(gym.make("Pendulum-v1"), np.float32(-0.5), np.float32(0.5))
    half: Any = envs.make(low, max_episode_steps=9)
    assert (half.name, half.horizon, float(half.action_bounds[1][0])) == ("host/Pendulum-v1", 9, 0.5)
    assert envs.make(gym.make("Pendulum-v1")) == envs.make("host/Pendulum-v1") != half
    mine: Any = envs.make(gym.make(registered(Four).removeprefix("host/")))
    assert [int(x) for x in mine.action_bounds] == [1, 3]
    assert float(STEP(mine, jax.random.key(0))) == 4.0
    with pytest.raises(O2OError, match=r"Four was made by its class.*register it"):
        envs.make(Four())


def test_is_listed_as_slow(capsys):
    assert main(["list", "envs", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out)["envs"] if row["environment"].startswith("host/"))
    assert row["description"].startswith("(slow) Any Gymnasium environment")


def test_nothing_pure_imports_it():
    code = "import sys, purejaxo2o.cli.main, purejaxo2o.envs as e; e.make('toy/reach'); print('host' in dir(e))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
