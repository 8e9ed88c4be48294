"""RLPD: no pre-training; half of every minibatch is offline data (Ball et al. 2023, arXiv 2302.02948).

Idea: off-policy RL can use data without any offline method, if every minibatch holds half of them, LayerNorm keeps
values of unseen actions from growing without bound, and a large ensemble allows many updates per step.

Phases: uniformly random actions without updates; then 20 critic minibatches per environment step, each with
exactly half dataset and half replay rows, and one policy step on the last of them.

Defaults (authors' code): 10 critics with LayerNorm, the policy maximises their mean, target entropy -A/2,
learning rate 3e-4, 5000 random steps; locomotion 2 x 256, entropy in the backup, 2 of 10 in the target;
mazes 3 x 256, no entropy in the backup, 1 of 10, r - 1; adroit-binary 3 x 256, no entropy, 2 of 10, raw rewards,
1M steps. D4RL's dense hands, which neither paper nor code has, are treated as locomotion.
Deviations: the random steps come on top of the budget (theirs are part of it); in adroit-binary recorded terminations
stay (theirs drops them all, so that values go on beyond them); policy heads start with gain 0.01 (theirs 1, see
`networks.py`); recorded actions are not clipped to +-0.99999.
Small: see `recipes/budget.py`; 4 critics, 2 minibatches a step.

Use it where early failures online are allowed: there is no policy to begin with, and in the end it is hard to beat.
Cost per minibatch relative to IQL with equal networks, counted in network passes: 2.1 with 10 critics, twenty of them
a step.
"""

from typing import Any

from purejaxo2o.agents import SAC
from purejaxo2o.loop.phases import online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

SPARSE: dict[str, Any] = {"hidden": (256,) * 3, "actor_hidden": (256,) * 3, "backup_entropy": False}
DOMAINS: dict[str, dict[str, Any]] = {
    "maze": SPARSE | {"target_critics": 1},
    "toy": SPARSE | {"target_critics": 1},
    "adroit-binary": SPARSE,
}
ONLINE_STEPS = {"maze": 300_000, "adroit-binary": 1_000_000}


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    settings: dict[str, Any] = {
        "critics": 10,
        "target_critics": 2,
        "actor_reduction": "mean",
        "target_entropy_scale": 0.5,
        "layer_norm": True,
        **DOMAINS.get(task.domain, {}),
    }
    if scale == "small":
        settings |= budget.ACTOR_CRITIC | {"critics": budget.CRITICS}
        mixed = budget.online(budget.RANDOM_WARMUP) | {"mix": "fraction", "offline_fraction": 0.5, "updates": 2}
        phases = (warmup(budget.RANDOM_WARMUP, act="random"), online(**mixed))
    else:
        steps = ONLINE_STEPS.get(task.domain, 250_000)
        mixed = online(steps, mix="fraction", offline_fraction=0.5, updates=20, segments=50)
        phases = (warmup(5_000, act="random"), mixed)
    return Recipe(
        name="rlpd",
        agent=SAC(**settings),
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
