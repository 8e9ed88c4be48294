"""Every agent on problems whose answers are known: values, discounting, ends of two kinds, the best action.

Rows come from the uniformly random policy (for behaviour cloning from a good one); the agent is used alone, without
`train`, unless it makes rollouts of its own. Rates are far above the published ones: networks and problems are tiny.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxo2o as o2o
from purejaxo2o.agents import (
    AWAC,
    BC,
    CQL,
    EDAC,
    FQL,
    H2O,
    HAC,
    HNPG,
    IQL,
    MOORL,
    PEX,
    PROTO,
    QC,
    RO2O,
    SAC,
    SO2,
    SPOT,
    TD3,
    TD3BC,
    CalQL,
    FamO2O,
    ReBRAC,
)
from purejaxo2o.agents.hybrid import Hybrid
from purejaxo2o.data import collect
from purejaxo2o.envs import make
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.extras import next_action, return_to_go
from purejaxo2o.loop.phases import online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.tasks import make as make_task

DISCOUNT = 0.9
ROWS, UPDATES, BATCH = 512, 1500, 64
ITERATIONS = 200
KEY = jax.random.key(0)
SIZES = {"hidden": (16, 16), "actor_hidden": (16, 16)}
RATES = {"learning_rate": 5e-3, "discount": DISCOUNT, "polyak": 0.1, **SIZES}
# Hardly any entropy bonus, and fixed: the soft values are then the plain ones.
SOFT = RATES | {"initial_temperature": 1e-2, "temperature_learning_rate": 0.0}
# A small penalty: values are conservative by it, but what is best stays best.
CONSERVATIVE = SOFT | {"cql_weight": 0.02, "cql_actions": 4}
HYBRID = {"learning_rate": 5e-3, "discount": DISCOUNT, "fit_steps": 10, **SIZES}
AGENTS = {
    "sac": SAC(**SOFT),
    "cql": CQL(**CONSERVATIVE),
    "cal_ql": CalQL(**CONSERVATIVE),
    "iql": IQL(**RATES, expectile=0.7, temperature=10.0),
    "td3": TD3(**RATES),
    "td3_bc": TD3BC(**RATES, bc_weight=0.1),
    "awac": AWAC(**RATES, temperature=0.1),
    "edac": EDAC(**SOFT, critics=4, target_critics=4, diversity_weight=0.01),
    "so2": SO2(**SOFT, critics=4, target_critics=4, stage="perturbed", target_noise=0.1),
    "spot": SPOT(**RATES, actor_learning_rate=5e-3, support_weight=0.05, vae_hidden=(16, 16)),
    "moorl": MOORL(**SOFT, meta_rate=0.5),
    "h2o": H2O(**SOFT, gap_weight=0.0, discriminator_hidden=(16, 16), samples=2),
    "pex": PEX(**RATES, expectile=0.7, temperature=10.0, evaluation_noise=0.0, stage="expanded"),
    "famo2o": FamO2O(**RATES, expectile=0.7, stage="adaptive"),
    # The offline stage, and no clip to speak of: an exponent beyond it teaches V nothing. Online values of actions
    # outside the box count, of which random rows say nothing (`tests/test_proto.py` has a problem without).
    "proto": PROTO(**RATES, layer_norm=False, temperature=10.0, max_exponent=50.0),
    # The pull's weight is that of the diversity term: small, since it lowers values.
    "ro2o": RO2O(**SOFT, critics=4, target_critics=4, neighbours=2, pull_weight=0.01),
    # Without LayerNorm: the observation is 0, and LayerNorm of a single number sees its sign, hardly its size.
    "rebrac": ReBRAC(**RATES, layer_norm=False, actor_penalty=0.05, critic_penalty=0.005),
    "fql": FQL(**RATES, layer_norm=False, alpha=0.05, flow_steps=3),
    # Longer chunks learn nothing here: most probes end after a step, which leaves no chunk whole.
    "qc": QC(**RATES, layer_norm=False, chunk=1, samples=32, flow_steps=3),
    "hnpg": HNPG(**HYBRID, kl_limit=0.03),
    "hac": HAC(**HYBRID, step_size=3.0, policy_steps=10),
}
LONG = {"hnpg", "hac"}
"""A quarter of a minute each problem, most of it compiling."""
VALUE_TOLERANCE = 0.1
"""Of values between -1 and 1; ten times that where the value is 10."""


@partial(jax.jit, static_argnames="space")
def trained(agent, space, data, key):
    """The agent's state after `UPDATES` minibatches."""
    key_init, key_run = jax.random.split(key)

    def body(state, key):
        key_sample, key_update = jax.random.split(key)
        if agent.chunk is None:
            batches = stores.sample(data, key_sample, (1, BATCH))
        else:
            batches, valid = stores.sample_chunks(data, key_sample, (1, BATCH), agent.chunk)
            batches = batches._replace(extras={"valid": valid})
        return agent.update(state, batches, key_update)[0], None

    return jax.lax.scan(body, agent.init(key_init, space), jax.random.split(key_run, UPDATES))[0]


