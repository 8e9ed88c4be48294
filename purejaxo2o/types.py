"""The few types that every other module speaks.

Settings and states are frozen dataclasses registered as JAX pytrees (`pytree`): every field is an array
leaf (or a subtree of leaves) unless it is declared with `static`, in which case it is part of the pytree's
structure, decides shapes and branches, and changing it compiles a new program.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.spelling import nearest as nearest
from purejaxo2o.spelling import shown
from purejaxo2o.values import LARGEST, Kind, Range, fault, kinds, settled

Array = jax.Array
Device = Any
"""One of `jax.devices()`."""
Number = float | Array
"""A numeric setting: a Python number, or a tracer or batch of them under `jit` and `vmap`."""
Metrics = dict[str, Array]
"""Scalars by name, averaged over a segment."""

T = TypeVar("T")

PYTREES: dict[str, type] = {}
"""Every class that `pytree` has made, by import path, `module:Name`."""


def static(
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    **kwargs: Any,
) -> Any:
    """A dataclass field that is fixed at trace time (a size, a name, an architecture).

    If it is a number or a tuple of numbers, each must lie in [low, high] and in (above, below). Whole numbers are
    at least 1 unless `low` says otherwise."""
    return dataclasses.field(metadata={"static": True, "range": Range(low, high, above, below)}, **kwargs)


def number(
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    **kwargs: Any,
) -> Any:
    """A dataclass field of type `Number` that must lie in [low, high] and in (above, below); it may be None where its
    type says so. Fields declared without it take any finite number. Traced values are not checked."""
    return dataclasses.field(metadata={"range": Range(low, high, above, below)}, **kwargs)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, number, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass and a JAX pytree (see `static`).

    Called by its name, it settles its settings: whole numbers, flags and tuples for what NumPy, JAX or a list says
    (`values.settled`), so that equal settings hash alike. As a tree (`jax.tree.map`), it takes whatever comes.

    Not by `jax.tree_util.register_dataclass`: its structures of two classes are equal (jaxlib 0.10.2) where their
    static values and numbers of leaves are, and `jit` then serves one class the other's program whenever a few bits
    of their hashes agree too.
    """
    frozen: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = dataclasses.fields(frozen)
    data = [f.name for f in fields if not f.metadata.get("static")]
    meta = [f.name for f in fields if f.metadata.get("static")]
    keys = [jax.tree_util.GetAttrKey(name) for name in data]
    filled = frozen.__init__

    @functools.wraps(filled)
    def settle(self: Any, **given: Any) -> None:
        known = kinds(frozen)
        filled(self, **{name: settled(known[name], x) if name in known else x for name, x in given.items()})

    frozen.__init__ = settle

    def flatten(tree: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(tree, name) for name in data], tuple(getattr(tree, name) for name in meta)

    def flatten_with_keys(tree: Any) -> tuple[list[Any], tuple[Any, ...]]:
        leaves, statics = flatten(tree)
        return list(zip(keys, leaves, strict=True)), statics

    def unflatten(statics: tuple[Any, ...], leaves: Any) -> Any:
        made = object.__new__(frozen)
        filled(made, **dict(zip(data, leaves, strict=True)), **dict(zip(meta, statics, strict=True)))
        return made

    jax.tree_util.register_pytree_with_keys(frozen, flatten_with_keys, unflatten, flatten)
    PYTREES[f"{frozen.__module__}:{frozen.__qualname__}"] = frozen
    return frozen


class Transition(NamedTuple):
    """One or many environment steps; every leaf has the same leading shape `[...]`.

    `terminated` is True only when the environment itself ended (nothing follows, the value is zero);
    `truncated` only when something outside cut the trajectory (a time limit, the end of a recording), after
    which the value of `next_obs` still counts. `next_obs` is what the step produced, before any reset.
    """

    obs: Array  # [..., *obs_shape]
    action: Array  # [..., *action_shape]; float in [-1, 1], or int32 for discrete actions
    reward: Array  # [...] float32, as the environment gave it
    next_obs: Array  # [..., *obs_shape]
    terminated: Array  # [...] bool
    truncated: Array  # [...] bool
    extras: dict[str, Array] = {}  # noqa: RUF012  (what an agent `needs`, e.g. "return_to_go")

    @property
    def last(self) -> Array:
        """`[...]` bool: the trajectory ends with this step, for whatever reason."""
        return self.terminated | self.truncated


class Step(NamedTuple):
    """What an environment's `step` returns besides its state. Scalars, except `obs`."""

    obs: Array
    reward: Array
    terminated: Array
    truncated: Array
    info: dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Space:
    """The shape of an observation or an action (hashable, hence static).

    A box has `n=None`: float arrays of `shape`, actions always scaled to `[-1, 1]`. A discrete action space
    has `n` choices and scalar int32 actions. `parts` names the pieces that a flat vector was made of, in
    order, when the original space was a dictionary (goal environments): `(("achieved_goal", 2), ...)`.
    """

    shape: tuple[int, ...] = ()
    n: int | None = None
    parts: tuple[tuple[str, int], ...] = ()
    dtype: str = "float32"

    @property
    def discrete(self) -> bool:
        return self.n is not None

    @property
    def size(self) -> int:
        """Number of scalars in one element (1 for a discrete action)."""
        return int(np.prod(self.shape))

    def zeros(self) -> Array:
        """An example element."""
        return jnp.zeros(self.shape, jnp.int32 if self.discrete else self.dtype)

    def __str__(self) -> str:
        return f"Discrete({self.n})" if self.discrete else f"Box{self.shape}"


