"""Off2OnRL by numbers that can be worked out by hand, where it is CQL and SAC, what its losses reach."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from test_closed_forms import (
    ACT,
    KEY,
    NETS,
    OBS,
    SPACES,
    assert_equal,
    assert_same,
    batches,
    cast,
    constant,
    run_update,
)

from purejaxo2o.agents.cql import CQL
from purejaxo2o.agents.off2on import Off2On, Off2OnState
from purejaxo2o.agents.sac import SAC
from purejaxo2o.distributions import TanhNormal
from purejaxo2o.loop.phases import Boundary
from purejaxo2o.models import density_ratio
from purejaxo2o.types import Transition

JOINED: dict[str, Any] = {"stage": "balanced", "ratio_hidden": (4,), **NETS}


def thirds(minibatches: int = 1, **changes: Any) -> Transition:
    """The same rows drawn, offline and online."""
    rows = batches(minibatches, **changes)
    return jax.tree.map(lambda x: jnp.concatenate([x] * 3, axis=1), rows)


def started(agent: Off2On) -> Off2OnState:
    """Entered into the phase in which the members become one agent."""
    state = agent.enter(agent.init(KEY, SPACES), KEY, Boundary())
    assert isinstance(state, Off2OnState)
    return state


def test_ratio_loss_and_optimum_of_the_sheet() -> None:
    two = jnp.array([2.0])
    np.testing.assert_allclose(-jnp.log(2.0 / (two + 1.0)), 0.405465, rtol=1e-5)
    np.testing.assert_allclose(density_ratio.loss(two, two), 0.117783, rtol=1e-5)
    density = np.array([0.3, 0.7]), np.array([0.6, 0.4])  # online, offline
    optimum = density[0] / density[1]

    def loss(w: Any) -> Any:  # in expectation, over a space of two points
        each = [jnp.array([density_ratio.loss(w[i : i + 1], w[j : j + 1]) for j in range(2)]) for i in range(2)]
        return sum(density[0][i] * density[1][j] * each[i][j] for i in range(2) for j in range(2))

    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(optimum)), 0.0, atol=1e-6)


def test_a_fresh_ratio_is_near_one_and_learns_who_is_who() -> None:
    zeros = SPACES.obs.zeros(), SPACES.action.zeros()
    params = density_ratio.init((16,), KEY, *zeros)
    np.testing.assert_allclose(density_ratio.ratio((16,), params, *zeros), 1.0)

    def loss(params: Any, key: Any) -> Any:
        """Online observations around 1, offline ones around -1."""
        noise = jax.random.normal(key, (2, 64, OBS + ACT))
        w = [density_ratio.ratio((16,), params, x[:, :OBS], x[:, OBS:]) for x in (noise[0] + 1.0, noise[1] - 1.0)]
        return density_ratio.loss(*w)

    step = jax.jit(lambda p, key: jax.tree.map(lambda x, g: x - 0.05 * g, p, jax.grad(loss)(p, key)))
    for index in range(300):
        params = step(params, jax.random.key(index))
    sides = [density_ratio.ratio((16,), params, jnp.full(OBS, x), jnp.full(ACT, x)) for x in (1.0, -1.0)]
    assert sides[0] > 2.0
    assert sides[1] < 0.3


def test_priorities_of_the_sheet() -> None:
    """T = 5: 32 to 2, 1 to 1; the mean over the offline third divides; both ends are cut."""
    agent = Off2On(**JOINED)
    state = started(agent)
    w = jnp.array([32.0, 1.0, 0.0, 1e20])

    def ratio(params: Any, obs: Any, action: Any) -> Any:
        return w[obs[..., 0].astype(int) - 1]

    object.__setattr__(agent, "ratio", ratio)
    obs = jnp.array([1.0, 2.0, 3.0, 4.0] + [2.0] * 4 + [1.0] * 4)[None, :, None] * jnp.ones(OBS)
    found = agent.priorities(state, thirds()._replace(obs=obs))
    np.testing.assert_allclose(found, [[2.0, 1.0, 1e-3, 1e3]], rtol=1e-5)


def test_moments_of_the_mixture_are_matched_before_the_squashing() -> None:
    """Means 0 and 1, standard deviations 0.5 and 1: mean 0.5, variance (0.25 + 1 + 1) / 2 - 0.25."""
    agent = Off2On(members=2, **JOINED)
    parts = TanhNormal(jnp.array([[0.0], [1.0]]), jnp.log(jnp.array([[0.5], [1.0]])))
    object.__setattr__(agent, "policy", lambda actor, obs: actor)
    joined = agent.combined(parts, jnp.zeros(OBS))
    np.testing.assert_allclose(joined.mean, [0.5])
    np.testing.assert_allclose(jnp.exp(2 * joined.log_std), [0.875], rtol=1e-5)


def test_offline_each_member_is_cql() -> None:
    rows, few = batches(2), {"cql_actions": 2, **NETS}
    agent = Off2On(members=3, ratio_hidden=(4,), **few)
    with jax.enable_x64(True):
        rows = cast(rows, np.float64)
        state = cast(agent.init(KEY, SPACES), np.float64)
        got = run_update(agent, state, rows, KEY)
        cql = CQL(**few)
        for e, key in enumerate(jax.random.split(KEY, 3)):
            own = {f.name: jax.tree.map(lambda x, e=e: x[e], getattr(state, f.name)) for f in _cql_fields(cql)}
            alone = run_update(cql, type(cql.init(KEY, SPACES))(**own), rows, key)[0]
            for name in own:
                pairs = zip(
                    jax.tree.leaves(getattr(got[0], name)), jax.tree.leaves(getattr(alone, name)), strict=True
                )
                for x, y in pairs:
                    np.testing.assert_allclose(x[e], y, rtol=1e-10, atol=1e-12, err_msg=name)
    assert_equal(state, got[0], ["ratio", "ratio_opt"])


def _cql_fields(cql: CQL) -> Any:
    return dataclasses.fields(cql.init(KEY, SPACES))


def test_one_member_joined_is_sac_up_to_the_order_of_steps() -> None:
    """The critics' step comes first in both; SAC averages over its two critics, which halves gradients alone."""
    agent = Off2On(members=1, **JOINED)
    state = started(agent)
    rows = thirds()
    got = run_update(agent, state, rows, KEY)[0]
    sac = SAC(temperature_form="linear", **NETS)
    own = {
        f.name: jax.tree.map(lambda x: x[0], getattr(state, f.name))
        for f in dataclasses.fields(sac.init(KEY, SPACES))
    }
    alone = type(sac.init(KEY, SPACES))(**own)
    key_next, _ = jax.random.split(jax.random.split(KEY, 1)[0])
    first = jax.tree.map(lambda x: x[0], batches())
    next_action, log_prob = sac.policy(alone.actor, first.next_obs).sample_and_log_prob(key_next)
    value = sac.q(alone.target, first.next_obs, next_action).min(axis=0) - log_prob
    y = first.reward + sac.discount * jnp.where(first.terminated, 0.0, value)
    gradient = jax.grad(lambda critic: jnp.square(sac.q(critic, first.obs, first.action) - y).mean())(alone.critic)
    for mu, g in zip(jax.tree.leaves(got.critic_opt.mu), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(mu[0], 0.1 * 2.0 * g, rtol=1e-4, atol=1e-6)


def test_every_member_bootstraps_from_its_own_critics() -> None:
    agent = Off2On(members=2, discount=0.5, **JOINED)
    state = started(agent)
    values = jnp.array([[1.0, 3.0], [10.0, 20.0]])
    constants = jax.vmap(constant)(state.critic, values)
    state = dataclasses.replace(state, critic=constants, target=constants, log_temperature=jnp.full(2, -jnp.inf))
    rows = thirds(reward=1.0, terminated=False)
    _, metrics = run_update(dataclasses.replace(agent, temperature_learning_rate=0.0), state, rows, KEY)
    # y = 1.5 and 6: squares (0.5, 1.5) and (4, 14).
    np.testing.assert_allclose(metrics["critic_loss"], 0.25 + 2.25 + 16.0 + 196.0, rtol=1e-5)
    np.testing.assert_allclose(metrics["actor_loss"], -(1.0 + 10.0) / 2, rtol=1e-5)


def test_each_third_reaches_its_own_networks_only() -> None:
    agent = Off2On(members=2, **JOINED)
    state, rows = started(agent), thirds()
    base = run_update(agent, state, rows, KEY)[0]

    def changed(part: slice) -> Any:
        obs = rows.obs.at[:, part].add(1.0)
        return run_update(agent, state, rows._replace(obs=obs), KEY)[0]

    drawn, offline, online = (changed(slice(4 * i, 4 * i + 4)) for i in range(3))
    assert_equal(base, drawn, ["ratio", "ratio_opt"])
    soft = ["actor", "critic", "target", "log_temperature", "actor_opt", "critic_opt", "temperature_opt"]
    for other in (offline, online):
        assert_equal(base, other, soft)
        assert any(
            (a != b).any() for a, b in zip(jax.tree.leaves(base.ratio), jax.tree.leaves(other.ratio), strict=True)
        )
    for name in ("critic_opt", "actor_opt"):
        moments = [jax.tree.leaves(getattr(x, name).mu) for x in (base, drawn)]
        assert any((a != b).any() for a, b in zip(*moments, strict=True))


def test_the_switch_happens_once() -> None:
    offline, online = Off2On(members=2, ratio_hidden=(4,), **NETS), Off2On(members=2, **JOINED)
    state = offline.init(KEY, SPACES)
    state = run_update(offline, state, batches(2), KEY)[0]
    at = Boundary(index=1, before=offline)
    assert_equal(state, offline.enter(state, KEY, at), ["actor_opt", "target"])
    joined: Any = online.enter(state, KEY, at)
    assert_equal(state, joined, ["actor", "critic", "ratio"])
    assert_same(dataclasses.replace(state, target=state.critic), joined, ["target"])
    assert not any(x.any() for x in jax.tree.leaves((joined.actor_opt, joined.critic_opt, joined.temperature_opt)))
    assert not joined.log_temperature.any()
    kept: Any = dataclasses.replace(online, joined_temperature=None).enter(state, KEY, at)
    np.testing.assert_allclose(kept.log_temperature, state.log_temperature.mean())
    later = run_update(online, joined, thirds(), KEY)[0]
    assert_equal(
        later, online.enter(later, KEY, Boundary(index=2, before=online)), [f.name for f in dataclasses.fields(later)]
    )
    np.testing.assert_array_equal(later.log_temperature, later.log_temperature[0])
