"""What every environment promises, on one of each family."""

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import shrink

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.envs import brax, gymnax
from purejaxo2o.loop.env import check_env, check_shapes
from purejaxo2o.tasks import make as make_task
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.types import O2OError, Space, Step, pytree

NAMES = (
    "gymnax/Pendulum-v1",
    "gymnax/CartPole-v1",
    "brax/inverted_pendulum",
    "maze/PointMaze_UMaze-v3",
    "toy/reach",
)
BATCH, LENGTH = 4, 24
HORIZON = {  # settings that let every episode of a batch reach the time limit within LENGTH steps
    "gymnax/Pendulum-v1": {"max_steps_in_episode": 20},
    "gymnax/CartPole-v1": {"max_steps_in_episode": 20},
    "brax/inverted_pendulum": {"horizon": 20},
    "maze/PointMaze_UMaze-v3": {"max_episode_steps": 20},
    "toy/reach": {},
}


def random_actions(env, key, shape):
    if env.action_space.discrete:
        return jax.random.randint(key, shape, 0, env.action_space.n)
    return jax.random.uniform(key, (*shape, *env.action_space.shape), minval=-1, maxval=1)


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    """An environment with a short time limit, and its jitted batch functions."""
    env = envs.make(request.param, **HORIZON[request.param])
    return env, jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(env.step))


def roll(case, actions, seed=0):
    """`(states, first obs, steps)` with time first, by a Python loop around the batched step."""
    _, reset, step = case
    state, obs = reset(jax.random.split(jax.random.key(seed), BATCH))
    states, steps = [state], []
    for t, action in enumerate(actions):
        state, result = step(state, action, jax.random.split(jax.random.key(1000 + t), BATCH))
        states.append(state)
        steps.append(result)
    return states, obs, jax.tree.map(lambda *x: np.stack(x), *steps)


def signature(tree):
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), tree)


def test_protocol_shapes_and_dtypes(case):
    env, _, _ = case
    assert isinstance(env, envs.Env)
    assert envs.spaces(env) == (env.obs_space, env.action_space)
    key, action = jax.random.key(0), env.action_space.zeros()
    state, obs = jax.eval_shape(env.reset, key)
    after, step = jax.eval_shape(env.step, state, action, key)
    assert signature(after) == signature(state)
    assert obs.shape == step.obs.shape == env.obs_space.shape
    assert obs.dtype == step.obs.dtype == np.float32
    assert [(x.shape, x.dtype.name) for x in (step.reward, step.terminated, step.truncated)] == [
        ((), "float32"),
        ((), "bool"),
        ((), "bool"),
    ]
    assert all(x.shape == () and x.dtype == bool for x in step.info.values())
    assert sum(size for _, size in env.obs_space.parts) in (0, env.obs_space.size)


def test_is_pure_and_truncates_at_the_horizon_without_resetting(case):
    env, _, _ = case
    actions = random_actions(env, jax.random.key(5), (LENGTH, BATCH))
    states, obs, steps = roll(case, actions)
    _, obs_again, steps_again = roll(case, actions)
    jax.tree.map(np.testing.assert_array_equal, (obs, steps), (obs_again, steps_again))
    _, other, _ = roll(case, actions[:1], seed=1)
    assert (np.asarray(obs) != np.asarray(other)).any()

    assert env.horizon == 20
    assert not steps.truncated[: env.horizon - 1].any()
    assert steps.truncated[env.horizon - 1].all()
    np.testing.assert_array_equal(states[-1].time, LENGTH)  # nothing was reset on the way
    assert np.isfinite(steps.obs).all()


def test_a_batch_equals_single_steps(case):
    env, _, _ = case
    actions = random_actions(env, jax.random.key(7), (2, BATCH))
    states, _, steps = roll(case, actions)
    keys = jax.random.split(jax.random.key(1001), BATCH)
    one = jax.tree.map(lambda x: x[2], states[1])
    _, alone = jax.jit(env.step)(one, actions[1, 2], keys[2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[1, 2], rtol=1e-4, atol=1e-5), alone, steps)


def test_box_actions_are_clipped(case):
    env, reset, step = case
    if env.action_space.discrete:
        pytest.skip("discrete actions are not clipped")
    keys = jax.random.split(jax.random.key(0), BATCH)
    state, _ = reset(keys)
    sign = jnp.where(jnp.arange(BATCH * env.action_space.size) % 2, 1.0, -1.0)
    edge = sign.reshape(BATCH, *env.action_space.shape)
    jax.tree.map(np.testing.assert_array_equal, step(state, 50 * edge, keys), step(state, edge, keys))