class Spaces(NamedTuple):
    """The observation and the action space of an environment or a dataset."""

    obs: Space
    action: Space


class O2OError(ValueError):
    """Bad input, found before anything was compiled or written: one line naming thing, value and remedy.

    text: the whole line, or what is wrong where the remedy depends on who reads it.
    python, shell: then the remedy in Python's words, and that for those who type commands.
    `str(error)` is for Python, `error.in_shell` for the command line; they are equal without `python` and `shell`."""

    def __init__(self, text: str, *, python: str = "", shell: str = "") -> None:
        super().__init__(f"{text}; {python}" if python else text)
        self.in_shell = f"{text}; {shell}" if shell else str(self)

    def within(self, where: str) -> "O2OError":
        """The same with the place of the mistake in front."""
        found = O2OError(f"{where}: {self}")
        found.in_shell = f"{where}: {self.in_shell}"
        return found


def transition_example(spaces: Spaces, extras: tuple[str, ...] = ()) -> Transition:
    """One all-zero transition without leading axes, to size stores and networks."""
    obs, scalar, flag = spaces.obs.zeros(), jnp.zeros((), jnp.float32), jnp.zeros((), bool)
    return Transition(obs, spaces.action.zeros(), scalar, obs, flag, flag, dict.fromkeys(extras, scalar))


def tree_where(mask: Array, on_true: Any, on_false: Any) -> Any:
    """`jnp.where` over two pytrees; `mask` has the leading axes of every leaf."""

    def select(a: Array, b: Array) -> Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return jnp.where(mask, a, b)
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(select, on_true, on_false)


def vary_like(tree: Any, *like: Any) -> Any:
    """`tree`, inside `jax.shard_map` marked as different from device to device if any of `like` is; else unchanged.

    Loops that begin with constants need it: what comes in must have the type of what goes on."""
    names = frozenset[str]().union(*map(_varies_over, jax.tree.leaves(like)))

    def cast(x: Array) -> Array:
        missing = tuple(sorted(names - _varies_over(x)))
        return jax.lax.pcast(x, missing, to="varying") if missing else x

    return jax.tree.map(cast, tree) if names else tree


def _varies_over(x: Any) -> frozenset[str]:
    """Axes of the devices' mesh along which an array differs."""
    kind = jax.typeof(x)
    found: Any = kind.mat.varying if hasattr(kind, "mat") else kind.vma  # by jax's version
    return found


def tree_finite(tree: Any) -> Array:
    """`[]` bool: every floating-point leaf of `tree` is finite."""
    parts = [jnp.ravel(x) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    # One vector: a reduction of each leaf would be as many kernels.
    return jnp.isfinite(jnp.concatenate(parts)).all() if parts else jnp.array(True)


def likeness(tree: Any, *, skip: int = 0) -> Any:
    """Hashable, and equal for pytrees of the same structure, shapes and types; `skip` leading axes do not count."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((jnp.shape(x)[skip:], jnp.result_type(x)) for x in leaves)


def check_values(where: str, owner: Any) -> None:
    """Raise `O2OError` for the first field of a settings dataclass whose value is not of the kind, in the range or
    one of the choices that the field declares; `where` comes before the field's name. Traced values pass."""
    for field in dataclasses.fields(owner):
        check_value(f"{where}{field.name}", owner, field.name, getattr(owner, field.name))


def check_value(where: str, owner: Any, name: str, value: Any) -> None:
    """Raise `O2OError` if the field `name` of `owner` cannot be `value`."""
    kind, like = kinds(type(owner))[name], getattr(owner, name)
    if wrong := fault(kind, value, like):
        if like is value:  # then it is no example of what is right
            like = next(field.default for field in dataclasses.fields(owner) if field.name == name)
            wrong = fault(kind, value, like)
        raise O2OError(f"{where} {wrong}")


def whole(name: str, value: Any, remedy: str, *, low: int = 1, high: int = LARGEST) -> int:
    """`value` as Python's own integer, be it Python's, NumPy's or JAX's, 3 or 3.0.

    Raises `O2OError`, `NAME is VALUE; REMEDY`, for anything that is no whole number from `low` to `high`."""
    kind = Kind("whole", fixed=True, range=Range(low, high))
    found = settled(kind, value)
    if fault(kind, found):
        raise O2OError(f"{name} is {shown(value)}; {remedy}")
    return found


def check_choices(where: str, owner: Any) -> None:
    """Raise `O2OError` for the first field of a dataclass that is none of the choices in its `Literal` type.

    Branches on such fields have a last `else`: a mistyped choice would quietly select it."""
    for name, kind in kinds(type(owner)).items():
        if kind.sort == "choice":
            check_value(f"{where}{name}", owner, name, getattr(owner, name))


Act = Callable[[Array, Array], Array]
"""`act(obs, key) -> action` for one observation; pure, jittable, exportable. A plain function's actions are taken as
scaled to [-1, 1]; a trained one (`policy.Policy`) knows both."""
