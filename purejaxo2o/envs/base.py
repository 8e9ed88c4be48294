"""The environment protocol.

An environment is a frozen pytree (`types.pytree`): numbers that one may vary (gravity, a goal radius) are
leaves, everything structural is static. It is pure and never resets itself; `rollout.py` does that, after it
has stored the true next observation.
"""

from typing import Any, Protocol, runtime_checkable

from purejaxo2o.types import Array, Space, Spaces, Step

EnvState = Any
"""A pytree of arrays; only the environment that made it looks inside."""


@runtime_checkable
class Env(Protocol):
    """What every environment offers. Single (unbatched) states and actions; callers `vmap`."""

    @property
    def name(self) -> str:
        """The id that `envs.make` understands, e.g. `maze/PointMaze_UMaze-v3`."""
        ...

    @property
    def obs_space(self) -> Space: ...

    @property
    def action_space(self) -> Space:
        """A box scaled to [-1, 1] or a discrete space."""
        ...

    @property
    def horizon(self) -> int:
        """Steps after which an episode is truncated (static)."""
        ...

    @property
    def pooled_resets(self) -> bool:
        """True when `reset` is too expensive for every step: the rollout then draws start states from a pool
        made once a segment (`rollout.POOL_SIZE` of them)."""
        ...

    def reset(self, key: Array) -> tuple[EnvState, Array]:
        """`key -> (state, obs)`."""
        ...

    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Step]:
        """One step; `terminated` and `truncated` are scalars bool and may both be set.

        `info` has the same keys at every step; `info["success"]`, where present, is a bool scalar."""
        ...


def spaces(env: Env) -> Spaces:
    """Observation and action space of `env`."""
    return Spaces(env.obs_space, env.action_space)
