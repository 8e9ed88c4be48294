"""Offline-to-online reinforcement learning as one pure JAX function.

task = o2o.task("pointmaze-umaze")
data = o2o.dataset(task)
recipe = o2o.recipe("wsrl", task, scale="small")
result = jax.jit(o2o.train)(jax.random.key(0), recipe, task, data)

A loop of one's own learns and finds the same (jit the calls inside, `phase` is static):

    rows = o2o.prepare(recipe, task, data)                  # the dataset with what the agent needs besides
    run = o2o.init(key, recipe, task, rows)
    returns = [o2o.judge(run, recipe, task)]                # [episodes] of the greedy policy, before any training
    for phase, spec in enumerate(recipe.phases):
        run = o2o.enter(run, recipe, phase=phase)
        for _ in range(spec.segments):
            run, record = o2o.segment(run, recipe, task, rows, phase=phase)
            returns.append(o2o.judge(run, recipe, task, phase=phase))
"""

from purejaxo2o.data.collect import collect
from purejaxo2o.drive.fit import fit
from purejaxo2o.drive.sweep import sweep
from purejaxo2o.figures.report import report
from purejaxo2o.loop.agent import Agent
from purejaxo2o.loop.env import Env
from purejaxo2o.loop.phases import Boundary, Phase
from purejaxo2o.loop.policy import Policy
from purejaxo2o.loop.prepare import prepare
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import Result
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.settings import replace
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import names as recipes
from purejaxo2o.recipes import recipe
from purejaxo2o.study.run import run as study
from purejaxo2o.study.study import Study
from purejaxo2o.tasks import names as tasks
from purejaxo2o.tasks import task
from purejaxo2o.tasks.datasets import dataset
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.tasks.recorded import task_from_minari
from purejaxo2o.train import enter, init, judge, segment, train
from purejaxo2o.types import O2OError, Space, Spaces, Step, Transition, number, pytree, static

__all__ = [
    "Agent",
    "Boundary",
    "Env",
    "O2OError",
    "Phase",
    "Policy",
    "Recipe",
    "Result",
    "Run",
    "Space",
    "Spaces",
    "Step",
    "Store",
    "Study",
    "Task",
    "Transition",
    "collect",
    "dataset",
    "enter",
    "evaluate",
    "fit",
    "init",
    "judge",
    "number",
    "prepare",
    "pytree",
    "recipe",
    "recipes",
    "replace",
    "report",
    "segment",
    "static",
    "study",
    "sweep",
    "task",
    "task_from_minari",
    "tasks",
    "train",
]
