"""A MuJoCo model's motion, computed by MJX as the C engine computes it.

Four things differ from `mjx.step`: contact frames of capsules on planes are C's (`plane_capsule`), contacts between
spheres and capsules are where they are in C (`capsule_capsule`), boxes touch from the margin on (`box_contacts.py`),
and a Runge-Kutta step's stages share one program, for the sake of compile time (`_runge_kutta`).
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.envs.box_contacts import capsule_box, sphere_box
from purejaxo2o.envs.model import Model, mjx, mjx_source
from purejaxo2o.types import Array

_STAGES = (np.array([0.0, 0.5, 0.5, 1.0]), np.array([1.0, 2.0, 2.0, 1.0]) / 6)  # of Runge-Kutta: where, weight


def place(model: Model, position: Array, velocity: Array, *, forces: bool = False) -> Any:
    """`mjx.Data` with the bodies where the joints put them; with constraint forces only on demand."""
    engine, data = _traced(model)
    data = data.replace(qpos=_like(position, data.qpos), qvel=_like(velocity, data.qvel))
    with _exact_colliders():
        return mjx().forward(engine, data) if forces else mjx().kinematics(engine, data)


def simulate(
    model: Model,
    position: Array,
    velocity: Array,
    warmstart: Array,
    control: Array,
    *,
    frames: int,
    contact_forces: bool = False,
    walls: Array | None = None,
) -> Any:
    """`mjx.Data` after `frames` physics steps under one control `[nu]`.

    Positions and velocities are the new ones; whatever is derived from them (bodies, sites, forces) is as of the
    engine's last evaluation, as in C. `contact_forces` adds the external forces on each body, `_impl.cfrc_ext`.
    `walls`: centres `[walls, 3]` of the model's walls, for as long as the step lasts."""
    engine, data = _traced(model)
    if walls is not None:
        placed = engine.geom_pos.at[np.array(model.walls)].set(_like(walls, engine.geom_pos))
        engine = engine.replace(geom_pos=placed)
    data = data.replace(
        qpos=_like(position, data.qpos),
        qvel=_like(velocity, data.qvel),
        qacc_warmstart=_like(warmstart, data.qvel),
        ctrl=_like(control, data.ctrl),
    )
    step = _runge_kutta if engine.opt.integrator == mjx().IntegratorType.RK4 else mjx().step
    with _exact_colliders():
        data, _ = jax.lax.scan(lambda d, _: (step(engine, d), None), data, length=frames)
        return mjx().rne_postconstraint(engine, data) if contact_forces else data


def _runge_kutta(engine: Any, start: Any) -> Any:
    """One step of order 4. `mjx.step` does the same with every stage written out: four times the compiling."""
    timestep = engine.opt.timestep

    def stage(carry: Any, tableau: Any) -> Any:
        data, velocities, accelerations = carry
        where, weight = tableau
        data = data.replace(
            qpos=_moved(engine, start.qpos, where * data.qvel),
            qvel=start.qvel + where * timestep * data.qacc,
        )
        data = mjx().forward(engine, data)
        return (data, velocities + weight * data.qvel, accelerations + weight * data.qacc), None

    zero, tableau = jnp.zeros_like(start.qvel), tuple(jnp.asarray(x, start.qvel.dtype) for x in _STAGES)
    (last, velocity, acceleration), _ = jax.lax.scan(stage, (start, zero, zero), tableau)
    return last.replace(
        qpos=_moved(engine, start.qpos, velocity),
        qvel=start.qvel + timestep * acceleration,
        qacc_warmstart=last.qacc,
    )


def _moved(engine: Any, position: Array, velocity: Array) -> Array:
    """`position` after one time step at `velocity`: a free joint first or none, else hinges and slides."""
    if engine.jnt_type[0] != mjx().JointType.FREE:
        return position + engine.opt.timestep * velocity
    math = mjx_source("math")
    turned = math.quat_integrate(position[3:7], velocity[3:6], engine.opt.timestep)
    straight = jnp.concatenate([position[:3], position[7:]])
    straight += engine.opt.timestep * jnp.concatenate([velocity[:3], velocity[6:]])
    return jnp.concatenate([straight[:3], turned, straight[3:]])


def _traced(model: Model) -> tuple[Any, Any]:
    """Model and data as constants of the present trace."""
    return jax.tree.map(jnp.asarray, (model.mjx, model.blank))


def _like(value: Array, example: Array) -> Array:
    return jnp.asarray(value, example.dtype)


