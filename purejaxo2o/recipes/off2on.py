"""Off2OnRL: pessimistic ensemble and balanced replay (Lee, Seo, Lee, Abbeel & Shin 2021, arXiv 2107.00591).

Idea: the dip after the switch comes from rows far from what the policy now does, and from values that are too high
there. So fine-tune on offline rows that look like online ones first, as told by a learned density ratio, and with an
ensemble of CQL agents that agree on the data alone (equations in `agents/off2on.py`).

Phases: offline, all members on the same minibatches; a warm-up by the joined policy, without updates; `settle`, a
stretch of updates without steps (the authors' first loop has 1000 steps and ten thousand updates); online, one update
per step (theirs: a thousand of each in turns). At the switch the dataset keeps its rows, all with priority 1, and the
warm-up's get as much together; every later row gets the largest priority so far. Reset: targets, temperature, Adam
moments; kept: policies and critics.

Defaults (authors' code): 5 members, ratio network 2 x 256 at rate 3e-4, T = 5, rates 3e-4, batch 256, 1M offline
steps (they load networks of CQL's own code after as many), 250 000 online steps. Their command for halfcheetah-medium
has `settle.steps=5000`, and priorities with which online rows are 3 of 4 at first: `offline_ratio=0.25` in both
phases. Their domain is locomotion only; in the others members and rewards are those of `recipes/cql.py`, with one
next action in the target.
Deviations: see `agents/off2on.py`; members are trained as in `recipes/cql.py` and start from its weights; their
dataset lacks the rows at time limits, ours has them (they bootstrap). Small: see `recipes/budget.py`; 2 members, 500
steps of warm-up and twice as many updates, and the members' temperature is kept: from 1 it could not fall within so
few updates, and entropy would be all that the policy is paid for.

Use it where the dataset holds much that the policy has left behind. Cost per update relative to IQL, counted in
network passes: 2.4 a member offline, 1.4 a member online.
"""

from typing import Any

from purejaxo2o.agents import Off2On
from purejaxo2o.loop.phases import Phase, offline, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.cql import agent_settings
from purejaxo2o.recipes.rewards import CONSERVATIVE

BALANCED: dict[str, Any] = {"stage": "balanced"}
RATES = {"actor_learning_rate": 3e-4, "temperature_learning_rate": 3e-4}


def phases(scale: str) -> tuple[Phase, ...]:
    """Offline; warm-up; updates alone; online."""
    if scale == "small":
        settings: dict[str, Any] = {"mix": "prioritised", "agent": BALANCED | budget.PUBLISHED_RATES}
        return (
            offline(**budget.offline()),
            warmup(budget.RANDOM_WARMUP),
            Phase(name="settle", steps=2 * budget.RANDOM_WARMUP, batch_size=128, segments=2, **settings),
            online(**settings, **budget.online(budget.RANDOM_WARMUP)),
        )
    settings = {"mix": "prioritised", "agent": BALANCED | RATES}
    return (
        offline(1_000_000, segments=20),
        warmup(1_000),
        Phase(name="settle", steps=10_000, segments=2, **settings),
        online(250_000, segments=50, **settings),
    )


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    small = {"members": 2, "ratio_hidden": (64, 64), "joined_temperature": None}
    own: dict[str, Any] = small if scale == "small" else {}
    return Recipe(
        name="off2on",
        agent=Off2On(**agent_settings(task.domain, scale) | {"target_samples": 1}, **own),
        phases=phases(scale),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
