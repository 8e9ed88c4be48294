"""CQL: offline, then fine-tuning with the same conservative loss (Kumar et al. 2020).

Idea: push values of actions that the policies would take down and those of recorded ones up, so that what the data
lack is never overestimated (equations in `agents/cql.py`).

Phases: offline; online with half dataset and half replay rows in every minibatch, one update per step. The
penalty stays on; nothing is reset. The known weakness: values sit below true returns after pre-training and
must first be unlearned (compare `cal_ql`).

Defaults (Cal-QL's code with its calibration off): critics' rate 3e-4, policy and temperature 1e-4 (which starts at
1), batch 256, K = 10, no entropy in the backup, the best of 10 next actions in the target, in every domain. Mazes
10 r - 5, 4 x 256 critics, 2 x 256 policy, weight 5 with the Lagrange multiplier at gap 0.8; adroit-binary 10 r + 5,
3 x 512 and 2 x 512, weight 1, 20k steps offline. From CORL's configurations of Cal-QL, adroit (dense): raw rewards,
3 x 256 for both, weight 1. From WSRL's baselines, kitchen: r - 4, 3 x 512 for both, weight 5, no densities, 250k
steps offline; locomotion: raw rewards, 2 x 256 for both, weight 5, 250k steps offline. 1M steps offline elsewhere, 1M
online. The policy's log-std has a trained scale and a trained offset, and its std starts at 0.37 (`std="scaled"`;
WSRL's baselines have neither).
Deviations: the gradient steps of one update are taken one after another (critics, policy, temperature; theirs all at
the old parameters); weights are Xavier-uniform, the policy's output layers with gain 0.01 (theirs orthogonal with
gain sqrt 2, output layers 0.01 in critics and policy); the critics' loss is the mean over the two (theirs: a loss
each, for which Adam's epsilon weighs half as much: harmless); recorded actions are not clipped to +-0.99999. CORL's
difference in adroit is cut off at -200, here nowhere. WSRL's kitchen ends episodes at reward 4, too, here the
environment alone does.
Small: see `recipes/budget.py`; K = 2, one rate for all, one next action in the target, and a fixed weight of 10 in
place of the multiplier, which would need longer than the whole run to settle.

Use it as the base that `cal_ql` and `wsrl` mend. Cost per update relative to IQL with equal networks, counted in
network passes: 13, offline and online (K = 10, so 30 more actions a row; one is the best of 10 next actions).
"""

from typing import Any

from purejaxo2o.agents import CQL
from purejaxo2o.loop.phases import Phase, offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import CONSERVATIVE

DOMAINS: dict[str, dict[str, Any]] = {
    "maze": {"hidden": (256,) * 4, "lagrange": True, "target_gap": 0.8},
    "adroit": {"hidden": (256,) * 3, "actor_hidden": (256,) * 3, "cql_weight": 1.0},
    "adroit-binary": {"hidden": (512,) * 3, "actor_hidden": (512,) * 2, "cql_weight": 1.0},
    "kitchen": {"hidden": (512,) * 3, "actor_hidden": (512,) * 3, "importance_sampling": False},
    "locomotion": {},
}
SMALL: dict[str, Any] = {
    "actor_learning_rate": 1e-3,
    "temperature_learning_rate": 1e-3,
    "cql_actions": 2,
    "cql_weight": 10.0,
    "lagrange": False,
    "target_samples": 1,
}
OFFLINE_STEPS = {"adroit-binary": 20_000, "kitchen": 250_000, "locomotion": 250_000}


def agent_settings(domain: str, scale: str) -> dict[str, Any]:
    """Settings that CQL and Cal-QL share in a domain."""
    known = DOMAINS["maze"] if domain in ("maze", "toy") else DOMAINS.get(domain, {})
    settings: dict[str, Any] = {
        "learning_rate": 3e-4,
        "actor_learning_rate": 1e-4,
        "temperature_learning_rate": 1e-4,
        "target_samples": 10,
        "backup_entropy": False,
        "temperature_form": "linear",
        **known,
    }
    if scale == "small":
        settings |= budget.ACTOR_CRITIC | SMALL
    return settings


def phases(domain: str, scale: str) -> tuple[Phase, Phase]:
    """Offline, then half and half."""
    if scale == "small":
        return (
            offline(**budget.offline()),
            online(mix="fraction", agent=budget.PUBLISHED_RATES, **budget.online()),
        )
    return (
        offline(OFFLINE_STEPS.get(domain, 1_000_000), segments=20),
        online(1_000_000, mix="fraction", segments=50),
    )


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    return Recipe(
        name="cql",
        agent=CQL(std="scaled", **agent_settings(task.domain, scale)),
        phases=phases(task.domain, scale),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