@contextlib.contextmanager
def _exact_colliders() -> Iterator[None]:
    """While a step is traced, MJX's table of collision functions has ours; others' programs keep theirs."""
    table, ours = mjx_source("collision_driver")._COLLISION_FUNC, _colliders()
    originals = {pair: table[pair] for pair in ours}
    table.update(ours)
    try:
        yield
    finally:
        table.update(originals)


@functools.lru_cache
def _colliders() -> dict[Any, Any]:
    """Our functions in the form of MJX's table."""
    collider, shapes = mjx_source("collision_primitive").collider, mjx_source("types").GeomType
    return {
        (shapes.PLANE, shapes.CAPSULE): collider(ncon=2)(plane_capsule),
        (shapes.SPHERE, shapes.CAPSULE): collider(ncon=1)(sphere_capsule),
        (shapes.CAPSULE, shapes.CAPSULE): collider(ncon=1)(capsule_capsule),
        (shapes.SPHERE, shapes.BOX): collider(ncon=1)(sphere_box),
        (shapes.CAPSULE, shapes.BOX): collider(ncon=2)(capsule_box),
    }


def plane_capsule(plane: Any, capsule: Any) -> tuple[Array, Array, Array]:
    """Distances `[2]`, points `[2, 3]` and frames `[2, 3, 3]` of a capsule's two ends on a plane.

    Friction acts along the frame's axes, and C always lays one of them along the capsule; MJX's own function
    takes a fixed direction for capsules that stand steeper than 60 degrees."""
    normal, axis = plane.mat[:, 2], capsule.mat[:, 2]
    along = axis - normal * jnp.dot(normal, axis)
    square = jnp.dot(along, along)
    fixed = jnp.eye(3, dtype=axis.dtype)[0]  # for a capsule that stands upright
    along = jnp.where(square > 0, along / jnp.sqrt(jnp.where(square > 0, square, 1.0)), fixed)
    frame = jnp.stack([normal, along, jnp.cross(normal, along)])
    ends = capsule.pos + jnp.array([[1.0], [-1.0]], axis.dtype) * axis * capsule.size[1]
    distance = (ends - plane.pos) @ normal - capsule.size[0]
    points = ends - normal * (capsule.size[0] + distance / 2)[:, None]
    return distance, points, jnp.stack([frame, frame])


def sphere_capsule(sphere: Any, capsule: Any) -> tuple[Array, Array, Array]:
    """Distance, point `[3]` and frame `[3, 3]` of a sphere and a capsule.

    As the next function exact where MJX's own adds 1e-6 to a divisor, which moves the contact by as much."""
    half = capsule.mat[:, 2] * capsule.size[1]
    nearest = capsule.pos + half * jnp.clip(jnp.dot(half, sphere.pos - capsule.pos) / jnp.dot(half, half), -1.0, 1.0)
    return _balls(sphere.pos, sphere.size[0], nearest, capsule.size[0])


def capsule_capsule(first: Any, second: Any) -> tuple[Array, Array, Array]:
    """Distance, point `[3]` and frame `[3, 3]` of two capsules, at the nearest points `p + s u`, `q + t v` of their
    axes, `|s|, |t| <= 1`. Parallel ones touch in one point (C: in two)."""
    p, u = first.pos, first.mat[:, 2] * first.size[1]
    q, v = second.pos, second.mat[:, 2] * second.size[1]
    uu, uv, vv = jnp.dot(u, u), jnp.dot(u, v), jnp.dot(v, v)
    pu, pv = jnp.dot(u, q - p), jnp.dot(v, q - p)
    determinant = uu * vv - uv * uv
    skew = determinant > jnp.finfo(p.dtype).eps * uu * vv
    s = jnp.where(skew, (pu * vv - pv * uv) / jnp.where(skew, determinant, 1.0), 0.0)
    t = jnp.clip((jnp.clip(s, -1.0, 1.0) * uv - pv) / vv, -1.0, 1.0)
    s = jnp.clip((t * uv + pu) / uu, -1.0, 1.0)  # where t was cut, s follows
    return _balls(p + s * u, first.size[0], q + t * v, second.size[0])


def _balls(centre: Array, radius: Array, other: Array, other_radius: Array) -> tuple[Array, Array, Array]:
    """The contact of two spheres; its normal leads from the first to the other."""
    gap = other - centre
    square = jnp.dot(gap, gap)
    apart = square > 0
    length = jnp.sqrt(jnp.where(apart, square, 1.0))
    normal = jnp.where(apart, gap / length, jnp.eye(3, dtype=gap.dtype)[0])
    distance = jnp.where(apart, length, 0.0) - (radius + other_radius)
    return distance, centre + normal * (radius + distance / 2), mjx_source("math").make_frame(normal)
