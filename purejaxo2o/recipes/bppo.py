"""BPPO: clone, then improve with PPO's objective alone, offline only (Zhuang et al. 2023, arXiv 2302.11312).

Idea: a ratio that is clipped keeps every policy near the one before it, so that a policy cloned from data can be
improved on data without a penalty (equations in `agents/bppo.py`).

Phases: fitting (policy, Q of recorded next actions, V of recorded returns); Q and V alone; improving, 20 minibatches
between two replacements of the old policy. Nobody acts.

Defaults (authors' code, Dragon-Zhuang/BPPO at 0bb6e7d, main.py and what it imports; the same for every dataset, but
that it advises fewer steps where data are few): policy and Q 2 x 1024, V 3 x 512, one critic whose target moves every
second step by 0.005, batch 512, all rates 1e-4, omega 0.9, gradient norm 0.5, log-std at -5 + 5/2 (1 + tanh); 500k
steps of cloning, 2M of values, 1k of improvement, in which for the first 201 steps the clip falls by 0.96 each, from
0.24, and the rate by 0.98 every second, to 0.13 of it. Rewards as they are; time-outs end episodes for Q and V.
Two quirks made the published numbers. Q and V end in a ReLU (`nonnegative`): that is right where no reward is
negative, it cannot work where rewards are, and either network may be dead from the start. Theirs has it everywhere,
here it is on in locomotion alone, whose rewards are nearly all positive. Time-outs that end episodes
(`timeouts="end"`) are on everywhere.
Deviations: the old policy is replaced after every 20 steps; theirs after any step with a higher return in the
environment than ever before, and the best policy by such returns is what they report; so is the clone that they begin
with. Here the last clone and the last policy count. Q sees actions clipped into the box, theirs as they are sampled.
States are not standardised (a flag of theirs, off). Advantages are divided by their deviation over B rows, theirs
over B-1. Weights start Xavier-uniform, policy heads near 0; theirs orthogonal (policy) and torch's default (Q, V).
Returns of failures in sparse mazes are those of going on failing (0 without a transform of rewards).
Small: see `recipes/budget.py`; no phase for the values alone, 2000 steps of improvement, the rate falls linearly to 0
and the clip stays; targets move at every step; Q bootstraps through time-outs; mazes and toys: 10 r - 5.

Use it to improve a clone a little at hardly any risk. Cost per update relative to IQL, counted in network passes: 0.6
while fitting, 0.4 while improving.
"""

from typing import Any

from purejaxo2o.agents import BPPO
from purejaxo2o.loop.phases import Phase, offline
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget

PAPER: dict[str, Any] = {
    "hidden": (512,) * 3,
    "critic_hidden": (1024,) * 2,
    "actor_hidden": (1024,) * 2,
    "delay": 2,
    "learning_rate_end": 1.0,
    "rate_decay": 0.98,
}
SMALL: dict[str, Any] = budget.ACTOR_CRITIC | {"clip_decay": 1.0, "timeouts": "bootstrap"}
SPARSE = (10.0, -5.0)


def build(task: Task, scale: str) -> Recipe:
    settings: dict[str, Any] = {"asymmetry": 0.9, "critics": 1, "log_std": "tanh", "timeouts": "end"}
    improve: dict[str, Any] = {"name": "improve", "updates": 20}
    reward_scale, reward_bias = 1.0, 0.0
    if scale == "small":
        settings |= SMALL
        if task.domain in ("maze", "toy"):
            reward_scale, reward_bias = SPARSE
        phases = [offline(**budget.offline())]
        slower = {"stage": "improve", "learning_rate": 3e-4}
        phases += [Phase(steps=100, segments=4, batch_size=128, agent=slower, **improve)]
    else:
        settings |= PAPER | {"nonnegative": task.domain == "locomotion"}
        phases = [offline(500_000, batch_size=512, segments=5)]
        phases += [Phase(name="values", steps=1_500_000, batch_size=512, segments=15, agent={"stage": "values"})]
        phases += [Phase(steps=50, segments=5, batch_size=512, agent={"stage": "improve"}, **improve)]
    episodes = 100 if task.domain == "maze" else 20
    return Recipe(
        name="bppo",
        agent=BPPO(**settings),
        phases=tuple(phases),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else episodes,
    )
