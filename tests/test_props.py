"""PROPS and ROS: updates of both policies against the reference, numbers of the sheet, what sampling they lead to."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
import reference_props
from jax.flatten_util import ravel_pytree
from test_ppo import ACT, BOX, DISCRETE, SETTINGS, E, T, random_state, rollout
from tiny import UNOPTIMISED, distance, lane, tiny

import purejaxo2o as o2o
from purejaxo2o.agents import PPO, PROPS
from purejaxo2o.agents.ppo import surrogate
from purejaxo2o.envs.toy import ActionRewardDiscrete
from purejaxo2o.loop import feeds
from purejaxo2o.loop.phases import Phase, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.tasks import make
from purejaxo2o.train import act, enter, init, iterate
from purejaxo2o.types import O2OError, Space, Spaces, Transition, pytree

KEY = jax.random.key(7)
OWN: dict[str, Any] = {"behaviour_learning_rate": 2e-2, "behaviour_epochs": 2, "behaviour_minibatches": 3, "pace": 2}
COMMON: dict[str, Any] = SETTINGS | OWN | {"hidden": (4,), "actor_hidden": (4,), "kl_limit": 1.0}


def run(function: Any, *arguments: Any) -> Any:
    return jax.jit(function, compiler_options=UNOPTIMISED)(*arguments)


def kept(spaces: Spaces) -> Transition:
    """Rows `[T, E]` of which the first two in time only fill."""
    return rollout(spaces)._replace(extras={"valid": np.arange(T)[:, None].repeat(E, axis=1) > 1})  # type: ignore[dict-item]


def orders_of(key: Any, epochs: int, minibatches: int) -> tuple[Any, list[Any]]:
    """By the key schedule of `passes`: the shuffled rows, and the noise of the target's entropy."""
    orders, noises = [], []
    for key_epoch in jax.random.split(key, epochs):
        key_order, key_steps = jax.random.split(key_epoch)
        orders.append(np.asarray(jax.random.permutation(key_order, T * E)).reshape(minibatches, -1))
        keys = jax.random.split(key_steps, minibatches)
        noises.append([np.asarray(jax.random.normal(k, (T * E // minibatches, ACT))) for k in keys])
    return np.stack(orders), noises


CASES: dict[str, tuple[Spaces, dict[str, Any], int]] = {
    "box": (BOX, {}, 6),
    "discrete": (DISCRETE, {}, 6),
    "ends early": (BOX, {"kl_limit": 1e-4, "kl_weight": 0.0}, 4),
    "large epsilon": (BOX, {"adam_eps": 1e-2}, 6),
    "ros": (DISCRETE, {"sampler": "ros", "behaviour_learning_rate": 0.5}, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_both_updates_match_the_reference(name):
    spaces, changes, steps = CASES[name]
    agent, rows = PROPS(**COMMON | changes), kept(spaces)
    key_adapt, key_update = jax.random.split(KEY)
    with jax.enable_x64(True):
        state: Any = random_state(agent, spaces)

        def both(state: Any, rows: Any) -> Any:
            adapted = agent.adapt(state, rows, key_adapt)
            return adapted, *agent.update(adapted, rows, key_update)

        adapted, after, metrics = jax.tree.map(np.asarray, run(both, state, jax.tree.map(jnp.asarray, rows)))
        known = jax.tree.map(np.asarray, {name: getattr(state, name) for name in ("params", "behaviour")})
        known |= {n: ref.Adam(3, getattr(state, n).mu, getattr(state, n).nu) for n in ("opt", "behaviour_opt")}
        orders, _ = orders_of(key_adapt, agent.behaviour_epochs, agent.behaviour_minibatches)
        expected, moved = reference_props.adapt(agent, known, rows, orders)
        later, losses = reference_props.update(
            agent, expected, rows, *orders_of(key_update, agent.epochs, agent.minibatches)
        )
    assert moved == steps
    assert int(adapted.behaviour_opt.count) == 3 + moved * (agent.sampler == "props")
    pairs = [
        (adapted.behaviour, expected["behaviour"]),
        (adapted.behaviour_opt.mu, expected["behaviour_opt"].mu),
        (after.params, later["params"]),
        (after.opt.nu, later["opt"].nu),
    ]
    for ours, theirs in pairs:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), ours, theirs)
    for metric, value in losses.items():
        assert metrics[metric] == pytest.approx(value, rel=1e-6, abs=1e-9), metric


def test_the_minibatch_beyond_the_limit_is_the_last_to_take_its_step():
    agent = PROPS(**COMMON | {"kl_limit": 1e-3})
    state, rows = agent.init(KEY, DISCRETE), kept(DISCRETE)
    flat = [jnp.asarray(x.reshape(T * E, *x.shape[2:])) for x in (rows.obs, rows.action, rows.extras["valid"])]
    apart = jax.tree.map(lambda x: x + 0.5 * jnp.sign(x), state.actor)  # far beyond the limit

    def step(behaviour: Any, going: bool) -> Any:
        return agent.behaviour_step(state.actor, (behaviour, state.behaviour_opt, jnp.array(going)), *flat)

    ((last, opt, going), metrics), ((still, *_), _) = (run(step, apart, going) for going in (True, False))
    assert metrics["kl"] > agent.kl_limit
    assert distance(last, apart) > 1e-3
    assert (int(opt.count), bool(going)) == (1, False)
    assert distance(still, apart) == 0


def test_each_policy_learns_alone():
    """The behaviour's loss has no gradient to the target; neither update touches what is the other's."""
    agent = PROPS(**COMMON)
    state, rows = agent.init(KEY, DISCRETE), jax.tree.map(jnp.asarray, kept(DISCRETE))
    flat = [x.reshape(T * E, *x.shape[2:]) for x in (rows.obs, rows.action, rows.extras["valid"])]
    other = jax.tree.map(lambda x: x + 0.1, state.actor)

    def everything(state: Any, rows: Any) -> Any:
        slopes = jax.grad(lambda phi, theta: agent.behaviour_loss(phi, theta, *flat)[0], (0, 1))(other, state.actor)
        adapted = agent.adapt(state, rows, KEY)
        return slopes, adapted, agent.update(adapted, rows, KEY)[0]

    (own, none), adapted, after = run(everything, state, rows)
    assert (ravel_pytree(none)[0] == 0).all()
    assert (ravel_pytree(own)[0] != 0).any()
    assert distance((adapted.params, adapted.opt), (state.params, state.opt)) == 0
    assert distance(adapted.behaviour, state.behaviour) > 0
    assert distance((after.behaviour, after.behaviour_opt), (adapted.behaviour, adapted.behaviour_opt)) == 0
    assert distance(after.params, adapted.params) > 0


# -- numbers of the sheet ----------------------------------------------------------------------------------


def arms(counts: tuple[int, ...]) -> Any:
    """Rows of a bandit, so many of each arm: observations 0, actions, all valid."""
    action = jnp.repeat(jnp.arange(len(counts), dtype=jnp.int32), jnp.array(counts), total_repeat_length=sum(counts))
    return jnp.zeros((len(action), 1)), action, jnp.ones(len(action), bool)


BANDIT = Spaces(Space(shape=(1,)), Space(n=2, dtype="int32"))


def test_the_gradient_pushes_the_frequent_action_down():
    agent = PROPS(hidden=(), actor_hidden=(), kl_weight=1.0)
    theta = agent.init(KEY, BANDIT).actor
    (loss, metrics), slope = run(jax.value_and_grad(agent.behaviour_loss, has_aux=True), theta, theta, *arms((3, 1)))
    assert float(loss) == pytest.approx(1.0)
    assert float(metrics["kl"]) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(slope["logits"]["bias"], [0.25, -0.25], atol=1e-6)


def test_what_is_rare_enough_already_is_left_alone():
    ratio = jnp.array([1.4, 0.6, 1.1])
    loss, slope = jax.vmap(jax.value_and_grad(lambda r: -surrogate(r, -jnp.ones_like(r), 0.3)))(ratio)
    np.testing.assert_allclose(loss, [1.4, 0.7, 1.1], rtol=1e-6)
    np.testing.assert_allclose(slope, [1.0, 0.0, 1.0])


# -- whole runs --------------------------------------------------------------------------------------------


def learned(recipe: Recipe, task: o2o.Task, key: Any) -> Any:
    """The run after three iterations, and their metrics."""
    begun = enter(init(key, recipe, task), recipe, phase=0)
    return jax.lax.scan(lambda run, _: iterate(run, recipe, task, recipe.phases[0], None, None), begun, length=3)


def test_a_behaviour_that_never_moves_and_no_history_are_ppo():
    recipe, task, _ = tiny("ppo")
    shared = {f.name: getattr(recipe.agent, f.name) for f in dataclasses.fields(PPO)}
    still = PROPS(**shared, pace=1, behaviour_epochs=1, behaviour_minibatches=1, behaviour_learning_rate=0.0)
    (ours, metrics), (theirs, _) = (
        run(partial(learned, dataclasses.replace(recipe, agent=agent), task), KEY) for agent in (still, recipe.agent)
    )
    assert distance(ours.agent.params, theirs.agent.params) <= 1e-6
    assert distance(ours.store.data.action, theirs.store.data.action) <= 1e-6
    assert (metrics["behaviour_kl"] == 0).all()


@pytree
class TwoArms(ActionRewardDiscrete):
    """One step, two actions."""

    name = "test/two-arms"
    action_space = Space(n=2)


STEPS, RUNS = 128, 32


def errors(**settings: Any) -> Any:
    """KL(frequencies || pi) after 1, 2, ... draws of one rollout, pi = (1/2, 1/2): `[runs, steps]`."""
    agent = PROPS(hidden=(), actor_hidden=(), behaviour_minibatches=1, **settings)
    phase = online(STEPS, feed="rollout", rollout=STEPS, mix="online", segments=1)
    recipe = Recipe(name="bandit", agent=agent, phases=(phase,), num_envs=1, store_rows=STEPS, eval_episodes=1)
    task = make("two arms", TwoArms())

    def one(key: Any) -> Any:
        begun = enter(init(key, recipe, task), recipe, phase=0)
        return act(begun, recipe, task, phase, jax.random.split(key), None)[0].store.data.action[:, 0]

    taken = np.asarray(run(jax.vmap(one), jax.random.split(KEY, RUNS)))
    share = taken.cumsum(axis=1) / np.arange(1, STEPS + 1)
    both = np.stack([share, 1 - share])
    return (both * np.log(2 * np.maximum(both, 1e-12))).sum(axis=0)


def test_ros_errs_ever_less_than_on_policy_sampling():
    """On-policy the error falls as 1/n, with ROS (whose steps are long) as 1/n^2."""
    on_policy = errors(pace=1, behaviour_learning_rate=0.0, sampler="ros").mean(axis=0)
    ros = errors(pace=1, behaviour_learning_rate=1e3, sampler="ros").mean(axis=0)
    odd = np.arange(STEPS // 8, STEPS, 2)  # counts of draws that no arm can halve, minus one

    def slope(error: Any) -> float:
        return float(np.polyfit(np.log(odd + 1), np.log(error[odd]), 1)[0])

    assert on_policy[odd].min() > 0
    assert slope(on_policy) > -1.5
    assert slope(ros) < -1.7
    assert ros[odd[-1]] < on_policy[odd[-1]] / 10


def test_props_errs_less_than_on_policy_sampling():
    settings: dict[str, Any] = {"pace": 4, "behaviour_epochs": 16, "kl_limit": 0.1}
    on_policy, props = (errors(behaviour_learning_rate=rate, **settings)[:, 99] for rate in (0.0, 3e-2))
    assert 0.0 < on_policy.mean() < 0.02  # about 1 / (2 n)
    assert props.mean() < on_policy.mean() / 2


@pytest.mark.parametrize("mix", ["online", "offline"])
def test_the_first_history_is_the_dataset_if_the_phase_says_so(mix):
    recipe, task, data = tiny("props")
    recipe = o2o.replace(recipe, {"online.mix": mix, "num_envs": 2})
    spec, begun = recipe.phases[0], enter(init(KEY, recipe, task), recipe, phase=0)

    def first(run: Any, data: Any) -> Any:
        after, _ = iterate(run, recipe, task, spec, data, None)
        return after, feeds.newest(after, recipe, spec, data)

    after, rows = run(first, begun, data)
    history, fresh = (jax.tree.map(lambda x, at=at: np.asarray(x)[at : at + 5], rows) for at in (0, 5))
    np.testing.assert_array_equal(fresh.obs, after.store.data.obs[:5])
    np.testing.assert_array_equal(fresh.truncated, after.store.data.truncated[:5])
    assert (history.truncated | history.terminated)[-1].all()
    assert fresh.extras["valid"].all()
    assert history.extras["valid"].all() == (mix == "offline")
    # The last rows of the dataset, as many for each environment as it is fed in all.
    recorded = np.asarray(data.data.obs)[-20:, 0].reshape(2, 10, 1).swapaxes(0, 1)[5:]
    np.testing.assert_array_equal(history.obs, recorded if mix == "offline" else fresh.obs)
    if mix == "offline":
        with pytest.raises(O2OError, match="learns from offline data and got none"):
            jax.eval_shape(o2o.train, KEY, recipe, task, None)


def test_seeds_side_by_side_are_what_each_is_alone():
    recipe, task, _ = tiny("props")
    recipe = o2o.replace(recipe, {"agent.behaviour_learning_rate": 1e-2})
    keys, one = jax.random.split(KEY, 2), partial(learned, recipe, task)
    (both, _), (alone, metrics) = run(jax.vmap(one), keys), run(one, keys[1])
    assert distance(lane(both.agent, 1), alone.agent) <= 1e-5
    assert (metrics["behaviour_kl"] > 0).all()


def test_phases_that_it_cannot_learn_from_are_refused():
    agent = PROPS(
        **COMMON,
    )
    for changes in ({"feed": "both"}, {"rollout": 3}, {"rollout": 2}):
        phase = dataclasses.replace(Phase(name="x", steps=4, act="policy", feed="rollout", rollout=4), **changes)
        with pytest.raises(O2OError, match=r"PROPS adapts before every agent\.pace=2 steps"):
            agent.check_phase(phase, 1)
    recipe, task, _ = tiny("props")
    for changes, message in (
        ({"online.feed": "sampled"}, "feeds minibatches, but online.history=5"),
        (
            {"agent.behaviour_minibatches": 7},
            r"rows does not divide into 7 minibatches \(agent\.behaviour_minibatches",
        ),
        ({"store_rows": 9}, "a rollout with its history of 10 steps does not fit store_rows=9"),
    ):
        with pytest.raises(O2OError, match=message):
            jax.eval_shape(o2o.train, KEY, o2o.replace(recipe, changes), task, None)
