"""Uni-O4: PPO offline, kept honest by a learned model, then PPO online (Lei et al. 2024, arXiv 2311.03351).

Idea: with one on-policy objective in both phases nothing changes at the switch but where the rows come from; offline
a policy replaces its older self only where rollouts in a model, valued by Q, say that it is better (equations in
`agents/uni_o4.py`).

Phases: fitting (clones, IQL's Q and V, dynamics); Q and V alone; improving, with an evaluation after every 100
minibatches; PPO on fresh rollouts. At the switch the best member by the evaluation and IQL's V go on, Adam's moments
start anew; clones, critics and model are left behind, offline rows too.

Defaults (authors' code): 4 policies of 3 x 256, alpha 0.1, batch 512, all offline rates 1e-4, expectile 0.7 (mazes
0.9), 400k steps of cloning, 2M of values, 10k of improvement at clip 0.25, evaluated over 1000 steps (mazes 150) from
512 recorded states. Online rollouts of 2048, 16 minibatches, 10 epochs, clip 0.05, entropy 0.01, rates 3e-5 (policy)
and 2e-4 (V), 3M steps. Mazes: 10 r - 5.
Deviations: the offline clip is constant (theirs falls linearly, yet for the first 200 minibatches alone: by 2%); the
model trains as long as the clones (theirs until its error on held-out rows stops falling); Q and V
3 x 512 (theirs 2 x 1024 and 3 x 512; mazes 3 x 256 as theirs); values are not clipped online, which takes returns of
unit size; no reward scaling, states not standardised; log-std clipped to [-5, 2] (theirs to [-5, 0]); mazes clone all
trajectories (theirs those that succeed) and bootstrap through time-outs (theirs end there).
Small: see `recipes/budget.py`; 3 policies and models, no phase for the values alone, 2000 steps of improvement,
evaluated over 50 steps from 128 states; online rollouts of 250, 5 minibatches.

Use it where a drop at the switch is not acceptable and environment steps are cheap: PPO improves slowly. Cost per
update relative to IQL, counted in network passes: 2.4 while fitting, 1.6 while improving and 40 more for evaluations
of 1000 steps; 4 per environment step online.
"""

from typing import Any

from purejaxo2o.agents import UniO4
from purejaxo2o.phases import Phase, Recipe, offline, online
from purejaxo2o.recipes import budget
from purejaxo2o.recipes.rewards import CONSERVATIVE
from purejaxo2o.tasks import Task

VALUES, IMPROVE, ONLINE = ((("stage", stage),) for stage in ("values", "improve", "online"))
FRESH = {"clip": 0.05, "entropy_weight": 0.01}
SPARSE: dict[str, Any] = {"expectile": 0.9, "ope_horizon": 150, "hidden": (256,) * 3}
SMALL: dict[str, Any] = {
    "members": 3,
    "models": 3,
    "model_hidden": (64, 64),
    "ope_horizon": 50,
    "ope_starts": 128,
    "minibatches": 5,
    **budget.ACTOR_CRITIC,
}


def build(task: Task, scale: str) -> Recipe:
    reward_scale, reward_bias = CONSERVATIVE.get(task.domain, (1.0, 0.0))
    settings: dict[str, Any] = {"hidden": (512,) * 3, "actor_hidden": (256,) * 3, "epochs": 10, "minibatches": 16}
    settings |= SPARSE if task.domain in ("maze", "toy") else {}
    improve: dict[str, Any] = {"name": "improve", "updates": 100, "override_static": IMPROVE}
    fresh: dict[str, Any] = {"feed": "rollout", "mix": "online", "override_static": ONLINE}
    if scale == "small":
        settings, rollout = settings | SMALL, 250
        phases = [offline(**budget.offline())]
        phases += [Phase(steps=20, segments=4, batch_size=128, override={"learning_rate": 3e-4}, **improve)]
        rates = {"learning_rate": 1e-4, "value_learning_rate": 3e-4}
        phases += [online(rollout=rollout, override=FRESH | rates, **fresh, **budget.online())]
    else:
        rollout = 2048
        phases = [offline(400_000, batch_size=512, segments=4)]
        phases += [Phase(name="values", steps=1_600_000, batch_size=512, segments=16, override_static=VALUES)]
        phases += [Phase(steps=100, segments=10, batch_size=512, **improve)]
        rates = {"learning_rate": 3e-5, "value_learning_rate": 2e-4}
        phases += [online(1450 * rollout, segments=50, rollout=rollout, override=FRESH | rates, **fresh)]
    episodes = 100 if task.domain == "maze" else 20
    return Recipe(
        name="uni_o4",
        agent=UniO4(**settings),
        phases=tuple(phases),
        reward_scale=reward_scale,
        reward_bias=reward_bias,
        store_rows=rollout,
        eval_episodes=budget.EVAL_EPISODES if scale == "small" else episodes,
    )
