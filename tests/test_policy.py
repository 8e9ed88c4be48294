"""A trained policy: whose units its actions are in, and which of many it is."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles import Counting, Idle

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.data.collect import collect, noisy
from purejaxo2o.drive.policies import Trained
from purejaxo2o.loop.env import bounds_of
from purejaxo2o.loop.phases import online
from purejaxo2o.loop.policy import Policy
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import Result, no_fault
from purejaxo2o.tasks import make as make_task
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.train import enter
from purejaxo2o.types import O2OError, Space, Step, pytree

KEY = jax.random.key(0)
BOUNDS = (np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))


@pytree
class Constant(Idle):
    """Does what its state says, plus a setting."""

    shift: Any = 0.0

    def act(self, state, obs, key, *, explore):
        action = jnp.broadcast_to(state + (self.shift if explore else 0), (*obs.shape[:-1], *jnp.shape(state)))
        return action if jnp.issubdtype(action.dtype, jnp.integer) else action.astype(jnp.float32)


@pytree
class Paid:
    """Pays the first number of an action; the simulator behind it would take others."""

    name = "test/Paid"
    obs_space = Space((1,))
    action_space = Space((2,))
    horizon = 3
    pooled_resets = False
    action_bounds = BOUNDS

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, state, action, key):
        over = jnp.bool_(False)
        return state + 1, Step(jnp.zeros(1), action[0], over, state + 1 >= 3, {})


def constant(action, bounds=BOUNDS):
    return Policy(agent=Constant(), state=jnp.asarray(action, jnp.float32), bounds=bounds)


def test_acts_in_the_environments_own_units():
    act, obs = constant([0.5, -0.5]), jnp.zeros((4, 1))
    np.testing.assert_allclose(act(obs, KEY), np.tile([1.0, 2.5], (4, 1)))
    np.testing.assert_allclose(act.scaled(obs, KEY), np.tile([0.5, -0.5], (4, 1)))
    np.testing.assert_allclose(act(obs[0], KEY), [1.0, 2.5])
    np.testing.assert_allclose(constant([7.0, -7.0])(obs[0], KEY), [2.0, 0.0])  # clipped to the bounds
    np.testing.assert_allclose(constant([0.5, -7.0], None)(obs[0], KEY), [0.5, -1.0])


def test_choices_count_from_the_environments_first_one():
    act = Policy(agent=Constant(), state=jnp.int32(2), bounds=(np.asarray(5), np.asarray(9)))
    assert (int(act(jnp.zeros(1), KEY)), int(act.scaled(jnp.zeros(1), KEY))) == (7, 2)
    assert act(jnp.zeros(1), KEY).dtype == jnp.int32


def test_can_be_jitted_batched_passed_and_exported():
    act, obs = constant([0.5, -0.5]), jnp.zeros((3, 1))
    expected = np.tile([1.0, 2.5], (3, 1))
    np.testing.assert_allclose(jax.jit(act)(obs, KEY), expected)
    np.testing.assert_allclose(jax.vmap(act)(obs, jax.random.split(KEY, 3)), expected)
    np.testing.assert_allclose(jax.jit(lambda policy, obs: policy(obs, KEY))(act, obs), expected)
    exported = jax.export.export(jax.jit(act), platforms=("cpu", "cuda", "tpu"))(obs, KEY)
    np.testing.assert_allclose(exported.call(obs, KEY), expected)


def test_this_package_uses_its_scaled_form():
    act = constant([0.5, -0.5])
    np.testing.assert_allclose(evaluate(act, Paid(), KEY, episodes=2).returns, [1.5, 1.5])
    plain = evaluate(lambda obs, key: jnp.full((2, 2), 0.5), Paid(), KEY, episodes=2)
    np.testing.assert_allclose(plain.returns, [1.5, 1.5])  # functions are taken as they are
    rows = collect(Paid(), act, KEY, steps=6, num_envs=2)
    np.testing.assert_allclose(rows.data.action.reshape(-1, 2), np.tile([0.5, -0.5], (6, 1)))
    np.testing.assert_allclose(noisy(act, sigma=0.0)(jnp.zeros(1), KEY), [0.5, -0.5])
    for wrapped in (jax.jit(act), jax.vmap(act, (0, None))):
        with pytest.raises(O2OError, match=r"pass the policy itself, or its scaled form: jax\.jit\(policy\.scaled\)"):
            evaluate(wrapped, Paid(), KEY, episodes=2)


def test_a_result_knows_the_bounds_of_its_environment_also_of_traced_numbers():
    """`jit` traces the numbers of a task, and with them the bounds of gymnax's Pendulum."""
    recipe = Recipe(name="test", agent=Counting(), phases=(online(2, mix="online", segments=1),), eval_episodes=1)
    env = envs.make("gymnax/Pendulum-v1", max_torque=3.0, max_steps_in_episode=4)
    result = jax.jit(o2o.train)(KEY, recipe, make_task("p", env))
    act, obs = result.policy(explore=True), jnp.zeros(3)
    assert float(act(obs, KEY)[0]) == pytest.approx(3.0 * float(act.scaled(obs, KEY)[0]))
    state, _ = env.reset(KEY)
    ours = env.step(state, act.scaled(obs, KEY), KEY)[1]
    gymnax = pytest.importorskip("gymnax").make("Pendulum-v1")[0]
    np.testing.assert_array_equal(gymnax.step_env(KEY, state, act(obs, KEY), env.params)[0], ours.obs)


