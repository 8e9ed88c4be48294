"""SPOT: stay where the data have density, less and less so online (Wu et al. 2022, arXiv 2202.06239).

Idea: constrain the policy to the support of the data by a density model, not to the data's own actions (equations
in `agents/spot.py`, the model in `models/cvae.py`).

Phases: the VAE alone; offline; online with one update per environment step from the first step on, each row drawn
from the union of dataset and replay store, Gaussian exploration noise of 0.1. At the switch the policy's and the
critics' Adam moments start anew (CORL; the authors' code keeps them: set `reset_optimisers=False`); the VAE stays as
it is. Online the weight falls linearly until a share of it is left, w max(share, 1 - k / N), and the discount is
0.995 in mazes (CORL). The schedule counts minibatches, taking `num_envs` as 1.

Defaults (CORL's code and configurations): 2 x 256, policy 1e-4, critics 3e-4, batch 256, VAE 2 x 750 with 2 A
latents, rate 1e-3, KL weight 0.5, 100k steps; mazes r - 1, w = 0.25, share 0.2 (antmaze-umaze; larger mazes 0.05 and
0.025); adroit w = 1, share 0.5 (adroit-binary, unpublished, the same). Deviations: weights are Xavier-uniform and
biases 0 (theirs: PyTorch's default, hidden weights 1.7 times smaller at width 256 and biases of the same size),
output layers have gain 1 in the critics (theirs: within 3e-3) and 0.01 in the policy (within 1e-3); the exploration
noise is not clipped (theirs: at 0.5); w falls one minibatch later.
Small: see `recipes/budget.py`; VAE 2 x 64 for as long as the offline phase.

Use it where behaviour is mixed: a density allows what some of the data did, where imitation averages.
Cost per update relative to IQL, counted in network passes: 0.9 with a VAE of the policy's size for a single seed, 1.2
for batched seeds; more with the published VAE of 750 units.
"""

from typing import Any

from purejaxo2o.agents import SPOT
from purejaxo2o.loop.phases import Phase, offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

DENSITY: dict[str, Any] = {"name": "density", "agent": {"stage": "density"}}
SHARE = {"adroit": 0.5, "adroit-binary": 0.5}


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    settings: dict[str, Any] = {"support_weight": 0.25 if task.domain in ("maze", "toy") else 1.0}
    relaxed: dict[str, Any] = {"reset_optimisers": True, "support_weight_end": SHARE.get(task.domain, 0.2)}
    if task.domain in ("maze", "toy"):
        relaxed["discount"] = 0.995
    if scale == "small":
        settings |= budget.ACTOR_CRITIC | {"actor_learning_rate": None, "vae_hidden": (64, 64)}
        phases = (
            Phase(**DENSITY, **budget.offline()),
            offline(**budget.offline()),
            online(mix="by_size", agent=relaxed | {"learning_rate": 3e-4}, **budget.online()),
        )
    else:
        phases = (
            Phase(steps=100_000, segments=2, **DENSITY),
            offline(1_000_000, segments=20),
            online(1_000_000, mix="by_size", segments=50, agent=relaxed),
        )
    return Recipe(
        name="spot",
        agent=SPOT(**settings),
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