@pytest.mark.parametrize("name", ["gymnax/CartPole-v1", "brax/inverted_pendulum"])
def test_the_last_observation_of_an_episode_is_the_final_one(name):
    """A pole that falls is seen fallen, and terminated is not truncated."""
    env = envs.make(name)
    action = jnp.int32(1) if env.action_space.discrete else jnp.ones(1)

    @jax.jit
    def push(key):
        state, _ = env.reset(key)
        return jax.lax.scan(lambda s, _: env.step(s, action, key), state, length=40)[1]

    steps = jax.tree.map(np.asarray, push(jax.random.key(0)))
    angle = np.abs(steps.obs[:, 2 if "CartPole" in name else 1])
    limit = 12 * 2 * np.pi / 360 if "CartPole" in name else 0.2
    end = steps.terminated.argmax()
    assert 0 < end < 39
    assert angle[end] > limit > angle[:end].max()
    assert not steps.truncated.any()


def test_gymnax_actions_are_scaled_and_parameters_are_leaves():
    gym = pytest.importorskip("gymnax")
    env = envs.make("gymnax/Pendulum-v1", max_torque=1.5)
    assert float(env.params.max_torque) == 1.5
    raw, _ = gym.make("Pendulum-v1")
    key = jax.random.key(3)
    state, obs = env.reset(key)
    expected = raw.step_env(key, raw.reset_env(key, env.params)[1], jnp.array([0.75]), env.params)
    _, step = env.step(state, jnp.array([0.5]), key)
    np.testing.assert_allclose(step.obs, expected[0], atol=1e-6)
    np.testing.assert_allclose(step.reward, expected[2], rtol=1e-6)

    gravities = dataclasses.replace(env, params=env.params.replace(g=jnp.array([0.0, 10.0])))
    axes = jax.tree.map(lambda x: 0 if jnp.ndim(x) else None, gravities)
    speeds = jax.vmap(lambda e: e.step(state, jnp.zeros(1), key)[1].obs[2], in_axes=(axes,))(gravities)
    np.testing.assert_allclose(speeds[0], obs[2], rtol=1e-6)
    assert speeds[1] != speeds[0]


def test_gymnax_observations():
    image = envs.make("gymnax/Breakout-MinAtar")
    assert image.obs_space.shape == (10, 10, 4)
    lake = envs.make("gymnax/FrozenLake-misc")
    assert lake.obs_space.shape == (16,)
    _, obs = lake.reset(jax.random.key(0))
    np.testing.assert_array_equal(obs, np.eye(16)[0])


@pytest.mark.parametrize("name", ["gymnax/Acrobot-v1", "brax/inverted_pendulum"])
def test_first_use_inside_a_trace_leaves_no_tracer_behind(name):
    (gymnax if name.startswith("gymnax") else brax)._loaded.cache_clear()
    env = envs.make(name)
    shapes = [jax.eval_shape(lambda k: env.reset(k)[1], jax.random.key(0)).shape for _ in range(2)]
    assert shapes == [env.obs_space.shape] * 2
    envs.make(name).reset(jax.random.key(0))  # eager, with what the trace has cached


def test_brax_step_leaves_its_input_alone():
    """brax itself writes metrics into the dictionaries of the state that it is given."""
    env = envs.make("brax/reacher")
    shapes, _ = jax.eval_shape(env.reset, jax.random.key(0))

    def step(action):
        state = jax.tree.map(jnp.zeros_like, shapes)
        before = dict(state.physics.metrics)
        env.step(state, action, jax.random.key(0))
        assert before
        assert all(state.physics.metrics[k] is before[k] for k in before)
        return action

    jax.eval_shape(step, env.action_space.zeros())


def test_names_are_what_the_libraries_offer():
    gym = pytest.importorskip("gymnax")
    assert set(gymnax.IDS) == set(gym.registered_envs) - {"MNISTBandit-bsuite"}
    from brax import envs as brax_envs

    assert set(brax.IDS) == set(brax_envs._envs) - {"fast", "swimmer"}
    assert len(set(envs.names())) == len(envs.names())
    for name in envs.names():
        if name.partition("/")[0] in ("maze", "toy", "gymnax", "mjx"):
            assert envs.make(name).name == name


def test_importing_the_package_imports_no_simulator():
    code = "import sys, purejaxo2o.envs as e; e.names(); print({'brax', 'gymnax', 'mujoco'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


CHEAP = tuple(
    name
    for name in envs.names()
    if name.startswith(("toy/", "gymnax/", "tabular", "maze/PointMaze_UMaze", "lock/"))
    and not name.endswith("-MinAtar")
)


@pytest.mark.parametrize("name", CHEAP)
def test_resets_and_steps_as_its_spaces_say(name):
    check_shapes(envs.make(name))


