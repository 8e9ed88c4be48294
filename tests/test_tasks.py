"""Tasks: what may be one, and references that are none."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Slope, shrink

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.tasks import as_task, make
from purejaxo2o.types import O2OError, pytree, static

WRONG = [(3000.0, 7.0), (5, 5), (0.0, math.nan), (-math.inf, 1.0), (1.0,), (0.0, 1.0, 2.0), ("low", "high"), 5]
PENDULUM = "gymnax/Pendulum-v1"


@pytest.mark.parametrize("pair", WRONG, ids=str)
def test_a_reference_is_two_finite_numbers_in_order(pair):
    for ask in (
        lambda: o2o.task("pendulum", reference=pair),
        lambda: o2o.task(PENDULUM, reference=pair),
        lambda: make("mine", Slope(), reference=pair),
        lambda: o2o.task_from_minari("nobody/asked-v0", reference=pair),
    ):
        with pytest.raises(O2OError, match=r"reference .*give two finite numbers, low < high: the returns of"):
            ask()


@pytest.mark.parametrize("pair", [pair for pair in WRONG if isinstance(pair, tuple) and len(pair) == 2][:4], ids=str)
def test_a_task_is_not_made_with_another(pair):
    scores = dict(zip(("score_low", "score_high"), pair, strict=True))
    env = Slope()
    for ask in (
        lambda: o2o.Task(name="mine", env=env, eval_env=env, **scores),
        lambda: make("mine", env, **scores),
        lambda: dataclasses.replace(o2o.task("pendulum"), **scores),
    ):
        with pytest.raises(O2OError, match=r"task '.*': \(score_low, score_high\) .*low < high"):
            ask()


def test_references_that_are_arrays_are_checked_before_anything_is_traced():
    task = dataclasses.replace(o2o.task("reach"), score_low=jnp.array([0.0, 2.0]), score_high=jnp.array(1.0))
    recipe = shrink(o2o.recipe("sac", "reach", "small"))
    with pytest.raises(O2OError, match=r"task 'reach': \(score_low, score_high\) \(2.0, 1.0\)"):
        o2o.fit(jax.random.key(0), recipe, task, progress=False)


def test_scores_stay_numbers_that_can_be_swept():
    """JAX makes tasks of axes, shapes and tracers, too."""
    task = o2o.task("reach")
    scores = jax.vmap(lambda high: dataclasses.replace(task, score_high=high).score(1.0))(jnp.array([1.0, 2.0]))
    assert scores.tolist() == [100.0, 50.0]
    both = dataclasses.replace(task, score_low=jnp.zeros(2), score_high=jnp.array([1.0, 2.0]))
    assert jax.jit(lambda task: task.score(1.0))(both).tolist() == [100.0, 50.0]
    assert jax.vmap(lambda task: task.score(1.0), in_axes=(jax.tree.map(lambda _: 0, both),))(both).shape == (2,)


@pytree
class Unknown(Slope):
    """An environment of which no reference is known."""

    name: str = static(default="mine/unknown")


def test_without_a_reference_scores_are_returns():
    for task in (make("mine", Unknown()), o2o.task(Unknown()), o2o.task("maze/PointMaze_UMaze-v3")):
        assert task.raw
        assert task.score(np.array([-3.0, 250.0])).tolist() == [-3.0, 250.0]
    known = o2o.task(PENDULUM)
    assert (known.raw, known.score_low, known.score_high) == (False, -1200.0, -150.0)
    given = o2o.task(Unknown(), reference=(np.float32(0), 10))
    assert (given.raw, given.score_high) == (False, 10.0)


def test_an_environment_is_a_task_by_its_id_and_by_itself():
    for task in (o2o.task(PENDULUM), o2o.task(envs.make(PENDULUM)), as_task(envs.make(PENDULUM)), as_task(PENDULUM)):
        assert (task.name, task.env, task.eval_env, task.dataset) == (PENDULUM, *2 * [envs.make(PENDULUM)], None)
    assert as_task(task) is task
    maze = o2o.task("maze/PointMaze_UMaze-v3", limit=50, physics="mujoco<=3.4")
    assert (maze.env.horizon, maze.env.physics) == (50, "mujoco<=3.4")
    assert (maze.domain, maze.fail_reward) == ("maze", 0.0)
    assert o2o.task("maze/PointMaze_UMazeDense-v3").fail_reward is None


def test_names_of_tasks_are_taken_where_tasks_are():
    recipe = shrink(o2o.recipe("sac", "reach", "small"))
    assert recipe == shrink(o2o.recipe("sac", o2o.task("reach"), "small"))
    short = o2o.replace(recipe, {"online.steps": 20, "online.segments": 1})
    with pytest.raises(O2OError, match="unknown task 'reahc'; did you mean 'reach'"):
        o2o.fit(jax.random.key(0), short, "reahc")
    with pytest.raises(O2OError, match="unknown task 'reahc'; did you mean 'reach'"):
        o2o.sweep(short, "reahc")
    with pytest.raises(O2OError, match=r"task is 'reach'; give a Task: o2o.task\(name\)"):
        o2o.train(jax.random.key(0), short, "reach")
    with pytest.raises(O2OError, match="5 is no task; give a task, its name, or an environment"):
        o2o.recipe("sac", 5)
    found = o2o.evaluate(lambda obs, key: jnp.zeros((2, 1)), "reach", jax.random.key(0), episodes=2)
    assert found.lengths.tolist() == [20, 20]


@pytest.mark.parametrize("limit", [0, -3, 2.5, "many", True])
def test_a_limit_is_a_number_of_steps(limit):
    with pytest.raises(O2OError, match=r"limit is .*give a number of steps, at least 1"):
        o2o.task(PENDULUM, limit=limit)
    with pytest.raises(O2OError, match=r"limit is .*give a number of steps, at least 1"):
        o2o.dataset("nobody/asked-v0", limit=limit)


def test_what_a_task_of_its_own_has_cannot_be_chosen():
    with pytest.raises(O2OError, match="task 'pendulum' has its own limit; drop limit=7") as caught:
        o2o.task("pendulum", limit=7)
    assert "drop --limit 7" in caught.value.in_shell
    with pytest.raises(O2OError, match="made already has its own physics; drop"):
        o2o.task(envs.make(PENDULUM), physics="mujoco<=3.4")
    assert dataclasses.replace(o2o.task("pendulum"), dataset=Path("a/b.h5")).dataset == "a/b.h5"
