"""EDAC: SAC with an ensemble of diverse critics, offline then online (An et al. 2021, arXiv 2110.01548).

Idea: the minimum of enough critics is low wherever they disagree, off the data; a term that turns their action
gradients apart makes few critics enough (equation in `agents/edac.py`; `agent.diversity_weight=0` is SAC-N).

Phases: offline; online with one update per environment step from the first step on, each row drawn from the union
of dataset and replay store, the diversity term still on. At the switch nothing is reset: parameters, targets,
temperature and moments are carried. The paper is offline only; the online phase is that of the other appending
methods.

Defaults (authors' code): 10 critics with eta 1, 3 x 256, learning rate 3e-4, batch 256, entropy in the backup, target
entropy -A, loss linear in log alpha. Adroit as pen-cloned: 20 critics with eta 10, policy's and temperature's rate
3e-5, a target by each critic's best of 10 next actions (`agent.max_backup`), 200k offline steps. N (`agent.critics`
and `agent.target_critics`), eta (`agent.diversity_weight`) and rewards are set by hand where they belong to a
dataset:

    hopper                            N 50
    halfcheetah-, walker2d-medium-expert, walker2d-expert       eta 5
    pen-human                         eta 1000, `agent.max_backup=False agent.target_samples=1`
    pen-human, pen-cloned             rewards of mean 0, deviation 1: `reward_scale=1/std reward_bias=-mean/std`
    door, hammer, relocate (CORL)     N 50, eta 200, both rates 3e-4, no `max_backup`, 3M steps
    maze2d (CORL)                     eta 0.1

Deviations: critics, policy, temperature move one after another (CORL: in the reverse order; the authors' own code
takes all gradients at the old parameters); log-std clipped to [-20, 2], theirs to [-5, 2]; 1M offline steps outside
adroit, theirs 3M; targets start as copies of the critics, theirs from weights of their own; densities are exact
(theirs: log(1 - a^2 + 1e-6)); hidden weights are Xavier-uniform, 1.7 times as large as theirs at width 256, and
biases 0 (theirs: 0.1), output layers have gain 1 in the critics (theirs: within 3e-3) and 0.01 in the policy (within
1e-3). The paper has neither mazes nor adroit-binary; mazes have r - 1 here as with the library's other methods
(CORL's antmaze keeps 0 and 1, and scores 0).
Small: see `recipes/budget.py`; 4 critics, one rate.

Use it for dense rewards; with sparse ones the minimum collapses (antmaze: 0). Cost per update relative to IQL
with equal networks, counted in network passes: 8 with 10 critics (SAC-N: 4; the rest is the second derivative).
"""

from typing import Any

from purejaxo2o.agents import EDAC
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

DOMAINS: dict[str, dict[str, Any]] = {
    "adroit": {
        **{"critics": 20, "target_critics": 20, "diversity_weight": 10.0, "target_samples": 10, "max_backup": True},
        **{"actor_learning_rate": 3e-5, "temperature_learning_rate": 3e-5},
    }
}
OFFLINE_STEPS = {"adroit": 200_000}


def agent_settings(domain: str, scale: str) -> dict[str, Any]:
    """Settings that EDAC and SO2 share in a domain."""
    settings: dict[str, Any] = {
        "hidden": (256,) * 3,
        "actor_hidden": (256,) * 3,
        "temperature_form": "linear",
        **DOMAINS.get(domain, {}),
    }
    if scale == "small":
        few = {"critics": budget.CRITICS, "target_critics": budget.CRITICS}
        one_rate = {"actor_learning_rate": None, "temperature_learning_rate": None}
        settings |= budget.ACTOR_CRITIC | few | one_rate
    return settings


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    if scale == "small":
        phases = (
            offline(**budget.offline()),
            online(mix="by_size", agent=budget.PUBLISHED_RATES, **budget.online()),
        )
    else:
        first = offline(OFFLINE_STEPS.get(task.domain, 1_000_000), segments=20)
        phases = (first, online(1_000_000, mix="by_size", segments=50))
    return Recipe(
        name="edac",
        agent=EDAC(**agent_settings(task.domain, scale)),
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
