"""MOORL: adapt to data and to experience in turns, keep what both share (arXiv 2506.09574, TMLR 2025).

Idea: a Reptile meta-learner over two tasks, the dataset and the replay store; neither ensembles nor many updates are
needed (equations in `agents/moorl.py`).

Phases: uniformly random actions without updates; then one meta-epoch per environment step. There is no pre-training,
so the switch is at the start.

Defaults: not public. Here SAC with 2 x 256, learning rate 3e-4, batch 256 of either source (so minibatches of 512),
K = 5 inner steps, beta 0.5, sources equally likely. Rewards as the domain's offline methods see them.
Small: see `recipes/budget.py`; K = 2.

Use it as a light alternative to RLPD. Cost per update relative to IQL, counted in network passes: 1.6 an inner step.
"""

from purejaxo2o.agents import MOORL
from purejaxo2o.loop.phases import online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import CONSERVATIVE


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = MOORL(**budget.ACTOR_CRITIC)
        mixed = budget.online(budget.RANDOM_WARMUP) | {"batch_size": 256, "updates": 2}
        phases = (warmup(budget.RANDOM_WARMUP, act="random"), online(mix="fraction", **mixed))
    else:
        agent = MOORL()
        mixed_online = online(1_000_000, mix="fraction", batch_size=512, updates=5, segments=50)
        phases = (warmup(5_000, act="random"), mixed_online)
    return Recipe(
        name="moorl",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
