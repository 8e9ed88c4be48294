"""What a dataset's `metadata.json` says, checked field by field before anything else is opened.

Minari would make the environment that the file declares where a space is missing; here both spaces must be there, and
what a file says is data throughout.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from minari import supported_dataset_versions

from purejaxo2o.data.env_specs import read_spec
from purejaxo2o.data.fields import parsed, short, whole
from purejaxo2o.data.limits import check_regular
from purejaxo2o.data.space_json import read_space
from purejaxo2o.types import O2OError

LARGEST = 1 << 28
"""Bytes of the file: the bounds of a Box of images are written out in it."""
MOST = 2**53
"""Episodes and steps: what a floating-point number counts exactly."""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return _text(value) or (isinstance(value, list) and all(map(_text, value)))


def _count(value: Any) -> bool:
    return whole(value) and 0 <= value <= MOST


def _score(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of more digits than a floating-point number has
        return False


FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "total_episodes": (_count, "a number of episodes"),
    "total_steps": (_count, "a number of steps"),
    "data_format": (_text, "text"),
    "jpeg_encoding": (lambda value: isinstance(value, bool), "true or false"),
    "dataset_id": (_text, "text"),
    "minari_version": (_text, "text"),
    "author": (_texts, "a list of texts"),
    "author_email": (_texts, "a list of texts"),
    "algorithm_name": (_text, "text"),
    "description": (_text, "text"),
    "code_permalink": (_texts, "text"),
    "requirements": (_texts, "a list of texts"),
    "ref_min_score": (_score, "a finite number"),
    "ref_max_score": (_score, "a finite number"),
}
"""Name -> whether a value is of its kind, and that kind in words. Other fields may be anything."""
NEEDED = ("total_episodes", "total_steps", "data_format", "observation_space", "action_space")


@dataclasses.dataclass(frozen=True)
class Metadata:
    """A dataset's description of itself. raw: the file's fields as they are there."""

    episodes: int
    steps: int
    data_format: str
    jpeg_encoding: bool
    observation_space: gym.Space
    action_space: gym.Space
    env_spec: EnvSpec | None
    eval_env_spec: EnvSpec | None
    reference: tuple[float, float] | None
    raw: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """As Minari gives them: the spaces are spaces, the authors sets."""
        read: dict[str, Any] = {"observation_space": self.observation_space, "action_space": self.action_space}
        for name in ("author", "author_email"):
            given = self.raw.get(name)
            if given is not None:
                read[name] = {given} if isinstance(given, str) else set(given)
        return self.raw | read


def read_metadata(where: str, path: Path) -> Metadata:
    """The checked `metadata.json` at `path`; `where` names the dataset. Raises `O2OError` in one line."""
    raw = read_fields(where, path)
    missing = [name for name in NEEDED if raw.get(name) is None]
    if missing:
        raise O2OError(
            f"{where}: its metadata lacks {', '.join(missing)}; nothing is made up for it: re-record it, or add "
            "them to metadata.json"
        )
    version = raw.get("minari_version")
    if version is not None and version not in supported_dataset_versions:
        raise O2OError(f"{where} was written by Minari {short(version)}, which this one does not read; update Minari")
    specs = {
        name: None if raw.get(name) is None else read_spec(f"{where}: {name}", raw[name])
        for name in ("env_spec", "eval_env_spec")
    }
    low, high = raw.get("ref_min_score"), raw.get("ref_max_score")
    return Metadata(
        episodes=raw["total_episodes"],
        steps=raw["total_steps"],
        data_format=raw["data_format"],
        jpeg_encoding=raw.get("jpeg_encoding", True),
        observation_space=read_space(f"{where}: observation_space", raw["observation_space"]),
        action_space=read_space(f"{where}: action_space", raw["action_space"]),
        reference=None if low is None or high is None else (float(low), float(high)),
        raw=raw,
        **specs,
    )


def read_fields(where: str, path: Path) -> dict[str, Any]:
    """The fields of the file at `path`, those of `FIELDS` of the right kind. Spaces and environments are not read."""
    check_regular(where, path)
    try:
        if path.stat().st_size > LARGEST:
            raise O2OError(f"{where}: its metadata.json has more than {LARGEST >> 20} MiB; download or make it again")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise O2OError(f"{where} cannot be read ({error}); download or make it again") from None
    raw = parsed(f"{where}: metadata.json", text)
    if not isinstance(raw, dict):
        raise O2OError(f"{where}: metadata.json is {short(raw)}, no object; download or make it again")
    for name, (fits, kind) in FIELDS.items():
        if raw.get(name) is not None and not fits(raw[name]):
            raise O2OError(f"{where}: {name} is {short(raw[name])}, not {kind}; correct it in metadata.json")
    return raw
