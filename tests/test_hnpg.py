"""HNPG and HAC: one whole update against the reference, numbers that can be worked out by hand, both extremes."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_hnpg
from jax.flatten_util import ravel_pytree
from test_closed_forms import constant
from tiny import UNOPTIMISED

import purejaxo2o as o2o
from purejaxo2o.agents import HAC, HNPG
from purejaxo2o.agents.base import advantages, td_target
from purejaxo2o.agents.hnpg import Rows
from purejaxo2o.agents.hybrid import HybridState, returns
from purejaxo2o.distributions import Categorical, TanhNormal, kl_divergence
from purejaxo2o.loop.phases import online
from purejaxo2o.types import O2OError, Space, Spaces, Transition

T, E, K, B, OBS, ACT, CHOICES = 6, 4, 3, 8, 3, 2, 3
BOX = Spaces(Space(shape=(OBS,)), Space(shape=(ACT,)))
DISCRETE = Spaces(Space(shape=(OBS,)), Space(n=CHOICES, dtype="int32"))
KEY = jax.random.key(7)
SIZES: dict[str, Any] = {"hidden": (8, 8), "actor_hidden": (8,), "samples": 3, "fit_steps": 4}
COMMON: dict[str, Any] = SIZES | {"learning_rate": 1e-2, "discount": 0.9, "offline_share": 0.3}
FAR: dict[str, Any] = {"damping": 1e-3, "cg_steps": 4, "kl_limit": 1.0}
THEORY: dict[str, Any] = {"advantage": "critic", "offline_actions": "data", "step": "fixed", "averaged": 2}


def rows(spaces: Spaces, shape: tuple[int, int], seed: int) -> Transition:
    """Float64, with both kinds of ends."""
    rng = np.random.default_rng(seed)
    action: Any = rng.uniform(-0.95, 0.95, (*shape, ACT))
    if spaces.action.discrete:
        action = rng.integers(0, CHOICES, shape).astype(np.int32)
    terminated, truncated = rng.random((2, *shape)) < 0.2
    terminated[1, 0], truncated[1, 1], terminated[2, 2], truncated[2, 2] = True, True, True, True
    obs, next_obs = rng.normal(size=(2, *shape, OBS))
    return Transition(obs, action, rng.normal(size=shape), next_obs, terminated, truncated, {})  # type: ignore[arg-type]


def fed(spaces: Spaces, seed: int = 0) -> tuple[Transition, Transition]:
    return rows(spaces, (T, E), seed), rows(spaces, (K, B), seed + 1)


def random_state(agent: Any, spaces: Spaces) -> HybridState:
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda key: agent.init(key, spaces), jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) * 0.3), shapes)


def noise_of(agent: Any, spaces: Spaces) -> dict[str, Any]:
    """All that one update with `KEY` draws, by the agents' key schedule."""

    def normal(key: Any, *shape: int) -> Any:
        return np.asarray(jax.random.normal(key, (agent.samples, *shape, ACT)))

    key_critic, key_policy = jax.random.split(KEY)
    key_return, key_rounds = jax.random.split(key_critic)
    noise = {
        "return": normal(key_return, T, E),
        "rounds": [normal(key, B) for key in jax.random.split(key_rounds, K)],
    }
    if isinstance(agent, HAC):
        keys = jax.random.split(key_policy, agent.policy_steps)
        return noise | {"steps": [normal(key, B + T * E) for key in keys]}
    key_action, key_offline, key_online, key_next = jax.random.split(key_policy, 4)
    if spaces.action.discrete:
        action = jax.random.gumbel(key_action, (B, CHOICES))
    else:
        action = jax.random.normal(key_action, (B, ACT))
    noise |= {"action": np.asarray(action), "offline": normal(key_offline, B)}
    return noise | {"online": normal(key_online, T, E), "next": normal(key_next, T, E)}


def update(agent: Any, state: HybridState, data: Any) -> Any:
    return agent.update(state, data, KEY)


run_update = jax.jit(update, compiler_options=UNOPTIMISED)


def run(function: Any, *arguments: Any) -> Any:
    return jax.jit(function, compiler_options=UNOPTIMISED)(*arguments)


def natural(agent: HNPG, state: HybridState, data: Any) -> Any:
    """The rows of the policy's step, and its direction with the curvature along it."""
    made = agent.rows(state, data[0], jax.tree.map(lambda x: x[-1], data[1]), KEY)
    return made, agent.direction(state.actor, made)


