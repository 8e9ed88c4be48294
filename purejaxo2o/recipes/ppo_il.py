"""PPO with imitation: clone a few demonstrations, then learn on-policy and go on cloning (arXiv 2304.09825).

Idea (Andres, Schäfer, Villar-Rodriguez, Albrecht & Del Ser 2023): where rewards are sparse and every episode is
another world, PPO may never see one; two good trajectories can decide whether it does. Cloning before is enough where
PPO learns by itself, hard worlds need it before and during (equations in `agents/ppo_il.py`).

Phases: offline, cloning; online, rollouts with five minibatches of demonstrations each. At the switch everything is
kept, V is as it was initialised. Before alone: `online.feed="rollout"`; during alone: without the first phase.

Defaults (the study, on MiniGrid): 3,000 cloning steps of 256 rows, 5 a rollout of 2,048 steps, clip 0.2, lambda 0.95,
learning rates 1e-4, ten million steps. Adam's epsilon 1e-5; epochs, minibatches, entropy and discount are `ppo`'s
there too.
Deviations: those of `agents/ppo_il.py` and `recipes/ppo.py` (their time-outs end the sum of rewards and their values
are clipped, too); gradients of policy and V are cut together (theirs: apart); grids go through a convolution first
(theirs are flattened); heads of the policy start near zero (theirs: orthogonal, gain 1).
Small: 500 cloning steps at 1e-3; rollouts, rates and Adam's epsilon of `ppo`, 8 environments, 131,072 steps.

Use it with few, good trajectories and discrete or box actions, online steps being cheap. Cost per update of cloning
relative to IQL, counted in network passes: 0.3; PPO's own comes on top.
"""

from typing import Any

from purejaxo2o.agents import PPOIL
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import ppo


def build(task: Task, scale: str) -> Recipe:
    alike = ppo.build(task, scale)
    small = scale == "small"
    settings: dict[str, Any] = {} if task.env.action_space.discrete else dict(ppo.BOX)
    settings |= {"imitation_learning_rate": 1e-3} if small else {"learning_rate": 1e-4, "adam_eps": ppo.ADAM_EPS}
    rollout, num_envs, steps, clones = (ppo.ROLLOUT, 8, 131_072, 500) if small else (2_048, 1, 10_240_000, 3_000)
    return Recipe(
        name="ppo_il",
        agent=PPOIL(**settings),
        phases=(
            offline(clones, batch_size=256, segments=1),
            online(
                steps,
                feed="both",
                rollout=rollout,
                mix="offline",
                updates=5,
                batch_size=256,
                segments=16 if small else 50,
                agent={"stage": "learn"},
            ),
        ),
        num_envs=num_envs,
        store_rows=rollout,
        eval_episodes=alike.eval_episodes,
    )
