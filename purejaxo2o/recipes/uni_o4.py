"""Uni-O4: PPO offline, kept honest by a learned model, then PPO online (Lei et al. 2024, arXiv 2311.03351).

Idea: with one on-policy objective in both phases nothing changes at the switch but where the rows come from; offline
a policy replaces its older self only where rollouts in a model, valued by Q, say that it is better (equations in
`agents/uni_o4.py`).

Phases: fitting (clones, IQL's Q and V, dynamics); Q and V alone; improving, with an evaluation after every 100
minibatches; PPO on fresh rollouts. At the switch the best member by the evaluation and IQL's V go on, Adam's moments
start anew; clones, critics and model are left behind, offline rows too.

Defaults (authors' code, Lei-Kun/Uni-O4 at 1eecc45, main.py, ppo_finetune and their scripts): 4 policies of 3 x 256,
log-std at -5 + 5/2 (1 + tanh), alpha 0.1, Q 2 x 1024 and V 3 x 512 (mazes 3 x 256), expectile 0.7 (mazes 0.9), batch
512, rates 1e-4, targets move every second step by 0.005, time-outs end episodes for Q; 400k steps of cloning and 2M
of values (kitchen 200k and 1M), 10k of improvement (kitchen 1k) at clip 0.25, evaluated from 512 recorded states. The
scripts try several values a dataset; here stands the commonest of the domain:
    rate of the improvement   locomotion 1e-4; adroit 1e-5; mazes 3e-5 of 1e-5 to 5e-5; kitchen 3e-5 of 5e-6 to 3e-5
    steps in the model        locomotion 1000 (500 once); adroit 50 of 5 to 100; mazes 150 of 50 to 200;
                              kitchen 4 of 2 to 20
    model                     4 x 200 at 1e-3, elsewhere than in locomotion 4 x 400 at 3e-4
    online                    locomotion 20 epochs of 5 to 30, policy's rate 3e-5 of 1e-6 to 3e-5, 16 minibatches;
                              adroit 10 of 5 to 12, 8e-6 of 2e-6 to 1e-5, 8; there are no scripts for mazes and
                              kitchen (10 epochs, 3e-5, 16 here)
Scripts differ further: SARSA for Q and V in halfcheetah-medium-expert and in hme.sh, policies of 512, tanh layers, no
diversity, fewer steps, evaluation after 50 minibatches or filtered clones in some. Online: rollouts of 2048 steps,
clip 0.05, entropy 0.01, V's rate 2e-4 and weight 1, Adam's epsilon 1e-5, advantages standardised over the rollout,
gradients of policy and V cut apart at 0.5, 3M steps. Mazes: 10 r - 5; elsewhere rewards as they are. Binary tasks of
Adroit are not the authors'; they get adroit's settings.
Deviations: the offline clip is constant (theirs falls linearly, yet for the first 200 minibatches alone: by 2%) and
the rate falls one minibatch earlier; Q sees actions clipped into the box (theirs in adroit alone). Five models, all
asked (theirs 7, the best 5 asked), which train as long as the clones (theirs until the error on held-out rows stops
falling). Theirs goes on online from the chosen member's latest policy, ours from its last accepted one; theirs
squashes log-std by a second tanh there ([-4.4, -0.6]). Values are not clipped online, which takes returns of unit
size; no reward scaling, hence no V learned anew for it (theirs in hopper and halfcheetah, pen and hammer); states not
standardised (theirs in most of locomotion and kitchen). Mazes clone all trajectories (theirs those that succeed).
Advantages are divided by their deviation over B rows, theirs over B-1. Weights start Xavier-uniform, policy heads
near 0; theirs orthogonal (policies) and torch's default (Q, V).
Small: see `recipes/budget.py`; 3 policies and models, no phase for the values alone, 2000 steps of improvement at
3e-4, evaluated over 50 steps from 128 states; targets move at every step; Q bootstraps through time-outs, for where
every step costs 5 an end that no state shows looks like a way out (point maze, 4 seeds: offline 62 and 61 with either
log-std, 54 and 50 with ends); online rollouts of 250, 5 minibatches, 10 epochs, rates 1e-4 and 3e-4.

Use it where a drop at the switch is not acceptable and environment steps are cheap: PPO improves slowly. Cost per
update relative to IQL, counted in network passes: 2.4 while fitting, 1.6 while improving and 40 more for evaluations
of 1000 steps; 8 per environment step online (20 epochs).
"""

