"""Adapter for gymnax (classic control, bsuite, MinAtar, one's own), without its automatic reset.

gymnax 1.0 keeps natural ends and time limits apart; this adapter calls `step_env`, `reset_env` and
`is_truncated`, so that the final observation of an episode is the one that the step produced.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Array, O2OError, Space, Step, pytree, static

IDS = (
    *("Acrobot-v1", "CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"),
    *(f"{game}-MinAtar" for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")),
    *(f"{probe}-bsuite" for probe in ("Catch", "DeepSea", "DiscountingChain", "MemoryChain")),
    *("SimpleBandit-bsuite", "UmbrellaChain-bsuite"),
    *("BernoulliBandit-misc", "FourRooms-misc", "FrozenLake-misc", "GaussianBandit-misc", "MetaMaze-misc"),
    *("PointRobot-misc", "Pong-misc", "Reacher-misc", "Swimmer-misc"),
)
"""gymnax's ids, except MNISTBandit-bsuite, which downloads a dataset."""


IMAGES = (*(short for short in IDS if short.endswith("-MinAtar")), "Pong-misc")
"""Those that are seen as images, of zeros and ones."""


@pytree
class GymnaxEnv:
    """A gymnax environment by id, e.g. `GymnaxEnv(name="gymnax/Pendulum-v1", horizon=200, params=...)`, or `source`.

    `params` is gymnax's `EnvParams` (numbers that may be traced or batched), except that the time limit is
    the static `horizon`. Box actions come in [-1, 1], are clipped to that, and scaled to the environment's
    bounds; discrete ones are int32 in [0, n), unchecked. Observations become float32 vectors, discrete ones one-hot
    vectors; images stay as they are, uint8 (in gymnax's own: 0 or 1). `envs.make` builds this with gymnax's defaults.

    source: the environment object, for those that are not gymnax's own; None: gymnax's of that name.
    """

    name: str = static()
    horizon: int = static()
    params: Any
    source: Any = static(default=None)

    def __post_init__(self) -> None:
        if self.source is None and self.name.removeprefix("gymnax/") not in IDS:
            raise O2OError(f"unknown environment {self.name!r}; gymnax has {', '.join(IDS)}")
        if self.horizon < 1:
            raise O2OError(f"{self.name}: max_steps_in_episode={self.horizon}; give at least 1")

    @property
    def _loaded(self) -> "_Loaded":
        return _loaded(self.name, self.source)

    @property
    def obs_space(self) -> Space:
        return self._loaded.obs_space

    @property
    def action_space(self) -> Space:
        return self._loaded.action_space

    @property
    def action_bounds(self) -> Any:
        """gymnax's own, which may depend on `params`."""
        if self.action_space.discrete:
            return None
        box = self._loaded.env.action_space(self._params)
        return tuple(jnp.broadcast_to(jnp.asarray(x), self.action_space.shape) for x in (box.low, box.high))

    @property
    def pooled_resets(self) -> bool:
        return False

    def reset(self, key: Array) -> tuple[Any, Array]:
        """`key -> (gymnax state, obs)`."""
        obs, state = self._loaded.env.reset_env(key, self._params)
        return jax.tree.map(jnp.asarray, state), self._observe(obs)

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Step]:
        """One step; `info` is empty."""
        env, params = self._loaded.env, self._params
        if not self.action_space.discrete:
            box = env.action_space(params)
            action = box.low + (jnp.clip(action, -1.0, 1.0) + 1) / 2 * (box.high - box.low)
        obs, stepped, reward, terminated, _ = env.step_env(key, state, action, params)
        truncated = env.is_truncated(stepped, params)
        # counters that gymnax starts as Python numbers keep one dtype, so that a scan can carry the state
        stepped = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), stepped, state)
        return stepped, Step(
            obs=self._observe(obs),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=jnp.asarray(terminated, bool),
            truncated=jnp.asarray(truncated, bool),
            info={},
        )

    @property
    def _params(self) -> Any:
        return self.params.replace(max_steps_in_episode=self.horizon)

    def _observe(self, obs: Array) -> Array:
        n, space = self._loaded.categories, self.obs_space
        if n is not None:
            return jax.nn.one_hot(obs, n, dtype=jnp.float32)
        return jnp.asarray(obs, space.dtype).reshape(space.shape)


