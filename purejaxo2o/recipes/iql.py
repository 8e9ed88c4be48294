"""IQL: offline, then fine-tuning with the same loss (Kostrikov et al. 2022).

Idea: never ask a value of an action that the data lack. V is an expectile of Q over the recorded actions, Q regresses
to V of the next state, the policy clones with advantages as weights (equations in `agents/iql.py`).

Phases: offline; online with one update per environment step from the first step on, each row drawn from the
union of dataset and replay store (the authors append to one buffer). Nothing is reset at the switch; actions are
sampled.

Defaults (authors' code): 2 x 256, learning rate 3e-4, batch 256; mazes expectile 0.9, temperature 10, r - 1;
locomotion 0.7 and 3; adroit and kitchen 0.7 and 0.5; adroit-binary 0.7 and 2.5, which weighs as 0.5 does in WSRL's
baseline at 10 r + 5, whose advantages are five times as large.
Deviations: constant learning rate offline too (their cosine schedule is off when fine-tuning), no dropout (theirs:
0.1 in adroit's and kitchen's policy), no return normalisation (locomotion), recorded actions not clipped to
+-0.99999, Xavier-uniform weights with gain 1, the policy's output layer 0.01 (theirs: orthogonal with gain sqrt 2,
all layers).
Small: see `recipes/budget.py`.

Use it first: it is stable, hardly dips, and improves slowly. Costs of all other recipes are relative to its update.
"""

from purejaxo2o.agents import IQL
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

EXPECTILE_TEMPERATURE = {
    **dict.fromkeys(("maze", "toy"), (0.9, 10.0)),
    **dict.fromkeys(("adroit", "kitchen"), (0.7, 0.5)),
    "adroit-binary": (0.7, 2.5),
}


def build(task: Task, scale: str) -> Recipe:
    expectile, temperature = EXPECTILE_TEMPERATURE.get(task.domain, (0.7, 3.0))
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    agent = IQL(expectile=expectile, temperature=temperature)
    phases = (offline(1_000_000, segments=20), online(1_000_000, mix="by_size", segments=50))
    episodes = 100 if task.domain == "maze" else 20
    if scale == "small":
        agent = IQL(
            expectile=expectile,
            temperature=temperature,
            **budget.ACTOR_CRITIC,
        )
        phases = (
            offline(**budget.offline()),
            online(mix="by_size", agent={"learning_rate": 3e-4}, **budget.online()),
        )
        episodes = budget.EVAL_EPISODES
    return Recipe(
        name="iql",
        agent=agent,
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=episodes,
    )
