"""BPPO and Uni-O4: numbers by hand, one improvement against the reference, what reaches what, what happens at the
boundaries, and that both improve on a clone where the best action is known."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_uni_o4
from test_closed_forms import ACT, KEY, OBS, SPACES, after_update, assert_equal, assert_same, batches, constant
from test_loss_parity import ACT as WIDE_ACT
from test_loss_parity import (
    MODEL,
    RATES,
    Case,
    assert_states_match,
    batches_for,
    cast,
    normal,
    random_state,
    run_update,
    to_reference,
)
from test_loss_parity import NETS as WIDE
from test_loss_parity import OBS as WIDE_OBS
from test_loss_parity import B as ROWS
from tiny import tiny

from purejaxo2o.agents import BPPO, PPO, UniO4
from purejaxo2o.agents.ppo import advantages, standardised, surrogate
from purejaxo2o.agents.uni_o4 import above_others, divergence
from purejaxo2o.data import collect
from purejaxo2o.distributions import Categorical, ClippedNormal
from purejaxo2o.envs import make
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.models import dynamics
from purejaxo2o.networks import Actor
from purejaxo2o.train import enter, init, segment
from purejaxo2o.types import Space

NETS: dict[str, Any] = {"hidden": (4,), "actor_hidden": (4,)}
SMALL: dict[str, Any] = {"members": 2, "models": 2, "model_hidden": (4,), "ope_horizon": 3, **NETS}
IMPROVE = {"stage": "improve"}


def made(**settings: Any) -> tuple[UniO4, Any]:
    agent = UniO4(**SMALL | settings)
    return agent, agent.init(KEY, SPACES)


def rows(minibatches: int = 1) -> Any:
    return jax.tree.map(jnp.asarray, batches(minibatches))


def recorded(minibatches: int = 1) -> Any:
    """With next actions."""
    fed = rows(minibatches)
    return fed._replace(extras=fed.extras | {"next_action": fed.action})


# ---- by hand ---------------------------------------------------------------------------------------------


def test_surrogate_and_advantages_of_the_sheet() -> None:
    np.testing.assert_allclose(surrogate(jnp.array([1.4, 0.6]), jnp.array([1.0, -1.0]), 0.25), [1.25, -0.75])
    one, none = jnp.ones((2, 1)), jnp.zeros((2, 1), bool)
    found = advantages(one, none, none, 0.5 * one, 0.5 * one, 0.99, 0.95)
    np.testing.assert_allclose(found[:, 0], [1.9307975, 0.995], rtol=1e-6)


@pytest.mark.parametrize(("asymmetry", "slope"), [(None, 1.0), (0.7, 0.7)])
def test_asymmetry_of_the_sheet(asymmetry: float | None, slope: float) -> None:
    """At the old policy the loss is minus the mean weighted advantage; 0.7 and -0.3 for advantages 1 and -1."""
    agent = BPPO(asymmetry=asymmetry, **NETS)
    state = agent.init(KEY, SPACES)
    obs = rows().obs[0]
    actor = jax.tree.map(lambda x: x[0], state.members)
    loss, _ = agent.member_loss(state, obs, jnp.float32(0.25), actor, actor, KEY)
    key_action, _ = jax.random.split(KEY)
    action = jnp.clip(agent.policy(actor, obs).sample_and_log_prob(key_action)[0], -1, 1)  # type: ignore[union-attr]
    gap = agent.q(state.critic, obs, action).min(0) - agent.evaluator.v(state.value, obs)
    advantage = standardised(gap)
    weight = jnp.where(advantage > 0, slope, 1.0 if asymmetry is None else 0.3)
    np.testing.assert_allclose(loss, -(weight * advantage).mean(), atol=1e-5)


def test_divergence_from_the_nearest_other() -> None:
    """Three Gaussians of width 1 at 0, 1 and 21: the nearest is 1, 1 and 20 away, KL 1/2, 1/2 and 200."""
    mean = jnp.broadcast_to(jnp.array([0.0, 1.0, 21.0])[:, None, None], (3, 20_000, 1))
    far = divergence(ClippedNormal(mean, jnp.zeros_like(mean)), KEY).mean(axis=1)
    np.testing.assert_allclose(far, [0.5, 0.5, 200.0], rtol=0.05)
    logits = jnp.log(jnp.array([[[0.5, 0.5]], [[0.9, 0.1]]]))
    expected = [np.log(0.5 / 0.9) / 2 + np.log(0.5 / 0.1) / 2, 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)]
    np.testing.assert_allclose(divergence(Categorical(logits), KEY)[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(above_others(jnp.array([1.0, 2.0]), jnp.array([[9.0, 3.0], [4.0, 9.0]])), [-2, -2])


def test_the_others_are_constants_in_the_divergence() -> None:
    mean = jax.random.normal(KEY, (3, 7, 2))

    def far(mean: Any) -> Any:
        return divergence(ClippedNormal(mean, jnp.zeros_like(mean)), KEY).mean(axis=1)

    slopes = np.abs(jax.jacobian(far)(mean)).sum(axis=(2, 3))  # of each divergence by each member's means
    assert (np.diag(slopes) > 0).all()
    np.testing.assert_array_equal(slopes - np.diag(np.diag(slopes)), 0.0)


def test_the_detached_term_only_multiplies_cloning() -> None:
    def slopes(**settings: Any) -> Any:
        agent, state = made(**settings)
        row = jax.tree.map(lambda x: x[0], rows())
        return jax.grad(lambda members: agent.clone_loss(members, row, KEY)[0])(state.members)

    plain = slopes(diversity_weight=0.0)
    detached = slopes(diversity="detached", diversity_weight=0.5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(1.5 * a, b, rtol=1e-4, atol=1e-6), plain, detached)
    paper = jax.tree.leaves(slopes(diversity_weight=0.5))
    assert any((np.abs(1.5 * a - b) > 1e-3).any() for a, b in zip(jax.tree.leaves(plain), paper, strict=True))


def still(state: Any, ends: float) -> Any:
    """A model in which nothing moves and every step ends the episode with chance `ends`."""
    model = jax.tree.map(jnp.zeros_like, state.model)
    bias = model["MLP_0"]["Dense_1"]["bias"]
    bias = bias.at[:, OBS : 2 * OBS].set(-30.0).at[:, -1].set(jnp.log(ends / (1 - ends)))
    model["MLP_0"]["Dense_1"]["bias"] = bias
    return dataclasses.replace(state, model=model)


def test_worth_is_the_sum_of_values_until_the_end_over_the_horizon() -> None:
    """Values of -2 everywhere, and half of what goes on ends at each of three steps: -2 (1 + 1/2 + 1/4) / 3."""
    agent, state = made()
    state = still(dataclasses.replace(state, critic=constant(state.critic, [-2.0, -1.0])), 0.5)
    np.testing.assert_allclose(agent.worth(state, state.members, rows().obs[0], KEY), [-3.5 / 3] * 2, rtol=1e-4)


def test_a_policy_is_replaced_only_by_a_better_one() -> None:
    """Values that grow with the first entry of the action; of two members one got better and one worse."""
    agent, state = made(ope_starts=4)
    layers = jax.tree.map(jnp.zeros_like, state.critic)["MLP_0"]
    layers["Dense_0"]["kernel"] = layers["Dense_0"]["kernel"].at[:, OBS, 0].set(1.0)
    layers["Dense_0"]["bias"] = layers["Dense_0"]["bias"].at[:, 0].set(2.0)
    layers["Dense_1"]["kernel"] = layers["Dense_1"]["kernel"].at[:, 0, 0].set(1.0)

    def going(*means: float) -> Any:
        members = jax.tree.map(jnp.zeros_like, state.members)
        bias = jnp.arctanh(jnp.array(means))
        members["mean"]["bias"] = members["mean"]["bias"].at[:, 0].set(bias)
        return members

    state = dataclasses.replace(state, critic={"MLP_0": layers}, old=going(0.1, 0.5), members=going(0.4, 0.2))
    state = still(state, 0.1)
    kept, metrics = agent.replace_old(state, rows(), KEY)
    np.testing.assert_allclose(jnp.tanh(kept.old["mean"]["bias"][:, 0]), [0.4, 0.5], rtol=1e-5)
    np.testing.assert_allclose(jnp.tanh(kept.actor["mean"]["bias"][0]), 0.5, rtol=1e-5)  # the best of both
    np.testing.assert_allclose(metrics["replaced"], 0.5)
    always = dataclasses.replace(agent, gate="always").replace_old(state, rows(), KEY)[0]
    np.testing.assert_allclose(jnp.tanh(always.old["mean"]["bias"][:, 0]), [0.4, 0.2], rtol=1e-5)
    np.testing.assert_allclose(jnp.tanh(always.actor["mean"]["bias"][0]), 0.4, rtol=1e-5)


# ---- the model -------------------------------------------------------------------------------------------


def test_the_scale_is_that_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(3.0, 2.0, (2, 5, 40, OBS))
    action = rng.normal(size=(5, 40, ACT))
    with jax.enable_x64(True):
        _, scale = dynamics.init(KEY, (4,), 1, jnp.zeros(OBS), jnp.zeros(ACT))
        for batch in zip(obs, action, next_obs, strict=True):
            scale = dynamics.absorb(scale, *map(jnp.asarray, batch))
    flat = np.concatenate([obs, action], -1).reshape(200, -1)
    np.testing.assert_allclose(scale["x"]["mean"], flat.mean(0), rtol=1e-10)
    np.testing.assert_allclose(scale["x"]["variance"], flat.var(0), rtol=1e-10)
    np.testing.assert_allclose(scale["y"]["variance"], (next_obs - obs).reshape(200, -1).var(0), rtol=1e-10)


def test_imagined_rows_follow_their_member_and_stay_near_the_data() -> None:
    network = dynamics.ensemble(OBS, (4,), 2)
    params, scale = dynamics.init(KEY, (4,), 2, jnp.zeros(OBS), jnp.zeros(ACT))
    params = jax.tree.map(jnp.zeros_like, params)
    last = params["MLP_0"]["Dense_1"]
    last["bias"] = last["bias"].at[:, :OBS].set(jnp.array([[1.0], [99.0]]))
    obs, action, noise = jnp.zeros((2, OBS)), jnp.zeros((2, ACT)), jnp.zeros((2, OBS))
    after, ends = dynamics.imagine(network, params, scale, obs, action, jnp.array([0, 1]), noise)
    np.testing.assert_allclose(after, [[1.0] * OBS, [10.0] * OBS])
    np.testing.assert_allclose(ends, [0.5, 0.5])


# ---- one improvement against the reference, and what coincides ---------------------------------------------


def improvement_noise(agent: BPPO, minibatches: int, key: jax.Array) -> dict[str, Any]:
    key_steps, key_old = jax.random.split(key)
    steps = []
    for k in jax.random.split(key_steps, minibatches):
        pairs = [jax.random.split(own) for own in jax.random.split(k, agent.members)]
        steps.append([[normal(one, ROWS, WIDE_ACT) for one in pair] for pair in pairs])
    noise: dict[str, Any] = {"steps": steps}
    if isinstance(agent, UniO4):
        pairs = [jax.random.split(k) for k in jax.random.split(key_old, agent.ope_horizon)]
        shape = (min(agent.ope_starts, minibatches * ROWS),)
        noise["worth"] = [
            (np.asarray(jax.random.randint(a, shape, 0, agent.models)), normal(b, *shape, WIDE_OBS)) for a, b in pairs
        ]
    return noise


FREE: dict[str, Any] = IMPROVE | WIDE | RATES | {"clip": 0.1, "clip_decay": 0.9, "entropy_weight": 0.2}
GATED: dict[str, Any] = MODEL | {"ope_horizon": 4, "ope_starts": 12, "max_grad_norm": 0.2}
DECAYS: dict[str, Any] = {"rate_decay": 0.5, "learning_rate_end": 1.0, "decay_steps": 4, "adam_eps": 1e-3}
QUIRKS: dict[str, Any] = {"log_std": "tanh", "nonnegative": True, "critic_hidden": (12,)}
IMPROVEMENTS = {
    "bppo": BPPO(**FREE),
    "bppo_published": BPPO(**FREE | DECAYS | QUIRKS),
    "uni_o4_published": UniO4(**FREE | GATED | QUIRKS),
    "uni_o4": UniO4(**FREE | GATED),
    "uni_o4_always": UniO4(gate="always", asymmetry=0.9, **FREE | GATED),
}


@pytest.mark.parametrize("name", IMPROVEMENTS)
def test_an_improvement_matches_the_reference(name: str) -> None:
    agent, key = IMPROVEMENTS[name], jax.random.key(7)
    case = Case(agent, reference_uni_o4.improve_update, 3)
    with jax.enable_x64(True):
        state = dataclasses.replace(random_state(case, jnp.float64), steps=jnp.int32(2), span=jnp.int32(20))
        noise = improvement_noise(agent, 3, key)
        expected, losses = case.update(agent, to_reference(state), batches_for(case), noise)
        got, metrics = run_update(agent, state, cast(batches_for(case), jnp.float64), key)
    assert_states_match(got, expected, 1e-7)
    for metric, value in losses.items():
        np.testing.assert_allclose(metrics[metric], value, rtol=1e-7, err_msg=metric)


def test_one_member_always_replaced_is_bppo() -> None:
    """Uni-O4 with one policy and without asking the model takes BPPO's steps, fitting and improving."""
    single: dict[str, Any] = SMALL | {"members": 1, "asymmetry": 0.9, "clip_decay": 0.96, "gate": "always"}
    shared = ("params", "members", "old", "critic", "target", "value")
    for stage in ("fit", "improve"):
        settings: dict[str, Any] = {"stage": stage, "values": "iql", "critics": 2, "learning_rate": 1e-2}
        one, other = BPPO(**NETS, **settings), UniO4(**single | settings)
        with jax.enable_x64(True):
            state = jax.tree.map(jnp.asarray, cast(other.init(KEY, SPACES), jnp.float64))
            names = [f.name for f in dataclasses.fields(one.init(KEY, SPACES))]
            plain = type(one.init(KEY, SPACES))(**{name: getattr(state, name) for name in names})
            fed = cast(rows(), jnp.float64)
            assert_same(run_update(one, plain, fed, KEY)[0], run_update(other, state, fed, KEY)[0], shared)


