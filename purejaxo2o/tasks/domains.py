"""What an environment's kind means for learning in it: the domain, and the reward of a failure."""

from purejaxo2o.envs.locomotion import Runner
from purejaxo2o.loop.env import Env

KINDS = {
    **dict.fromkeys(("PointMaze_", "AntMaze_"), "maze"),
    **dict.fromkeys(("AdroitHand", "pen-binary", "door-binary", "hammer-binary", "relocate-binary"), "adroit"),
    **{"FrankaKitchen": "kitchen", "Humanoid": "locomotion"},
}
"""By the beginning of an environment's id; Gymnasium's runners are known by their twins."""


def domain_of(env: Env) -> str:
    """Which of a recipe's defaults apply. A hand whose id has "binary" in it gives -1 and 0."""
    family, _, short = env.name.rpartition("/")
    if family == "toy":
        return family
    short = short.rpartition(":")[2]  # of `module:id`
    known = next((domain for start, domain in KINDS.items() if short.startswith(start)), None)
    if known == "adroit" and "binary" in short.lower():
        return "adroit-binary"
    return known or ("locomotion" if isinstance(env, Runner) else "classic")


def fail_reward_of(env: Env) -> float | None:
    """`Task.fail_reward` of an environment: 0 in mazes with sparse rewards, -1 in Adroit's binary tasks, -0.1 in
    Gymnasium-Robotics' sparse ones (success: 10), whose domain is "adroit": no paper has them."""
    domain = domain_of(env)
    if domain == "maze" and "Dense" not in env.name:
        return 0.0
    if domain == "adroit" and _reward_type(env) == "sparse":
        return -0.1
    return -1.0 if domain == "adroit-binary" else None


def _reward_type(env: Env) -> str | None:
    """The argument of Gymnasium-Robotics' constructors, in small letters."""
    if not env.name.startswith("host/"):
        return None
    from purejaxo2o.envs.host import HostEnv  # only those who have one wait for it

    if not isinstance(env, HostEnv):
        return None
    given = {**env.registered.spec.kwargs, **dict(env.options)}.get("reward_type")
    return given.lower() if isinstance(given, str) else None
