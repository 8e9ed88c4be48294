"""ReBRAC: penalties in actor and critics offline, relaxed online (Tarasov et al. 2023, arXiv 2305.09836).

Idea: TD3+BC with the distance to the data in the critics' target as well, each with its own weight, critics with
LayerNorm, and deeper networks (equations in `agents/rebrac.py`).

Phases: offline; online with half dataset and half replay rows in every minibatch, one update per step, no warm-up,
no exploration noise. At the switch nothing is reset; the critics' penalty goes (b2 = 0, so online rows need no next
action) and the actor's falls linearly until half of it is left, which is half-way through the phase:
b1 max(0.5, 1 - k / N). The schedule counts minibatches, taking `num_envs` as 1.

Defaults (CORL's fine-tuning code and configurations): 3 x 256, two critics with LayerNorm after the ReLU, smoothing
noise 0.2 clipped at 0.5; mazes 100 r, discount 0.999, policy 3e-4, critics 5e-5, batch 256, b1 = 0.003, b2 = 0.002
(antmaze-umaze); adroit 3e-4, b1 = 0.1, b2 = 0.5 (unpublished for adroit-binary, which gets the same); locomotion
1e-3, batch 1024, b1 = b2 = 0.01 (hopper-medium; online unpublished). The published penalties are tuned per dataset:
set `agent.actor_penalty` and `agent.critic_penalty`. The authors' own fine-tuning code differs from CORL's where no
file of theirs says more: exploration noise 0.03, and the decay goes to 0. Their offline code takes the larger of the
target and the return-to-go, which neither has when fine-tuning.
Deviations: the policy moves at a phase's updates 1, 3, 5 (theirs: 0, 2, 4); hidden weights are Xavier-uniform, 1.7
times as large as theirs at width 256, hidden biases 0.1 in the critics only (theirs: in the policy too), output
layers have gain 1 in the critics (theirs: within 3e-3) and 0.01 in the policy (within 1e-3).
Small: see `recipes/budget.py`; 2 layers as everywhere there, one rate, discount 0.99.

Use it as the strongest plain offline method; online it can collapse for single seeds (CORL: antmaze-umaze 98 to 75).
Cost per update relative to IQL with equal networks, counted in network passes: 0.8 for a single seed, 1.0 for batched
seeds (the actor's step is computed at every step then).
"""

from typing import Any

from purejaxo2o.agents import ReBRAC
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget

DEEP: dict[str, Any] = {"hidden": (256,) * 3, "actor_hidden": (256,) * 3}
MAZE: dict[str, Any] = {
    "learning_rate": 5e-5,
    "actor_learning_rate": 3e-4,
    "discount": 0.999,
    "actor_penalty": 0.003,
    "critic_penalty": 0.002,
}
HAND: dict[str, Any] = {"actor_penalty": 0.1, "critic_penalty": 0.5}
DOMAINS: dict[str, dict[str, Any]] = {
    "maze": MAZE,
    "toy": MAZE,
    "adroit": HAND,
    "adroit-binary": HAND,
    "locomotion": {"learning_rate": 1e-3},
}
REWARD_SCALE = {"maze": 100.0, "toy": 100.0}
RELAXED: dict[str, Any] = {"stage": "relaxed", "actor_penalty_end": 0.5}


def build(task: Task, scale: str) -> Recipe:
    settings = DEEP | DOMAINS.get(task.domain, {})
    if scale == "small":
        settings |= budget.ACTOR_CRITIC | {"actor_learning_rate": None, "discount": 0.99}
        phases = (
            offline(**budget.offline()),
            online(mix="fraction", agent=RELAXED | {"learning_rate": 3e-4}, **budget.online()),
        )
    else:
        batch = {"batch_size": 1024} if task.domain == "locomotion" else {}
        phases = (
            offline(1_000_000, segments=20, **batch),
            online(1_000_000, mix="fraction", segments=50, agent=RELAXED, **batch),
        )
    return Recipe(
        name="rebrac",
        agent=ReBRAC(**settings),
        phases=phases,
        reward_scale=REWARD_SCALE.get(task.domain, 1.0),
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else 20,
    )
