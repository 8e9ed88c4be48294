"""SO2: perturbed value updates, and many of them (Zhang et al. 2024, arXiv 2312.07685).

Idea: values of a pessimistically trained ensemble are neither accurate nor in the right order; smooth them with
noise on the next action and let each critic follow its own target, often (equations in `agents/so2.py`).

Phases: offline EDAC; 5000 steps by the frozen policy without updates; online with 10 critic steps and one of the
policy per environment step, nine tenths of the rows from the dataset (each drawn with probability 0.9; the authors
concatenate 256 new and 2304 old ones). At the switch the rule changes (`stage="perturbed"`: no minimum in the target,
no diversity term). Networks and targets are carried; Adam's moments start anew, the temperature is 0.2 from then on.

Defaults (authors' code, branch `code`): those of `recipes/edac.py` offline; online rates of 1e-3 for critics and
policy, target noise 0.3 clipped at 0.6, batch 2560; 150k steps, the first 5000 among them. They load EDAC's networks
(3M steps, hopper with 50 critics) and fine-tune in locomotion only; other domains are ours.
Deviations: their old rows include the new ones, which push out the oldest; they take the time limits of hopper and
walker2d for ends online. In halfcheetah they ignore ends, of which there are none here but time limits. Small: see
`recipes/budget.py`; 4 critics, 4 critic steps, batch 128.

Use it with dense rewards, after EDAC. Cost relative to IQL with equal networks, counted in network passes: offline as
EDAC, online 2.6 per critic step with 10 critics.
"""

from typing import Any

from purejaxo2o.agents import SO2
from purejaxo2o.loop.phases import offline, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget, edac
from purejaxo2o.recipes.rewards import SHIFTED

PERTURBED: dict[str, Any] = {"stage": "perturbed", "reset_optimisers": True}
PERTURBED |= {"perturbed_temperature": 0.2, "temperature_learning_rate": 0.0}
RATES = {"learning_rate": 1e-3, "actor_learning_rate": 1e-3}


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    mixed: dict[str, Any] = {
        "mix": "ratio",
        "offline_ratio": 0.9,
        "offline_rows": "all",
    }
    if scale == "small":
        steps = budget.online(budget.RANDOM_WARMUP)
        phases = (
            offline(**budget.offline()),
            warmup(budget.RANDOM_WARMUP),
            online(updates=4, agent=budget.PUBLISHED_RATES | PERTURBED, **mixed, **steps),
        )
    else:
        phases = (
            offline(edac.OFFLINE_STEPS.get(task.domain, 1_000_000), segments=20),
            warmup(5_000),
            online(145_000, updates=10, batch_size=2560, segments=50, agent=RATES | PERTURBED, **mixed),
        )
    return Recipe(
        name="so2",
        agent=SO2(**edac.agent_settings(task.domain, scale)),
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