from typing import Any

from purejaxo2o.agents import UniO4
from purejaxo2o.loop.phases import Phase, offline, online
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import budget

ALIKE = {"toy": "maze", "adroit-binary": "adroit"}
SPARSE = (10.0, -5.0)
PAPER: dict[str, Any] = {
    "hidden": (512,) * 3,
    "critic_hidden": (1024,) * 2,
    "actor_hidden": (256,) * 3,
    "delay": 2,
    "ope_horizon": 1000,
    "epochs": 10,
    "minibatches": 16,
}
LARGE: dict[str, Any] = {"model_hidden": (400,) * 4, "model_learning_rate": 3e-4}
BY_DOMAIN: dict[str, dict[str, Any]] = {
    "locomotion": {"epochs": 20},
    "adroit": LARGE | {"ope_horizon": 50, "minibatches": 8},
    "kitchen": LARGE | {"ope_horizon": 4},
    "maze": LARGE | {"expectile": 0.9, "ope_horizon": 150, "hidden": (256,) * 3, "critic_hidden": None},
}
RATES = {"adroit": (1e-5, 8e-6), "kitchen": (3e-5, 3e-5), "maze": (3e-5, 3e-5)}
"""Of the policy: while it is improved, and online."""
STEPS = {"kitchen": (200_000, 800_000, 10)}
"""Of fitting, of the values alone and, in hundreds, of the improvement."""
FRESH: dict[str, Any] = {
    "stage": "online",
    "clip": 0.05,
    "entropy_weight": 0.01,
    "value_weight": 2.0,  # multiplies 1/2
    "adam_eps": 1e-5,
}
SMALL: dict[str, Any] = {
    "members": 3,
    "models": 3,
    "model_hidden": (64, 64),
    "model_learning_rate": 1e-3,
    "critic_hidden": None,
    "delay": 1,
    "timeouts": "bootstrap",
    "ope_horizon": 50,
    "ope_starts": 128,
    "epochs": 10,
    "minibatches": 5,
    **budget.ACTOR_CRITIC,
}


def build(task: Task, scale: str) -> Recipe:
    domain = ALIKE.get(task.domain, task.domain)
    reward_scale, reward_bias = SPARSE if domain == "maze" else (1.0, 0.0)
    settings: dict[str, Any] = {"log_std": "tanh", "timeouts": "end", "standardise": "rollout", "bounds": "apart"}
    settings |= PAPER | BY_DOMAIN.get(domain, {})
    improve: dict[str, Any] = {"name": "improve", "updates": 100}
    fresh: dict[str, Any] = {"feed": "rollout", "mix": "online"}
    if scale == "small":
        settings, rollout = settings | SMALL, 250
        phases = [offline(**budget.offline())]
        slower = {"stage": "improve", "learning_rate": 3e-4}
        phases += [Phase(steps=20, segments=4, batch_size=128, agent=slower, **improve)]
        rates = {"learning_rate": 1e-4, "value_learning_rate": 3e-4}
        phases += [online(rollout=rollout, agent=FRESH | rates, **fresh, **budget.online())]
    else:
        rollout = 2048
        clone, values, improved = STEPS.get(domain, (400_000, 1_600_000, 100))
        offline_rate, online_rate = RATES.get(domain, (1e-4, 3e-5))
        phases = [offline(clone, batch_size=512, segments=4)]
        phases += [Phase(name="values", steps=values, batch_size=512, segments=16, agent={"stage": "values"})]
        slower = {"stage": "improve", "learning_rate": offline_rate}
        phases += [Phase(steps=improved, segments=10, batch_size=512, agent=slower, **improve)]
        rates = {"learning_rate": online_rate, "value_learning_rate": 2e-4}
        phases += [online(1450 * rollout, segments=50, rollout=rollout, agent=FRESH | rates, **fresh)]
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
