"""PROTO: a trust region around a policy that moves with the learner (Li et al. 2023, arXiv 2305.15669).

Idea: hold the fine-tuned policy near a slow copy of itself and loosen the hold: nothing is lost at first, nothing is
in the way at last (equations in `agents/proto.py`).

Phases: offline XQL; online SAC with the trust region, one update per environment step from the first step on, half
dataset and half replay rows in every minibatch. At the switch the slow copy is the policy, the policy's Adam moments
and the entropy's temperature (0.01) start; critics, targets and their moments are carried, V is left behind.

Defaults (authors' code): 2 x 256 with LayerNorm in Q and V, learning rate 3e-4, batch 256, exponents clipped at 7,
target entropy -A/2; w falls linearly to a tenth over the online phase. Mazes: beta and w 0.5, 200k steps offline,
slow copy at 5e-5, no costs in the target, which asks one random critic; r - 1. Locomotion: beta and w 2, 100k steps,
5e-3, costs in the target, both critics; adroit the same with 5e-5 and no costs; adroit-binary, unpublished, beta and
w as mazes. Deviations: their replay half starts with 10,000 dataset rows, ours empty; Q's loss is a sum over the two
critics (theirs: a mean); no return normalisation (locomotion); LayerNorm for halfcheetah too; evaluation takes the
mean in mazes as elsewhere (theirs samples there); weights are Xavier-uniform, the policy's output layers with gain
0.01 (theirs: orthogonal with gain sqrt 2).
Small: see `recipes/budget.py`; the slow copy's rate grows as the run shrinks, to 0.02 at most.

Use it to fine-tune any policy whose critics can be trusted about as far as the policy: it is stable first and free
later. Cost per update relative to IQL, counted in network passes: 1.0 offline, 1.1 online.
"""

from typing import Any

from purejaxo2o.agents import PROTO
from purejaxo2o.loop.phases import offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import SHIFTED

FINETUNING: dict[str, Any] = {"stage": "online"}
SPARSE: dict[str, Any] = {"temperature": 2.0, "trust_weight": 0.5, "target_critics": 1, "backup_entropy": False}
DOMAINS: dict[str, dict[str, Any]] = {
    "maze": SPARSE,
    "toy": SPARSE,
    "adroit-binary": SPARSE,
    "adroit": {"temperature": 0.5, "trust_weight": 2.0, "backup_entropy": False},
}
DENSE: dict[str, Any] = {"temperature": 0.5, "trust_weight": 2.0, "anchor_polyak": 5e-3}
ONLINE = 1_000_000


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = SHIFTED.get(task.domain, (1.0, 0.0))
    settings = DOMAINS.get(task.domain, DENSE)
    slow = settings.get("anchor_polyak", 5e-5)
    if scale == "small":
        settings = settings | budget.ACTOR_CRITIC | {"anchor_polyak": min(slow * ONLINE / budget.ONLINE, 0.02)}
        changes = FINETUNING | {"learning_rate": 3e-4, "actor_learning_rate": 1e-4}
        last = online(mix="fraction", agent=changes, **budget.online())
        phases = (offline(**budget.offline()), last)
    else:
        first = offline(200_000 if task.domain in ("maze", "toy") else 100_000, segments=20)
        phases = (first, online(ONLINE, mix="fraction", segments=50, agent=FINETUNING))
    episodes = 100 if task.domain == "maze" else 20
    return Recipe(
        name="proto",
        agent=PROTO(**settings),
        phases=phases,
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else episodes,
    )
