"""What an environment's kind means for learning in it: the domain, and the reward of a failure."""

from purejaxo2o.envs.base import Env
from purejaxo2o.envs.locomotion import Runner

DOMAINS = {
    **dict.fromkeys(("PointMaze_", "AntMaze_"), "maze"),
    **{"AdroitHand": "adroit", "FrankaKitchen": "kitchen", "Humanoid": "locomotion"},
}
"""By the beginning of an environment's id; Gymnasium's runners are known by their twins."""


def domain_of(env: Env) -> str:
    """Which of a recipe's defaults apply."""
    family, _, short = env.name.rpartition("/")
    if family == "toy":
        return family
    known = (domain for start, domain in DOMAINS.items() if short.startswith(start))
    return next(known, "locomotion" if isinstance(env, Runner) else "classic")


def fail_reward_of(env: Env) -> float | None:
    """`Task.fail_reward` of an environment: 0 in mazes with sparse rewards."""
    return 0.0 if domain_of(env) == "maze" and "Dense" not in env.name else None
