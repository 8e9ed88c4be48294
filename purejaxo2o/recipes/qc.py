"""Q-chunking: learn and explore with chunks of actions (Li, Zhou & Levine 2025, arXiv 2507.07969).

Idea: noise that changes at every step goes nowhere, and a reward h steps away takes h backups to arrive. Decide on h
actions at once, among what the data do: exploration is as coherent as the data, the backup spans h steps without bias
(equations in `agents/qc.py`).

Phases: offline; 5000 steps in which the pre-trained chunk policy acts and nothing learns; online with one update per
environment step, chunks drawn from dataset and replay store in proportion to their sizes. At the switch nothing
changes and nothing is reset. Every chunk is carried out to its end, in evaluations too, unless the episode ends.

`agent.policy="best_of_n"` (default) is QC: of 32 chunks that the flow proposes, the one with the highest value. It is
the default because it is what the paper calls its method and nothing in it must fit the scale of the values;
`agent.policy="distilled"` is QC-FQL, FQL's one-step policy with alpha 100, at a fourteenth of the cost. With
`agent.chunk=1` the two are best-of-n and FQL.

Defaults (authors' code): h = 5, 4 x 512, LayerNorm in the critics, learning rate 3e-4, batch 256, 10 flow steps,
discount 0.99, targets by the mean of the critics; mazes r - 1. Deviations: chunks that run past the newest row of the
replay store are drawn and count as cut there (theirs do not draw them); updates begin after the 5000th step (theirs
with it); recorded actions are not clipped to +-0.99999. Small: see `recipes/budget.py`; best of 8, 5 flow steps, 2000
steps of warm-up.

Use it with sparse rewards far away and data made of smooth, goal-directed behaviour. Not where an action must answer
to what was seen a step before: within a chunk nobody looks. `result.policy()` keeps no plan and decides anew at every
step. Cost per update relative to IQL, counted in network passes: 25 (the next chunk is the best of 32 flows of 10
steps), 4.2 when small; "distilled" 1.8.
"""

from purejaxo2o.agents import QC
from purejaxo2o.loop.phases import offline, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = QC(samples=8, flow_steps=5, **budget.ACTOR_CRITIC)
        phases = (
            offline(**budget.offline()),
            warmup(budget.POLICY_WARMUP),
            online(mix="by_size", agent={"learning_rate": 3e-4}, **budget.online(budget.POLICY_WARMUP)),
        )
    else:
        agent = QC()
        phases = (
            offline(1_000_000, segments=20),
            warmup(5_000),
            online(995_000, mix="by_size", segments=50),
        )
    return Recipe(
        name="qc",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 50,
    )
