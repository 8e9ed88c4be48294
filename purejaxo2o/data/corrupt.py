"""Corrupted datasets: RIQL's protocol (Yang et al. 2024, arXiv 2310.12955) as pure transforms `key, Store -> Store`.

Each row is touched with probability `rate`, in one field: `obs`, `action`, `reward` or `next_obs` (the "dynamics").
Every other number stays as it is, bit for bit, the copy of a corrupted observation in the row before included. The
same key touches the same rows whatever the field. The paper takes `rate=0.3, scale=1` on medium-replay data, and
normalises observations afterwards. Prepare extras (`prepare`) after corrupting, not before.

Everything here runs under `jit` and `vmap`; `rate`, `scale` and `step_size` may be traced.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, Number, O2OError, Transition, nearest

Field = Literal["obs", "action", "reward", "next_obs"]
REWARD_RANGE = 30.0
"""Random rewards are uniform in `[-30 scale, 30 scale]`, whatever the task's rewards are."""

Q = Callable[[Array, Array], Array]
"""`q(obs [B, O], action [B, A]) -> [B]`: the value that an adversary lowers; the mean of an ensemble in the paper."""


def random(
    key: Array, rows: Store, field: Field, *, rate: Number = 0.3, scale: Number = 1.0, clip: bool = True
) -> Store:
    """Uniform noise: `x + U(-scale, scale) * std`, `std` per dimension over all rows; a reward becomes
    `U(-30 scale, 30 scale)`.

    clip: keep actions in the box [-1, 1] that agents here rely on; the authors do not.
    Raises `O2OError` for an unknown field, for discrete actions and for images."""
    values = _values(rows, field)
    key_rows, key_noise = jax.random.split(key)
    noise = jax.random.uniform(key_noise, values.shape, minval=-1.0, maxval=1.0) * scale
    changed = REWARD_RANGE * noise if field == "reward" else values + noise * _std(values)
    return _replace(rows, field, _touched(key_rows, rows, rate), changed, clip)


def adversarial(
    key: Array,
    rows: Store,
    field: Field,
    q: Q | None = None,
    policy: Callable[[Array], Array] | None = None,
    *,
    rate: Number = 0.3,
    scale: Number = 1.0,
    steps: int = 100,
    step_size: Number = 0.01,
    batch: int = 4096,
    clip: bool = True,
) -> Store:
    """The perturbation within `scale * std` per dimension that lowers `q` most; a reward becomes `-scale * reward`.

    `x + p * std` with `|p| <= scale`, where `p` takes `steps` sign steps of `step_size * scale` down the gradient of
    `q(obs, action)` with respect to the field, or of `q(next_obs, policy(next_obs))` for `next_obs`. The start is
    the authors', `p = U(-scale, scale) * std`, as are the sign steps: they make Adam anew for each step.

    q: not needed for rewards; policy: `[B, O] -> [B, A]`, needed for `next_obs` only. The authors take those of EDAC
        with 10 critics, trained on the clean data.
    batch: rows perturbed at a time; the cost grows with the touched rows only.
    clip: as in `random`. Raises `O2OError` as `random`, and without the functions that the field needs."""
    values = _values(rows, field)
    key_rows, key_start = jax.random.split(key)
    touched = _touched(key_rows, rows, rate)
    if field == "reward":
        return _replace(rows, field, touched, -scale * values, clip)
    objective = _objective(field, q, policy)
    std, count = _std(values), values.shape[0] * values.shape[1]
    start = jax.random.uniform(key_start, values.shape, minval=-scale, maxval=scale) * std
    flat = jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), (rows.data, start))
    # Touched rows first, padded to whole batches with a row that does not exist.
    order = jnp.nonzero(touched.reshape(-1), size=-(-count // batch) * batch, fill_value=count)[0]

    def attack(i: Array, result: Array) -> Array:
        at = jax.lax.dynamic_slice_in_dim(order, i * batch, batch)
        data, p = jax.tree.map(lambda x: x[at], flat)  # indices beyond the end give the final row
        x = getattr(data, field)

        def step(_: Array, p: Array) -> Array:
            slope = jax.grad(lambda p: objective(data, x + p * std).sum())(p)
            return jnp.clip(p - step_size * scale * jnp.sign(slope), -scale, scale)

        return result.at[at].set(x + jax.lax.fori_loop(0, steps, step, p) * std, mode="drop")

    batches = -(-touched.sum() // batch)
    changed = jax.lax.fori_loop(0, batches, attack, getattr(flat[0], field))
    return _replace(rows, field, touched, changed.reshape(values.shape), clip)


def _objective(
    field: Field, q: Q | None, policy: Callable[[Array], Array] | None
) -> Callable[[Transition, Array], Array]:
    """`(rows, changed field) -> [B]` value."""
    if q is None or (field == "next_obs" and policy is None):
        missing = "q=" if q is None else "policy="
        raise O2OError(f"an adversary of {field} needs {missing}, of an agent trained on the clean data")
    if field == "action":
        return lambda rows, x: q(rows.obs, x)
    if field == "obs":
        return lambda rows, x: q(x, rows.action)
    assert policy is not None
    return lambda rows, x: q(x, policy(x))


def _values(rows: Store, field: Field) -> Array:
    if field not in get_args(Field):
        raise O2OError(f"field is {field!r}; {nearest(field, get_args(Field))}")
    values = getattr(rows.data, field)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise O2OError(f"{field} is {values.dtype}, noise needs numbers on a scale; corrupt another field")
    return values


def _touched(key: Array, rows: Store, rate: Number) -> Array:
    """`[T, E]` bool."""
    return jax.random.bernoulli(key, rate, rows.data.reward.shape)


def _std(values: Array) -> Array:
    """Per dimension, over all rows."""
    return values.std(axis=(0, 1))


def _replace(rows: Store, field: Field, touched: Array, changed: Array, clip: bool) -> Store:
    old = getattr(rows.data, field)
    if field == "action" and clip:
        changed = jnp.clip(changed, -1.0, 1.0)
    mask = touched.reshape(touched.shape + (1,) * (old.ndim - 2))
    data = rows.data._replace(**{field: jnp.where(mask, changed.astype(old.dtype), old)})
    return Store(data=data, size=rows.size, head=rows.head)
