"""PEX: the offline policy is kept, a new one is added, values choose (Zhang, Xu & Yu 2023, arXiv 2302.00935).

Idea: fine-tuning a policy overwrites what it knew; so freeze it, let a fresh policy propose as well, and let the
critics decide at every step (equations in `agents/pex.py`).

Phases: offline IQL; 5000 steps in which the composite policy acts and nothing learns; online with half dataset and
half replay rows in every minibatch, one update per step. At the switch the policy is frozen and a new one made, all
Adam moments start anew; critics, targets and V are carried (authors' code).

Defaults (authors' code): IQL with 2 x 256, learning rate 3e-4, batch 256, kappa 10; the README runs expectile 0.9 and
temperature 10 everywhere; mazes r - 1. Evaluation samples policy and choice with probability 0.1 each
(`agent.evaluation_noise=0`: greedy). Deviations: that of `agents/pex.py` (rows and critics see clipped actions); one
step goes V, policy, Q, targets as in IQL here (theirs: V, Q, targets, policy, Q's target with V before its step, and
offline the policy's weights too); Q's loss is a sum over the two critics (theirs: a mean); the offline policy's rate
is constant (theirs falls by a cosine); heads of policies start near zero (theirs Xavier's like all layers).
Small: see `recipes/budget.py`. What is imitated is as drawn there too, though it is no better: on pointmaze-umaze (8
seeds) the mean online score was 82.1 [81.1, 83.1], with `agent.imitates="clipped"` 83.4 [80.7, 86.1].

Use it when losing the offline policy's skill is worse than learning slowly. Right after the switch the return is
about the offline policy's, because the chooser trusts it. Cost per update relative to IQL,
counted in network passes: 1.5 online (both proposals are evaluated); acting asks both policies and the critics.
"""

from typing import Any

from purejaxo2o.agents import PEX
from purejaxo2o.loop.phases import offline, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

EXPANDED: dict[str, Any] = {"stage": "expanded"}


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = PEX(expectile=0.9, temperature=10.0, **budget.ACTOR_CRITIC)
        first, steps = offline(**budget.offline()), budget.POLICY_WARMUP
        rates = {"learning_rate": 3e-4, "actor_learning_rate": 1e-3}  # the policy is new
        last = online(mix="fraction", agent=EXPANDED | rates, **budget.online(budget.POLICY_WARMUP))
    else:
        agent, steps = PEX(expectile=0.9, temperature=10.0), 5_000
        first = offline(1_000_000, segments=20)
        last = online(1_000_000, mix="fraction", segments=50, agent=EXPANDED)
    return Recipe(
        name="pex",
        agent=agent,
        phases=(first, warmup(steps, agent=EXPANDED), last),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