def test_online_it_is_ppo() -> None:
    """A rollout at the start of the phase, where the rates are whole."""
    sizes: dict[str, Any] = {"epochs": 2, "minibatches": 2, "learning_rate": 1e-2, "entropy_weight": 0.1, **NETS}
    agent = UniO4(stage="online", **SMALL | sizes)

    class Clipped(PPO):
        def actor_network(self, space: Space) -> Actor:
            return Actor(space, self.actor_hidden, kind="clipped", log_std_range=(-5.0, 2.0))

    plain = Clipped(clip=agent.clip, activation="relu", **sizes)
    state = dataclasses.replace(agent.init(KEY, SPACES), span=jnp.int32(100))
    got, metrics = agent.update(state, rows(2), KEY)
    expected, losses = plain.update(dataclasses.replace(state), rows(2), KEY)
    # The entropy is exact here, PPO's is a sample's; its gradient is the same.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got.params, expected.params)  # type: ignore[attr-defined]
    np.testing.assert_allclose(metrics["actor_loss"], losses["actor_loss"], rtol=1e-5)
    assert int(got.steps) == 1  # type: ignore[attr-defined]
    over = dataclasses.replace(state, steps=jnp.int32(100))
    assert_equal(over, agent.update(over, rows(2), KEY)[0], ["params"])  # the rates have fallen to 0


