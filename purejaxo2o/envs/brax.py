"""brax's own bodies, cheap cousins: *not* the dynamics of D4RL and Gymnasium (`mjx/...` has those).

The raw environments, without brax's automatic reset and episode wrappers. Integrator, contacts and solver are others
than those of the environments of the same name: good for speed and for tests, not for scores that are compared
with published ones.
"""

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxo2o.types import Array, O2OError, Space, Step, nearest, pytree, static

IDS = (
    *("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "inverted_double_pendulum"),
    *("inverted_pendulum", "pusher", "reacher", "walker2d"),
)
"""brax's ids, except swimmer, whose fluid forces call a `clip` argument that JAX has removed."""
BACKENDS = ("generalized", "mjx", "positional", "spring")


class BraxState(NamedTuple):
    """brax's own state, and the steps since the reset."""

    physics: Any
    time: Array  # [] int32


@pytree
class BraxEnv:
    """A brax environment, e.g. `BraxEnv(name="brax/hopper")`, with a backend of `BACKENDS`.

    Terminated is brax's `done`; truncated after `horizon` steps (each of the environment's own frame skip).
    Actions are clipped to [-1, 1]; brax scales them to the actuators. Raises `O2OError` for an unknown name
    or backend.

    source: the environment object, for those that are not brax's own; its backend counts, not this one.
    """

    name: str = static()
    backend: str = static(default="spring")
    horizon: int = static(default=1000)
    source: Any = static(default=None)

    def __post_init__(self) -> None:
        if self.source is None and self.name.removeprefix("brax/") not in IDS:
            raise O2OError(f"unknown environment {self.name!r}; brax has {', '.join(IDS)}")
        if self.backend not in BACKENDS:
            raise O2OError(f"{self.name}: backend={self.backend!r} is unknown; {nearest(self.backend, BACKENDS)}")
        if self.horizon < 1:
            raise O2OError(f"{self.name}: horizon={self.horizon}; give at least 1")

    @property
    def _loaded(self) -> "_Loaded":
        return _loaded(self.name, self.backend, self.source)

    @property
    def obs_space(self) -> Space:
        return Space(shape=(self._loaded.obs_size,))

    @property
    def action_space(self) -> Space:
        return Space(shape=(self._loaded.env.action_size,))

    @property
    def pooled_resets(self) -> bool:
        return True  # a reset runs the forward kinematics of the whole body

    def reset(self, key: Array) -> tuple[BraxState, Array]:
        """`key -> (state, obs)`."""
        physics = jax.tree.map(jnp.asarray, self._loaded.env.reset(key))
        return BraxState(physics, jnp.zeros((), jnp.int32)), physics.obs

    def step(self, state: BraxState, action: Array, key: Array) -> tuple[BraxState, Step]:
        """One step; deterministic, `info` is empty."""
        before = jax.tree.map(lambda x: x, state.physics)  # brax writes into its state's dictionaries
        after = self._loaded.env.step(before, jnp.clip(action, -1.0, 1.0))
        # brax returns some rewards and flags as Python numbers: keep one dtype, for scans
        after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state.physics)
        time = state.time + 1
        return BraxState(after, time), Step(
            obs=after.obs,
            reward=after.reward,
            terminated=after.done.astype(bool),
            truncated=time >= self.horizon,
            info={},
        )


def settings(name: str) -> dict[str, Any]:
    """Settings of `make`, the same for every brax environment."""
    return {"backend": str, "horizon": int}


def load(name: str, **changes: Any) -> BraxEnv:
    """`brax/<id>`; the model is loaded at first use."""
    factory = _registered(name)
    if factory is None:
        return BraxEnv(name=name, **changes)
    backend = {"backend": changes["backend"]} if "backend" in changes else {}
    return BraxEnv(name=name, source=_made(factory, **backend), **changes)


def known(name: str) -> bool:
    """Whether brax has `name`: of its own, or by `brax.envs.register_environment`."""
    return name.removeprefix("brax/") in IDS or _registered(name) is not None


def adopted(env: Any) -> tuple[str, Callable[..., BraxEnv], dict[str, Any]]:
    """Name, constructor and settings for a brax environment."""
    name = f"brax/{type(env).__name__}"
    if any((kind.__module__.partition(".")[0], kind.__name__) == ("brax", "Wrapper") for kind in type(env).__mro__):
        raise O2OError(
            f"{name} is a wrapper of brax's, which resets or counts by itself; give the environment within: "
            "env.unwrapped (and horizon=)"
        )
    return name, lambda **changes: BraxEnv(name=name, source=env, **changes), {"horizon": int}


def _registered(name: str) -> Any:
    """The class of an id that somebody registered with brax; None for brax's own, and for unknown ones."""
    if "brax.envs" not in sys.modules:
        return None
    found = getattr(sys.modules["brax.envs"], "_envs", {}).get(name.removeprefix("brax/"))
    own = found is None or getattr(found, "__module__", "").startswith("brax.envs.")
    return None if own else found


@functools.lru_cache
def _made(factory: Callable[..., Any], **backend: str) -> Any:
    """One object for each class: the same environment again is the same program."""
    with jax.ensure_compile_time_eval():
        return factory(**backend)


class _Loaded(NamedTuple):
    env: Any
    obs_size: int


@functools.lru_cache
def _loaded(name: str, backend: str, source: Any = None) -> _Loaded:
    with warnings.catch_warnings(), jax.ensure_compile_time_eval():  # no tracers in the cache
        warnings.filterwarnings("ignore", message="Brax System")  # its maintenance notice, at every model
        warnings.filterwarnings("ignore", message="JAXopt is no longer maintained")
        from brax import envs

        short = name.removeprefix("brax/")
        env = envs.get_environment(short, backend=backend) if source is None else source
    obs = jax.eval_shape(env.reset, jax.random.key(0)).obs
    if len(getattr(obs, "shape", ())) != 1:
        raise O2OError(f"{name} observes {obs}; only vectors can be taken: flatten it")
    return _Loaded(env, obs.shape[0])