def settings(name: str, source: Any = None) -> dict[str, Any]:
    """The fields of the environment's `EnvParams`, by name and type."""
    return _kinds(_loaded(name, source or _registered(name)).env.default_params)


def _kinds(params: Any) -> dict[str, Any]:
    return {k: type(v) if isinstance(v, bool | int) else float for k, v in vars(params).items()}


def load(name: str, **changes: Any) -> GymnaxEnv:
    """`gymnax/<id>` with gymnax's default parameters and `changes` to them."""
    return _with_params(name, _registered(name), None, changes)


def known(name: str) -> bool:
    """Whether gymnax has `name`: of its own, or by `gymnax.register`."""
    return name.removeprefix("gymnax/") in IDS or _registered(name) is not None


def adopted(given: Any) -> tuple[str, Callable[..., GymnaxEnv], dict[str, Any]]:
    """Name, constructor and settings for a gymnax environment, or for the pair of one and its parameters."""
    env, params = given if isinstance(given, tuple) else (given, None)
    name = f"gymnax/{env.name}"
    source = None if _is_gymnax_own(env) else env
    params = env.default_params if params is None else params
    return name, lambda **changes: _with_params(name, source, params, changes), _kinds(params)


def _with_params(name: str, source: Any, params: Any, changes: dict[str, Any]) -> GymnaxEnv:
    params = (_loaded(name, source).env.default_params if params is None else params).replace(**changes)
    if not hasattr(params, "max_steps_in_episode"):
        raise O2OError(f"{name}: its parameters have no max_steps_in_episode; add the field to its EnvParams")
    return GymnaxEnv(name=name, horizon=int(params.max_steps_in_episode), params=params, source=source)


def _is_gymnax_own(env: Any) -> bool:
    """Whether an object is what gymnax makes for its name: then the name says it all, also to another process."""
    if env.name not in IDS:
        return False
    own = _loaded(f"gymnax/{env.name}", None).env
    try:
        return type(env) is type(own) and bool(jax.tree.all(jax.tree.map(np.array_equal, vars(env), vars(own))))
    except ValueError:  # of different structure
        return False


def _registered(name: str) -> Any:
    """The environment of an id that somebody registered with gymnax; None for gymnax's own, and for unknown ones."""
    short = name.removeprefix("gymnax/")
    if short in IDS or "gymnax" not in sys.modules:
        return None
    registry = getattr(sys.modules["gymnax"].registration, "_registry", {})
    return _made(registry[short]) if short in registry else None


@functools.lru_cache
def _made(factory: Callable[[], Any]) -> Any:
    """One object for each factory: the same environment again is the same program."""
    return factory()


class _Loaded(NamedTuple):
    env: Any
    obs_space: Space
    action_space: Space
    categories: int | None  # of a discrete observation


@functools.lru_cache
def _loaded(name: str, source: Any = None) -> _Loaded:
    import gymnax

    short = name.removeprefix("gymnax/")
    with jax.ensure_compile_time_eval():  # cached arrays must not belong to the trace that asked first
        env = gymnax.make(short)[0] if source is None else source
        params = env.default_params
        seen, acted = env.observation_space(params), env.action_space(params)
    n, choices = getattr(seen, "n", None), getattr(acted, "n", None)
    if n is None and not hasattr(seen, "shape"):
        raise O2OError(f"{name} observes {type(seen).__name__}; only boxes and choices can be taken: flatten it")
    if choices is None and len(getattr(acted, "shape", ())) != 1:
        raise O2OError(f"{name} acts in {type(acted).__name__}; only 1-D boxes and choices can be taken")
    image = (source is None and short in IMAGES) or (len(seen.shape) == 3 and seen.dtype == jnp.uint8)
    shape = tuple(seen.shape) if image else (int(np.prod(seen.shape)) if n is None else n,)
    obs_space = Space(shape=shape, dtype="uint8" if image else "float32")
    return _Loaded(env, obs_space, Space(shape=tuple(acted.shape), n=choices), n)