CASES: dict[str, tuple[Any, Spaces, Any]] = {
    "hnpg": (HNPG(**COMMON), BOX, reference_hnpg.hnpg_update),
    "hnpg_discrete": (HNPG(**COMMON), DISCRETE, reference_hnpg.hnpg_update),
    "hnpg_theory": (HNPG(**COMMON, **THEORY), BOX, reference_hnpg.hnpg_update),
    "hnpg_theory_discrete": (HNPG(**COMMON, **THEORY), DISCRETE, reference_hnpg.hnpg_update),
    "hnpg_far": (HNPG(**COMMON, **FAR), BOX, reference_hnpg.hnpg_update),
    "hnpg_demanding": (HNPG(**COMMON, **FAR, gain_share=0.9), BOX, reference_hnpg.hnpg_update),
    "hnpg_checked": (HNPG(**COMMON, **FAR, gain_share=0.0, kl_checked=True), BOX, reference_hnpg.hnpg_update),
    "hac": (HAC(**COMMON, policy_steps=3, step_size=2.0), BOX, reference_hnpg.hac_update),
    "hac_discrete": (
        HAC(**COMMON, policy_steps=3, actor_learning_rate=3e-2, averaged=2),
        DISCRETE,
        reference_hnpg.hac_update,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_update_matches_the_reference(name):
    agent, spaces, reference = CASES[name]
    with jax.enable_x64(True):
        state, data = random_state(agent, spaces), fed(spaces)
        got, metrics = jax.tree.map(np.asarray, run_update(agent, state, jax.tree.map(jnp.asarray, data)))
        numbers = jax.tree.map(np.asarray, dataclasses.asdict(state))
        expected, losses = reference(agent, numbers, *data, noise_of(agent, spaces))
    for part in ("critic", "actor"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), getattr(got, part), expected[part]
        )
    for metric, value in losses.items():
        assert metrics[metric] == pytest.approx(value, rel=1e-6, abs=1e-9), metric
    assert np.abs(ravel_pytree(got.actor)[0] - ravel_pytree(state.actor)[0]).max() > 1e-3


# -- numbers of the sheet ----------------------------------------------------------------------------------


def test_the_critic_weighs_both_regressions():
    """One state: target 1 offline, returns of 3 online, lambda 2: (1 + 2 * 3) / 3."""
    agent = HNPG(hidden=(), offline_share=1 / 3, learning_rate=0.05, fit_steps=400)
    critic = agent.init(KEY, BOX).critic
    obs, action = jnp.zeros((5, OBS)), jnp.zeros((5, ACT))
    offline, online = (obs, action, jnp.full(5, 1.0)), (obs[:2], action[:2], jnp.full(2, 3.0))
    fitted, _ = run(agent.fit, critic, offline, online)
    np.testing.assert_allclose(agent.q(fitted, obs, action), 7 / 3, rtol=1e-4)
    slope = jax.grad(lambda c: agent.loss(c, offline, online)[0])(constant(critic, [7 / 3]))
    np.testing.assert_allclose(ravel_pytree(slope)[0], 0.0, atol=1e-6)


class Scalar(HNPG):
    """A policy with one parameter, of which every row's score is its `action`."""

    def policy(self, actor: Any, obs: Any) -> Any:
        return SimpleNamespace(log_prob=lambda action: actor["theta"] * action)


def test_the_natural_gradient_of_one_parameter():
    made = Rows(jnp.zeros((2, 1)), jnp.array([1.0, -1.0]), jnp.array([0.5, -0.5]), jnp.array([0.5, 0.5]))
    direction, curvature = Scalar(damping=0.0).direction({"theta": jnp.float32(0.3)}, made)
    assert direction["theta"] == pytest.approx(0.5)
    assert curvature == pytest.approx(0.25)  # w F w
    damped, _ = Scalar(damping=1.0).direction({"theta": jnp.float32(0.3)}, made)
    assert damped["theta"] == pytest.approx(0.25)


def test_advantages_of_the_sheet():
    ends, half = jnp.array([False, True]), jnp.full(2, 0.5)
    got = advantages(jnp.ones(2), ends, ends, half, half, 1.0, 0.97)
    np.testing.assert_allclose(got, [1.485, 0.5], rtol=1e-6)


def test_returns_count_to_the_end_and_what_was_cut_is_valued():
    data = rows(BOX, (T, E), 3)
    following = np.random.default_rng(4).normal(size=(T, E))
    expected = reference_hnpg.returns(data, following, 0.9)
    last = data.terminated | data.truncated
    with jax.enable_x64(True):
        got = returns(*map(jnp.asarray, (data.reward, data.terminated, last, following)), 0.9)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    whole = returns(jnp.ones(3), *[jnp.array([False, False, True])] * 2, jnp.full(3, 100.0), 0.5)
    np.testing.assert_allclose(whole, [1.75, 1.5, 1.0])  # an episode that terminates is valued by nobody


def test_divergences():
    one, other = (TanhNormal(jnp.array([m]), jnp.log(jnp.array([s]))) for m, s in ((0.0, 0.5), (0.1, 0.6)))
    assert kl_divergence(one, other) + kl_divergence(other, one) == pytest.approx(0.1011111, rel=1e-5)  # RO2O's sheet
    assert kl_divergence(one, one) == pytest.approx(0.0, abs=1e-7)
    fair, sure = Categorical(jnp.zeros(2)), Categorical(jnp.log(jnp.array([0.9, 0.1])))
    assert kl_divergence(fair, sure) == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1), rel=1e-5)


