"""PROPS: PPO on old and new rollouts, collected so that together they look on-policy (arXiv 2311.08290).

Idea (Corrado & Hanna 2023): on-policy gradients need on-policy data, not on-policy sampling. A few thousand sampled
actions never have the frequencies that the policy gives them; a behaviour policy that takes more of what is missing
removes this sampling error faster than more samples do, and lets rollouts of older policies be used as well
(equations in `agents/props.py`).

Phases: one, fed by rollouts and the `history` before them; while there is none, rows come more than once. There is no
pre-training, so the switch is at the start. Evaluations are the target's, never the behaviour's.
With `online.mix="offline"` the last rows of the dataset are the first history: the behaviour begins with the actions
that they lack, the target learns from them too, and after `history` steps they are gone.

Defaults (authors' code): a target batch of 2048 steps and one before it (b = 2), 4 minibatches, discount 0.99, lambda
0.95, clip 0.2, both learning rates 1e-3 with Adam's epsilon 1e-5; the behaviour every 16 steps, 16 epochs of 4
minibatches, clip 0.3, KL limit 0.01; 301,056 steps. Box actions: the behaviour every 8 steps, KL limit 0.1, target
updates of 16 epochs and 16 minibatches, a million steps. b, the penalty's weight of 0.1 and the 10 epochs of the
target differ from version to version of the code. Its newest (d5d91bd) has b = 1, no penalty, 16 epochs of 16
minibatches for the target, values clipped and half a million steps with discrete actions; with boxes it samples
on-policy only, by 10 epochs of 32 minibatches at a falling rate. Two faults of it are not copied: with old rows
advantages are computed for the oldest rollout alone, and once the buffer is full the behaviour's first update leaves
the newest rollout out. Deviations: those of `agents/props.py` and `recipes/ppo.py`; values are not clipped,
observations and rewards not standardised, no entropy bonus for boxes.
Small: environments, rollouts, steps and Adam's epsilon of `ppo`; the behaviour every 8 steps of all environments, 4
epochs.

Use it where steps are dear and arithmetic is not, and an on-policy method is wanted. Cost per environment step
relative to PPO with the same rollouts and epochs, counted in network passes: 270 (boxes 340), small 23 (boxes 10),
nearly all of it the behaviour's.
"""

from typing import Any

from purejaxo2o.agents import PROPS
from purejaxo2o.loop.phases import online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import ppo

BATCHES = 2
PAPER: dict[str, Any] = {"learning_rate": 1e-3, "epochs": 10, "adam_eps": ppo.ADAM_EPS}
PAPER_BOX: dict[str, Any] = PAPER | {
    "epochs": 16,
    "minibatches": 16,
    "entropy_weight": 0.0,
    "pace": 8,
    "kl_limit": 0.1,
}
SMALL: dict[str, Any] = {"pace": 8, "behaviour_epochs": 4}


def build(task: Task, scale: str) -> Recipe:
    box = not task.env.action_space.discrete
    if scale == "small":
        alike = ppo.build(task, scale)
        settings: dict[str, Any] = SMALL | (ppo.BOX | {"kl_limit": 0.1} if box else {})
        rollout, num_envs, episodes = ppo.ROLLOUT, alike.num_envs, alike.eval_episodes
        steps, segments = alike.phases[0].steps, alike.phases[0].segments
    else:
        settings = PAPER_BOX if box else PAPER
        rollout, num_envs, episodes = 2_048, 1, 20
        steps, segments = (490 if box else 147) * rollout, 49
    history = (BATCHES - 1) * rollout
    phase = online(steps, feed="rollout", rollout=rollout, history=history, mix="online", segments=segments)
    return Recipe(
        name="props",
        agent=PROPS(**settings),
        phases=(phase,),
        num_envs=num_envs,
        store_rows=history + rollout,
        eval_episodes=episodes,
    )
