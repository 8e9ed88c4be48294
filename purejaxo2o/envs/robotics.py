"""gymnasium-robotics' environments, registered with Gymnasium and made to run with the MuJoCo that is installed."""

import functools
import importlib
import importlib.util
import types
from typing import Any

import numpy as np


@functools.cache
def register() -> bool:
    """Import gymnasium-robotics, which registers its environments; False where it is not installed."""
    if not importlib.util.find_spec("gymnasium_robotics"):
        return False
    importlib.import_module("gymnasium_robotics")
    _compare_joints_as_numbers()
    return True


def _compare_joints_as_numbers() -> None:
    """Let its `joint_type in (mjJNT_HINGE, mjJNT_SLIDE)` be true again.

    MuJoCo's enumerations do not equal NumPy's integers any more when they stand on the left, as they do in a tuple;
    without this Fetch, the Franka kitchen and the Shadow hand end in an `AssertionError` without text (version 1.4.2
    with MuJoCo 3.17). Its module sees plain integers instead; nobody else's view of MuJoCo changes."""
    mujoco: Any = importlib.import_module("mujoco")
    if np.int32(3) in (mujoco.mjtJoint.mjJNT_HINGE,):
        return
    module: Any = importlib.import_module("gymnasium_robotics.utils.mujoco_utils")
    joints = types.SimpleNamespace(**{name: int(kind) for name, kind in mujoco.mjtJoint.__members__.items()})
    module.mujoco = types.SimpleNamespace(**(vars(mujoco) | {"mjtJoint": joints}))
