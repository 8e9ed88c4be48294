"""BOORL: a bootstrapped ensemble, one member's proposal at a time (Hu et al. 2024, arXiv 2405.20984).

Idea: a pessimist learns slowly online, an optimist forgets; a Bayesian samples from what it believes. The belief is
an ensemble of TD3+BC learners, each trained on its own nine tenths of the data (equations in `agents/boorl.py`).

Phases: offline; 25000 steps in which the frozen ensemble acts by sampling members; online plain TD3 (no imitation, no
masks), 5 critic steps for one of the policies per environment step, on one half of replay rows and one of dataset
rows, to which those of the 25000 steps belong, too (`offline_rows="before"`). At the switch the rule changes
(`stage="free"`): critics' targets move at every critic step, the policy and its target at every fifth. All
targets become the networks (`reset_targets=True`); networks and Adam's moments are carried.

Defaults (authors' code): 5 members of 2 x 256, learning rate 3e-4, batch 256, alpha 2.5, kappa 1, noise 0.1, 1M steps
online, the 25000 among them. Their domain is locomotion; mazes r - 1 as `recipes/td3_bc.py`. Deviations: offline the
members share minibatches (theirs draw their own); weights as in `recipes/td3_bc.py`; the evaluation is always the
mean of the proposals, as in their published script (its option to begin episodes with the offline policy is off
there).
Small: see `recipes/budget.py`; 2000 steps of warm-up, 2 critic steps.

Use it where pessimism hurts online and a few members are affordable. Cost per update relative to IQL,
counted in network passes: 3.6 offline with 5 members; online 16 per environment step.
"""

from typing import Any

from purejaxo2o.agents import BOORL
from purejaxo2o.loop.phases import offline, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED


def freed(updates: int, **settings: Any) -> dict[str, Any]:
    """The online rule: one step of the policies after `updates` of the critics."""
    changes = {"stage": "free", "delay": updates, "prompt_targets": True, "reset_targets": True, **settings}
    return {"mix": "fraction", "offline_rows": "before", "updates": updates, "agent": changes}


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = BOORL(**budget.ACTOR_CRITIC)
        phases = (
            offline(**budget.offline()),
            warmup(budget.POLICY_WARMUP),
            online(**freed(2, learning_rate=3e-4), **budget.online(budget.POLICY_WARMUP)),
        )
    else:
        agent = BOORL()
        phases = (offline(1_000_000, segments=20), warmup(25_000), online(975_000, segments=50, **freed(5)))
    return Recipe(
        name="boorl",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