def test_conjugate_gradients_solve_the_regression():
    """With more steps than parameters: the weighted ridge regression of the advantages on the scores."""
    agent = HNPG(**COMMON | {"actor_hidden": (2,)}, damping=1e-2, cg_steps=40)
    with jax.enable_x64(True):
        state = random_state(agent, BOX)
        data = jax.tree.map(jnp.asarray, fed(BOX))
        made, direction = run(lambda: natural(agent, state, data))
        phi = reference_hnpg.scores(jax.tree.map(np.asarray, state.actor), *map(np.asarray, made[:2]))
        root = np.sqrt(np.asarray(made.weight))
        left = np.concatenate([root[:, None] * phi, 0.1 * np.eye(phi.shape[1])])
        right = np.concatenate([root * np.asarray(made.advantage), np.zeros(phi.shape[1])])
        got = reference_hnpg.flatten(jax.tree.map(np.asarray, direction[0]))
    np.testing.assert_allclose(got, np.linalg.lstsq(left, right, rcond=None)[0], rtol=1e-6, atol=1e-9)


def test_reweighting_is_exact_in_one_state():
    """pi exp(eta f) / Z, from a policy of three choices and a critic that knows them."""
    agent = HAC(hidden=(), actor_hidden=(), step_size=1.5, policy_steps=600, actor_learning_rate=0.03)
    state = agent.init(KEY, DISCRETE)
    critic = jax.tree.map(jnp.zeros_like, state.critic)
    values = jnp.array([0.2, -0.4, 0.9])
    critic["MLP_0"]["Dense_0"]["bias"] = values[None]
    logits = jnp.array([0.5, 0.1, -0.3])
    actor = jax.tree.map(jnp.zeros_like, state.actor)
    actor["logits"]["bias"] = logits
    state = HybridState(actor=actor, critic=critic)
    rollout, batches = jax.tree.map(jnp.asarray, fed(DISCRETE))
    blind = [x._replace(obs=jnp.zeros_like(x.obs)) for x in (rollout, jax.tree.map(lambda x: x[-1], batches))]
    new, _ = run(agent.improve, state, *blind, KEY)
    got = jax.nn.softmax(agent.policy(new, jnp.zeros(OBS)).logits)  # type: ignore[union-attr]
    np.testing.assert_allclose(got, jax.nn.softmax(logits + 1.5 * values), atol=1e-3)


# -- both extremes, ends, steps ----------------------------------------------------------------------------


def updated(agent: Any, state: HybridState, data: Any) -> Any:
    return ravel_pytree(run_update(agent, state, jax.tree.map(jnp.asarray, data))[0])[0]


METHODS = pytest.mark.parametrize("agent", [HNPG(**COMMON), HAC(**COMMON, policy_steps=2)], ids=["hnpg", "hac"])


@METHODS
def test_without_offline_rows_it_is_the_on_policy_method(agent):
    """And with them alone the rollout does not matter."""
    state = agent.init(KEY, BOX)
    one, other = (jax.tree.map(lambda x: np.asarray(x), fed(BOX, seed)) for seed in (0, 10))
    mixed = (one[0], other[1]), (other[0], one[1])
    online_only = dataclasses.replace(agent, offline_share=0.0)
    np.testing.assert_array_equal(updated(online_only, state, one), updated(online_only, state, mixed[0]))
    offline_only = dataclasses.replace(agent, offline_share=1.0)
    np.testing.assert_array_equal(updated(offline_only, state, one), updated(offline_only, state, mixed[1]))
    for data in mixed:
        assert (updated(agent, state, one) != updated(agent, state, data)).any()


@METHODS
@pytest.mark.parametrize("part", [0, 1], ids=["rollout", "minibatches"])
def test_termination_stops_and_truncation_bootstraps(agent, part):
    state, data = agent.init(KEY, BOX), list(fed(BOX))
    none = np.zeros(data[part].terminated.shape, bool)
    base = data[part]._replace(terminated=none, truncated=none)
    flag, elsewhere = none.copy(), np.array(base.next_obs)
    flag[2, 1], elsewhere[2, 1] = True, 3.0

    def critic(**changes: Any) -> Any:
        made = [*data]
        made[part] = base._replace(**changes)
        after, _ = run_update(agent, state, tuple(jax.tree.map(jnp.asarray, made)))
        return ravel_pytree(after.critic)[0]

    assert (critic(truncated=flag, next_obs=elsewhere) != critic(truncated=flag)).any()
    assert (critic(terminated=flag, next_obs=elsewhere) == critic(terminated=flag)).all()
    assert (critic(terminated=flag, truncated=flag) == critic(terminated=flag)).all()


