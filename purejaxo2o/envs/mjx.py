"""Twins of Gymnasium's MuJoCo environments: the same task and physics, in JAX.

Equal to the original at every step up to rounding (`experiments/results/parity.md`). Not here: Pusher, whose arm has
a cylinder to push (no closed form against its capsules: C iterates on convex shapes, MJX on a distance field, which
takes more than nine minutes to compile on a CPU); Humanoid, whose solver MJX lacks. `host/Pusher-v5` runs them.
"""

import dataclasses
from typing import Any, Literal, get_origin

from purejaxo2o.envs.locomotion import Ant, HalfCheetah, Hopper, Swimmer, Walker2d
from purejaxo2o.envs.mechanisms import InvertedDoublePendulum, InvertedPendulum, Reacher
from purejaxo2o.envs.model import check_unchanged
from purejaxo2o.envs.twin import Twin
from purejaxo2o.types import Number

ROBOTS: tuple[type[Twin], ...] = (
    *(Hopper, HalfCheetah, Walker2d, Ant, Swimmer),
    *(InvertedPendulum, InvertedDoublePendulum, Reacher),
)
VERSIONS = ("v5", "v4")
IDS = tuple(f"mjx/{robot.ROBOT}-{version}" for version in VERSIONS for robot in ROBOTS)
_OF_VERSION = {"v5": "use_contact_forces", "v4": "include_cfrc_ext_in_observation"}  # what the other one has


def settings(name: str) -> dict[str, Any]:
    """Settings of `make`: those of Gymnasium's constructor that change the task, and `physics`."""
    robot, version = _parts(name)
    return {
        f.name: _kind(f.type) for f in dataclasses.fields(robot) if f.name not in ("version", _OF_VERSION[version])
    }


def load(name: str, **changes: Any) -> Twin:
    """`mjx/<robot>-<version>`; the model is loaded at first use."""
    robot, version = _parts(name)
    twin = robot(version=version, **changes)
    if twin.xml_file is not None:
        check_unchanged(twin.xml_file)
    return twin


def _parts(name: str) -> tuple[type[Twin], Any]:
    robot, _, version = name.removeprefix("mjx/").partition("-")
    return next(r for r in ROBOTS if robot == r.ROBOT), version


def _kind(annotation: Any) -> Any:
    """What `make` checks a value against."""
    if annotation == Number:
        return float
    origin = get_origin(annotation)
    return {Literal: str, tuple: tuple}.get(origin, annotation)
