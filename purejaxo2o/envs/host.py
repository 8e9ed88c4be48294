"""(slow) Any Gymnasium environment, stepped by Python on the host: what JAX cannot simulate.

The only environments that are not arithmetic of the program: every step calls back to Python, about 0.1 ms besides
the simulation, copies one after the other. Still functions, because a state is its seed and the actions since: the
host keeps a simulator for each state that it has just reached, and where it has none (a state that is stepped twice,
a run that was resumed) it resets one with the seed and plays the actions again. That takes an environment whose
reset depends on its seed alone, and that does the same again for the same actions. CPU and GPU; a TPU is refused.

`host/AdroitHandPen-v1` is here and not among the twins because MJX collides no cylinder with a box, as the Pen, Door
and Hammer models do; Relocate loads, but its 188 contact slots take minutes to compile and its steps are wrong by
0.1 in velocity.
"""

import functools
import hashlib
import sys
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from purejaxo2o.envs import robotics
from purejaxo2o.envs.registered import Registered, check_repeats, reason
from purejaxo2o.types import Array, O2OError, Space, Step, nearest, pytree, static

KEPT = 64
"""Simulators kept besides two for each copy in the largest batch so far."""


class HostState(NamedTuple):
    """A state by how it is reached. After the end nothing moves any more."""

    seed: Array  # [] uint32, of the reset
    actions: Array  # [horizon, ...] since then
    time: Array  # [] int32, steps since the reset
    name: Array  # [2] uint32, a digest of all this
    obs: Array
    over: Array  # [2] bool, terminated and truncated


@pytree
class HostEnv:
    """`host/<gymnasium id>`, also `host/<module>:<id>`. Observations and actions as `minari.load` makes them:
    vectors (whatever its shape; dictionaries joined, keys sorted, nested ones too) or images; boxes scaled to [-1, 1]
    and clipped, as vectors, or choices from 0.

    registered: what the id meant when this was made. options: of the constructor, as sorted pairs.
    `info["success"]` is there if the environment has it."""

    name: str = static()
    horizon: int = static()
    registered: Registered = static()
    options: tuple[tuple[str, Any], ...] = static(default=())

    @property
    def obs_space(self) -> Space:
        return self._host.obs_space

    @property
    def action_space(self) -> Space:
        return self._host.action_space

    @property
    def action_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Gymnasium's own: of a box, or the first and the last choice."""
        space = self._host.actions
        if self.action_space.discrete:
            return np.asarray(space.start), np.asarray(space.start + space.n - 1)
        return space.low, space.high

    @property
    def pooled_resets(self) -> bool:
        return True

    @property
    def _host(self) -> "_Host":
        return _host(self.name, self.horizon, self.registered, self.options)

    def reset(self, key: Array) -> tuple[HostState, Array]:
        """The environment's own reset, with a seed drawn from `key`."""
        seed, space = jax.random.bits(key, (), jnp.uint32), self.action_space
        obs = self._call(self._host.first_obs, self.obs_space.zeros(), seed)
        return HostState(
            seed=seed,
            actions=jnp.zeros((self.horizon, *space.shape), space.zeros().dtype),
            time=jnp.zeros((), jnp.int32),
            name=jnp.stack([seed, jnp.zeros_like(seed)]),
            obs=obs,
            over=jnp.zeros(2, bool),
        ), obs

    def step(self, state: HostState, action: Array, key: Array) -> tuple[HostState, Step]:
        """One step; the key does not matter. After the end: the same observation, no reward."""
        action = jnp.asarray(action, state.actions.dtype)
        actions = jax.lax.dynamic_update_index_in_dim(state.actions, action, state.time, 0)
        after = state._replace(actions=actions)
        shapes = state.name, state.obs, jnp.zeros(()), state.over, jnp.zeros((), bool)
        name, obs, reward, over, success = self._call(self._host.step, shapes, *after)
        step = Step(
            obs=obs,
            reward=reward,
            terminated=over[0],
            truncated=over[1],
            info={"success": success} if self._host.has_success else {},
        )
        return after._replace(time=state.time + 1, name=name, obs=obs, over=over), step

    def _call(self, function: Any, shapes: Any, *arguments: Array) -> Any:
        """`function` on the host, its arrays with one leading axis for all copies."""
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), shapes)

        def flattened(*batched: Any) -> Any:
            arrays = [np.asarray(x) for x in batched]
            leading = arrays[0].shape  # the first argument is a scalar of each copy
            rows = function(*(x.reshape(-1, *x.shape[len(leading) :]) for x in arrays))
            return jax.tree.map(lambda x, s: np.reshape(x, (*leading, *s.shape)).astype(s.dtype), rows, like)

        first, *others = arguments
        return jax.pure_callback(flattened, like, _not_on_tpu.bind(first), *others, vmap_method="broadcast_all")


