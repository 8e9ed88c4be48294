"""HAC: soft policy iteration whose critic also learns from offline data (Zhou et al. 2023, arXiv 2311.08384).

Idea: that of `recipes/hnpg.py`, with the policy re-weighted by exp(eta f_bar) at every iteration instead of a step
along the natural gradient (equations in `agents/hybrid.py` and `agents/hac.py`).

Phases: those of `recipes/hnpg.py`: one, from scratch, fed by rollouts and by minibatches of the dataset; the switch
is at the start. `agent.offline_share=0` is the on-policy method, 1 learns from the dataset alone.

Defaults: the evaluation's are HNPG's. The paper runs no experiment with HAC and its code has none; eta 1 and 30 Adam
steps for the policy are ours. Deviations: the policy is a network fitted to the re-weighted one, which the paper
keeps as a product; of those of `recipes/hnpg.py`, all that concern critic and networks.
Small: as HNPG's, and 10 steps for the policy.

Use it instead of HNPG with few discrete actions, where the re-weighted policy is a categorical as well and its loss
needs no samples. Cost per minibatch relative to IQL's, with equal networks and batches and counted in network passes:
12, and at most 50 more for the policy of each iteration with 10 discrete actions, 125 with boxes (30 steps, at each
of which the critic sees 10 actions).
"""

from typing import Any

from purejaxo2o.agents import HAC
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import hnpg

SMALL: dict[str, Any] = hnpg.SMALL | {"policy_steps": 10}


def build(task: Task, scale: str) -> Recipe:
    return hnpg.hybrid("hac", HAC(**(SMALL if scale == "small" else {})), scale)
