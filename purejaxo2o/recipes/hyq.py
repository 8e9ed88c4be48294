"""Hy-Q: Q-learning on offline and online rows in every minibatch (Song et al. 2023, arXiv 2210.06718).

Idea: fitted Q-iteration on the union of both needs neither optimism nor pessimism; offline rows show where the reward
is, online rows correct what they do not cover.

Phases: uniformly random actions without updates; then one update per environment step, half dataset and half replay
rows. There is no pre-training, so the switch is at the start.

Defaults: those of `recipes/dqn.py`. Set `agent.discount=1` where an episode's length is part of the task (the
combination lock).
Deviations: this is the idea in the form of DQN, neither of the two programs that the authors published. Theirs for
the lock fits one small network per step of the horizon, backwards, by 499 Adam steps (2.5e-3, 512 rows of offline and
online data, no targets) a round, and lets only one uniformly random action follow a greedy roll-in; here one network,
epsilon-greedy exploration and one update per step. Theirs for Atari is a dueling double DQN with prioritised replay,
rewards squashed by a logarithm, a target copied every 10,000 steps, and whole minibatches from either the dataset (a
fifth of them, later ever fewer) or the replay store; half of every minibatch here is the theory's share.
Small: see `recipes/budget.py`.

Use it with discrete actions and data that see the goal. Cost per update relative to IQL, counted in network passes:
0.4.
"""

from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import dqn


def build(task: Task, scale: str) -> Recipe:
    return dqn.from_scratch("hyq", "fraction", scale)
