"""SPOT: its schedule, what each stage changes, what the support term pulls on."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from test_closed_forms import KEY, NETS, SPACES, assert_equal, batches, field_names, run_update

from purejaxo2o.agents.delayed import DelayedState
from purejaxo2o.agents.spot import SPOT, SPOTState
from purejaxo2o.agents.td3_bc import TD3BC
from purejaxo2o.loop.phases import Boundary

SMALL: dict[str, Any] = {"vae_hidden": (4,), **NETS}
TWIN = [f.name for f in dataclasses.fields(DelayedState)]


def test_the_density_stage_trains_the_vae_alone_and_the_other_everything_else() -> None:
    agent = SPOT(delay=1, **SMALL)
    state = agent.init(KEY, SPACES)
    density, metrics = run_update(dataclasses.replace(agent, stage="density"), state, batches(2), KEY)
    assert set(metrics) == {"vae_loss"}
    assert_equal(state, density, TWIN)
    policy, metrics = run_update(agent, state, batches(2), KEY)
    assert {"actor_loss", "critic_loss", "support_loss"} <= set(metrics)
    assert_equal(state, policy, ["vae", "vae_opt"])


def test_weight_of_the_sheet_over_an_online_phase() -> None:
    """lam 0.25 with share 0.2 over a million: 0.25 at the start, 0.125 half-way, 0.05 from 800k on."""
    agent = SPOT(support_weight=0.25, support_weight_end=0.2, **SMALL)
    state, batch = agent.init(KEY, SPACES), jax.tree.map(lambda x: x[0], batches())
    state = agent.enter(state, KEY, Boundary(index=2, updates=1_000_000, minibatches=1_000_000))

    def loss(step: int, agent: SPOT = agent) -> Any:
        return agent.actor_loss(state.actor, dataclasses.replace(state, steps=jnp.int32(step)), batch, KEY)

    free, metrics = loss(0, dataclasses.replace(agent, support_weight=0.0))
    for step, weight in ((0, 0.25), (500_000, 0.125), (800_000, 0.05), (1_000_000, 0.05)):
        np.testing.assert_allclose(loss(step)[0] - free, weight * metrics["support_loss"], rtol=1e-3)


def test_without_the_support_term_it_is_td3_bc_without_cloning() -> None:
    agent = SPOT(support_weight=0.0, actor_learning_rate=None, **SMALL)
    other = TD3BC(alpha=1.0, bc_weight=0.0, **NETS)
    state = dataclasses.replace(agent.init(KEY, SPACES), steps=jnp.int32(1))
    twin = DelayedState(**{name: getattr(state, name) for name in TWIN})
    got, expected = run_update(agent, state, batches(), KEY)[0], run_update(other, twin, batches(), KEY)[0]
    for name in TWIN:
        for a, b in zip(jax.tree.leaves(getattr(got, name)), jax.tree.leaves(getattr(expected, name)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)


def test_optimisers_start_anew_only_where_asked() -> None:
    agent = SPOT(delay=1, **SMALL)
    trained = run_update(agent, agent.init(KEY, SPACES), batches(2), KEY)[0]
    at = Boundary(index=2, updates=10, minibatches=10)
    kept = agent.enter(trained, KEY, at)
    moments = ["actor_opt", "critic_opt"]
    assert_equal(trained, kept, [n for n in field_names(trained) if n not in ("steps", "span")])
    fresh = dataclasses.replace(agent, reset_optimisers=True).enter(trained, KEY, at)
    assert isinstance(fresh, SPOTState)
    assert_equal(trained, fresh, [n for n in field_names(trained) if n not in ("steps", "span", *moments)])
    assert all((x == 0).all() for name in moments for x in jax.tree.leaves(getattr(fresh, name)))