def test_the_critic_learns_where_the_policy_may_not_move_and_targets_have_no_gradient():
    agent = HNPG(**COMMON)
    state, data = agent.init(KEY, BOX), jax.tree.map(jnp.asarray, fed(BOX))
    still, _ = run_update(dataclasses.replace(agent, kl_limit=0.0), state, data)
    for a, b in zip(jax.tree.leaves(still.actor), jax.tree.leaves(state.actor), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (ravel_pytree(still.critic)[0] != ravel_pytree(state.critic)[0]).any()
    batch = jax.tree.map(lambda x: x[0], data[1])
    online = (data[0].obs, data[0].action, data[0].reward)

    def loss(critic: Any, moving: Any) -> Any:
        value = agent.value(moving, agent.policy(state.actor, batch.next_obs), batch.next_obs, KEY)
        target = td_target(batch.reward, batch.terminated, value, 0.9)
        return agent.loss(critic, (batch.obs, batch.action, target), online)[0]

    slope, none = run(jax.grad(loss, (0, 1)), state.critic, state.critic)
    assert (ravel_pytree(none)[0] == 0).all()
    assert (ravel_pytree(slope)[0] != 0).any()


@pytest.mark.parametrize("spaces", [BOX, DISCRETE], ids=["box", "discrete"])
def test_steps_stay_within_the_limit_and_gain(spaces):
    agent = HNPG(**COMMON, damping=1e-4, gain_share=0.0, kl_checked=True)
    for seed in range(3):
        data = jax.tree.map(jnp.asarray, fed(spaces, seed))
        _, metrics = run_update(agent, agent.init(jax.random.key(seed), spaces), data)
        assert 0 < metrics["kl"] <= 0.01 * 1.0001
        assert metrics["actor_loss"] < 0
        assert 0 < metrics["step"] <= 1


def test_a_step_that_cannot_gain_is_not_taken():
    """Nor one that brings less of its promise than is asked for; without a limit shorter steps bring ever more."""
    agent = HNPG(**COMMON)
    state, data = agent.init(KEY, BOX), jax.tree.map(jnp.asarray, fed(BOX))

    def shares() -> Any:
        made, (direction, curvature) = natural(agent, state, data)
        back = jax.tree.map(lambda w: -w, direction)
        length = jnp.sqrt(0.02 / curvature)

        def taken(gain_share: float, way: Any) -> Any:
            own = dataclasses.replace(agent, gain_share=gain_share)
            return own.search(state.actor, made, way, length, length * curvature)

        return [taken(*each) for each in ((0.1, direction), (0.1, back), (0.99, direction), (1.5, direction))]

    there, back, demanding, never = run(shares)
    assert there >= demanding > 0
    assert back == 0
    assert never == 0


def test_seeds_and_shares_side_by_side_are_what_each_is_alone():
    """In float32, over updates in a row: jax's own conjugate gradients fail this."""
    agent, data = HNPG(**COMMON | {"actor_hidden": (32, 32)}), jax.tree.map(jnp.asarray, fed(BOX))

    def swept(share: Any, seed: Any) -> Any:
        own = dataclasses.replace(agent, offline_share=share)
        keys = jax.random.split(seed, 3)
        return jax.lax.scan(lambda state, key: own.update(state, data, key), own.init(seed, BOX), keys)[1]

    batch = jnp.array([0.2, 0.8]), jax.random.split(KEY, 2)
    both, one_by_one = run(jax.vmap(swept), *batch), run(lambda *xs: jax.lax.map(lambda x: swept(*x), xs), *batch)
    for name in ("step", "kl", "actor_loss", "critic_loss"):
        np.testing.assert_allclose(both[name], one_by_one[name], rtol=1e-2, atol=1e-4, err_msg=name)


def test_phases_that_feed_one_kind_only_are_refused():
    phase = online(100, feed="both", updates=2)
    agent = HNPG(averaged=3)
    with pytest.raises(O2OError, match=r"agent\.averaged=3 cannot be averaged"):
        agent.check_phase(phase, 1)
    with pytest.raises(O2OError, match=r"feed is 'sampled', yet HAC learns from a rollout .*feed='both'"):
        HAC().check_phase(online(100), 1)
    HNPG().check_phase(phase, 1)


# -- whole runs --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_opens_a_short_lock_with_offline_rows_and_not_without():
    from experiments.claims import hnpg

    task = hnpg.task()
    arms = hnpg.arms(task)
    train = jax.jit(o2o.train)
    scores = {name: float(train(KEY, arm, task, hnpg.data(task)).scores[-1]) for name, arm in arms.items()}
    assert scores["hnpg"] > 50
    assert scores["on-policy only"] < 20