_not_on_tpu = Primitive("not_on_tpu")
"""The identity; programs that contain it are not lowered for a TPU."""
_not_on_tpu.def_impl(lambda x: x)
_not_on_tpu.def_abstract_eval(lambda x: x)
batching.primitive_batchers[_not_on_tpu] = lambda args, dims: (_not_on_tpu.bind(*args), dims[0])
mlir.register_lowering(_not_on_tpu, lambda context, x: [x])


def _refuse(context: Any, x: Any) -> Any:
    raise O2OError("host environments run in Python beside a CPU or GPU; give a TPU another one (purejaxo2o list)")


mlir.register_lowering(_not_on_tpu, _refuse, platform="tpu")


def load(name: str, /, *, max_episode_steps: int | None = None, **options: Any) -> HostEnv:
    """`host/<gymnasium id>` with options of its constructor.

    Raises `O2OError` for an unknown id, a missing time limit, options that the constructor refuses, spaces that
    no agent here takes, and an environment that does not do the same again."""
    return _build(name, _spec(name), max_episode_steps, options)


def adopted(env: Any, /, *, max_episode_steps: int | None = None, **options: Any) -> HostEnv:
    """The environment that a Gymnasium object is one of: simulators are made as its `spec` says, wrappers included.

    Raises `O2OError` as `load`, and for an object without a `spec`."""
    spec = env.spec
    if spec is None or spec.entry_point is None:
        raise O2OError(
            f"{type(env).__name__} was made by its class, so that nobody knows how to make another; register it "
            "(gymnasium.register(id, entry_point=...)) and give the id: host/<id>"
        )
    return _build(f"host/{spec.id}", spec, max_episode_steps, options)


def _build(name: str, spec: Any, max_episode_steps: int | None, options: dict[str, Any]) -> HostEnv:
    horizon = max_episode_steps or spec.max_episode_steps
    if horizon is None:
        raise O2OError(
            f"{name} declares no time limit",
            python="pass max_episode_steps=",
            shell="give --limit STEPS",
        )
    try:
        hash(tuple(options.values()))
    except TypeError:
        raise O2OError(f"{name}: options {options} hold lists or dictionaries; pass tuples") from None
    pairs = tuple(sorted(options.items()))
    env = HostEnv(name=name, horizon=horizon, registered=Registered(spec), options=pairs)
    env._host  # noqa: B018  (made now, so that a wrong option is refused now)
    return env


def registered(env_id: str) -> Registered:
    """What Gymnasium's registry says of an id. Raises `O2OError` for an unknown one."""
    return Registered(_spec(f"host/{env_id}"))


def _spec(name: str) -> Any:
    import gymnasium as gym

    short = name.removeprefix("host/")
    try:
        if ":" not in short and (short not in gym.registry or "gymnasium_robotics" in sys.modules):
            robotics.register()
        return gym.spec(short)
    except (gym.error.Error, ImportError) as error:
        if short in gym.registry:
            raise O2OError(f"{name} cannot be made: {error}") from error
        raise O2OError(f"unknown environment {name!r}; {nearest(short, gym.registry)}") from error


