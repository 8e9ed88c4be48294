"""TD3+BC: offline, then fine-tuning with the same loss (Fujimoto & Gu 2021, arXiv 2106.06860).

Idea: TD3 that also imitates; values are scaled to size one, so one weight fits every task (equations in
`agents/td3_bc.py`). The simplest policy constraint there is: the baseline for ReBRAC and SPOT.

Phases: offline; online with one update per environment step from the first step on, each row drawn from the union
of dataset and replay store, Gaussian exploration noise of 0.1. At the switch nothing is reset. The imitation term
stays: online it imitates the agent's own rows as well. `--set online.agent.bc_weight_end=0` lets it fall
linearly to zero over the online phase (in the spirit of Beeson & Montana 2022, arXiv 2211.11802).

Defaults (authors' code and CORL's): 2 x 256, learning rate 3e-4, batch 256, alpha 2.5, smoothing noise 0.2 clipped at
0.5, the policy and all targets every second step; mazes r - 1 (CORL). The paper is offline only; the online phase is
that of the other appending methods. Deviations: states are as recorded (theirs: of mean 0 and deviation 1); weights
are Xavier-uniform and biases 0, the policy's output layer with gain 0.01 (theirs: PyTorch's default everywhere,
hidden weights 1.7 times smaller at width 256 and biases of the same size).
Small: see `recipes/budget.py`.

Use it where the data are good and dense in what matters; mixed data in a maze are imitated too much.
Cost per update relative to IQL, counted in network passes: 0.7 for a single seed; 0.9 for batched seeds, where the
actor's step is computed at every step and dropped at every second one.
"""

from purejaxo2o.agents import TD3BC
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = TD3BC(**budget.ACTOR_CRITIC)
        phases = (
            offline(**budget.offline()),
            online(mix="by_size", agent={"learning_rate": 3e-4}, **budget.online()),
        )
    else:
        agent = TD3BC()
        phases = (offline(1_000_000, segments=20), online(1_000_000, mix="by_size", segments=50))
    return Recipe(
        name="td3_bc",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