def test_improving_moves_policies_alone() -> None:
    agent, state = made(learning_rate=1e-2, **IMPROVE)
    after = after_update(agent, batches(2))
    assert_equal(state, after, ["critic", "target", "value", "model", "scale"])
    assert (after.members["mean"]["kernel"] != state.members["mean"]["kernel"]).any()


def test_each_loss_of_fitting_reaches_its_own_networks() -> None:
    base = after_update(UniO4(**SMALL), batches())
    wild = batches()._replace(reward=batches().reward + 5.0)
    other = after_update(UniO4(**SMALL), wild)
    assert_equal(base, other, ["members", "model", "scale"])  # rewards: values alone
    values = after_update(UniO4(stage="values", **SMALL), batches())
    assert_same(base, values, ["critic", "target", "value"])
    _, fresh = made()
    assert_equal(values, fresh, ["members", "model", "scale"])


@pytest.mark.parametrize(("stage", "values"), [("fit", "sarsa"), ("values", "iql")])
def test_targets_move_at_every_second_step_and_time_outs_may_end(stage: Any, values: Any) -> None:
    """After one step they stand, after two they are `polyak` of the way to the second critic."""
    agent = BPPO(stage=stage, values=values, delay=2, polyak=0.25, learning_rate=1e-2, **NETS)
    state = agent.init(KEY, SPACES)
    once = after_update(agent, recorded(1))
    assert_equal(state, once, ["target"])
    twice = after_update(agent, recorded(2))
    expected = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, state.target, twice.critic)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), twice.target, expected)
    ends = dataclasses.replace(agent, timeouts="end")
    fed = recorded(1)._replace(terminated=jnp.zeros((1, recorded().reward.shape[1]), bool))
    cut, whole = (fed._replace(truncated=jnp.full_like(fed.terminated, flag)) for flag in (True, False))
    dead = fed._replace(terminated=jnp.ones_like(fed.terminated))
    assert_same(after_update(ends, cut), after_update(agent, dead), ["critic"])
    assert_same(after_update(agent, cut), after_update(agent, whole), ["critic"])
    assert_same(after_update(ends, whole), after_update(agent, whole), ["critic"])