def iterated(agent, env, data):
    """The state of an agent that learns from rollouts as well: `ITERATIONS` of `BATCH` rows and 4 minibatches."""
    phase = online(ITERATIONS * BATCH, feed="both", rollout=4, updates=4, batch_size=BATCH, segments=1)
    recipe = Recipe(name="probe", agent=agent, phases=(phase,), num_envs=BATCH // 4, store_rows=4, eval_episodes=1)
    return jax.jit(o2o.train)(KEY, recipe, make_task("probe", env), data).run.agent


def solved(agent, probe, policy=None):
    """The agent's state after learning from rows of the probe."""
    env = make(f"toy/{probe}")
    policy = collect.random_policy(env.action_space) if policy is None else policy
    data = collect.collect(env, policy, KEY, steps=ROWS, num_envs=ROWS // 2)
    rows = data.data
    known = return_to_go(rows.reward[:, 0], rows.terminated[:, 0], rows.last[:, 0], discount=DISCOUNT)
    following = jax.vmap(lambda a, last: next_action(a, last)[0], in_axes=1, out_axes=1)(rows.action, rows.last)
    data = stores.with_extras(data, {"return_to_go": known[:, None], "next_action": following})
    return iterated(agent, env, data) if isinstance(agent, Hybrid) else trained(agent, spaces(env), data, KEY)


def value(agent, state, obs):
    """What the agent expects from observation `obs` on."""
    obs = jnp.array([[float(obs)]])
    if isinstance(agent, IQL):
        return float(agent.value(state.value, obs)[0])
    action = agent.act(state, obs, KEY, explore=False)
    return float(agent.q(state.critic, obs, action).min())


def everywhere(function):
    rows = [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in AGENTS]
    return pytest.mark.parametrize("name", rows)(function)


@everywhere
def test_constant_value(name):
    """The value head and its loss: V = 1 whatever happens."""
    agent = AGENTS[name]
    assert value(agent, solved(agent, "constant-value"), 0) == pytest.approx(1, abs=VALUE_TOLERANCE)


@everywhere
def test_value_depends_on_the_observation(name):
    agent = AGENTS[name]
    state = solved(agent, "obs-value")
    assert value(agent, state, 1) == pytest.approx(1, abs=VALUE_TOLERANCE)
    assert value(agent, state, -1) == pytest.approx(-1, abs=VALUE_TOLERANCE)


@everywhere
def test_value_is_discounted(name):
    agent = AGENTS[name]
    state = solved(agent, "discount")
    assert value(agent, state, 1) == pytest.approx(1, abs=VALUE_TOLERANCE)
    assert value(agent, state, 0) == pytest.approx(DISCOUNT, abs=VALUE_TOLERANCE)


@everywhere
def test_truncation_goes_on_and_termination_does_not(name):
    """Both episodes end after one step with reward 1; only what was cut goes on."""
    agent = AGENTS[name]
    state = solved(agent, "truncation")
    assert value(agent, state, 0) == pytest.approx(1, abs=2 * VALUE_TOLERANCE)
    assert value(agent, state, 1) == pytest.approx(1 / (1 - DISCOUNT), abs=10 * VALUE_TOLERANCE)


@everywhere
def test_policy_finds_the_best_action(name):
    agent = AGENTS[name]
    state = solved(agent, "action-reward")
    action = agent.act(state, jnp.zeros((1, 1)), KEY, explore=False)
    assert float(action[0, 0]) == pytest.approx(0.5, abs=0.15)


def test_discrete_iql_finds_the_best_action():
    agent = AGENTS["iql"]
    state = solved(agent, "action-reward-discrete")
    assert int(agent.act(state, jnp.zeros((1, 1)), KEY, explore=False)[0]) == 1
    assert value(agent, state, 0) > 0.6  # the 0.7-expectile of 0, 1 and 0.5, each as likely: 0.64
    sampled = agent.act(state, jnp.zeros((200, 1)), KEY, explore=True)
    assert (np.asarray(sampled) == 1).mean() > 0.9  # exp(10 (1 - 0.5)) against 1


@pytest.mark.parametrize("loss", ["mse", "nll"])
def test_cloning_copies_a_policy_of_the_observation(loss):
    """Rows of a noisy policy that goes right from -1 and left from 1: the middle of its actions is learned."""
    agent = BC(learning_rate=5e-3, actor_hidden=(16, 16), loss=loss)
    policy = collect.noisy(lambda obs, key: -0.5 * obs, sigma=0.1)
    state = solved(agent, "obs-value", policy)
    actions = agent.act(state, jnp.array([[-1.0], [1.0]]), KEY, explore=False)
    np.testing.assert_allclose(actions[:, 0], [0.5, -0.5], atol=0.05)


def test_cloning_copies_discrete_actions_in_their_proportions():
    agent = BC(learning_rate=5e-3, actor_hidden=(16, 16))
    weights = jnp.log(jnp.array([0.1, 0.7, 0.2]))
    state = solved(agent, "action-reward-discrete", lambda obs, key: jax.random.categorical(key, weights))
    assert int(agent.act(state, jnp.zeros((1, 1)), KEY, explore=False)[0]) == 1
    sampled = np.asarray(agent.act(state, jnp.zeros((4000, 1)), KEY, explore=True))
    shares = np.bincount(sampled, minlength=3) / 4000
    np.testing.assert_allclose(shares, [0.1, 0.7, 0.2], atol=0.06)  # 512 rows: three standard deviations
