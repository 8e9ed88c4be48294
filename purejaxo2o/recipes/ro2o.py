"""RO2O: smooth values and policies, pessimism around the data, offline and online alike (Wen et al. 2023).

Idea: what a small step away from the data changes little and is valued carefully does not break when online states
differ from recorded ones; so train like that from the start and go on (arXiv 2309.16973; equations in
`agents/ro2o.py`).

Phases: offline; 2500 steps by the frozen policy without updates; online with one update per environment step on
replay rows alone. At the switch nothing is reset: parameters, targets, temperature, moments and lambda are carried.
`agent.online_terms=False` is the published fine-tuning code, where the terms are commented out. The paper's form is
the default because an unchanged objective is its claim, and the code's is SAC-N from there on.

Defaults (authors' code and commands): 10 critics, 3 x 256, learning rate 3e-4, batch 256, 20 neighbours at radius
0.01, loss linear in log alpha, target entropy -A, entropy in the backup. Locomotion (all but mazes): weights 1e-4
(values), 0.1 (pull), 1 (policy), lambda from 1 to 0.1 by 5e-7; 2.5M steps offline. Mazes as umaze: the bound with 4
standard deviations, imitation 5 offline and 1 online, pull 0.3, lambda 1 throughout, policy's radius 0.005, no
smoothing of values, rewards 4 (r - 1/2), 1M steps. Large mazes have the minimum instead: `agent.pessimism=policy
agent.bc_weight=1 agent.pull_weight=0.5 agent.uncertainty=2 agent.uncertainty_decay=1e-6 offline.steps=2500000`, and
there the code imitates with 10 online (`online.agent.bc_weight=10`).
Deviations: neighbourhoods scaled by the minibatch's standard deviations, states not standardised; order critics,
policy, temperature (theirs: the reverse); log-std clipped to [-20, 2], theirs to [-5, 2]; densities are exact
(theirs: log(1 - a^2 + 1e-6)); hidden weights are Xavier-uniform, 1.7 times as large as theirs at width 256, biases 0
(theirs: 0.1), output layers have gain 1 in the critics (theirs: within 3e-3) and 0.01 in the policy (within 1e-3).
Their command for the bound leaves rewards 0 and 1 offline, and has 4 (r - 1/2) online: taken for a slip, as no value
fits both.
Small: see `recipes/budget.py`; 4 critics, 2 neighbours, lambda falls as early in the offline phase.

Use it where observations are noisy or the online states shift a little. Cost per update relative to IQL with equal
networks, counted in network passes: 84 with 10 critics and 20 neighbours (without the terms: 4).
"""

from typing import Any

from purejaxo2o.agents import RO2O
from purejaxo2o.loop.phases import offline, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget

REWARDS = {"maze": (4.0, -2.0), "toy": (4.0, -2.0)}
SPARSE: dict[str, Any] = {
    **{"pessimism": "bound", "bc_weight": 5.0, "policy_radius": 0.005, "value_weight": 0.0, "pull_weight": 0.3},
    **{"uncertainty_end": 1.0, "uncertainty_decay": 0.0},
}
IMITATION = {"bc_weight": 1.0}
FINETUNING: dict[str, Any] = {"stage": "online"}
DECAY = 5e-7
OFFLINE = 2_500_000


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = REWARDS.get(task.domain, (1.0, 0.0))
    sparse = task.domain in REWARDS
    settings: dict[str, Any] = {
        "hidden": (256,) * 3,
        "actor_hidden": (256,) * 3,
        "temperature_form": "linear",
        **(SPARSE if sparse else {}),
    }
    changed = IMITATION if sparse else {}
    if scale == "small":
        few = {"critics": budget.CRITICS, "target_critics": budget.CRITICS, "neighbours": 2}
        decay = settings.get("uncertainty_decay", DECAY) * OFFLINE / budget.OFFLINE
        settings |= budget.ACTOR_CRITIC | few | {"uncertainty_decay": decay}
        first, steps = offline(**budget.offline()), budget.POLICY_WARMUP // 2
        changed = budget.PUBLISHED_RATES | changed
        last = online(mix="online", agent=FINETUNING | changed, **budget.online(steps))
    else:
        first, steps = offline(1_000_000 if sparse else OFFLINE, segments=20), 2_500
        last = online(247_500, mix="online", segments=50, agent=FINETUNING | changed)
    episodes = 100 if task.domain == "maze" else 20
    return Recipe(
        name="ro2o",
        agent=RO2O(**settings),
        phases=(first, warmup(steps), last),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else episodes,
    )
