"""BPPO: clone, then improve with PPO's objective alone, offline only (Zhuang et al. 2023, arXiv 2302.11312).

Idea: a ratio that is clipped keeps every policy near the one before it, so that a policy cloned from data can be
improved on data without a penalty (equations in `agents/bppo.py`).

Phases: fitting (policy, Q of recorded next actions, V of recorded returns); Q and V alone; improving, 20 minibatches
between two replacements of the old policy. Nobody acts.

Defaults (authors' code, from memory, unverified): policy 3 x 256, batch 512, all rates 1e-4, clip 0.25 that decays by
0.96 for 200 steps, omega 0.7 (mazes 0.9), gradient norm 0.5, 500k steps of cloning, 2M of values, 1k of improvement.
Deviations: two critics, their minimum; states not standardised; log-std clipped to [-5, 2]; the old policy is always
replaced, theirs where returns in the environment rose; Q and V 3 x 512 (theirs 2 x 1024 and 3 x 512).
Small: see `recipes/budget.py`; no phase for the values alone, 2000 steps of improvement without decay of the clip.

Use it to improve a clone a little at hardly any risk. Cost per update relative to IQL, counted in network passes: 0.9
while fitting, 0.4 while improving.
"""

from typing import Any

from purejaxo2o.agents import BPPO
from purejaxo2o.phases import Phase, Recipe, offline
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import CONSERVATIVE
from purejaxo2o.tasks import Task

VALUES, IMPROVE = (("stage", "values"),), (("stage", "improve"),)


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    settings: dict[str, Any] = {"asymmetry": 0.9 if task.domain == "maze" else 0.7}
    improve: dict[str, Any] = {"name": "improve", "updates": 20, "override_static": IMPROVE}
    if scale == "small":
        settings |= budget.ACTOR_CRITIC | {"clip_decay": 1.0}
        slower: dict[str, Any] = {"learning_rate": 3e-4}
        phases = [offline(**budget.offline())]
        phases += [Phase(steps=100, segments=4, batch_size=128, override=slower, **improve)]
    else:
        settings |= {"hidden": (512,) * 3, "actor_hidden": (256,) * 3}
        phases = [offline(500_000, batch_size=512, segments=5)]
        phases += [Phase(name="values", steps=1_500_000, batch_size=512, segments=15, override_static=VALUES)]
        phases += [Phase(steps=50, segments=5, batch_size=512, **improve)]
    episodes = 100 if task.domain == "maze" else 20
    return Recipe(
        name="bppo",
        agent=BPPO(**settings),
        phases=tuple(phases),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else episodes,
    )
