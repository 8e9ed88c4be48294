"""Adapter for gymnax (classic control, bsuite, MinAtar), without its automatic reset.

gymnax 1.0 keeps natural ends and time limits apart; this adapter calls `step_env`, `reset_env` and
`is_truncated`, so that the final observation of an episode is the one that the step produced.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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


@pytree
class GymnaxEnv:
    """A gymnax environment by id, e.g. `GymnaxEnv(name="gymnax/Pendulum-v1", horizon=200, params=...)`.

    `params` is gymnax's `EnvParams` (numbers that may be traced or batched), except that the time limit is
    the static `horizon`. Box actions come in [-1, 1], are clipped to that, and scaled to the environment's
    bounds; discrete ones are int32 in [0, n), unchecked. Observations are float32 vectors; images keep their
    shape, MinAtar's are uint8 (0 or 1), and a discrete observation becomes a one-hot vector. `make` builds this
    with gymnax's defaults.
    """

    name: str = static()
    horizon: int = static()
    params: Any

    def __post_init__(self) -> None:
        if self.name.removeprefix("gymnax/") not in IDS:
            raise O2OError(f"unknown environment {self.name!r}; gymnax has {', '.join(IDS)}")
        if self.horizon < 1:
            raise O2OError(f"{self.name}: max_steps_in_episode={self.horizon}; give at least 1")

    @property
    def obs_space(self) -> Space:
        return _loaded(self.name).obs_space

    @property
    def action_space(self) -> Space:
        return _loaded(self.name).action_space

    @property
    def pooled_resets(self) -> bool:
        return False

    def reset(self, key: Array) -> tuple[Any, Array]:
        """`key -> (gymnax state, obs)`."""
        obs, state = _loaded(self.name).env.reset_env(key, self._params)
        return jax.tree.map(jnp.asarray, state), self._observe(obs)

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Step]:
        """One step; `info` is empty."""
        env, params = _loaded(self.name).env, self._params
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
        n = _loaded(self.name).categories
        return jnp.asarray(obs, self.obs_space.dtype) if n is None else jax.nn.one_hot(obs, n, dtype=jnp.float32)


def settings(name: str) -> dict[str, type]:
    """The fields of the environment's `EnvParams`, by name and type."""
    defaults = vars(_loaded(name).env.default_params)
    return {k: type(v) if isinstance(v, bool | int) else float for k, v in defaults.items()}


def load(name: str, **changes: Any) -> GymnaxEnv:
    """`gymnax/<id>` with gymnax's default parameters and `changes` to them."""
    params = _loaded(name).env.default_params.replace(**changes)
    return GymnaxEnv(name=name, horizon=int(params.max_steps_in_episode), params=params)


class _Loaded(NamedTuple):
    env: Any
    obs_space: Space
    action_space: Space
    categories: int | None  # of a discrete observation


@functools.lru_cache
def _loaded(name: str) -> _Loaded:
    import gymnax

    with jax.ensure_compile_time_eval():  # cached arrays must not belong to the trace that asked first
        env, params = gymnax.make(name.removeprefix("gymnax/"))
        seen, acted = env.observation_space(params), env.action_space(params)
    n = getattr(seen, "n", None)
    dtype = "uint8" if name.endswith("-MinAtar") else "float32"
    obs_space = Space(shape=tuple(seen.shape) if n is None else (n,), dtype=dtype)
    return _Loaded(env, obs_space, Space(shape=tuple(acted.shape), n=getattr(acted, "n", None)), n)