@pytest.mark.parametrize("name", ["host/Pendulum-v1", "gymnax/Pendulum-v1"])
def test_environments_say_their_bounds(name):
    low, high = bounds_of(envs.make(name))
    assert (float(low[0]), float(high[0])) == (-2.0, 2.0)


class Ran(NamedTuple):
    """Of a run, what a policy needs."""

    agent: Any


def result(shape, **changes):
    """With the number of the lane as every agent's action."""
    lanes = jnp.arange(float(np.prod(shape, initial=1))).reshape(*shape, 1)
    zeros = jnp.zeros((*shape, 3))
    given = {"run": Ran(agent=lanes / 100), "agent": Constant(shift=jnp.zeros(shape) if shape else 0.0)}
    steps = dict.fromkeys(("scores", "env_steps", "grad_steps", "phase", "finite"), zeros)
    episodes = dict.fromkeys(("returns", "episode_scores"), zeros[..., None])
    names = {"phase_names": ("a",), "metric_names": ((),), "switch": 0, "recipe_name": "r", "task_name": "t"}
    return Result(**(steps | names | given | episodes | {"metrics": {}, "fault": no_fault()} | changes))


def lane_of(policy):
    return round(100 * float(policy(jnp.zeros(1), KEY)[0]))


@pytest.mark.parametrize(
    "index",
    [2, np.int64(2), np.argmax([0, 1, 5]), np.uint8(2), jnp.int32(2), jnp.argmax(jnp.arange(3)), -1, (2,), [2]],
)
def test_any_integer_is_an_index(index):
    assert lane_of(result((3,)).policy(seed=index)) == 2
    task = make_task("paid", Paid())
    many = Trained(
        task=task, agent=Constant(shift=jnp.zeros(3)), state=jnp.arange(3.0)[:, None] / 100, lanes=3, segment=1
    )
    assert lane_of(many._replace(task=make_task("reach", envs.make("toy/reach"))).policy(index)) == 2


def test_one_index_for_each_axis():
    many = result((2, 3))
    assert lane_of(many.policy(seed=(1, 0))) == 3
    assert lane_of(many.policy(seed=np.array([1, -1]))) == 5
    assert lane_of(many.policy(seed=np.unravel_index(4, (2, 3)))) == 4
    assert lane_of(result(()).policy()) == 0