DEAR = [name for name in envs.names() if name not in CHEAP and ("AntMaze" not in name or "UMaze" in name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", DEAR)
def test_resets_and_steps_as_its_spaces_say_at_length(name):
    if name.startswith("xland"):
        pytest.importorskip("xminigrid")
    check_shapes(envs.make(name))


def traced(env):
    """Returns of the evaluations `[S, episodes]`, of a tiny run that is traced and never computed."""
    task = make_task(env.name, env)
    recipe = shrink(o2o.recipe("dqn" if env.action_space.discrete else "sac", task))
    return jax.eval_shape(lambda key: o2o.train(key, recipe, task), jax.random.key(0)).returns


@pytest.mark.parametrize("short", ["Catch-bsuite", "DeepSea-bsuite", "SimpleBandit-bsuite", "Pong-misc"])
def test_grids_and_columns_are_trained_on(short):
    env = envs.make(f"gymnax/{short}")
    assert traced(env).dtype == jnp.float32
    assert len(env.obs_space.shape) == (3 if env.obs_space.dtype == "uint8" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in envs.names() if name.startswith(("gymnax/", "brax/", "toy/"))])
def test_every_environment_is_trained_on(name):
    assert traced(envs.make(name)).dtype == jnp.float32


@pytest.mark.parametrize("short", [short for short in gymnax.IDS if not short.endswith("-MinAtar")])
def test_no_episode_of_gymnax_goes_past_its_horizon(short):
    """So that cutting there moves no number. MinAtar's limits are by the same function."""
    env = envs.make(f"gymnax/{short}", max_steps_in_episode=7)
    key = jax.random.key(0)

    def body(carry, key):
        state, running = carry
        state, step = env.step(state, env.action_space.zeros(), key)
        return (state, running & ~(step.terminated | step.truncated)), running

    carry = env.reset(key)[0], jnp.bool_(True)
    (_, running), was = jax.jit(lambda c: jax.lax.scan(body, c, jax.random.split(key, 7)))(carry)
    assert was[0]
    assert not running


@pytest.fixture
def gym():
    return pytest.importorskip("gymnax")


def test_gymnax_objects_are_taken(gym):
    env, params = gym.make("Pendulum-v1")
    assert envs.make(env) == envs.make("gymnax/Pendulum-v1")
    changed = envs.make((env, params.replace(max_torque=5.0)), max_steps_in_episode=33)
    assert (changed.name, changed.horizon, float(changed.action_bounds[1][0])) == ("gymnax/Pendulum-v1", 33, 5.0)
    tall = envs.make(type(gym.make("Catch-bsuite")[0])(rows=6))
    assert tall.obs_space.shape == (30,)
    check_shapes(tall)
    assert make_task("catch", tall.source).env == tall == envs.make(tall)
    assert o2o.Task(name="p", env=env, eval_env="gymnax/Pendulum-v1").env.name == "gymnax/Pendulum-v1"
    outcome = evaluate(lambda obs, key: jnp.zeros(2, jnp.int32), tall.source, jax.random.key(0), episodes=2)
    assert (outcome.lengths == 5).all()


def test_registered_ids_are_known(gym, monkeypatch):
    monkeypatch.setattr(gym.registration, "_registry", dict(gym.registration._registry))
    monkeypatch.setattr(gym.registration, "registered_envs", [])
    catch = type(gym.make("Catch-bsuite")[0])
    gym.register("Tall-v0", lambda: catch(rows=7))
    tall = envs.make("gymnax/Tall-v0", max_steps_in_episode=9)
    assert (tall.name, tall.horizon, tall.obs_space.shape) == ("gymnax/Tall-v0", 9, (35,))
    assert tall == envs.make("gymnax/Tall-v0", max_steps_in_episode=9)  # and so the same program
    gym.registration._registry["Tall-v0"] = lambda: catch(rows=8)
    assert envs.make("gymnax/Tall-v0").obs_space.shape == (40,)
    assert tall.obs_space.shape == (35,)


def test_brax_objects_and_registered_ids_are_taken(monkeypatch):
    library = pytest.importorskip("brax.envs")
    monkeypatch.setattr(library, "_envs", dict(library._envs))
    plain = library.get_environment("inverted_pendulum")
    mine = envs.make(plain, horizon=7)
    assert (mine.horizon, mine.obs_space.shape, mine.source) == (7, (4,), plain)
    with pytest.raises(O2OError, match=r"wrapper of brax's.*env\.unwrapped"):
        envs.make(library.create("inverted_pendulum"))

    class Mine(type(plain)):
        pass

    library.register_environment("mine", Mine)
    assert isinstance(envs.make("brax/mine").source, Mine)
    assert envs.make("brax/mine") == envs.make("brax/mine")
    library.register_environment("inverted_pendulum", Mine)  # in the place of brax's own
    assert isinstance(envs.make("brax/inverted_pendulum").source, Mine)


@pytree
class Good:
    """An environment of one's own, to be spoiled."""

    name = "test/Mine"
    obs_space = Space((2,))
    action_space = Space((1,))
    horizon = 5
    pooled_resets = False

    def reset(self, key):
        return {"time": jnp.int32(0)}, jnp.zeros(2)

    def step(self, state, action, key):
        return {"time": state["time"] + 1}, Step(jnp.zeros(2), jnp.float32(0), jnp.bool_(False), jnp.bool_(False), {})


def spoiled(**fields):
    """`Good` whose step gives other fields."""

    @pytree
    class Bad(Good):
        def step(self, state, action, key):
            state, step = super().step(state, action, key)
            return fields.get("state", state), step._replace(**{k: v for k, v in fields.items() if k != "state"})

    return Bad()


BAD = [
    (spoiled(obs=np.zeros((1, 2), np.float32)), r"step gives obs of shape \(1, 2\) .*obs_space says \(2,\)"),
    (spoiled(obs=np.zeros(2, np.int32)), "step gives obs of shape .* and type int32, obs_space says .* float32"),
    (spoiled(reward=np.zeros(1, np.float32)), r"step gives reward of shape \(1,\) and type float32; give a scalar"),
    (spoiled(terminated=np.float32(0)), r"step gives terminated of shape \(\) and type float32; give a scalar bool"),
    (spoiled(truncated=np.zeros(1, bool)), r"step gives truncated of shape \(1,\)"),
    (spoiled(info={"success": np.float32(1)}), r"step gives info\['success'\] of shape \(\) and type float32"),
    (spoiled(info=()), "step gives info as tuple; give a dict"),
    (
        spoiled(state={"time": np.float32(1)}),
        r"state\['time'\] is \(\) int32 after reset and \(\) float32 after step",
    ),
    (spoiled(state={"time": np.int32(1), "x": np.int32(1)}), r"state\['x'\] is missing after reset"),
]


@pytest.mark.parametrize(("env", "message"), BAD)
def test_what_breaks_the_protocol_is_named_before_anything_is_compiled(env, message):
    task = make_task("mine", env)
    with pytest.raises(O2OError, match=f"environment 'test/Mine': .*{message}"):
        o2o.train(jax.random.key(0), shrink(o2o.recipe("sac", task)), task)
    with pytest.raises(O2OError, match="environment 'test/Mine'"):
        evaluate(lambda obs, key: jnp.zeros((1, 1)), env, jax.random.key(0), episodes=1)


def test_the_protocol_is_complete_or_refused():
    check_env(Good())
    with pytest.raises(O2OError, match="has no pooled_resets"):
        check_env(SimpleNamespace(name="x", obs_space=Space(), action_space=Space(), horizon=5))
    with pytest.raises(O2OError, match="horizon is 0; give a whole number"):
        check_env(pytree(type("Short", (Good,), {"horizon": 0}))())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("brax/hoper", {}, "did you mean 'brax/hopper'"),
        ("brax/hopper", {"backend": "sprong"}, "did you mean 'spring'"),
        ("brax/hopper", {"horizon": 0}, "at least 1"),
        ("brax/hopper", {"horizon": "long"}, "horizon='long' must be of type int"),
        ("brax/hopper", {"horizon": True}, "horizon=True must be of type int"),
        ("gymnax/Pendulum-v1", {"gravity": 9.8}, "unknown setting 'gravity'.*max_torque"),
        ("gymnax/Pendulum-v1", {"g": "9.8"}, "g='9.8' must be of type float"),
        ("gymnax/Pendulum-v1", {"max_steps_in_episode": 0}, "at least 1"),
        ("maze/PointMaze_UMaze-v3", {"maze": "Large"}, "unknown setting 'maze'"),
        ("maze/PointMaze_UMaze-v3", {"max_episode_steps": 3.5}, "max_episode_steps=3.5 must be of type int"),
        ("maze/PointMaze_UMaze-v3", {"physics": "bullet"}, "physics='bullet' is unknown"),
        ("toy/reach", {"size": 1}, "unknown setting 'size'; it has none"),
    ],
)
def test_bad_names_and_settings_are_named(name, settings, message):
    with pytest.raises(O2OError, match=message):
        envs.make(name, **settings)


def test_settings_reach_the_environment():
    maze = envs.make("maze/PointMaze_LargeDense-v3", physics="mujoco<=3.4", goal_radius=1, max_episode_steps=None)
    assert (maze.maze, maze.reward_type, maze.physics, maze.horizon) == ("Large", "dense", "mujoco<=3.4", 800)
    assert envs.make("brax/hopper", backend="positional").backend == "positional"
