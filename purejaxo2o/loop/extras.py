"""What agents need beside the plain rows: return to go, next action, trajectory returns.

Rows are flat `[N, ...]`, in time order, trajectory after trajectory (`store.flat`). The first two functions are
pure and take no loop over single rows, so a million of them cost milliseconds.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from purejaxo2o.types import Array, Number, O2OError


def return_to_go(
    reward: Array, terminated: Array, last: Array, *, discount: Number, fail_reward: Number | None = None
) -> Array:
    """Discounted return to go `[N]` float32 of every row within its own trajectory (Cal-QL's rule).

    reward: `[N]`, already scaled and shifted, since the agent's values are on that scale.
    terminated, last: `[N]` bool; `last` marks the final row of every trajectory. The return beyond it is 0:
        nothing is bootstrapped at a truncation, which makes the result a lower bound there.
    fail_reward: given for sparse tasks only. A trajectory whose every reward equals it never succeeded, and
        would go on failing: all its rows get `fail_reward / (1 - discount)`.
    """
    cut = terminated | last
    result = _discounted(reward.astype(jnp.float32), jnp.where(cut, 0.0, jnp.asarray(discount, jnp.float32)))
    if fail_reward is None:
        return result
    success, inside = (reward != fail_reward).astype(jnp.float32), 1.0 - cut
    follows = jnp.roll(inside, 1).at[0].set(0.0)  # the row before belongs to the same trajectory
    successes = _discounted(success, inside) + _discounted(success[::-1], follows[::-1])[::-1]
    return jnp.where(successes == 0, jnp.float32(fail_reward) / (1.0 - discount), result)


def _discounted(reward: Array, decay: Array) -> Array:
    """`R[t] = reward[t] + decay[t] R[t + 1]` `[N]`, and 0 beyond the end.

    In blocks: backwards through all of them side by side, then from block to block. `2 sqrt(N)` steps, and a tenth of
    the kernels that an associative scan compiles to."""
    count = reward.shape[0]
    size = math.isqrt(count - 1) + 1
    blocks = -(-count // size)
    gain, keep = (jnp.pad(x, (0, blocks * size - count)).reshape(blocks, size).T for x in (reward, decay))

    def back(carry: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (later, weight), (reward, decay) = carry, now
        new = reward + decay * later, decay * weight
        return new, new

    start = (
        jnp.zeros_like(gain[0]),
        jnp.ones_like(keep[0]),
    )  # the return within the block, and the weight of what follows it
    _, (inside, weight) = jax.lax.scan(back, start, (gain, keep), reverse=True)

    def join(after: Array, block: tuple[Array, Array]) -> tuple[Array, Array]:
        inside, weight = block
        return inside + weight * after, after

    _, after = jax.lax.scan(join, jnp.zeros_like(inside[0, 0]), (inside[0], weight[0]), reverse=True)
    return (inside + weight * after).T.reshape(-1)[:count]


def next_action(action: Array, last: Array) -> tuple[Array, Array]:
    """The action `[N, ...]` of the following row of the same trajectory, and `valid` `[N]` bool (ReBRAC).

    Where a trajectory ends there is none: `valid` is False and the row's own action stands in.
    """
    valid = ~last.at[-1].set(True)
    mask = valid.reshape(valid.shape + (1,) * (action.ndim - 1))
    return jnp.where(mask, jnp.roll(action, -1, axis=0), action), valid


def trajectory_returns(reward: Array | np.ndarray, last: Array | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undiscounted return (float64) and length (int64) of every trajectory, both `[K]`, on the host.

    Raises `O2OError` if the final row does not end its trajectory.
    """
    ends = np.flatnonzero(np.asarray(last))
    rows = len(reward)
    if not len(ends) or ends[-1] != rows - 1:
        raise O2OError(f"row {rows - 1} is the final one but not the last of its trajectory; mark it truncated")
    starts = np.concatenate([[0], ends[:-1] + 1])
    return np.add.reduceat(np.asarray(reward, np.float64), starts), ends - starts + 1
