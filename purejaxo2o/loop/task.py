"""What is to be learned: environments, the name of a dataset, the score reference."""

import math
import operator
import os
from typing import Any

import jax
import numpy as np

from purejaxo2o.loop.env import Env, adopted
from purejaxo2o.types import Array, Number, O2OError, nearest, pytree, static

DOMAINS = ("maze", "adroit", "adroit-binary", "kitchen", "locomotion", "classic", "toy")
"""What `Task.domain` may be. The hands' tasks are two domains, told apart by their rewards: D4RL's dense ones are
"adroit"; -1, and 0 for success, are "adroit-binary" (the tasks of Cal-QL, RLPD and WSRL: pen-, door- and
relocate-binary)."""
RAW = (0.0, 100.0)
"""The reference where none is known: a score is the return itself."""


@pytree
class Task:
    """env: trained in; eval_env: evaluated in (the same, unless a sim-to-real gap is the point). Either may be given
        as whatever `envs.make` takes: an id, or an object of gymnax, brax or Gymnasium.

    dataset: id of the offline data (None: the task has none of its own).
    limit, clip: how the dataset is read, see `data.sources.read`.
    score_low, score_high: returns that score 0 and 100, finite and in order; by default scores are returns (`raw`).
    domain: which of a recipe's defaults apply, one of `DOMAINS`. What an environment's id does not tell is
        set here: `dataclasses.replace(task, domain="adroit-binary", fail_reward=-1.0)`.
    fail_reward: the environment's reward of a step without success, for tasks whose only other reward marks
        success; None where rewards are dense. Cal-QL's return-to-go needs it.
    """

    name: str = static()
    env: Env
    eval_env: Env
    dataset: str | None = static(default=None)
    limit: int | None = static(default=None)
    clip: bool = static(default=False)
    score_low: Number = RAW[0]
    score_high: Number = RAW[1]
    domain: str = static(default="classic")
    fail_reward: Number | None = None

    def __post_init__(self) -> None:
        for field in ("env", "eval_env"):
            given = getattr(self, field)
            object.__setattr__(self, field, adopted(given))
        if isinstance(self.dataset, os.PathLike):
            object.__setattr__(self, "dataset", os.fspath(self.dataset))
        if self.domain not in DOMAINS:
            raise O2OError(f"task {self.name!r}: domain is {self.domain!r:.80}; {nearest(str(self.domain), DOMAINS)}")
        pair = self.score_low, self.score_high
        # JAX makes tasks, too, of whatever it maps numbers to: tracers, shapes, the axes of a vmap.
        axis = pair[0] is pair[1] and pair[0] in (-1, 0, 1)
        if all(_is_number(value) for value in pair) and not axis:
            checked(pair, f"task {self.name!r}: (score_low, score_high)")

    def check(self) -> None:
        """Raise `O2OError` for scores that are no reference, also where they are arrays; traced ones are unknown."""
        try:
            pairs = np.broadcast(np.asarray(self.score_low), np.asarray(self.score_high))
        except jax.errors.TracerArrayConversionError:
            return
        for low, high in pairs:
            checked((float(low), float(high)), f"task {self.name!r}: (score_low, score_high)")

    @property
    def raw(self) -> bool:
        """Whether a score is the return itself, because no reference is known."""
        return (self.score_low, self.score_high) == RAW

    def score(self, returns: Array) -> Array:
        """Normalised score, 0 to 100 (and beyond): `100 (G - low) / (high - low)`."""
        return 100.0 * (returns - self.score_low) / (self.score_high - self.score_low)


def checked(pair: Any, where: str = "reference") -> tuple[float, float]:
    """A reference as two floats. Raises `O2OError`, beginning with `where`, unless both are finite and in order."""
    try:
        low, high = (float(value) for value in pair)
    except (TypeError, ValueError, OverflowError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise O2OError(
            f"{where} {pair!r}: give two finite numbers, low < high: the returns of a random policy and of an expert"
        )
    return low, high


def checked_limit(limit: Any) -> int | None:
    """A time limit in steps, or None. Raises `O2OError` for anything else."""
    try:
        steps = None if limit is None or isinstance(limit, bool) else operator.index(limit)
    except TypeError:
        steps = None
    if limit is not None and (steps is None or steps < 1):
        raise O2OError(
            f"limit is {limit!r}",
            python="give a number of steps, at least 1, or None",
            shell="give --limit a number of steps, at least 1",
        )
    return steps


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
