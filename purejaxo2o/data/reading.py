"""From a file's rows to a `Store`: whatever wrote the file, its rows pass the same checks and are in memory once."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from purejaxo2o.data.checks import check_rows
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Spaces, Transition

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

BOUND_TOLERANCE = 1e-3
"""How far, in units of the scaled box `[-1, 1]`, a recorded action may lie outside its declared bounds."""
ALIGNMENT = 64
"""Bytes; arrays that start at a multiple become JAX's on a CPU without being copied."""


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What a dataset says about itself, without its rows.

    env_id, env_spec: the Gymnasium environment it was recorded in (with `kwargs` and time limit), if declared; as
        data: whatever makes an environment of it must see to `env_specs.check_arguments` first.
    eval_env_spec: the one that it is evaluated in, likewise.
    reference: return of a random policy and of an expert, from the metadata or else from `scores`.
    metadata: everything else that the file declares, as Minari stores it.
    """

    id: str
    path: Path
    spaces: Spaces
    episodes: int
    steps: int
    env_id: str | None
    env_spec: "EnvSpec | None"
    reference: tuple[float, float] | None
    metadata: dict[str, Any]
    eval_env_spec: "EnvSpec | None" = None

    @property
    def provenance(self) -> dict[str, Any]:
        """Where it comes from, as `export` notes it; what is there under those names in another form is left out."""
        given = self.metadata.get("provenance")
        kinds = {"source": str, "environment": str, "versions": dict}
        noted = given.items() if isinstance(given, dict) else ()
        return {name: value for name, value in noted if isinstance(value, kinds.get(name, object))}


@dataclasses.dataclass(frozen=True)
class Reading:
    """Rows `[N, ...]` as a file has them, NumPy, in trajectories; their values are not checked yet.

    where: says in words where a row lies in the file."""

    info: DatasetInfo
    data: Transition
    where: Callable[[int], str]

    def check(self) -> None:
        """Raise `O2OError` for the first row that nothing should be trained on."""
        check_rows(self.data, self.info.spaces, self.where, tolerance=BOUND_TOLERANCE)

    def store(self) -> Store:
        """The checked rows. The arrays here belong to the store from then on."""
        self.check()
        action: Any = self.data.action
        if not self.info.spaces.action.discrete:
            np.clip(action, -1.0, 1.0, out=action)
        return jax.tree.map(lambda x: jax.device_put(x, may_alias=True), stores.from_transitions(self.data))


def row_bytes(spaces: Spaces) -> int:
    """Bytes of one row of `allocate`."""
    obs = spaces.obs.size * np.dtype(spaces.obs.dtype).itemsize
    action = 4 if spaces.action.discrete else spaces.action.size * np.dtype(spaces.action.dtype).itemsize
    return 2 * obs + action + 4 + 2


def allocate(rows: int, spaces: Spaces) -> Any:
    """An unwritten `Transition` of `rows` rows, NumPy."""

    def array(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        size = rows * math.prod(shape) * np.dtype(dtype).itemsize
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + size].view(dtype).reshape(rows, *shape)

    obs, action = spaces
    columns: dict[str, Any] = {
        "obs": array(obs.shape, obs.dtype),
        "action": array(action.shape, "int32" if action.discrete else action.dtype),
        "reward": array((), "float32"),
        "next_obs": array(obs.shape, obs.dtype),
        "terminated": array((), "bool"),
        "truncated": array((), "bool"),
    }
    return Transition(**columns)
