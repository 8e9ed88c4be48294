"""Contacts of spheres and capsules with boxes, as C MuJoCo finds them.

MJX's own functions see nothing before the shapes overlap, while C's contacts begin at a margin. Frames have the
normal first, from the sphere or capsule to the box. All in the box's frame, half sizes `size` `[3]`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.envs.model import mjx_source
from purejaxo2o.types import Array

APART = 1.0
"""Distance in metres of a contact that is not there; margins are far smaller."""
_TINY = 1e-15  # what MuJoCo takes for zero
_SIGNS = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)
_EDGES = [(axis, corner) for axis in range(3) for corner in range(8) if _SIGNS[corner][axis] < 0]
_EDGE_AXIS = np.array([axis for axis, _ in _EDGES])  # [12]
_EDGE_CORNER = np.stack([_SIGNS[corner] for _, corner in _EDGES])  # [12, 3] signs of the lower end


def sphere_box(sphere: Any, box: Any) -> tuple[Array, Array, Array]:
    """Distance, point and frame of a sphere on a box."""
    return _touch(sphere.pos, sphere.size[0], box)


def capsule_box(capsule: Any, box: Any) -> tuple[Array, Array, Array]:
    """Distances `[2]`, points and frames of a capsule on a box: at its nearest point, and at the farthest one from
    there that is still over the box."""
    centre, half = (capsule.pos - box.pos) @ box.mat, capsule.mat[:, 2] * capsule.size[1] @ box.mat
    nearest, step, second = _places(centre, half, box.size)
    spheres = capsule.pos + jnp.stack([nearest, nearest + step])[:, None] * capsule.mat[:, 2] * capsule.size[1]
    distance, point, frame = jax.vmap(_touch, (0, None, None))(spheres, capsule.size[0], box)
    return distance.at[1].set(jnp.where(second, distance[1], APART)), point, frame


def _touch(position: Array, radius: Array, box: Any) -> tuple[Array, Array, Array]:
    """A sphere on a box. One whose centre is inside leaves through the nearest face."""
    centre = (position - box.pos) @ box.mat
    inside_out = jnp.clip(centre, -box.size, box.size) - centre
    distance = jnp.sqrt(jnp.square(inside_out).sum())
    outside = distance > _TINY
    depths = jnp.concatenate([box.size + centre, box.size - centre])  # to the lower faces, to the upper ones
    face = depths.argmin()
    leave = jnp.where(jnp.arange(3) == face % 3, jnp.where(face < 3, 1.0, -1.0), 0.0).astype(centre.dtype)
    normal = jnp.where(outside, inside_out / jnp.where(outside, distance, 1.0), leave)
    gap = jnp.where(outside, distance, -depths[face])
    point = centre + normal * (radius + gap) / 2
    frame = mjx_source("math").make_frame(box.mat @ normal)
    return gap - radius, box.pos + box.mat @ point, frame


def _places(centre: Array, half: Array, size: Array) -> tuple[Array, Array, Array]:
    """On the segment `centre + t half`, `t` in [-1, 1]: `t` of the point nearest to the box, the way from there to a
    second one, and whether there is one."""
    ends = jnp.array([-1.0, 1.0], centre.dtype)
    end_distance, face, inside = _ends(centre + ends[:, None] * half, size)
    edge_distance, on_edge, side, on_segment = _edges(centre, half, size)
    end, edge = end_distance.argmin(), edge_distance.argmin()
    at_edge = edge_distance[edge] < end_distance[end] - _TINY
    t = jnp.where(at_edge, on_segment[edge], ends[end])
    away = jnp.abs(half)
    reach = 2 * size / jnp.where(away > 0, away, _TINY)  # how far along the segment a side of the box lasts
    axis, low = jnp.asarray(_EDGE_AXIS)[edge], jnp.asarray(_EDGE_CORNER, centre.dtype)[edge]
    corner = jnp.where((jnp.arange(3) == axis) & (side[edge] > 0), 1.0, low)
    from_corner = _from_corner(corner, half, reach, t)
    from_edge = _from_edge(axis, low, half, reach, t, on_edge[edge])
    from_face = _from_face(face[end], centre + ends[end] * half, half, size, -ends[end])
    step, there = jax.tree.map(
        lambda c, e, f: jnp.where(at_edge, jnp.where(side[edge] == 0, e, c), f),
        from_corner,
        from_edge,
        (from_face, ~inside[end]),
    )
    return t, step, there


def _ends(points: Array, size: Array) -> tuple[Array, Array, Array]:
    """Of both ends `[2, 3]` over a face: squared distance, the face's axis, and whether the end is inside."""
    out = jnp.abs(points) > size
    square = jnp.square(jnp.where(out, jnp.abs(points) - size, 0.0)).sum(-1)
    return jnp.where(out.sum(-1) <= 1, square, jnp.inf), out.argmax(-1), ~out.any(-1)