def test_the_rates_and_clips_of_the_published_improvement() -> None:
    """0.24 and 1e-4 at first, 201 decays of the clip and 100 of the rate at the end."""
    agent = BPPO(rate_decay=0.98, learning_rate_end=1.0, **NETS, stage="improve")
    state = dataclasses.replace(agent.init(KEY, SPACES), span=jnp.int32(1000))

    def at(step: int) -> tuple[float, float]:
        begun = dataclasses.replace(state, steps=jnp.int32(step))
        after, metrics = agent.improve(begun, jax.tree.map(lambda x: x[0], rows()), KEY)
        moved = begun.members["mean"]["bias"] - after.members["mean"]["bias"]
        return float(metrics["clip"]), float(jnp.abs(moved).max())

    for step, clips, decays in ((0, 1, 0), (1, 2, 0), (2, 3, 1), (199, 200, 99), (200, 201, 100), (999, 201, 100)):
        clip, moved = at(step)
        assert clip == pytest.approx(0.25 * 0.96**clips, rel=1e-4)
        assert moved == pytest.approx(at(0)[1] * 0.98**decays, rel=1e-3)


def test_values_that_end_in_a_relu_are_never_negative() -> None:
    agent = BPPO(nonnegative=True, **NETS)
    state = agent.init(KEY, SPACES)
    row = jax.tree.map(lambda x: x[0], recorded())
    low = dataclasses.replace(
        state, critic=constant(state.critic, [-2.0]), value=jax.tree.map(jnp.zeros_like, state.value)
    )
    assert (agent.q(low.critic, row.obs, row.action) == 0).all()
    after = agent.fit(low, row, KEY)[0]
    assert_equal(low, after, ["critic", "value"])  # both are dead: nothing moves them
    assert (agent.q(constant(state.critic, [2.0]), row.obs, row.action) == 2).all()


