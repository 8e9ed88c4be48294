"""Numbers that can be worked out by hand, and settings that must coincide.

Agents are driven through `init` and `update` alone. Networks become lookup tables by zeroing every weight,
which leaves the bias of the last layer; gradients are read from the first moment that one Adam step leaves.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
from tiny import UNOPTIMISED

from purejaxo2o.agents.base import init_adam, td_target
from purejaxo2o.agents.bc import BC
from purejaxo2o.agents.cal_ql import CalQL
from purejaxo2o.agents.cql import CQL, conservative_gap
from purejaxo2o.agents.iql import IQL, expectile_loss
from purejaxo2o.agents.sac import SAC
from purejaxo2o.distributions import TanhNormal, normal_log_prob
from purejaxo2o.loop.extras import return_to_go
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.loop.store import mix
from purejaxo2o.types import Space, Spaces, Transition

B, OBS, ACT = 4, 3, 2
SPACES = Spaces(Space(shape=(OBS,)), Space(shape=(ACT,)))
NETS: dict[str, Any] = {"hidden": (4,), "actor_hidden": (4,)}
KEY = jax.random.key(3)


def update(agent: Any, state: Any, batches: Transition, key: jax.Array) -> Any:
    return agent.update(state, batches, key)


run_update = jax.jit(update, compiler_options=UNOPTIMISED)


def batches(minibatches: int = 1, **changes: Any) -> Transition:
    """Random rows `[U, B, ...]`; `changes` replace scalar fields (and are broadcast)."""
    rng = np.random.default_rng(5)
    shape = (minibatches, B)
    terminated, truncated = np.zeros((2, *shape), bool)
    terminated[:, 0] = truncated[:, 1] = True
    rows: dict[str, Any] = {
        "obs": rng.normal(size=(*shape, OBS)),
        "action": rng.uniform(-0.9, 0.9, (*shape, ACT)),
        "reward": rng.normal(size=shape),
        "next_obs": rng.normal(size=(*shape, OBS)),
        "terminated": terminated,
        "truncated": truncated,
    }
    rows |= {k: np.full(shape, v, rows[k].dtype) for k, v in changes.items()}
    rows["extras"] = {"return_to_go": rng.normal(size=shape)}
    return cast(Transition(**rows), np.float32)


def cast(tree: Any, dtype: Any) -> Any:
    """Floating-point leaves as NumPy arrays of `dtype` (which compiles nothing)."""

    def leaf(x: Any) -> Any:
        x = np.asarray(x)
        return x.astype(dtype) if np.issubdtype(x.dtype, np.floating) else x

    return jax.tree.map(leaf, tree)


def constant(params: Any, value: Any) -> Any:
    """Networks that return `value` (one number a member) whatever they are shown."""
    layers = jax.tree.map(jnp.zeros_like, params["MLP_0"])
    last = f"Dense_{sum(name.startswith('Dense') for name in layers) - 1}"
    bias = layers[last]["bias"]
    layers[last]["bias"] = jnp.broadcast_to(jnp.asarray(value, bias.dtype)[..., None], bias.shape)
    return {"MLP_0": layers}


def assert_equal(a: Any, b: Any, names: Any) -> None:
    """Bit for bit: only for two runs of one program."""
    for name in names:
        for x, y in zip(jax.tree.leaves(getattr(a, name)), jax.tree.leaves(getattr(b, name)), strict=True):
            np.testing.assert_array_equal(x, y, name)


def assert_same(a: Any, b: Any, names: Any) -> None:
    """Equal up to the rounding of float64: for two programs, which may add in another order."""
    for name in names:
        for x, y in zip(jax.tree.leaves(getattr(a, name)), jax.tree.leaves(getattr(b, name)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12, err_msg=name)


def field_names(state: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(state)]


# ---- densities, targets, batches -------------------------------------------------------------------------


def test_tanh_normal_density() -> None:
    mean, log_std, u = jnp.array([0.3]), jnp.array([-0.5]), jnp.array([0.8])
    action = jnp.tanh(u)
    np.testing.assert_allclose(action, 0.6640368, rtol=1e-6)
    np.testing.assert_allclose(normal_log_prob(u, mean, log_std), -0.7587238, rtol=1e-6)
    np.testing.assert_allclose(TanhNormal(mean, log_std).log_prob(action), -0.1772166, rtol=1e-5)
    by_reference = ref.tanh_normal_log_prob(np.array([0.8]), ref.lift(0.3), ref.lift(-0.5))
    np.testing.assert_allclose(by_reference.value, -0.1772166, rtol=1e-6)


def test_tanh_normal_density_integrates_to_one_and_is_finite_on_the_border() -> None:
    policy = TanhNormal(jnp.array([0.4]), jnp.array([-0.3]))
    grid = jnp.linspace(-1.0, 1.0, 20_001)[:, None]
    density = jnp.exp(jax.vmap(policy.log_prob)(grid))
    np.testing.assert_allclose(jnp.trapezoid(density, grid[:, 0]), 1.0, atol=2e-4)
    assert jnp.isfinite(policy.log_prob(jnp.array([[1.0], [-1.0]]))).all()


def test_td_targets_of_the_sheets() -> None:
    minimum, entropy_bonus = 2.6, 0.2 * 1.1
    np.testing.assert_allclose(
        td_target(jnp.float32(1), jnp.bool_(False), jnp.float32(minimum), 0.99), 3.574, rtol=1e-6
    )
    np.testing.assert_allclose(td_target(jnp.float32(1), jnp.bool_(True), jnp.float32(minimum), 0.99), 1.0)
    soft = td_target(jnp.float32(1), jnp.bool_(False), jnp.float32(minimum + entropy_bonus), 0.99)
    np.testing.assert_allclose(soft, 3.7918, rtol=1e-6)
    assert jax.grad(lambda v: td_target(jnp.float32(1), jnp.bool_(False), v, 0.99))(1.0) == 0.0


def test_mix_gives_every_minibatch_the_exact_offline_share() -> None:
    def rows(value: float) -> Transition:
        return jax.tree.map(lambda x: jnp.full((20, 128), value), Transition(*[0.0] * 6))  # type: ignore[arg-type]

    assert (mix(rows(1.0), rows(0.0)).reward.sum(axis=1) == 128).all()
    assert mix(rows(1.0), rows(0.0)).reward.shape == (20, 256)


def test_return_to_go_of_the_sheet() -> None:
    ends, failure = np.array([False, False, True]), -5.0
    for reward, expected in (([-5, -5, 5], [-5.0495, -0.05, 5]), ([-5, -5, -5], [-500] * 3)):
        r = jnp.array(reward, jnp.float32)
        got = return_to_go(r, jnp.array(ends), jnp.array(ends), discount=0.99, fail_reward=failure)
        np.testing.assert_allclose(got, expected, rtol=1e-4)
        np.testing.assert_allclose(ref.return_to_go(np.array(reward), ends, 0.99, failure), expected, rtol=1e-9)
    cut = return_to_go(jnp.ones(3), jnp.zeros(3, bool), jnp.array(ends), discount=0.5)
    np.testing.assert_allclose(cut, [1.75, 1.5, 1.0])  # a truncated end bootstraps nothing


# ---- SAC -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reduction", "per_member"), [("mean", -0.1), ("min", 0.0)])
def test_actor_loss_weight_of_each_critic(reduction: Any, per_member: float) -> None:
    agent = SAC(critics=10, actor_reduction=reduction, learning_rate=0.0, **NETS)
    state = agent.init(KEY, SPACES)

    def actor_loss(values: Any) -> Any:
        fixed = dataclasses.replace(state, critic=constant(state.critic, values))
        return run_update(agent, fixed, batches(), KEY)[1]["actor_loss"]

    values = np.arange(10.0)
    higher = actor_loss(values + np.eye(10)[4]) - actor_loss(values)
    np.testing.assert_allclose(higher, per_member, atol=1e-6)
    np.testing.assert_allclose(actor_loss(values + 1.0) - actor_loss(values), -1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("replacement", "shares"),
    [(False, {1.0: 2 / 3, 2.0: 1 / 3}), (True, {1.0: 5 / 9, 2.0: 3 / 9, 4.0: 1 / 9})],
)
def test_target_subset_draws(replacement: bool, shares: dict[float, float]) -> None:
    """Three target critics worth 1, 2 and 4, two of them drawn: only a repeated draw can give 4."""
    agent = SAC(
        critics=3,
        target_critics=2,
        subset_with_replacement=replacement,
        backup_entropy=False,
        discount=1.0,
        **NETS,
    )
    state = agent.init(KEY, SPACES)
    values = jnp.array([1.0, 2.0, 4.0])
    state = dataclasses.replace(state, critic=constant(state.critic, 0.0), target=constant(state.target, values))
    rows = batches(reward=0.0, terminated=False)
    loss = jax.jit(jax.vmap(lambda key: agent.update(state, rows, key)[1]["critic_loss"]))
    found = np.round(np.sqrt(loss(jax.random.split(KEY, 10_000))), 3)  # critics are 0, so the loss is y^2
    assert set(np.unique(found)) == set(shares)
    for value, share in shares.items():
        assert abs((found == value).mean() - share) < 0.02


@pytest.mark.parametrize(("form", "slope"), [("exp", 0.7), ("linear", 1.0), ("softplus", 1.0 - math.exp(-0.7))])
def test_temperature_gradient(form: Any, slope: float) -> None:
    agent = SAC(temperature_form=form, initial_temperature=0.7, target_entropy_scale=0.5, **NETS)
    state, metrics = run_update(agent, agent.init(KEY, SPACES), batches(), KEY)
    np.testing.assert_allclose(metrics["temperature"], 0.7, rtol=1e-6)
    surplus = metrics["entropy"] + 0.5 * ACT
    np.testing.assert_allclose(state.temperature_opt.mu / 0.1, slope * surplus, rtol=1e-5)


def test_temperature_numbers_of_the_sheets() -> None:
    log_prob, target = np.array([-1.1, -0.3]), -1.0
    gap = float(-log_prob.mean())
    for form, raw, loss, grad in (
        ("linear", 0.0, 0.0, 1.7),
        ("exp", 0.0, 1.7, 1.7),
        ("softplus", math.log(math.e - 1), 1.7, 1.7 * 0.6321206),
    ):
        agent = SAC(temperature_form=form)  # type: ignore[arg-type]
        value, slope = ref.gradient(lambda x, a=agent: ref.temperature_loss(a, x, gap, target), np.float64(raw))
        np.testing.assert_allclose([value, slope], [loss, grad], rtol=1e-6, atol=1e-12)
    wsrl = SAC(temperature_form="softplus", **NETS).init(KEY, SPACES)
    np.testing.assert_allclose(wsrl.log_temperature, math.log(math.e - 1), rtol=1e-6)


# ---- CQL and Cal-QL --------------------------------------------------------------------------------------

LOGP = {"logp_random": ACT * math.log(0.5), "logp_current": -0.5, "logp_next": 0.3}


def gap_of(q: Any, bound: Any = None) -> Any:
    """The sheet's example, one action per source: `q` is (random, current, next, recorded)."""
    random, current, following, recorded = (x[None] for x in jnp.asarray(q))
    logp = {k: jnp.full((1, 1), v) for k, v in LOGP.items()}
    return conservative_gap(random[None], current[None], following[None], recorded, bound=bound, **logp)[0]