def _edges(centre: Array, half: Array, size: Array) -> tuple[Array, Array, Array, Array]:
    """Of every edge `[12]`: squared distance from the segment, where on the edge it is nearest, in [-1, 1], at which
    of the edge's ends (-1, 1; 0 between them), and where on the segment."""
    along = jnp.asarray(np.eye(3)[_EDGE_AXIS], centre.dtype) * size  # [12, 3] half edges
    middle = jnp.asarray(_EDGE_CORNER * (1 - np.eye(3)[_EDGE_AXIS]), centre.dtype) * size
    gap = middle - centre
    aa, ab, bb = jnp.square(along).sum(-1), -(along @ half), jnp.square(half).sum()
    u, v = -(along * gap).sum(-1), gap @ half
    determinant = aa * bb - ab * ab
    crossing = jnp.abs(determinant) >= jnp.maximum(_TINY, jnp.finfo(centre.dtype).eps * aa * bb)
    safe = jnp.where(crossing, determinant, 1.0)
    x, y = (bb * u - ab * v) / safe, (aa * v - ab * u) / safe
    y = jnp.where(x > 1, (v - ab) / bb, jnp.where(x < -1, (v + ab) / bb, y))
    again = jnp.where(y > 1, (u - ab) / aa, jnp.where(y < -1, (u + ab) / aa, x))
    side = jnp.where(jnp.abs(again) > 1, jnp.sign(again), jnp.where(jnp.abs(x) > 1, jnp.sign(x), 0.0))
    x, y = jnp.clip(again, -1, 1), jnp.clip(y, -1, 1)
    apart = gap + x[:, None] * along - y[:, None] * half
    return jnp.where(crossing, jnp.square(apart).sum(-1), jnp.inf), x, side, y


def _from_corner(corner: Array, half: Array, reach: Array, t: Array) -> tuple[Array, Array]:
    """The second point when a corner of the box is nearest: along an edge or across a face, unless the segment
    points at the corner."""
    against = (half > 0) != (corner > 0)
    one = against.sum() == 1
    axis = jnp.where(one, against.argmax(), (~against).argmax())
    way = jnp.where(one, 1.0, -1.0).astype(t.dtype)
    steep = 2 * jnp.square(half[axis]) > jnp.square(half).sum()
    others = jnp.where(jnp.arange(3) == axis, jnp.inf, reach).min()
    along_edge, across = jnp.minimum(1 - way * t, reach[axis]), jnp.minimum(1 + way * t, others)
    return way * jnp.where(steep, along_edge, -across), against.any() & ~against.all()


def _from_edge(axis: Array, low: Array, half: Array, reach: Array, t: Array, x: Array) -> tuple[Array, Array]:
    """The second point when the middle of an edge is nearest, at `x` on it: over the face to which the segment lies
    flatter, unless it stands on the edge like a T."""
    one, two = (axis + 1) % 3, (axis + 2) % 3
    flat = jnp.where(jnp.abs(half[one]) > jnp.abs(half[two]), one, two)
    against = (half > 0) != (low > 0)
    forward = against[flat]
    way = jnp.where(forward, 1.0, -1.0).astype(t.dtype)
    left = jnp.where((half[axis] > 0) == forward, 1 - x, 1 + x) / 2
    step = jnp.minimum(jnp.minimum(1 - way * t, reach[flat]), left * reach[axis])
    return way * step, against[one] != against[two]


def _from_face(face: Array, end: Array, half: Array, size: Array, way: Array) -> Array:
    """The second point when one end over a face is nearest: towards the other end, up to the face's border."""
    moving = jnp.where(half == 0, 1.0, half)
    borders = jnp.stack([size - end, -size - end]) / moving * way
    usable = (borders > 0) & (half != 0) & (jnp.arange(3) != face)
    return way * jnp.minimum(jnp.where(usable, borders, jnp.inf).min(), 2.0)
