"""JSRL: the offline policy leads the way into every episode, ever less far (Uchendu et al. 2023, arXiv 2204.02372).

Idea: a policy that is good for a while is a curriculum of start states for another one (`agents/jsrl.py`).

Phases: offline IQL; online IQL with one update per step, each row drawn from the union of dataset and replay store,
in which the frozen offline policy acts for the first h steps of every episode. At the switch the learner starts with
the guide's networks (the paper's better choice, unverified; `agent.fresh_learner=True`: from scratch).

Defaults: IQL's (see `recipes/iql.py`); ten stages from H = 60 steps in mazes (a port's setting for the smallest), 300
elsewhere (ours). Not compared with any code of the authors. Deviation: stages by time, not by evaluation (see the
agent's file).
Small: see `recipes/budget.py`.

Use it when offline data are scarce, and where exploring from the start state alone would not get far. Cost per update
relative to IQL: 1; acting asks two policies.
"""

from typing import Any

from purejaxo2o.agents import JSRL
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.iql import EXPECTILE_TEMPERATURE
from purejaxo2o.recipes.rewards import SHIFTED

GUIDED: dict[str, Any] = {"stage": "guided"}
HORIZON, IN_MAZES = 300.0, 60.0


def build(task: Task, scale: str) -> Recipe:
    expectile, temperature = EXPECTILE_TEMPERATURE.get(task.domain, (0.7, 3.0))
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    settings: dict[str, Any] = {
        "expectile": expectile,
        "temperature": temperature,
        "guide_horizon": IN_MAZES if task.domain in ("maze", "toy") else HORIZON,
    }
    if scale == "small":
        agent = JSRL(**settings, **budget.ACTOR_CRITIC)
        last = online(mix="by_size", agent=GUIDED | {"learning_rate": 3e-4}, **budget.online())
        phases = (offline(**budget.offline()), last)
    else:
        agent = JSRL(**settings)
        last = online(1_000_000, mix="by_size", segments=50, agent=GUIDED)
        phases = (offline(1_000_000, segments=20), last)
    return Recipe(
        name="jsrl",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