@pytest.mark.parametrize(
    ("bound", "gap", "weights"),
    [
        (None, 1.572445, [0.412240, 0.461883, 0.125878, -1.0]),
        (1.8, 1.615542, [0.394851, 0.442400, 0.0, -1.0]),
    ],
)
def test_conservative_gap_of_the_sheet(bound: float | None, gap: float, weights: list[float]) -> None:
    q = jnp.array([1.0, 2.0, 1.5, 1.7])
    limit = None if bound is None else jnp.array([bound])
    np.testing.assert_allclose(gap_of(q, limit), gap, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(gap_of)(q, limit), weights, atol=1e-6)


def test_reference_gap_without_importance_sampling() -> None:
    q = {k: ref.Var(np.full((1, 1, 1), v)) for k, v in (("random", 1.0), ("current", 2.0), ("next", 1.5))}
    data = ref.Var(np.full((1, 1), 1.7))
    gap = ref.conservative_gap(q, {}, data, CQL(importance_sampling=False)).value.item()
    np.testing.assert_allclose([gap, gap + math.log(4) + 1.7], [-0.087418, 2.998876], rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_flat_critic_is_not_at_zero_gap(size: int) -> None:
    """Uniform density over the box and 10 actions per source: log(30 * 2^A), whatever the constant."""
    q, logp = jnp.full((10, B), 7.0), jnp.full((10, B), size * math.log(0.5))
    gap = conservative_gap(q, q, q, jnp.full(B, 7.0), logp_random=logp, logp_current=logp, logp_next=logp)
    np.testing.assert_allclose(gap, math.log(30 * 2**size), rtol=1e-5)


def test_flat_critic_is_at_zero_gap_without_importance_sampling() -> None:
    agent = CQL(importance_sampling=False, cql_temperature=0.5, **NETS)
    state = agent.init(KEY, SPACES)
    state = dataclasses.replace(state, critic=constant(state.critic, 7.0))
    np.testing.assert_allclose(run_update(agent, state, batches(), KEY)[1]["cql_gap"], 0.0, atol=1e-5)


# ---- IQL and BC ------------------------------------------------------------------------------------------


def test_expectile_loss_of_the_sheet() -> None:
    np.testing.assert_allclose(expectile_loss(jnp.array([2.0, -3.0]), 0.7).mean(), 2.75, rtol=1e-6)
    np.testing.assert_allclose(expectile_loss(jnp.array([1.0, -1.0]), 0.9).mean(), 0.5, rtol=1e-6)
    np.testing.assert_allclose(ref.expectile_loss([2.0, -3.0], 0.7).value.mean(), 2.75)


@pytest.mark.parametrize(("expectile", "minimiser"), [(0.5, 2.0), (0.7, 2.521739), (0.8, 2.818182), (0.9, 3.230769)])
def test_expectiles_of_five_numbers(expectile: float, minimiser: float) -> None:
    slope = jax.grad(lambda v: expectile_loss(jnp.arange(5.0) - v, expectile).mean())
    np.testing.assert_allclose(slope(minimiser), 0.0, atol=1e-5)
    assert slope(minimiser - 0.01) < -1e-3 < 1e-3 < slope(minimiser + 0.01)


def lookup_iql(agent: IQL, q: Any, value: float) -> Any:
    state = agent.init(KEY, SPACES)
    tables = {
        "critic": constant(state.critic, 0.0),
        "target": constant(state.target, q),
        "value": constant(state.value, value),
        "actor": jax.tree.map(jnp.zeros_like, state.actor),
    }
    return dataclasses.replace(state, **tables)


def test_iql_weights_clip_the_exponential_and_terminal_rows_regress_the_reward() -> None:
    agent = IQL(temperature=10.0, learning_rate=0.0, **NETS)
    rows = batches(terminated=True)
    log_prob = -0.5 * jnp.square(rows.action).sum(-1) - 0.5 * ACT * math.log(2 * math.pi)
    for advantage, weight in ((0.5, 100.0), (0.3, 20.08554), (-0.1, 0.3678794)):
        state = lookup_iql(agent, [advantage + 2.0, advantage + 3.0], 2.0)  # the lower target critic counts
        metrics = run_update(agent, state, rows, KEY)[1]
        np.testing.assert_allclose(metrics["actor_loss"], -weight * log_prob.mean(), rtol=1e-4)
        np.testing.assert_allclose(metrics["critic_loss"], 2 * jnp.square(rows.reward).mean(), rtol=1e-6)


def test_iql_at_the_middle_expectile_regresses_the_mean() -> None:
    """The gradient of V is that of half a mean squared error, so only its mean residual moves the bias."""
    agent = IQL(expectile=0.5, **NETS)
    state = lookup_iql(agent, [3.0, 4.0], 1.0)
    after, metrics = run_update(agent, state, batches(), KEY)
    np.testing.assert_allclose(metrics["value_loss"], 0.5 * 2.0**2, rtol=1e-6)
    np.testing.assert_allclose(after.value_opt.mu["MLP_0"]["Dense_1"]["bias"] / 0.1, [1.0 - 3.0], rtol=1e-5)


def linear_bc(loss: Any, rate: float = 0.0) -> tuple[BC, Any]:
    agent = BC(loss=loss, actor_hidden=(), learning_rate=rate)
    return agent, agent.init(KEY, SPACES)


def test_linear_bc_finds_the_weights_behind_the_actions() -> None:
    agent, state = linear_bc("mse", 0.02)
    rows, truth = batches(1500), jnp.array([[0.5, -0.3], [0.1, 0.4], [-0.6, 0.2]])
    rows = rows._replace(action=jnp.tanh(rows.obs @ truth + 0.1))
    after = run_update(agent, state, rows, KEY)[0].actor["mean"]
    np.testing.assert_allclose(after["kernel"], truth, atol=1e-3)
    np.testing.assert_allclose(after["bias"], [0.1, 0.1], atol=1e-3)


def test_least_squares_is_stationary_for_the_likelihood() -> None:
    """With a constant standard deviation the likelihood's best mean is the regression of `atanh(action)`."""
    agent, state = linear_bc("nll")
    rows = jax.tree.map(lambda x: x.reshape(1, -1, *x.shape[2:]), batches(4))  # 16 rows, 4 unknowns an output
    design = np.concatenate([rows.obs[0], np.ones((len(rows.obs[0]), 1))], axis=1)
    solution = np.linalg.lstsq(design, np.arctanh(rows.action[0]), rcond=None)[0]

    def slope(weights: Any) -> Any:
        actor = jax.tree.map(jnp.zeros_like, state.actor)
        actor["mean"] = {"kernel": jnp.asarray(weights[:-1]), "bias": jnp.asarray(weights[-1])}
        after = run_update(agent, dataclasses.replace(state, actor=actor), rows, KEY)[0]
        return np.concatenate([after.actor_opt.mu["mean"]["kernel"], after.actor_opt.mu["mean"]["bias"][None]])

    np.testing.assert_allclose(slope(solution.astype(np.float32)), 0.0, atol=1e-6)
    assert (np.abs(slope(np.zeros_like(solution, np.float32))) > 1e-4).all()


# ---- settings that must coincide -------------------------------------------------------------------------


def after_update(agent: Any, rows: Transition, *, dtype: Any = np.float32) -> Any:
    """The state after one update from `init`'s, computed in `dtype`."""
    state = agent.init(KEY, SPACES)
    with jax.enable_x64(dtype == np.float64):
        return jax.block_until_ready(run_update(agent, cast(state, dtype), cast(rows, dtype), KEY)[0])


def with_bound(rows: Transition, bound: float) -> Transition:
    return rows._replace(extras={"return_to_go": np.full(rows.reward.shape, bound)})


@pytest.mark.parametrize("sampled", [True, False])
def test_cal_ql_without_a_bound_is_cql(sampled: bool) -> None:
    settings: dict[str, Any] = {"lagrange": True, "cql_actions": 3, "importance_sampling": sampled, **NETS}
    rows = batches()
    cql = after_update(CQL(**settings), rows, dtype=np.float64)
    assert_same(cql, after_update(CalQL(**settings), with_bound(rows, -np.inf), dtype=np.float64), field_names(cql))
    bounded = after_update(CalQL(**settings), with_bound(rows, 9.0), dtype=np.float64)
    assert float(bounded.lagrange_opt.mu) < float(cql.lagrange_opt.mu) - 1.0  # lifted values: a larger gap


def test_cql_without_penalty_is_sac() -> None:
    rows, names = batches(), field_names(SAC(**NETS).init(KEY, SPACES))
    sac = after_update(SAC(**NETS), rows, dtype=np.float64)
    for other in (
        CQL(stage="plain", **NETS),
        CalQL(stage="plain", lagrange=True, **NETS),
        CQL(cql_weight=0.0, cql_actions=3, **NETS),
    ):
        assert_same(sac, after_update(other, rows, dtype=np.float64), names)


def test_rlpd_settings_with_one_critic_are_sac() -> None:
    """Mean and minimum, and both ways of drawing a subset, are the same thing over a single critic."""
    rows, one = batches(), SAC(critics=1, target_critics=1, **NETS)
    sac = after_update(one, rows, dtype=np.float64)
    rlpd = dataclasses.replace(one, actor_reduction="mean", subset_with_replacement=True)
    assert_same(sac, after_update(rlpd, rows, dtype=np.float64), field_names(sac))


def test_losses_reach_their_own_networks_only() -> None:
    rows = batches()
    strong = CQL(learning_rate=0.0, actor_learning_rate=1e-2, cql_weight=50.0, cql_actions=3, **NETS)
    base = after_update(strong, rows)
    weak = after_update(dataclasses.replace(strong, cql_weight=0.0), rows)
    assert_equal(base, weak, ["actor", "actor_opt", "critic"])  # the penalty is not in the actor's gradient
    other = after_update(strong, rows._replace(reward=rows.reward + 1.0))
    assert_equal(base, other, ["actor", "actor_opt"])  # nor is the TD error
    assert (base.critic_opt.mu["MLP_0"]["Dense_1"]["bias"] != weak.critic_opt.mu["MLP_0"]["Dense_1"]["bias"]).all()
    still = after_update(dataclasses.replace(strong, actor_learning_rate=0.0), rows)
    assert_equal(base, still, ["critic", "critic_opt", "target"])  # nor the actor's loss in the critics'
    assert (base.actor["mean"]["bias"] != still.actor["mean"]["bias"]).all()


def lagrange_run(form: str, raw: float, surplus: float, steps: int) -> list[float]:
    """The multiplier after each step of Adam at 3e-4 on -multiplier * surplus, in NumPy (form: exp or softplus)."""
    opt, found = ref.Adam(0, 0.0, 0.0), []
    for _ in range(steps):
        slope = np.exp(raw) if form == "exp" else 1.0 / (1.0 + np.exp(-raw))
        raw, opt = ref.adam_step(raw, -slope * surplus, opt, 3e-4)
        found.append(np.exp(raw) if form == "exp" else np.log1p(np.exp(raw)))
    return found


@pytest.mark.parametrize(
    ("form", "start", "up", "down"), [("exp", math.e, 127.6, 0.2562), ("softplus", 1.0, 3.671, 0.1248)]
)
def test_lagrange_multiplier_starts_and_moves_as_its_form_says(
    form: Any, start: float, up: float, down: float
) -> None:
    """A difference that stays on one side of the gap for 10,000 updates: Cal-QL's exponential is 35 times WSRL's."""
    agent, steps = CQL(lagrange=True, lagrange_form=form, target_gap=0.8, **NETS), 10_000
    raw = agent.init(KEY, SPACES).log_lagrange
    assert float(agent.multiplier(raw)) == pytest.approx(start, rel=1e-6)
    with jax.enable_x64(True):
        raw = jnp.float64(1.0 if form == "exp" else math.log(math.expm1(1.0)))

        @jax.jit
        def run(gap: Any) -> Any:
            def step(carry: Any, _: None) -> Any:
                carry = agent.lagrange_step(carry[0], carry[1], gap)
                return carry, agent.multiplier(carry[0])

            return jax.lax.scan(step, (raw, init_adam(raw)), None, steps)[1]

        for gap, last in ((0.8 + 0.3, up), (0.8 - 0.3, down)):
            expected = lagrange_run(form, float(raw), 5.0 * (gap - 0.8), steps)
            np.testing.assert_allclose(run(jnp.float64(gap)), expected, rtol=1e-9)
            assert expected[-1] == pytest.approx(last, rel=1e-3)


def test_hand_over_from_cql_to_sac_keeps_every_leaf() -> None:
    trained = after_update(CQL(cql_actions=3, **NETS), batches())
    online = CQL(stage="plain", **NETS)
    entered = online.enter(trained, KEY, Boundary(index=1))
    assert_equal(trained, entered, field_names(trained))
