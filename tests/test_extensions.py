"""What users add is a first-class citizen: an agent, a recipe, an environment and data of their own, each through
`train`, `jit(vmap(train))`, `fit` with an interruption and a resume, `sweep`, and export."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from extensions import own_agent, own_world
from tiny import distance, lane, tiny

import purejaxo2o as o2o

KEY = jax.random.key(0)
TRAIN = jax.jit(o2o.train)


def cases():
    world, rows = own_world.task(), o2o.dataset(own_world.rows())
    iql, slope, data = tiny("iql")
    return {
        "an agent and a recipe": (own_agent.recipe(), slope, data),
        "an environment and arrays": (iql, world, rows),
        "all of it": (own_agent.recipe(), world, rows),
    }


CASES = cases()


def test_extensions_know_public_names_only():
    for path in Path(own_agent.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("purejaxo2o"), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "o2o":
                assert node.attr in o2o.__all__, (path, node.attr)


class Interrupted(Exception):
    pass


class Stop:
    """A sink that interrupts at the second row."""

    count = 0

    def write(self, row):
        self.count += 1
        if self.count == 2:
            raise Interrupted

    def close(self):
        pass


@pytest.mark.parametrize("case", [pytest.param(x, marks=[pytest.mark.slow] * (x != "all of it")) for x in CASES])
def test_it_trains_wherever_ours_do(case, tmp_path):
    recipe, task, data = CASES[case]
    solo = TRAIN(KEY, recipe, task, data)
    assert jnp.isfinite(solo.returns).all()
    batch = jax.jit(jax.vmap(o2o.train, in_axes=(0, None, None, None)))(jnp.stack([KEY, KEY]), recipe, task, data)
    assert distance(lane(batch, 1), solo) <= 1e-4
    with pytest.raises(Interrupted):
        o2o.fit(KEY, recipe, task, data, out=tmp_path / "run", sinks=[Stop()], save_every=1, progress=False)
    resumed = o2o.fit(KEY, recipe, task, data, out=tmp_path / "run", resume=True, progress=False)
    np.testing.assert_allclose(resumed.returns, solo.returns, atol=1e-4)
    other = o2o.replace(recipe, {"*.learning_rate": 0.01})
    with pytest.raises(o2o.O2OError, match=r"agent\.learning_rate"):
        o2o.fit(KEY, other, task, data, out=tmp_path / "run", resume=True, progress=False)
    swept = o2o.sweep(recipe, task, data, seeds=2, over={"*.learning_rate": [0.01, 0.1]}, progress=False)
    assert swept.axes == (("*.learning_rate", (0.01, 0.1)), ("seed", (0, 1)))
    jax.export.export(TRAIN, platforms=("cpu", "cuda", "tpu"))(KEY, recipe, task, data)


def test_the_boundary_and_the_stage_reach_it():
    recipe, task, data = CASES["all of it"]
    result = TRAIN(KEY, recipe, task, data)
    assert int(result.run.agent["entered"]) == 40 + 40
    assert [recipe.agent_in(phase).stage for phase in recipe.phases] == ["copy", "prefer"]
    assert np.mean(result.scores[-1]) > 50.0  # the corridor is easily learned: to the right


def test_numbers_of_an_environment_are_leaves():
    recipe, task, data = CASES["all of it"]
    calm = jax.jit(
        lambda wind: o2o.train(KEY, recipe, jax.tree.map(lambda x: x, _windy(task, wind)), data).scores[-1]
    )
    assert float(calm(0.0)) > float(calm(0.6))  # no way against that wind


def _windy(task, wind):
    env = own_world.Corridor(wind=wind)
    return o2o.Task(name=task.name, env=env, eval_env=env, score_low=0.0, score_high=1.0)


def test_it_is_rebuilt_out_of_its_folder(tmp_path):
    recipe, task, data = CASES["all of it"]
    result = o2o.fit(KEY, recipe, task, data, out=tmp_path / "run", progress=False)
    from purejaxo2o.drive.policies import load_policy

    obs = jnp.zeros((3, 2))
    np.testing.assert_allclose(load_policy(tmp_path / "run")(obs, KEY), result.policy()(obs, KEY), rtol=1e-6)
