"""PPO from scratch, the on-policy baseline: no offline data (Schulman et al. 2017, arXiv 1707.06347).

Phases: one, fed by rollouts: 4 environments take 128 steps each, then 4 epochs of 4 minibatches.

Defaults (PureJaxRL's for classic control): 2 x 64, tanh, learning rate 2.5e-4 falling to 0, discount 0.99, lambda
0.95, clip 0.2, entropy 0.01, value 0.5, gradient norm 0.5; half a million steps. Box actions: 16 environments,
learning rate 1e-3, no entropy bonus, 10 epochs, a million steps. Deviations: weights are Xavier's with the
gain of theirs, not orthogonal; ratios of boxes know that actions are clipped.
Small: 32,768 steps, 131,072 for boxes, at a constant rate.
"""

from typing import Any

from purejaxo2o.agents import PPO
from purejaxo2o.phases import Recipe, online
from purejaxo2o.tasks import Task

ROLLOUT = 128
BOX: dict[str, Any] = {"learning_rate": 1e-3, "entropy_weight": 0.0, "epochs": 10}


def build(task: Task, scale: str) -> Recipe:
    box = not task.env.action_space.discrete
    num_envs = 16 if box else 4
    small = scale == "small"
    segments = 16 if small else 32
    steps = (131_072 if box else 32_768) if small else (1_048_576 if box else 524_288)
    return Recipe(
        name="ppo",
        agent=PPO(learning_rate_end=1.0 if small else 0.0, **(BOX if box else {})),
        phases=(online(steps, feed="rollout", rollout=ROLLOUT, mix="online", segments=segments),),
        num_envs=num_envs,
        store_rows=ROLLOUT,
        eval_episodes=64 if small else 20,
    )
