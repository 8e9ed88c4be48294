"""What the step from offline to online training cost: figures of a run's curve, pure JAX, with any leading axes."""

from collections.abc import Callable

import jax.numpy as jnp

from purejaxo2o.types import Array, O2OError


def handover(
    scores: Array, env_steps: Array, switch: int, *, episode_scores: Array | None = None
) -> dict[str, Array]:
    """What happened at the switch from offline to online training; every figure is `[...]` float32.

    scores `[..., S]`: normalised scores (100: expert), entry 0 before any training. env_steps `[..., S]` or
    `[S]`: environment steps taken by each evaluation. switch: index in `[0, S)` of the evaluation at the
    hand-over; 0 is training from scratch, `S - 1` has no online part and makes every online figure NaN.
    episode_scores `[..., S, E]`: the score of each episode. With two or more of them `lowest` and `dip` are free
    of the noise of evaluating (see below); without, they are a plain minimum, which is biased.

    lowest: the lowest score after the switch; dip: how far the lowest score from the switch on is below
    score_at_switch; recovery_steps: environment steps from the switch until the first score at or above
    score_at_switch that follows the lowest one (0: never fell below, NaN: never came back); online_auc: time
    average (trapezoids over environment steps) of the score from the switch on; regret: `1 - online_auc / 100`
    (Nakamoto et al. 2023, Cal-QL); final: the last score; best: the highest score of the whole run. NaN scores make
    the figures that look at them NaN. Raises `O2OError` for an impossible switch or unequal evaluations.

    The minimum of twenty noisy evaluations is low by about two standard errors even where nothing falls. So one half
    of the episodes says which evaluation is the lowest, the other half what it scores, and the two ways are averaged:
    where nothing falls the mean dip is 0, and that of a single run may then be a little below 0. It rather
    understates: where scores rise from the switch on, the wrong evaluation is found lowest now and then, and the mean
    is below 0.
    """
    count = scores.shape[-1]
    if not 0 <= switch < count:
        raise O2OError(f"switch is {switch} of {count} evaluations; it must lie in [0, {count - 1}]")
    for name, found in (("env_steps", env_steps.shape[-1]), ("episode_scores", _evaluations(episode_scores, count))):
        if found != count:
            raise O2OError(f"{name} has {found} evaluations, scores {count}; pass one per score")
    scores = jnp.asarray(scores, jnp.float32)
    at = scores[..., switch]
    nan = jnp.full_like(at, jnp.nan)
    figures = {"score_at_switch": at, "final": scores[..., -1], "best": scores.max(-1)}
    if switch == count - 1:
        online = dict.fromkeys(("lowest", "dip", "recovery_steps", "online_auc", "regret"), nan)
        return figures | online
    steps = jnp.asarray(env_steps[..., switch:] - env_steps[..., switch : switch + 1], jnp.float32)
    curve, steps = jnp.broadcast_arrays(scores[..., switch:], steps)
    # Where no environment step was taken there is nothing to average over: 0 / 0 is the NaN we want.
    auc = jnp.trapezoid(curve, steps, axis=-1) / steps[..., -1]
    if episode_scores is None or episode_scores.shape[-1] < 2:
        halves = (curve, curve)
    else:
        episodes = jnp.asarray(episode_scores, jnp.float32)[..., switch:, :]
        halves = (episodes[..., 0::2].mean(-1), episodes[..., 1::2].mean(-1))
    return figures | {
        "lowest": _crossed(_lowest, *halves),
        "dip": _crossed(_dip, *halves),
        "recovery_steps": _recovery_steps(curve, steps),
        "online_auc": auc,
        "regret": 1.0 - auc / 100.0,
    }


def _evaluations(episode_scores: Array | None, count: int) -> int:
    return count if episode_scores is None else episode_scores.shape[-2]


def _crossed(figure: Callable[[Array, Array], Array], one: Array, other: Array) -> Array:
    """The mean of `figure(picks, measures)` with the two halves in both roles."""
    return 0.5 * (figure(one, other) + figure(other, one))


def _lowest(picks: Array, measures: Array) -> Array:
    """`[...]` what `measures` says of the evaluation after the switch that `picks` finds lowest."""
    return _take(measures[..., 1:], picks[..., 1:].argmin(-1))


def _dip(picks: Array, measures: Array) -> Array:
    """How far that is below the switch; the switch itself, a dip of 0, where `picks` finds nothing lower."""
    return measures[..., 0] - _take(measures, picks.argmin(-1))


def _take(curve: Array, index: Array) -> Array:
    return jnp.take_along_axis(curve, index[..., None], axis=-1)[..., 0]


def _recovery_steps(curve: Array, steps: Array) -> Array:
    """`[...]` from `[..., K]` curves that begin at the switch."""
    at, after = curve[..., :1], curve[..., 1:]
    trough = after.argmin(-1, keepdims=True)
    back = (after >= at) & (jnp.arange(after.shape[-1]) > trough)
    first = _take(steps[..., 1:], back.argmax(-1))
    recovered = jnp.where(back.any(-1), first, jnp.nan)
    recovered = jnp.where((after >= at).all(-1), 0.0, recovered)
    return jnp.where(jnp.isnan(curve).any(-1), jnp.nan, recovered)
