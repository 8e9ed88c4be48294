"""Runs that users drive themselves: by the parts of `train`, over devices, and with JAX's own checks for NaN on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import UNOPTIMISED, distance, tiny

import purejaxo2o as o2o
from purejaxo2o.drive.sweep import seed_keys

KEY = seed_keys(1)[0]
HERE = Path(__file__).parent


def by_hand(key, recipe, task, data):
    """The loop of `help(purejaxo2o)`."""
    rows = o2o.prepare(recipe, task, data)
    run = o2o.init(key, recipe, task, rows)
    returns, records = [o2o.judge(run, recipe, task)], []
    for phase, spec in enumerate(recipe.phases):
        run = o2o.enter(run, recipe, phase=phase)
        for _ in range(spec.segments):
            run, record = o2o.segment(run, recipe, task, rows, phase=phase)
            returns.append(o2o.judge(run, recipe, task, phase=phase))
            records.append(record)
    return run, jnp.stack(returns), records


def test_a_loop_of_ones_own_is_train():
    recipe, task, data = tiny("hyq")  # acts, and learns from dataset and replay
    recipe = o2o.replace(recipe, {f"{phase.name}.segments": 1 for phase in recipe.phases})
    run, returns, records = jax.jit(by_hand, compiler_options=UNOPTIMISED)(KEY, recipe, task, data)
    whole = jax.jit(o2o.train, compiler_options=UNOPTIMISED)(KEY, recipe, task, data)
    assert distance(returns, whole.returns) <= 1e-5
    assert distance(run.agent, whole.run.agent) <= 1e-5
    assert distance(run.store, whole.run.store) <= 1e-5
    np.testing.assert_allclose(records[-1].metrics["critic_loss"], whole.metrics["critic_loss"][-1], rtol=1e-5)


def test_a_loop_of_ones_own_is_trains_where_rows_need_more():
    """Cal-QL needs returns-to-go: once a `KeyError` for those who could not prepare the dataset."""
    recipe, task, data = tiny("cal_ql")
    recipe = o2o.replace(recipe, {f"{phase.name}.segments": 1 for phase in recipe.phases})
    shapes = jax.eval_shape(by_hand, KEY, recipe, task, data)
    whole = jax.eval_shape(o2o.train, KEY, recipe, task, data)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes[0]) == jax.tree.map(
        lambda x: (x.shape, x.dtype), whole.run
    )
    run = jax.eval_shape(lambda key: o2o.init(key, recipe, task), KEY)
    with pytest.raises(o2o.O2OError, match=r"lacks the extras \['return_to_go'\]; pass o2o\.prepare\("):
        jax.eval_shape(lambda run: o2o.segment(run, recipe, task, data, phase=0), run)


def test_no_episode_is_nan_in_results_and_zero_in_records():
    recipe, task, data = tiny("dqn")
    recipe = o2o.replace(recipe, {"online.steps": 4, "online.segments": 2, "num_envs": 2})  # episodes take 20
    with jax.debug_nans(True):
        result = o2o.fit(KEY, recipe, task, data, progress=False)
    assert np.isnan(result.metrics["train_return"][-1])
    assert result.metrics["train_episodes"][-1] == 0
    assert bool(result.finite.all())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bc", "iql", "sac", "wsrl", "td3_bc", "ppo", "fql", "hnpg", "uni_o4", "off2on"])
def test_runs_go_to_their_end_under_debug_nans(name):
    recipe, task, data = tiny(name)
    with jax.debug_nans(True):
        result = o2o.fit(KEY, recipe, task, data, progress=False)
    assert bool(result.finite.all())
    assert np.isnan(next(iter(result.metrics.values()))[0])  # nothing is learned before the first segment


SHARDED = """
import sys; sys.path.insert(0, {here!r})
import json, jax, conftest
import numpy as np
from jax.sharding import Mesh, PartitionSpec as P
import purejaxo2o as o2o
from purejaxo2o.loop.seeds import seed_keys
from tiny import UNOPTIMISED, tiny

recipe, task, data = tiny("dqn")
recipe = o2o.replace(recipe, {{f"{{p.name}}.segments": 1 for p in recipe.phases}})
mesh, keys = Mesh(np.array(jax.devices()), ("lane",)), seed_keys(2)

def one(keys, recipe, task, data):
    result = o2o.train(keys[0], recipe, task, data)
    return result.returns[None], jax.tree.map(lambda x: x[None], result.run.agent.critic)

@jax.jit
def solo(key):
    result = o2o.train(key, recipe, task, data)
    return result.returns, result.run.agent.critic

specs = (P("lane"), P(), P(), P())
sharded = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=P("lane")), compiler_options=UNOPTIMISED)
found = sharded(keys, recipe, task, data)
alone = [solo(key) for key in keys]
apart = jax.tree.map(lambda x, *xs: float(np.abs(np.asarray(x) - np.stack(xs)).max()), found, *alone)
print(json.dumps([len(jax.devices()), max(jax.tree.leaves(apart))]))
"""


def test_train_is_spread_over_devices_by_shard_map_as_it_is():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    code = SHARDED.format(here=str(HERE))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    devices, apart = json.loads(done.stdout.splitlines()[-1])
    assert devices == 2
    assert apart <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", o2o.recipes())
def test_every_recipe_is_traced_within_shard_map(name):
    """On a mesh of one device: the types say whether its loops begin with what they go on with."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("lane",))
    specs = (jax.P("lane"), jax.P(), jax.P(), jax.P())

    def one(keys, recipe, task, data):
        return o2o.train(keys[0], recipe, task, data).returns[None]

    sharded = jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=jax.P("lane"))
    assert jax.eval_shape(sharded, seed_keys(1), *tiny(name)).shape[0] == 1
