"""WSRL: pre-train, warm up with the frozen policy, drop the offline data (Zhou et al. 2025, arXiv 2412.07762).

"Efficient Online RL Fine-Tuning Need Not Retain Offline Data".

Idea: what keeps offline rows necessary online is that values forget the states of the policy's own start. A few
thousand steps of the frozen policy stand in for them, and then fast online RL needs nothing else.

Phases: offline Cal-QL (CQL in locomotion) with the online phase's ensemble; 5000 steps in which the pre-trained
policy, sampled and unchanged, fills an empty store; online SAC on replay rows alone, 4 critic minibatches of 256
and one policy and temperature step on all 1024 rows per environment step. At the switch the conservative penalty
goes (`stage="plain"`: exactly SAC; the Lagrange multiplier rests), and outside of mazes the target takes one
next action in place of the best of 10; parameters, targets, temperature and all Adam moments are carried over;
nothing is reset.

Defaults (authors' code): 10 critics, 2 drawn with replacement in the target and in the penalty, LayerNorm in
critics and policy, softplus temperature measured at next states, no entropy in the backup, discount 0.99, critics
3e-4, policy and temperature 1e-4; networks, weights, rewards and offline steps by domain as in `recipes/cql.py` (the
paper has no dense hands). In mazes the policy has one free log-std vector, the target takes the best of 10 next
actions online, too, and the Lagrange multiplier is a softplus that starts at 1, in place of the fixed weight.
Two quirks of that code are on, since its numbers were made with them. The critics share one output layer
(`shared_head`). Online, where a step trains some of the networks, the others take an Adam step on zero gradients
(`resting="coast"`): for every gradient policy and temperature make five Adam steps, and while it keeps its size and
sign they move sqrt(5) = 2.24 times as far as at their rate, the critics (five steps for four gradients) 1.12 times.
Offline every step trains all networks, and none rests.
Deviations: their std is clipped to [1e-5, 10], here log-std to [-20, 2]; offline their gradients are all taken at
the old parameters, here one after another (critics, policy, temperature); the multiplier sees the critics' own
differences (theirs: other draws of actions and members) and the temperature one action a row (theirs: ten where the
target takes ten), so the same expectations; weights are Xavier-uniform, the policy's output layers with gain 0.01
(theirs orthogonal with gain sqrt 2, the last hidden layers 0.01 but in kitchen); recorded actions are not clipped to
+-0.99999; their kitchen ends episodes at reward 4, too; their data of binary hands hold successful trajectories
alone, which end at the last success.
Small: as `recipes/cql.py`, with 4 critics, 2 minibatches a step (so three Adam steps for one gradient of the policy)
and 2000 steps of warm-up.

Use it where a good offline policy exists and the data are too large or too foreign to keep. Cost per minibatch
relative to IQL with equal networks, counted in network passes: 16 offline, 3.5 online (mazes 4.7), four of them a
step.
"""

from typing import Any

from purejaxo2o.agents import CQL, CalQL
from purejaxo2o.loop.phases import Phase, offline, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget, cql
from purejaxo2o.recipes.rewards import CONSERVATIVE


def plain_sac(domain: str) -> dict[str, Any]:
    """What the hand-over changes in the agent."""
    return {"stage": "plain"} if domain in ("maze", "toy") else {"stage": "plain", "target_samples": 1}


def agent(domain: str, scale: str) -> CQL:
    """The pre-training agent; in the stage "plain" the online one."""
    settings: dict[str, Any] = cql.agent_settings(domain, scale) | {
        "critics": budget.CRITICS if scale == "small" else 10,
        "subset_with_replacement": True,
        "penalty_critics": 2,
        "layer_norm": True,
        "actor_layer_norm": True,
        "temperature_form": "softplus",
        "temperature_on": "next_obs",
        "actor_batch": "all",
        "shared_head": True,
        "resting": "coast",
    }
    if settings.get("lagrange"):  # the authors' code does not multiply the two
        settings |= {"lagrange_form": "softplus", "cql_weight": 1.0}
    if domain in ("maze", "toy"):
        settings["std"] = "global"
    return (CQL if domain == "locomotion" else CalQL)(**settings)


def phases(domain: str, scale: str) -> tuple[Phase, Phase, Phase]:
    """Offline; warm-up; online without offline data."""
    if scale == "small":
        return (
            offline(**budget.offline()),
            warmup(budget.POLICY_WARMUP),
            online(
                mix="online",
                updates=2,
                agent=plain_sac(domain) | budget.PUBLISHED_RATES,
                **budget.online(budget.POLICY_WARMUP),
            ),
        )
    return (
        offline(cql.OFFLINE_STEPS.get(domain, 1_000_000), segments=20),
        warmup(5_000),
        online(500_000, mix="online", updates=4, segments=50, agent=plain_sac(domain)),
    )


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    return Recipe(
        name="wsrl",
        agent=agent(task.domain, scale),
        phases=phases(task.domain, scale),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
