"""DQN from scratch, the baseline with discrete actions: no offline data (Mnih et al. 2015).

Phases: uniformly random actions without updates, then one update per environment step.

Defaults (ours): double, 2 x 256, learning rate 3e-4, batch 256, Polyak targets (0.005), discount 0.99, 5% random
actions after 5000 random steps; half a million steps. Deviations from the paper, whose tasks are Atari's: no stack of
frames, one small convolution for images; Adam on the squared error instead of RMSProp on a clipped one; targets that
follow instead of copies every 10,000 steps; constant exploration; an update at every step instead of every fourth.
Small: see `recipes/budget.py`.
"""

from purejaxo2o.agents import DQN
from purejaxo2o.loop.phases import Mix, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget


def build(task: Task, scale: str) -> Recipe:
    return from_scratch("dqn", "online", scale)


def from_scratch(name: str, mix: Mix, scale: str) -> Recipe:
    """Q-learning from the first step on, on minibatches of the given kind."""
    if scale == "small":
        agent = DQN(learning_rate=1e-3, polyak=0.02, hidden=(64, 64))
        first = warmup(budget.RANDOM_WARMUP, act="random")
        last, episodes = online(mix=mix, **budget.online(budget.RANDOM_WARMUP)), budget.EVAL_EPISODES
    else:
        agent, first = DQN(), warmup(5_000, act="random")
        last, episodes = online(500_000, mix=mix, segments=50), 20
    return Recipe(name=name, agent=agent, phases=(first, last), eval_episodes=episodes)
