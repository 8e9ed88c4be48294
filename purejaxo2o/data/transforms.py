"""What agents need beside the plain rows: return to go, next action, trajectory returns.

Rows are flat `[N, ...]`, in time order, trajectory after trajectory (`store.flat`). The first two functions are
pure and parallel over the rows (one associative scan), so a million of them cost milliseconds on the device.
"""

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
    decay = jnp.where(cut, 0.0, jnp.asarray(discount, jnp.float32))

    def later_then_earlier(later: tuple[Array, Array], earlier: tuple[Array, Array]) -> tuple[Array, Array]:
        return earlier[0] * later[0], earlier[1] + earlier[0] * later[1]

    pairs = (decay, reward.astype(jnp.float32))
    _, result = jax.lax.associative_scan(later_then_earlier, pairs, reverse=True)
    if fail_reward is None:
        return result
    n = reward.shape[0]
    trajectory = jnp.cumsum(cut) - cut
    failed = jax.ops.segment_min((reward == fail_reward).astype(jnp.int32), trajectory, num_segments=n)
    return jnp.where(failed[trajectory] == 1, jnp.float32(fail_reward) / (1.0 - discount), result)


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
