"""AWAC: one update rule offline and online (Nair et al. 2020, arXiv 2006.09359).

Idea: an off-policy critic and a policy that imitates recorded actions in proportion to their exponentiated
advantage (equations and the two published weightings in `agents/awac.py`).

Phases: offline; online with one update per environment step from the first step on, each row drawn from the union
of dataset and replay store; actions are sampled. Nothing is reset at the switch.

Defaults (CORL's code and configurations): exponential weights clipped at 100, 3 x 256, learning rate 3e-4, batch 256,
lambda 0.1 in mazes and adroit (mazes r - 1), 0.5 in adroit-binary (rlkit), 1/3 elsewhere. `--set
agent.weighting=softmax` gives the authors' self-normalised weights; their code (rlkit) has besides: batch 1024,
lambda 2 in locomotion and 0.5 for the hand, log-std in [-6, 0], a policy of 4 x 256 with a tanh around the mean (here
the mean is unbounded), critics of 2 x 256, weight decay of the policy, updates after every episode.
Deviations from CORL: states are as recorded (theirs: of mean 0 and deviation 1); weights are Xavier-uniform and
biases 0, the policy's output layer with gain 0.01 (theirs: PyTorch's default, hidden weights 1.7 times smaller at
width 256 and biases of the same size). Small: see `recipes/budget.py`.

Use it as the classic baseline: slow but without a dip where the data cover the task; in sparse mazes it does not
stitch (CORL: antmaze 18 before, 17 after fine-tuning).
Cost per update relative to IQL with equal networks, counted in network passes: 1.1.
"""

from purejaxo2o.agents import AWAC
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

TEMPERATURE = {"maze": 0.1, "toy": 0.1, "adroit": 0.1, "adroit-binary": 0.5}


def build(task: Task, scale: str) -> Recipe:
    temperature = TEMPERATURE.get(task.domain, 1 / 3)
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    if scale == "small":
        agent = AWAC(temperature=temperature, **budget.ACTOR_CRITIC)
        phases = (
            offline(**budget.offline()),
            online(mix="by_size", agent={"learning_rate": 3e-4}, **budget.online()),
        )
    else:
        agent = AWAC(temperature=temperature)
        phases = (offline(1_000_000, segments=20), online(1_000_000, mix="by_size", segments=50))
    return Recipe(
        name="awac",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
