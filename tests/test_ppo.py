"""PPO: advantages, one whole update against the reference, the rollout that it is fed, and what it solves."""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
import reference_ppo
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.agents import PPO
from purejaxo2o.agents.base import adam_direction, advantages, init_adam
from purejaxo2o.agents.ppo import PPOState
from purejaxo2o.loop import feeds
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.train import act, enter, init, iterate
from purejaxo2o.types import O2OError, Space, Spaces, Transition

T, E, OBS, ACT, CHOICES = 6, 4, 3, 2, 3
BOX = Spaces(Space(shape=(OBS,)), Space(shape=(ACT,)))
DISCRETE = Spaces(Space(shape=(OBS,)), Space(n=CHOICES, dtype="int32"))
SETTINGS: dict[str, Any] = {
    "hidden": (8, 8),
    "actor_hidden": (8, 8),
    "learning_rate": 1e-2,
    "discount": 0.9,
    "gae_lambda": 0.8,
    "epochs": 2,
    "minibatches": 3,
    "entropy_weight": 0.1,
    "max_grad_norm": 0.3,
}


def rollout(spaces: Spaces, seed: int = 0) -> Transition:
    """Rows `[T, E]`, float64, with both kinds of ends."""
    rng = np.random.default_rng(seed)
    action: Any = np.clip(rng.normal(0, 1, (T, E, ACT)), -1, 1)  # a third at the edges
    if spaces.action.discrete:
        action = rng.integers(0, CHOICES, (T, E)).astype(np.int32)
    terminated, truncated = rng.random((2, T, E)) < 0.2
    terminated[2, 0], truncated[2, 1], terminated[3, 2], truncated[3, 2] = True, True, True, True
    obs, next_obs = rng.normal(size=(2, T, E, OBS))
    return Transition(obs, action, rng.normal(size=(T, E)), next_obs, terminated, truncated, {})  # type: ignore[arg-type]


