"""Offline data of Pendulum, recorded on first use by our own `collect`: the levels of a small SAC's training."""

from purejaxo2o.data.folder import local_ids

NAMESPACE = "family/pendulum"
MEDIUM = f"{NAMESPACE}/medium-v0"
"""20,000 steps of a policy a third of the way to the last one."""


def record() -> None:
    """Make the datasets unless they are there (within a minute)."""
    if MEDIUM not in local_ids():
        from purejaxo2o.cli.main import main as purejaxo2o

        options = ["--policy", "all", "--scale", "small", "--steps", "20000"]
        purejaxo2o(["collect", "pendulum", "--id", NAMESPACE, *options])
