"""EDAC: SAC with an ensemble of diverse critics, offline then online (An et al. 2021, arXiv 2110.01548).

Idea: the minimum of enough critics is low wherever they disagree, off the data; a term that turns their action
gradients apart makes few critics enough (equation in `agents/edac.py`; `agent.diversity_weight=0` is SAC-N).

Phases: offline; online with one update per environment step from the first step on, each row drawn from the union
of dataset and replay store, the diversity term still on. At the switch nothing is reset: parameters, targets,
temperature and moments are carried. The paper is offline only; the online phase is that of the other appending
methods.

Defaults (authors' code, CORL): 10 critics with eta 1 (halfcheetah, walker2d and antmaze; hopper needs 50), adroit
20 and 10 (pen-cloned) with the policy's rate 3e-5; 3 x 256, learning rate 3e-4, batch 256, entropy in the backup,
target entropy -A, loss linear in log alpha, mazes r - 1. N and eta are tuned per dataset in the paper: set
`agent.critics`, `agent.target_critics` and `agent.diversity_weight`. Deviations: order critics, policy, temperature
(theirs: the reverse); log-std clipped to [-20, 2], theirs to [-5, 2]; 1M offline steps, theirs 3M.
Small: see `recipes/budget.py`; 4 critics.

Use it for dense rewards; with sparse ones the minimum collapses (antmaze: 0). Cost per update relative to IQL
with equal networks, counted in network passes: 8 with 10 critics (SAC-N: 4; the rest is the second derivative).
"""

from typing import Any

from purejaxo2o.agents import EDAC
from purejaxo2o.phases import Recipe, offline, online
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED
from purejaxo2o.tasks import Task

DOMAINS: dict[str, dict[str, Any]] = {
    "adroit": {"critics": 20, "target_critics": 20, "diversity_weight": 10.0, "actor_learning_rate": 3e-5}
}


def agent_settings(domain: str, scale: str) -> dict[str, Any]:
    """Settings that EDAC and SO2 share in a domain."""
    settings: dict[str, Any] = {
        "hidden": (256,) * 3,
        "actor_hidden": (256,) * 3,
        "temperature_form": "linear",
        **DOMAINS.get(domain, {}),
    }
    if scale == "small":
        few = {"critics": budget.CRITICS, "target_critics": budget.CRITICS, "actor_learning_rate": None}
        settings |= budget.ACTOR_CRITIC | few
    return settings


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    if scale == "small":
        phases = (
            offline(**budget.offline()),
            online(mix="by_size", override=budget.PUBLISHED_RATES, **budget.online()),
        )
    else:
        phases = (offline(1_000_000, segments=20), online(1_000_000, mix="by_size", segments=50))
    return Recipe(
        name="edac",
        agent=EDAC(**agent_settings(task.domain, scale)),
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
