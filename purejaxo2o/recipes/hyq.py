"""Hy-Q: Q-learning on offline and online rows in every minibatch (Song et al. 2023, arXiv 2210.06718).

Idea: fitted Q-iteration on the union of both needs neither optimism nor pessimism; offline rows show where the reward
is, online rows correct what they do not cover.

Phases: uniformly random actions without updates; then one update per environment step, half dataset and half replay
rows. There is no pre-training, so the switch is at the start.

Defaults: those of `recipes/dqn.py`, discount 1 where an episode's length is part of the task (the combination lock).
Deviation: the authors fit one network per step of the horizon, backwards, and let only one uniformly random action
follow a greedy roll-in; here it is the DQN form that they use for Atari, with epsilon-greedy exploration. Their Atari
protocol's shrinking share of offline rows is `online.offline_fraction` in phases of one's own.
Small: see `recipes/budget.py`.

Use it with discrete actions and data that see the goal. Cost per update relative to IQL, counted in network passes:
0.4.
"""

from purejaxo2o.phases import Recipe
from purejaxo2o.recipes import dqn
from purejaxo2o.tasks import Task


def build(task: Task, scale: str) -> Recipe:
    return dqn.from_scratch("hyq", "fraction", scale)
