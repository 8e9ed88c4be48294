"""FQL: clone with a flow, act with a one-step policy that also maximises values (Park, Li & Levine 2025, 2502.02538).

Idea: data of many behaviours need a policy with many modes; a flow has them, but is slow to act and hard to improve.
So it only clones, and a policy without steps follows both the flow and the values (equations in `agents/fql.py`, the
flow in `models/flow.py`).

Phases: offline; online with one update per environment step from the first step on, each row drawn from the union
of dataset and replay store. At the switch nothing changes and nothing is reset: the loss is the same, the flow clones
whatever the union holds.

Defaults (authors' code): 4 x 512, LayerNorm in the critics, learning rate 3e-4, batch 256, 10 flow steps; mazes r -
1, alpha 10 (large mazes 3), targets by the mean of the critics; adroit alpha 1000 (relocate 10000), targets by their
minimum; adroit-binary, unpublished, as mazes without the shift: its rewards are -1 and 0, too. alpha must fit the
scale of the values: it is the one number to tune elsewhere (locomotion and kitchen are unpublished). Deviation:
recorded actions are not clipped to +-0.99999.
Small: see `recipes/budget.py`.

Use it where behaviour is multimodal and acting must be cheap (one pass). Cost per update relative to IQL, counted in
network passes: 1.8, a third of which are the flow's steps.
"""

from typing import Any

from purejaxo2o.agents import FQL
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

SETTINGS: dict[str, dict[str, Any]] = {"adroit": {"alpha": 1000.0, "target_reduction": "min"}}


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    settings = SETTINGS.get(task.domain, {})
    if scale == "small":
        agent = FQL(**settings, **budget.ACTOR_CRITIC)
        phases = (
            offline(**budget.offline()),
            online(mix="by_size", agent={"learning_rate": 3e-4}, **budget.online()),
        )
    else:
        agent = FQL(**settings)
        phases = (offline(1_000_000, segments=20), online(1_000_000, mix="by_size", segments=50))
    return Recipe(
        name="fql",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 50,
    )