def test_log_std_of_a_tanh_starts_narrow() -> None:
    agent = BPPO(log_std="tanh", **NETS)
    state = agent.init(KEY, SPACES)
    zero = jax.tree.map(jnp.zeros_like, state.actor)
    np.testing.assert_allclose(agent.policy(zero, rows().obs[0]).log_std, -2.5)  # type: ignore[union-attr]
    for bias, end in ((-9.0, -5.0), (9.0, 0.0)):
        far = zero | {"log_std": zero["log_std"] | {"bias": jnp.full_like(zero["log_std"]["bias"], bias)}}
        np.testing.assert_allclose(agent.policy(far, rows().obs[0]).log_std, end, atol=1e-5)  # type: ignore[union-attr]


# ---- boundaries and whole runs -----------------------------------------------------------------------------


def test_the_boundaries() -> None:
    agent, state = made(**IMPROVE)
    ready = agent.enter(state, KEY, Boundary(index=1, updates=6, minibatches=30))
    assert (int(ready.span), int(ready.steps)) == (30, 0)  # type: ignore[attr-defined]
    online = dataclasses.replace(agent, stage="online")
    last = Boundary(index=2, before=agent, updates=10)
    state = dataclasses.replace(state, params=state.params | {"value": None})
    begun = online.enter(state, KEY, last)
    assert int(begun.span) == 10  # type: ignore[attr-defined]
    jax.tree.map(np.testing.assert_array_equal, begun.params["value"], state.value)
    jax.tree.map(np.testing.assert_array_equal, begun.params["actor"], state.params["actor"])
    new = dataclasses.replace(online, carry_value=False).enter(state, KEY, last).params["value"]
    assert jax.tree.structure(new) == jax.tree.structure(state.value)
    assert (new["MLP_0"]["Dense_0"]["kernel"] != state.value["MLP_0"]["Dense_0"]["kernel"]).any()


