"""PPO with imitation: two demonstrations decide in worlds whose reward is far and ever elsewhere."""

import dataclasses
from collections.abc import Mapping

import jax

import purejaxo2o as o2o
from experiments.claims.claim import Claim, Contrast, Data, handover
from purejaxo2o import envs
from purejaxo2o.data.demonstrations import demonstrations
from purejaxo2o.tasks import make

FINAL = handover("final")
DEMONSTRATIONS = 2
MORE = {"10 demonstrations": 10, "100 demonstrations": 100}


def task() -> o2o.Task:
    """Four rooms of 5 x 5 cells with doors, a start and a goal anywhere."""
    return make("four rooms", envs.make("xland/MiniGrid-FourRooms", height=13, width=13), reference=(0.0, 1.0))


def arms(task: o2o.Task) -> Mapping[str, o2o.Recipe]:
    both = o2o.recipe("ppo_il", task, scale="small")
    before, during = both.phases
    alone = dataclasses.replace(during, feed="rollout", updates=1)
    return {
        "ppo_il": both,
        "cloning before alone": dataclasses.replace(both, phases=(before, alone)),
        "cloning during alone": dataclasses.replace(both, phases=(during,)),
        "ppo": dataclasses.replace(both, phases=(alone,)),
        **dict.fromkeys(MORE, both),
    }


def data(episodes: int) -> Data:
    return lambda task: demonstrations(task.env, jax.random.key(0), episodes)  # type: ignore[arg-type]


CLAIM = Claim(
    method="ppo_il",
    paper="Andres et al. 2023, arXiv 2304.09825, section 5",
    says="As few as two trajectories decide whether PPO learns; hard worlds need cloning before and during.",
    task=task,
    arms=arms,
    contrasts=(
        Contrast("final score above that of PPO without demonstrations", "ppo_il", "ppo", FINAL),
        Contrast("final score above that of cloning before alone", "ppo_il", "cloning before alone", FINAL),
        Contrast("final score above that of cloning during alone", "ppo_il", "cloning during alone", FINAL),
        Contrast("final score: 10 demonstrations above none", "10 demonstrations", "ppo", FINAL),
        Contrast("final score: 100 demonstrations above 2", "100 demonstrations", "ppo_il", FINAL),
    ),
    data=data(DEMONSTRATIONS),
    other_data={arm: data(episodes) for arm, episodes in MORE.items()},
    note="131,072 steps are a hundredth of the paper's budget: PPO alone has only begun to learn, and a policy that "
    "knows two demonstrations by heart is held there by going on to clone them. A hundred generalise to new rooms.",
)
