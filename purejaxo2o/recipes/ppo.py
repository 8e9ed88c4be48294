"""PPO from scratch, the on-policy baseline: no offline data (Schulman et al. 2017, arXiv 1707.06347).

Phases: one, fed by rollouts: 4 environments take 128 steps each, then 4 epochs of 4 minibatches.

Defaults (PureJaxRL's for classic control): 2 x 64, tanh, learning rate 2.5e-4 falling to 0, discount 0.99, lambda
0.95, clip 0.2, entropy 0.01, value 0.5, gradient norm 0.5, Adam's epsilon 1e-5; half a million steps. For box actions
our own: 16 environments, learning rate 1e-3, no entropy bonus, 10 epochs, a million steps.
Deviations: weights are Xavier's with the gain of theirs, not orthogonal; values are not clipped
(`agent.clip_values=True`: theirs); time-outs do not end the sum of rewards (theirs do); ratios of boxes know that
actions are clipped.
Small: 32,768 steps, 131,072 for boxes, at a constant rate. Adam's epsilon is its own 1e-8: heads start near zero,
hence so do gradients, whose steps 1e-5 shortens until they have grown, and there are 64 rollouts here, not 1024. On
CartPole (8 seeds) the mean score over the run was 70.9, with 1e-5 66.1.
"""

from typing import Any

from purejaxo2o.agents import PPO
from purejaxo2o.loop.phases import online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task

ROLLOUT = 128
ADAM_EPS = 1e-5
BOX: dict[str, Any] = {"learning_rate": 1e-3, "entropy_weight": 0.0, "epochs": 10}


def build(task: Task, scale: str) -> Recipe:
    box = not task.env.action_space.discrete
    num_envs = 16 if box else 4
    small = scale == "small"
    settings = {"learning_rate_end": 1.0} if small else {"learning_rate_end": 0.0, "adam_eps": ADAM_EPS}
    segments = 16 if small else 32
    steps = (131_072 if box else 32_768) if small else (1_048_576 if box else 524_288)
    return Recipe(
        name="ppo",
        agent=PPO(**settings, **(BOX if box else {})),
        phases=(online(steps, feed="rollout", rollout=ROLLOUT, mix="online", segments=segments),),
        num_envs=num_envs,
        store_rows=ROLLOUT,
        eval_episodes=64 if small else 20,
    )