def test_what_acts_online_first_is_what_was_evaluated_last() -> None:
    recipe, task, data = tiny("uni_o4")
    run = init(jax.random.key(0), recipe, task)
    for phase in range(3):
        run = enter(run, recipe, phase=phase)
        run, _ = jax.jit(segment, static_argnames="phase")(run, recipe, task, data, phase=phase)
    begun = enter(run, recipe, phase=3)
    jax.tree.map(np.testing.assert_array_equal, begun.agent.actor, run.agent.actor)


@pytest.mark.parametrize("name", ["toy/action-reward", "toy/action-reward-discrete"])
@pytest.mark.parametrize("kind", [BPPO, UniO4])
def test_improvement_leaves_the_clone_towards_the_best_action(name: str, kind: Any) -> None:
    """Data of uniformly random actions: the clone is in the middle (or anywhere); the best is 0.5, or choice 1."""
    env = make(name)
    data = collect.collect(env, collect.random_policy(env.action_space), KEY, steps=512, num_envs=256)
    sizes: dict[str, Any] = {"hidden": (16, 16), "actor_hidden": (16, 16), "values": "iql", "learning_rate": 5e-3}
    extra = {"members": 2, "models": 2, "model_hidden": (16,), "ope_horizon": 2} if kind is UniO4 else {}
    agent = kind(discount=0.9, polyak=0.1, expectile=0.5, asymmetry=None, clip_decay=1.0, **sizes, **extra)
    state = agent.init(KEY, spaces(env))

    def train(agent: Any, state: Any, iterations: int, updates: int) -> Any:
        def body(state: Any, key: jax.Array) -> Any:
            key_rows, key_update = jax.random.split(key)
            fed = stores.sample(data, key_rows, (updates, 64))
            return agent.update(state, fed, key_update)

        return jax.jit(lambda state: jax.lax.scan(body, state, jax.random.split(KEY, iterations)))(state)

    state, _ = train(agent, state, 600, 1)
    agent = dataclasses.replace(agent, stage="improve")
    state = agent.enter(state, KEY, Boundary(index=1, updates=60, minibatches=600))
    state, metrics = train(agent, state, 60, 10)
    action = agent.act(state, jnp.zeros((1, 1)), KEY, explore=False)
    if env.action_space.discrete:
        assert int(action[0]) == 1
    else:
        assert float(action[0, 0]) == pytest.approx(0.5, abs=0.15)
    if kind is UniO4:
        assert 0 < float(metrics["replaced"].mean()) < 1
