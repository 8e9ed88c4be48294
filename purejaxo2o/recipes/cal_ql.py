"""Cal-QL: calibrated offline values, then fine-tuning with the same loss (Nakamoto et al. 2023).

Idea: CQL pushes values below what the data's own policy earns, and online any new action looks better than the
learned ones. So values of the policies' actions are not pushed below recorded returns (`agents/cal_ql.py`).

Phases: offline; one episode's worth of steps without updates, because only finished episodes have a
return-to-go; online with half dataset and half replay rows in every minibatch, one update per step, the bound
still on, returns-to-go back-filled as episodes end. Nothing is reset.

Defaults as `recipes/cql.py`. Deviations, besides those there: the authors collect one whole episode and then make as
many updates; here they alternate step by step, the ratio is the same. Their pen-binary has 200k online steps, here 1M
as their other tasks (`online.steps`); their data of binary hands hold successful trajectories alone, which end at the
last success. CORL's Cal-QL of the dense hands drops the bound online and waits for no episode. Small: as there.

Use it where returns of the data are known and offline data may be kept online. Cost per update relative to IQL: that
of CQL.
"""

from purejaxo2o.agents import CalQL
from purejaxo2o.loop.phases import warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget, cql
from purejaxo2o.recipes.rewards import CONSERVATIVE


def build(task: Task, scale: str) -> Recipe:
    offline, online = cql.phases(task.domain, scale)
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    return Recipe(
        name="cal_ql",
        agent=CalQL(std="scaled", **cql.agent_settings(task.domain, scale)),
        phases=(offline, warmup(task.env.horizon), online),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
