"""The speed limits: how fast this device multiplies matrices, square ones and those of an agent's update.

`square` is the usual peak. `bare` runs exactly the products of `arithmetic.passes`, layer after layer, each one's
result feeding the next as in a network, and nothing else: no bias, no activation, no loss, no optimiser. What an
update reaches of it is what everything around the products costs.
"""

from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks.arithmetic import Pass
from purejaxo2o.types import Array

SIZE = 256


def square(steps: int) -> tuple[Any, tuple[Any, ...], int]:
    """`steps` dependent products of 256 x 256: function, arguments, floating-point operations."""
    key_a, key_b = jax.random.split(jax.random.key(0))
    a = jax.random.normal(key_a, (SIZE, SIZE)) / SIZE**0.5
    b = jax.random.normal(key_b, (SIZE, SIZE))

    def function(a: Array, b: Array) -> Array:
        return jax.lax.fori_loop(0, steps, lambda _, x: a @ x, b)

    return function, (a, b), 2 * SIZE**3 * steps


def bare(passes: list[Pass], steps: int, *, batched: bool, seeds: int = 1) -> tuple[Any, tuple[Any, ...]]:
    """`steps` rounds of every product in `passes`: function and arguments.

    batched: the members of an ensemble and the seeds as one batched product each, else one product after another.
    The results of a round are the loop's carry and nudge the next round's inputs, so that none can be left out.
    """
    parts = [each for each in passes for _ in range(each.count)]
    keys = jax.random.split(jax.random.key(0), len(parts))
    weights, rows, held = [], [], []
    for key, part in zip(keys, parts, strict=True):
        copies = part.members * seeds
        key_rows, *layers = jax.random.split(key, len(part.widths))
        shapes = list(zip(part.widths, part.widths[1:], strict=False))
        pairs = zip(layers, shapes, strict=True)
        weights.append([jax.random.normal(k, (copies, i, o)) / i**0.5 for k, (i, o) in pairs])
        rows.append(jax.random.normal(key_rows, (part.rows, part.widths[0])))
        shape = jax.eval_shape(lambda x, w, part=part: _run(part, x, w, batched), rows[-1], weights[-1])
        held.append(jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape))

    def function(held: Any, weights: Any, rows: Any) -> Any:
        def body(_: Any, held: Any) -> Any:
            after = []
            for part, before, w, x in zip(parts, held, weights, rows, strict=True):
                nudge = 1e-30 * sum(leaf.ravel()[0] for leaf in jax.tree.leaves(before))
                after.append(_run(part, x + nudge, w, batched))
            return after

        return jax.lax.fori_loop(0, steps, body, held)

    return function, (held, weights, rows)


def _run(part: Pass, x: Array, weights: list[Array], batched: bool) -> Any:
    """The products of one pass for every copy; weights `[copies, in, out]`."""
    if batched:
        return jax.vmap(lambda *w: _chain(part, x, w))(*weights)
    return [_chain(part, x, [w[i] for w in weights]) for i in range(weights[0].shape[0])]


def _chain(part: Pass, x: Array, weights: Any) -> Any:
    """One network: forward, then whatever the pass goes back through. Returns what an optimiser would need."""
    layers = [x]
    for w in weights:
        layers.append(layers[-1] @ w)
    if part.backward == "none":
        return layers[-1]
    gradient, found = layers[-1], []
    for index in reversed(range(len(weights))):
        if part.backward == "weights":
            found.append(layers[index].T @ gradient)
        if index:
            gradient = gradient @ weights[index].T
    if part.backward == "inputs":
        found.append(gradient @ weights[0][-part.inputs :].T)
    return found
