"""SAC from scratch: no offline data at all (Haarnoja et al. 2018). The baseline of every comparison.

Phases: uniformly random actions without updates, then one update per environment step.

Defaults: 2 critics, learning rate 3e-4, batch 256, 2 x 256, target entropy -A, entropy in the backup; rewards as
the domain's offline methods see them (10 r - 5 in mazes), so that curves are comparable.
Small: see `recipes/budget.py`. Cost per update relative to IQL, counted in network passes: 1.0.
"""

from purejaxo2o.agents import SAC
from purejaxo2o.loop.phases import online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import CONSERVATIVE


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = SAC(**budget.ACTOR_CRITIC)
        phases = (
            warmup(budget.RANDOM_WARMUP, act="random"),
            online(mix="online", **budget.online(budget.RANDOM_WARMUP)),
        )
        episodes = budget.EVAL_EPISODES
    else:
        agent = SAC()
        phases = (warmup(5_000, act="random"), online(500_000, mix="online", segments=50))
        episodes = 20
    return Recipe(
        name="sac",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=episodes,
    )