@pytest.mark.parametrize(
    ("shape", "index", "message"),
    [
        ((3,), 7, r"policy\(seed=7\) of results with leading axes \(3,\): 7 is out of range; .* 0 to 2"),
        ((3,), -4, "-4 is out of range; give one index per axis: 0 to 2"),
        ((3,), None, "0 given; give one index per axis: 0 to 2"),
        ((3,), (0, 1), "2 given; give one index per axis: 0 to 2"),
        ((2, 3), 1, "1 given; give one index per axis: 0 to 1, 0 to 2"),
        ((2, 3), (0, 3), "3 is out of range"),
        ((3,), 1.0, "1.0 is no integer"),
        ((3,), True, "True is no integer"),
        ((3,), "1", "'1' is no integer"),
        ((), 0, "1 given; give one index per axis: there is none"),
    ],
)
def test_what_is_no_index_is_refused(shape, index, message):
    with pytest.raises(O2OError, match=message):
        result(shape).policy(seed=index)


@pytest.mark.parametrize("phase", [1, -2, 0.0, None])
def test_a_phase_that_is_not_there_is_refused(phase):
    recipe = Recipe(name="test", agent=Counting(), phases=(online(2, mix="online", segments=1),), eval_episodes=1)
    run = o2o.init(KEY, recipe, make_task("paid", Paid()))
    for advance in (enter, lambda *given, phase: o2o.segment(*given, make_task("paid", Paid()), None, phase=phase)):
        with pytest.raises(O2OError, match=r"phase=.* recipe 'test' has phases 0 to 0"):
            advance(run, recipe, phase=phase)


def test_an_index_is_chosen_outside_of_a_trace():
    with pytest.raises(O2OError, match="depends on a traced value; choose outside of jit and vmap"):
        jax.jit(lambda i: result((3,)).policy(seed=i)(jnp.zeros(1), KEY))(jnp.int32(1))


def test_results_without_networks_do_not_act():
    with pytest.raises(O2OError, match=r"not the networks; .*load_policy"):
        result((3,), run=None, agent=None).policy(seed=0)


def test_selecting_takes_any_number():
    axes = (("agent.rate", (0.1, 0.7)), ("agent.hidden", ((8,), (8, 8))), ("seed", (0, 1, 2)))
    scores = jnp.arange(36.0).reshape(2, 2, 3, 3)
    fault = jax.tree.map(lambda x: jnp.broadcast_to(x, scores.shape), no_fault())
    many = result((2, 2, 3), axes=axes, scores=scores, fault=fault, program_axes=(1,))
    for rate, hidden, seed in [(0.7, (8, 8), 2), (np.float32(0.7), [8, 8], jnp.int32(2))]:
        chosen = many.select({"agent.rate": rate, "agent.hidden": hidden, "seed": seed})
        np.testing.assert_array_equal(chosen.scores, scores[1, 1, 2])
    with pytest.raises(O2OError, match=r"axis 'seed' has no value 3; it has 0, 1, 2"):
        many.select({"seed": 3})
    with pytest.raises(O2OError, match="no axis 'seed'; it has none"):
        result((3,)).select({"seed": 0})


@pytest.mark.parametrize("episodes", [0, -1, 2.5, True, "3", 10**12])
def test_a_number_of_episodes_is_checked(episodes):
    trained = Trained(task=make_task("paid", Paid()), agent=Constant(), state=jnp.zeros((1, 2)), lanes=1, segment=1)
    with pytest.raises(O2OError, match=r"episodes is .*; give a whole number from 1 to 2147483647"):
        trained.evaluate(KEY, episodes=episodes)
    with pytest.raises(O2OError, match="episodes is"):
        evaluate(lambda obs, key: jnp.zeros((1, 2)), Paid(), KEY, episodes=episodes)


def test_episodes_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("purejaxo2o.drive.memory.limit", lambda devices: 1000)
    trained = Trained(task=make_task("paid", Paid()), agent=Constant(), state=jnp.zeros((2, 2)), lanes=2, segment=1)
    line = r"episodes is 1000000: so many copies of test/Paid for each policy \(2\) need .*; give at most 31"
    with pytest.raises(O2OError, match=line):
        trained.evaluate(KEY, episodes=1_000_000)


def test_a_policy_is_shown_in_one_line():
    policy = Policy(agent=Constant(), state=np.zeros(10**4))
    assert repr(policy) == "Policy(Constant, explore=False)"