class _Host:
    """The simulators of one kind of environment, by the state that each is in."""

    def __init__(self, name: str, horizon: int, registered: Registered, options: tuple[tuple[str, Any], ...]) -> None:
        from purejaxo2o.envs import gym_spaces

        self.spec = registered.spec
        self.name, self.horizon, self.options, self.spaces = name, horizon, dict(options), gym_spaces
        self.lock, self.kept = threading.Lock(), KEPT
        self.spare: list[Any] = []
        self.live: OrderedDict[tuple[int, bytes], Any] = OrderedDict()  # by copy and digest; the oldest first
        first = self._made()
        try:
            self.obs_space = gym_spaces.obs_space(first.observation_space)
            self.action_space = gym_spaces.action_space(first.action_space)
        except O2OError as error:
            raise O2OError(f"{name} has spaces that no agent here takes: {error}") from None
        self.observations, self.actions = first.observation_space, first.action_space
        info = check_repeats(name, first, self._flat)
        self.has_success = "success" in info
        self.spare.append(first)

    def first_obs(self, seeds: np.ndarray) -> np.ndarray:
        with self.lock:
            env = self.spare.pop() if self.spare else self._made()
            obs = [self._flat(env.reset(seed=int(seed))[0]) for seed in seeds]
            self.spare.append(env)
        return np.stack(obs)

    def step(self, seeds: np.ndarray, actions: np.ndarray, times: np.ndarray, *rest: np.ndarray) -> Any:
        """`(name, obs, reward, over, success)` of every copy. `actions` has the new one already."""
        with self.lock:
            self.kept = max(self.kept, KEPT + 2 * len(seeds))
            rows = [self._one(*copy) for copy in enumerate(zip(seeds, actions, times, *rest, strict=True))]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _one(self, copy: int, state: Any) -> tuple[Any, ...]:
        seed, actions, time, name, obs, over = state
        if over.any():
            return name, obs, 0.0, over, False
        env = self.live.pop((copy, name.tobytes()), None)
        if env is None:
            env = self._replayed(seed, actions[:time])
        raw, reward, terminated, truncated, info = env.step(self._action(actions[time]))
        name = np.frombuffer(
            hashlib.blake2b(name.tobytes() + actions[time].tobytes(), digest_size=8).digest(), np.uint32
        )
        self._keep(env, None if terminated or truncated else (copy, name.tobytes()))
        return name, self._flat(raw), reward, np.array([terminated, truncated]), bool(info.get("success", False))

    def _keep(self, env: Any, place: tuple[int, bytes] | None) -> None:
        for held in [self.live.pop(place, None)] if place else [env]:
            self.spare += [held] if held is not None else []
        if place:
            self.live[place] = env
        while len(self.live) > self.kept:
            self.spare.append(self.live.popitem(last=False)[1])

    def _replayed(self, seed: np.ndarray, actions: np.ndarray) -> Any:
        env = self.spare.pop() if self.spare else self._made()
        env.reset(seed=int(seed))
        for action in actions:
            env.step(self._action(action))
        return env

    def _made(self) -> Any:
        import gymnasium as gym

        try:
            return gym.make(
                self.spec,
                max_episode_steps=self.horizon,
                disable_env_checker=True,
                **self.options,
            )
        except Exception as error:  # a constructor may raise anything
            why = reason(error) if str(error) else f"its constructor raises {type(error).__name__}"
            raise O2OError(f"{self.name} cannot be made: {why}") from error

    def _flat(self, obs: Any) -> np.ndarray:
        return np.asarray(self.spaces.flat_obs(obs, self.observations), self.obs_space.dtype)

    def _action(self, action: np.ndarray) -> Any:
        return self.spaces.original_action(action, self.actions)


_host = functools.lru_cache(_Host)
