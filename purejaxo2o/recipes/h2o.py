"""H2O: real data help an imperfect simulator, and the other way round (Niu et al. 2022, arXiv 2206.13464).

Idea: the dataset is real, online steps are simulated with other dynamics; trust simulated steps as far as they could
have been real (equations in `agents/h2o.py`). So `task.env` is the simulator, `task.eval_env` and the data are real:
`dataclasses.replace(task, env=envs.make(..., g=20.0))`.

Phases: steps by the fresh policy without updates, then one update per simulated step, half real and half simulated
rows. There is no pre-training, so the switch is at the start.

Defaults (authors' code): SAC with 2 x 256, learning rate 3e-4, batch 256, no entropy in the backup, beta 0.01, ten
neighbours of the next state; 1000 steps before the first update; the policy's log-std has a trained scale and a
trained offset, and its std starts at 0.37. Next states are blurred by the standard deviation of a buffer that is
still empty in ten of eleven rows (`filled=1/11`): by about 0.3 of the data's own where their mean is near zero, by
more elsewhere. The published numbers were made with it; `agent.filled=1` blurs by the data's own. Deviations: a
step, then an update (theirs: a thousand of each in turns); Xavier-uniform weights (theirs: PyTorch's, see
`networks.py`). Rewards as the domain's offline methods see them.
Small: see `recipes/budget.py`.

Use it where only a simulator with wrong gravity, friction or mass can be tried. Cost per update relative to IQL,
counted in network passes: 2, most of it the classifiers at ten neighbours of every simulated row.
"""

from typing import Any

from purejaxo2o.agents import H2O
from purejaxo2o.loop.phases import online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import CONSERVATIVE

CODE: dict[str, Any] = {"std": "scaled", "filled": 1 / 11}
"""What the authors' code does besides."""


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = H2O(**CODE, **budget.ACTOR_CRITIC, discriminator_hidden=(64, 64))
        phases = (warmup(budget.RANDOM_WARMUP), online(mix="fraction", **budget.online(budget.RANDOM_WARMUP)))
    else:
        agent = H2O(**CODE)
        phases = (warmup(1_000), online(1_000_000, mix="fraction", segments=50))
    return Recipe(
        name="h2o",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
