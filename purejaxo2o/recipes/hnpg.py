"""HNPG: natural policy gradient whose critic also learns from offline data (Zhou et al. 2023, arXiv 2311.08384).

Idea: on-policy policy gradients explore poorly, off-policy methods on offline data break where the data or the class
of functions do not fit. Fit the critic to both, off-policy on the dataset and to plain returns on the rollout:
rewards that the policy has never seen are known from the dataset, and where that misleads the method falls back on
its on-policy guarantee. The policy follows the natural gradient at the states of both (equations in
`agents/hybrid.py` and `agents/hnpg.py`).

Phases: one, fed by rollouts of 1000 steps and by minibatches of the dataset. There is no pre-training, so the switch
is at the start; nothing is ever reset or kept, a rollout is learned from once. `agent.offline_share=0` is the
on-policy method, 1 learns from the dataset alone.

Defaults (authors' code): 30 full-batch Adam steps (3e-4) a round on as many offline as on-policy rows, critic 2 x 64,
policy 2 x 16, lambda 0.97, values from 10 sampled actions, KL 0.01, damping 0.1, 10 steps of conjugate gradients, a
step that brings more than a tenth of the gain its slope promises, whatever KL it comes to; rollouts of 1000 steps.
30M steps are the paper's count for a lock of 50 steps; the code as released stops after 1500 rollouts, 1.5M steps.
Deviations: one network for all time steps, so 10 rounds of fitting (theirs has a critic and a policy for each step of
the horizon, fits each critic once, backwards in time, and gives each policy a trust region of its own) and discount
0.99 (theirs is 1 with a fixed horizon: set `agent.discount=1` on the locks); the dataset's targets ask 10 actions too
(theirs: one); ReLU instead of tanh; hidden weights Xavier's with heads near zero (theirs: PyTorch's own, heads a
tenth of them); squashed instead of unbounded Gaussians; F from the rows' own scores (as in the paper) instead of the
Hessian of the KL divergence; the last iterate is the result (code; the paper returns a mixture).
Small: 10 environments, rollouts of 50 steps each, 5 rounds of 10 steps on 256 offline rows at learning rate 1e-3;
100,000 steps.

Use it when offline data are good in places, online steps are cheap and you need to be safe against misleading values.
Cost per minibatch relative to IQL's, with equal networks and batches and counted in network passes: 12, and 8 more
for the policy of each iteration.
"""

from typing import Any

from purejaxo2o.agents import HNPG
from purejaxo2o.loop.phases import online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task

SMALL: dict[str, Any] = {"learning_rate": 1e-3, "fit_steps": 10, "actor_hidden": (64, 64)}


def build(task: Task, scale: str) -> Recipe:
    return hybrid("hnpg", HNPG(**(SMALL if scale == "small" else {})), scale)


def hybrid(name: str, agent: Any, scale: str) -> Recipe:
    """A rollout and minibatches of the dataset from the first step on."""
    small = scale == "small"
    num_envs, rollout = (10, 50) if small else (1, 1_000)
    sizes = {"updates": 5, "batch_size": 256} if small else {"updates": 10, "batch_size": 1_000}
    steps, segments = (100_000, 20) if small else (30_000_000, 100)
    phase = online(steps, feed="both", rollout=rollout, mix="offline", segments=segments, **sizes)
    return Recipe(
        name=name,
        agent=agent,
        phases=(phase,),
        num_envs=num_envs,
        store_rows=rollout,
        eval_episodes=64 if small else 20,
    )
