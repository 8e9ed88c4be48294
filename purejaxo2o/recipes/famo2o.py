"""FamO2O: policies for every strength of the constraint, one of them chosen per state (Wang et al. 2023).

Idea: how much to trust the data depends on how good they are, which differs from state to state; so train a policy
for a whole range of IQL's temperatures at once, and another that picks the temperature (arXiv 2310.17966; equations
in `agents/famo2o.py`).

Phases: offline, with a random balance for every row while the balance policy learns beside it; online with one update
per environment step from the first step on, each row drawn from the union of dataset and replay store. At the switch
nothing is reset; from then on (`adaptive=True`) the policy trains with the balances that the balance policy draws.
Actions are sampled, the balance is its mode.

Defaults (authors' code, antmaze): those of IQL, expectile 0.9, r - 1, balances from 8 to 14; the balance policy has
the policy's layers and rate, one free log-std, target entropy -1/2. Elsewhere IQL's temperature with two thirds of it
to either side: 1 to 5 in locomotion, their default argument. Deviations: independent noise for balance and action
(theirs share a key); no return normalisation (locomotion; theirs normalises old and new rows alike). The paper's AWAC
and CQL versions are not here. Small: see `recipes/budget.py`.

Use it where IQL is at home and the data's quality varies over states; `agent.spread=0` is IQL with a wider policy.
Cost per update relative to IQL, counted in network passes: 1.6; acting asks two policies.
"""

from typing import Any

from purejaxo2o.agents import FamO2O
from purejaxo2o.phases import Recipe, offline, online
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.iql import EXPECTILE_TEMPERATURE
from purejaxo2o.recipes.rewards import SHIFTED
from purejaxo2o.tasks import Task

ADAPTIVE = (("adaptive", True),)


def build(task: Task, scale: str) -> Recipe:
    expectile, temperature = EXPECTILE_TEMPERATURE.get(task.domain, (0.7, 3.0))
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    settings: dict[str, Any] = {"expectile": expectile, "temperature": temperature, "spread": temperature * 2 / 3}
    if task.domain in ("maze", "toy"):
        settings |= {"temperature": 11.0, "spread": 3.0}
    if scale == "small":
        settings |= budget.ACTOR_CRITIC
        last = online(mix="by_size", override={"learning_rate": 3e-4}, override_static=ADAPTIVE, **budget.online())
        phases = (offline(**budget.offline()), last)
    else:
        last = online(1_000_000, mix="by_size", segments=50, override_static=ADAPTIVE)
        phases = (offline(1_000_000, segments=20), last)
    episodes = 100 if task.domain == "maze" else 20
    return Recipe(
        name="famo2o",
        agent=FamO2O(**settings),
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else episodes,
    )
