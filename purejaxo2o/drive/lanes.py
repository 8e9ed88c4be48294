"""Many runs at once: where their arrays lie, and how one run's function becomes that of all of them.

A lane is one run of a sweep (a seed under one setting). Lanes are independent: on each device `width` of them go
side by side (`vmap`), such groups one after the other (a loop inside the program), and several devices take equal
shares without ever talking to each other (`shard_map`: no collective can appear). The width decides how XLA rounds:
with the same width the results are the same bits on any number of devices.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Device

AXIS = "lane"
SHARED = -1


def platform(devices: tuple[Device, ...]) -> str:
    """What the devices are; none means JAX's default device."""
    return devices[0].platform if devices else jax.default_backend()


@dataclasses.dataclass(frozen=True)
class Lanes:
    """count: number of lanes, a multiple of devices times width; None: a single run, without a lane axis.

    width: lanes side by side on each device. devices: none means JAX's default device."""

    count: int | None = None
    width: int = 1
    devices: tuple[Device, ...] = ()

    def spread(self, function: Callable[..., Any], in_axes: Any, out_axes: Any) -> Callable[..., Any]:
        """`function` of one run, for all lanes; axes as in `jax.vmap` (0: a lane axis, None: shared)."""
        if self.count is None:
            return function
        many = _in_groups(function, in_axes, out_axes, self.width)
        if len(self.devices) < 2:
            return many
        specs = [jax.tree.map(_spec, _marked(axes)) for axes in (in_axes, out_axes)]
        return jax.shard_map(many, mesh=self._mesh, in_specs=specs[0], out_specs=specs[1], check_vma=False)

    @property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (AXIS,), axis_types=(AxisType.Auto,))

    def place(self, tree: Any, axes: Any) -> Any:
        """The arrays where the lanes are computed; unchanged on a single device."""
        if len(self.devices) < 2:
            return tree
        return jax.tree.map(jax.device_put, jax.tree.map(jnp.asarray, tree), self._shardings(tree, axes))

    def shapes(self, tree: Any, axes: Any) -> Any:
        """`ShapeDtypeStruct`s of what `place` gives."""
        if len(self.devices) < 2:
            return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), _dtype(x)), tree)
        return jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(np.shape(x), _dtype(x), sharding=s), tree, self._shardings(tree, axes)
        )

    def _shardings(self, tree: Any, axes: Any) -> Any:
        mesh = self._mesh
        return jax.tree.map(lambda axis: NamedSharding(mesh, _spec(axis)), _whole(axes, tree))


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else jnp.result_type(x)


def _marked(axes: Any) -> Any:
    """Axes with `SHARED` for None, which in a pytree would be no leaf."""
    return jax.tree.map(lambda axis: SHARED if axis is None else axis, axes, is_leaf=lambda axis: axis is None)


def _whole(axes: Any, tree: Any) -> Any:
    """The axis of every leaf of `tree`, from axes that are given for whole subtrees."""
    return jax.tree.broadcast(_marked(axes), tree)


def _spec(axis: int) -> PartitionSpec:
    return PartitionSpec() if axis == SHARED else PartitionSpec(AXIS)


def _in_groups(function: Callable[..., Any], in_axes: Any, out_axes: Any, width: int) -> Callable[..., Any]:
    """As `jax.vmap`, `width` lanes at a time. What lanes share on the way out is taken from the first group."""
    group = jax.vmap(function, in_axes, out_axes) if width > 1 else _single(function, in_axes, out_axes)

    def many(*arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        axes = jax.tree.leaves(_whole(tuple(in_axes), arguments))
        split = [x for x, axis in zip(leaves, axes, strict=True) if axis != SHARED]
        if split[0].shape[0] == width:
            return group(*arguments)

        def one(lanes: list[Any]) -> Any:
            rest = iter(lanes)
            full = [x if axis == SHARED else next(rest) for x, axis in zip(leaves, axes, strict=True)]
            return group(*jax.tree.unflatten(structure, full))

        out = jax.lax.map(one, [x.reshape(-1, width, *x.shape[1:]) for x in split])

        def join(axis: int, x: Any) -> Any:
            return x[0] if axis == SHARED else x.reshape(-1, *x.shape[2:])

        return jax.tree.map(join, _whole(out_axes, out), out)

    return many


def _single(function: Callable[..., Any], in_axes: Any, out_axes: Any) -> Callable[..., Any]:
    """`function` of one run for a group of one: the program is that of a run alone."""

    def group(*arguments: Any) -> Any:
        axes = _whole(tuple(in_axes), arguments)
        out = function(*jax.tree.map(lambda axis, x: x if axis == SHARED else x[0], axes, arguments))
        return jax.tree.map(lambda axis, x: x if axis == SHARED else x[None], _whole(out_axes, out), out)

    return group


def recipe_axes(recipe: Recipe, lanes: int) -> Any:
    """Where the lanes of a recipe lie: 0 for its leaves `[lanes]`, None for the shared ones."""
    return jax.tree.map(lambda x: 0 if np.shape(x) == (lanes,) else None, recipe)


def run_axes(recipe: Recipe) -> Run:
    """Where the lanes of a `Run` lie. Lanes share every counter: an index that depends on no lane keeps the
    writes to the store in place."""
    axes: Any = {"iteration": None, "env_steps": None, "grad_steps": None, "segment": None}
    store: Any = Store(data=0, size=None, head=None) if recipe.capacity else None  # type: ignore[arg-type]
    axes |= dict.fromkeys(("key", "agent", "env", "obs", "memory", "episodes", "priorities", "fault"), 0)
    return Run(store=store, **axes)


def one_lane(tree: Any, axes: Any, lanes: Lanes) -> Any:
    """`ShapeDtypeStruct`s of one lane of a pytree of arrays or shapes."""

    def alone(axis: int, x: Any) -> Any:
        return jax.ShapeDtypeStruct(np.shape(x)[int(axis != SHARED) :], _dtype(x))

    return jax.tree.map(alone, _whole(None if lanes.count is None else axes, tree), tree)


def first_lanes(tree: Any, axes: Any, count: int) -> Any:
    """The first lanes of a pytree; what all share stays as it is."""
    return jax.tree.map(lambda axis, x: x if axis == SHARED else x[:count], _whole(axes, tree), tree)


def repeat_last_lane(tree: Any, axes: Any, count: int) -> Any:
    """The lanes of a pytree, and copies of the last one until there are `count`."""

    def more(axis: int, x: Any) -> Any:
        return x if axis == SHARED else jnp.concatenate([x, jnp.repeat(x[-1:], count - x.shape[0], axis=0)])

    return jax.tree.map(more, _whole(axes, tree), tree)
