"""FamO2O: policies for every strength of the constraint, one of them chosen per state (Wang et al. 2023).

Idea: how much to trust the data depends on how good they are, which differs from state to state; so train a policy
for a whole range of IQL's temperatures at once, and another that picks the temperature (arXiv 2310.17966; equations
in `agents/famo2o.py`).

Phases: offline, with a random balance for every row while the balance policy learns beside it; online with one update
per environment step from the first step on, each row drawn from the union of dataset and replay store. At the switch
nothing is reset; from then on (`stage="adaptive"`) the policy trains with the balances that the balance policy draws.
Actions are sampled, the balance is its mode.

Defaults (authors' code, antmaze): those of IQL, expectile 0.9, r - 1, balances from 8 to 14; the balance policy has
the policy's layers and rate, one free log-std, target entropy -1/2. Elsewhere IQL's temperature with two thirds of it
to either side: 1 to 5 in locomotion, their default argument. Deviations: every row is weighed with its own balance,
as in the paper. The released code, from which the published numbers may come, weighs every row with all balances of
the minibatch, by a slip of shapes, so its policy has no reason to heed what it is told; `agent.balancing="shared"`
does that, but what it leaves is not the method, so it is not the default. Independent noise for balance and action
(theirs share a key); weights Xavier's with the policies' heads near zero (theirs orthogonal, gain sqrt 2 in every
layer); no return normalisation (locomotion; theirs normalises old and new rows alike). The paper's CQL version is not
here.
Small: see `recipes/budget.py`.

`famo2o_awac` is the same around AWAC, made from the paper's text (its code has IQL and CQL only): phases as above,
AWAC's own settings, balances from a half to one and a half times AWAC's 1 / lambda.

Use it where IQL is at home and the data's quality varies over states; `agent.spread=0` is IQL with a wider policy.
Cost per update relative to IQL, counted in network passes: 1.6; acting asks two policies.
"""

from typing import Any

from purejaxo2o.agents import FamAWAC, FamO2O
from purejaxo2o.loop.phases import Phase, offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.awac import TEMPERATURE as LAMBDA
from purejaxo2o.recipes.iql import EXPECTILE_TEMPERATURE
from purejaxo2o.recipes.rewards import SHIFTED

ADAPTIVE: dict[str, Any] = {"stage": "adaptive"}


def phases(scale: str) -> tuple[Phase, Phase]:
    """Offline; online with the balances of the balance policy."""
    if scale == "small":
        last = online(mix="by_size", agent=ADAPTIVE | {"learning_rate": 3e-4}, **budget.online())
        return (offline(**budget.offline()), last)
    return (
        offline(1_000_000, segments=20),
        online(1_000_000, mix="by_size", segments=50, agent=ADAPTIVE),
    )


def _recipe(name: str, agent: Any, task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    episodes = 100 if task.domain == "maze" else 20
    return Recipe(
        name=name,
        agent=agent,
        phases=phases(scale),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else episodes,
    )


def build(task: Task, scale: str) -> Recipe:
    """Around IQL."""
    expectile, temperature = EXPECTILE_TEMPERATURE.get(task.domain, (0.7, 3.0))
    settings: dict[str, Any] = {"expectile": expectile, "temperature": temperature, "spread": temperature * 2 / 3}
    if task.domain in ("maze", "toy"):
        settings |= {"temperature": 11.0, "spread": 3.0}
    if scale == "small":
        settings |= budget.ACTOR_CRITIC
    return _recipe("famo2o", FamO2O(**settings), task, scale)


def build_awac(task: Task, scale: str) -> Recipe:
    """Around AWAC."""
    balance = 1.0 / LAMBDA.get(task.domain, 1 / 3)
    settings = budget.ACTOR_CRITIC if scale == "small" else {}
    return _recipe("famo2o_awac", FamAWAC(temperature=balance, spread=balance / 2, **settings), task, scale)