def random_state(agent: PPO, spaces: Spaces) -> PPOState:
    """Parameters and moments as after a few steps."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda key: agent.init(key, spaces), jax.random.key(0))

    def leaf(path: Any, x: Any) -> Any:
        if jnp.issubdtype(x.dtype, jnp.integer):
            return jnp.int32(3)
        made = rng.normal(size=x.shape) * (0.1 if ".mu" in jax.tree_util.keystr(path) else 0.3)
        return jnp.asarray(np.abs(made) + 0.01 if ".nu" in jax.tree_util.keystr(path) else made)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def test_advantages_stop_at_ends_and_bootstrap_through_truncations():
    rows = rollout(BOX)
    rng = np.random.default_rng(2)
    value, following = rng.normal(size=(2, T, E))
    expected = reference_ppo.advantages(rows, value, following, 0.9, 0.8)
    last = rows.terminated | rows.truncated
    with jax.enable_x64(True):
        got = advantages(*map(jnp.asarray, (rows.reward, rows.terminated, last, value, following)), 0.9, 0.8)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("spaces", "changes"),
    [
        (BOX, {}),
        (BOX, {"clip_values": True}),
        (DISCRETE, {}),
        (BOX, {"learning_rate_end": 0.1}),
        (BOX, {"standardise": "rollout"}),
        (BOX, {"bounds": "apart"}),
        (DISCRETE, {"adam_eps": 1e-2}),
    ],
    ids=["box", "clipped", "discrete", "falling", "over the rollout", "apart", "large epsilon"],
)
def test_update_matches_the_reference(spaces, changes):
    agent, rows, key = PPO(**SETTINGS, **changes), rollout(spaces), jax.random.key(7)
    with jax.enable_x64(True):
        state = dataclasses.replace(random_state(agent, spaces), span=jnp.int32(12))  # a quarter has passed
        got, metrics = jax.jit(agent.update)(state, jax.tree.map(jnp.asarray, rows), key)
        orders, noises = [], []
        for key_epoch in jax.random.split(key, agent.epochs):
            key_order, key_steps = jax.random.split(key_epoch)
            orders.append(np.asarray(jax.random.permutation(key_order, T * E)).reshape(agent.minibatches, -1))
            keys = jax.random.split(key_steps, agent.minibatches)
            noises.append([np.asarray(jax.random.normal(k, (T * E // agent.minibatches, ACT))) for k in keys])
        numbers = jax.tree.map(np.asarray, state)
        known = {"params": numbers.params, "opt": ref.Adam(3, numbers.opt.mu, numbers.opt.nu)}
        expected, losses = reference_ppo.ppo_update(agent, known, rows, orders, noises, passed=3 / 12)
    pairs = ((got.params, expected["params"]), (got.opt.mu, expected["opt"].mu), (got.opt.nu, expected["opt"].nu))
    for ours, theirs in pairs:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), ours, theirs)
    for name, value in losses.items():
        assert metrics[name] == pytest.approx(value, rel=1e-7), name
    assert int(got.steps) == 3 + 1


@pytest.mark.parametrize("name", ["ppo", "props", "ppo_il"])
def test_epsilon_is_the_codes_as_published_and_adams_own_with_few_steps(name):
    task = o2o.task("cartpole")
    found = [o2o.recipe(name, task, scale=scale).agent.adam_eps for scale in ("paper", "small")]
    assert found == [1e-5, 1e-8]


def test_a_small_gradient_is_what_epsilon_shortens():
    """A first step of Adam is g / (|g| + eps), and moments do not depend on eps."""
    grads = {"w": jnp.array([1e-5, -1e-3, 0.0])}
    with jax.enable_x64(True):
        steps = [adam_direction(grads, init_adam(grads), eps) for eps in (1e-8, jnp.float64(1e-5))]
    for (step, _), eps in zip(steps, (1e-8, 1e-5), strict=True):
        expected = np.array([1e-5 / (1e-5 + eps), -1e-3 / (1e-3 + eps), 0.0])
        np.testing.assert_allclose(step["w"], expected, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, steps[0][1], steps[1][1])


def test_rates_fall_over_the_phase_whatever_its_rollouts():
    """The last rollout but one of ten has a fifth of the rate; where the end is higher, that; history counts not."""
    phase = Phase(name="online", steps=10 * E * T, act="policy", feed="rollout", rollout=T, history=T, segments=2)
    spec = Recipe(name="x", phases=(phase,), num_envs=E).boundary(0)
    assert spec.updates == 10
    agent = PPO(**SETTINGS, learning_rate_end=0.0)
    state = agent.enter(agent.init(jax.random.key(0), BOX), jax.random.key(1), spec)
    rows = jax.tree.map(jnp.asarray, rollout(BOX))
    left = dataclasses.replace(state, steps=jnp.int32(8))

    def moved(agent: PPO, state: PPOState) -> Any:
        batch = jax.tree.map(lambda x: x.reshape(T * E, *x.shape[2:]), rows)
        known = {name: jnp.ones(T * E) for name in ("advantage", "target", "value", "log_prob")}
        after = agent.step(state, batch, known, jax.random.key(2))[0]
        return jax.tree.map(lambda a, b: a - b, after.params["value"], state.params["value"])

    whole, fifth = moved(agent, state), moved(agent, left)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 0.2 * b, rtol=1e-3, atol=1e-7), fifth, whole)
    half = moved(dataclasses.replace(agent, learning_rate_end=0.5), left)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 0.5 * b, rtol=1e-3, atol=1e-7), half, whole)


def test_termination_stops_and_truncation_bootstraps():
    """What follows a truncated step changes the update, what follows a termination does not."""
    agent = PPO(**SETTINGS)
    none = np.zeros((T, E), bool)
    rows = rollout(BOX)._replace(terminated=none, truncated=none)
    flag, elsewhere = none.copy(), np.array(rows.next_obs)
    flag[2, 1], elsewhere[2, 1] = True, 3.0
    with jax.enable_x64(True):
        state = random_state(agent, BOX)

        def value(**changes):
            moved = jax.tree.map(jnp.asarray, rows._replace(**changes))
            new = agent.update(state, moved, jax.random.key(0))[0]
            return jax.flatten_util.ravel_pytree(new.params["value"])[0]

        assert (value(truncated=flag, next_obs=elsewhere) != value(truncated=flag)).any()
        assert (value(terminated=flag, next_obs=elsewhere) == value(terminated=flag)).all()


def test_a_rollout_that_does_not_divide_is_refused():
    agent = dataclasses.replace(PPO(**SETTINGS), minibatches=5)
    with pytest.raises(O2OError, match="a rollout of 24 rows does not divide into 5 minibatches"):
        jax.eval_shape(agent.update, agent.init(jax.random.key(0), BOX), rollout(BOX), jax.random.key(0))


def test_the_rollout_is_what_was_just_collected_in_order():
    recipe, task, _ = tiny("ppo")
    spec = recipe.phases[0]
    run = enter(init(jax.random.key(0), recipe, task), recipe, phase=0)
    start = np.asarray(run.obs)
    for _ in range(2):
        run, metrics = iterate(run, recipe, task, spec, None, None)
    rows = feeds.newest(run, recipe, spec)
    assert rows.reward.shape == (spec.rollout, recipe.num_envs)
    assert int(run.env_steps) == 2 * spec.rollout * recipe.num_envs
    chained = np.asarray(rows.next_obs)[:-1] == np.asarray(rows.obs)[1:]
    assert (chained.all(-1) | np.asarray(rows.last)[:-1]).all()
    assert set(metrics) >= {"train_episodes", "actor_loss"}
    first = iterate(enter(init(jax.random.key(0), recipe, task), recipe, phase=0), recipe, task, spec, None, None)[0]
    np.testing.assert_array_equal(np.asarray(feeds.newest(first, recipe, spec).obs)[0], start)


def test_both_are_the_rollout_and_minibatches_of_the_dataset():
    recipe, task, _ = tiny("ppo")
    data = tiny("bc")[2]
    recipe = o2o.replace(recipe, {"online.feed": "both", "online.mix": "offline"})
    spec = recipe.phases[0]
    run = act(init(jax.random.key(0), recipe, task), recipe, task, spec, jax.random.split(jax.random.key(1)), None)[0]
    rollout, batches = feeds.feed(run, recipe, spec, data, jax.random.key(2))
    assert rollout.reward.shape == (spec.rollout, recipe.num_envs)
    assert batches.reward.shape == (spec.updates, spec.batch_size)
    known = {tuple(row) for row in np.asarray(data.data.obs).reshape(-1, 1).tolist()}
    assert {tuple(row) for row in np.asarray(batches.obs).reshape(-1, 1).tolist()} <= known


def test_rollouts_that_cannot_be_are_refused():
    recipe, task, _ = tiny("ppo")
    for changes, message in (
        ({"online.act": "random"}, r"set online\.act='policy'"),
        ({"online.updates": 0}, r"set online\.act='policy' and online\.updates"),
        ({"online.rollout": 7}, r"rollouts of online\.rollout=7"),
        ({"store_rows": 3}, "a rollout of 5 steps does not fit store_rows=3"),
    ):
        with pytest.raises(O2OError, match=message):
            jax.eval_shape(o2o.train, jax.random.key(0), o2o.replace(recipe, changes), task, None)


@pytest.mark.slow
def test_solves_cartpole():
    """In the published half million steps, half a minute."""
    task = o2o.task("cartpole")
    recipe = o2o.replace(o2o.recipe("ppo", task), {"online.segments": 4})
    result = cast(Any, jax.jit(o2o.train)(jax.random.key(0), recipe, task, None))
    assert float(result.returns[-1].mean()) > 475
