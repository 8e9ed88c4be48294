"""Every recipe on every kind of space: it runs, or says in one line that it does not. And in double precision."""

import jax
import jax.numpy as jnp
import pytest
from tiny import Slope, Stairs, shrink, tiny

import purejaxo2o as o2o
from purejaxo2o.loop import store
from purejaxo2o.loop.prepare import check
from purejaxo2o.tasks import make
from purejaxo2o.types import Space, pytree, transition_example


def pictured(obs):
    return jnp.broadcast_to(obs, (4, 5, 2)).astype(jnp.uint8)


@pytree
class Picture(Slope):
    """`Slope` that shows images."""

    obs_space = Space(shape=(4, 5, 2), dtype="uint8")

    def reset(self, key):
        state, obs = super().reset(key)
        return state, pictured(obs)

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step._replace(obs=pictured(step.obs))


@pytree
class PictureStairs(Stairs):
    """`Stairs` that shows images."""

    obs_space = Picture.obs_space

    def reset(self, key):
        state, obs = super().reset(key)
        return state, pictured(obs)

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step._replace(obs=pictured(step.obs))


KINDS = {
    "vectors and choices": Stairs(),
    "images and choices": PictureStairs(),
    "images and boxes": Picture(),
}
RUN = {
    "vectors and choices": "awac bc bppo dqn hac hnpg hyq iql jsrl pex ppo ppo_il props uni_o4",
    "images and choices": "awac bc bppo dqn hac hnpg hyq iql jsrl pex ppo ppo_il props",
    "images and boxes": "bc ppo ppo_il props",
}
"""What runs where; everything else is refused. With vectors and boxes all but dqn and hyq run (`test_export.py`)."""


def traced(recipe, task):
    """The shapes of a whole run on a dataset of the task's spaces."""
    spaces = o2o.Spaces(task.env.obs_space, task.env.action_space)
    data = store.empty(transition_example(spaces), rows=400, envs=1)
    return jax.eval_shape(o2o.train, jax.random.key(0), recipe, task, data)


def is_fast(name, kind):
    """What is refused costs nothing; the rest takes as long as tracing does."""
    return name not in RUN[kind].split() or (name, kind) == ("pex", "images and choices")


CASES = [(name, kind) for kind in KINDS for name in o2o.recipes()]


@pytest.mark.parametrize(
    ("name", "kind"), [pytest.param(*case, marks=[] if is_fast(*case) else [pytest.mark.slow]) for case in CASES]
)
def test_every_recipe_runs_or_refuses(name, kind):
    task = make("kind", KINDS[kind], domain="toy")
    recipe = shrink(o2o.recipe(name, task))
    if name in RUN[kind].split():
        assert traced(recipe, task).returns.shape[1] == recipe.eval_episodes
        return
    with pytest.raises(o2o.O2OError) as error:
        check(recipe, task, None)  # before there are data, a folder or a trace
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", o2o.recipes())
@pytest.mark.parametrize("task", ["minatar-breakout", "cartpole", "pendulum", "pointmaze-umaze"])
def test_every_recipe_runs_or_refuses_built_in_tasks(name, task):
    task = o2o.task(task)
    recipe = shrink(o2o.recipe(name, task, scale="small"))
    recipe = o2o.replace(recipe, {"store_rows": None})
    try:
        check(recipe, task, None)
    except o2o.O2OError as error:
        if "got none; pass dataset" not in str(error):
            return
    assert traced(recipe, task).returns.shape[1] == recipe.eval_episodes


@pytest.mark.filterwarnings("error::FutureWarning")
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in ("ppo", "off2on") else [pytest.mark.slow]) for n in o2o.recipes()],
)
def test_every_recipe_traces_under_x64(name):
    recipe, task, data = tiny(name)
    with jax.enable_x64(True):
        result = jax.eval_shape(o2o.train, jax.random.key(0), recipe, task, data)
    for path, leaf in jax.tree_util.tree_leaves_with_path((result.run.agent, result.metrics, result.returns)):
        assert leaf.dtype != jnp.float64, jax.tree_util.keystr(path)
