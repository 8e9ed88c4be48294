"""The episodes in the files of a Minari dataset: sizes from the headers first, then one episode after another.

Read without Minari: nothing but the five columns is read (`infos`, which may be large, is not), and nothing outside
of the files.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import h5py
from minari.dataset._storages import get_storage_keys
from minari.dataset.minari_storage import is_image_space

from purejaxo2o.data.arrow_files import ArrowEpisodes, check_installed
from purejaxo2o.data.fields import short
from purejaxo2o.data.hdf5 import AGAIN, column, declared, member, opened, readable, working
from purejaxo2o.data.metadata import Metadata
from purejaxo2o.data.pictures import unpacked
from purejaxo2o.types import O2OError

MAIN = "main_data.hdf5"
SCALARS = ("rewards", "terminations", "truncations")


class Episodes(Protocol):
    """What is known before anything is read, and then the episodes in order.

    steps: of all episodes together. stored, declared, largest: bytes on the disk, of all arrays, of one episode's.
    An episode is its number and its columns: `observations` `[T + 1, ...]`, `actions` `[T, ...]`, and `[T]` of
    `rewards`, `terminations`, `truncations`; dictionaries of arrays where the space is one, shapes unchecked.
    """

    steps: int
    stored: int
    declared: int
    largest: int

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]: ...


@contextlib.contextmanager
def open_episodes(where: str, folder: Path, metadata: Metadata, indices: Sequence[int]) -> Iterator[Episodes]:
    """The episodes `indices` of the dataset `where` whose files are in `folder`.

    Raises `O2OError` for an unknown format, and for files that are missing, damaged or point elsewhere."""
    check_format(where, metadata)
    if metadata.data_format != "hdf5":
        yield ArrowEpisodes(where, folder, metadata, indices)
        return
    path = folder / MAIN
    with opened(where, path) as file:
        yield _Hdf5Episodes(where, file, metadata, indices, path.stat().st_size)


def check_format(where: str, metadata: Metadata) -> None:
    """Raise `O2OError` unless the format can be read with what is installed."""
    known = get_storage_keys()
    if metadata.data_format not in known:
        raise O2OError(
            f"{where} is stored as {short(metadata.data_format)}, this Minari reads {', '.join(known)}; update "
            "Minari, or convert the dataset with the one that wrote it"
        )
    if metadata.data_format != "hdf5":
        check_installed(where, metadata)


class _Hdf5Episodes:
    def __init__(self, where: str, file: h5py.File, metadata: Metadata, indices: Sequence[int], stored: int) -> None:
        with readable(where):
            there = len(file)
        if len(indices) > there:  # before the indices of a billion episodes are looked up
            raise O2OError(f"{where} has {there} of the {len(indices)} episodes that its metadata tells of; {AGAIN}")
        self.where, self.file, self.metadata, self.indices = where, file, metadata, indices
        self.stored, self.steps, self.declared, self.largest = stored, 0, 0, 0
        for index in indices:
            columns = self._columns(index)
            steps = len(columns["rewards"]) if columns["rewards"].shape else 0
            if not steps:
                raise O2OError(f"{where}, episode {index} has no steps; drop it from the dataset")
            sizes = [self._sizes(columns[name], space) for name, space in self._spaces.items()]
            sizes += [self._sizes(columns[name], None) for name in SCALARS]
            self.steps, self.declared = self.steps + steps, self.declared + sum(size for size, _ in sizes)
            self.largest = max(self.largest, sum(needed for _, needed in sizes))

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in self.indices:  # all links have been checked
            with readable(f"{self.where}, episode {index}"):
                group: Any = self.file[f"episode_{index}"]
                for name in (*self._spaces, *SCALARS):
                    self._check_length(
                        f"{self.where}, episode {index}: {name}",
                        group[name],
                        self._spaces.get(name),
                        len(group["rewards"]),
                    )
                columns = {name: self._read(group[name], space) for name, space in self._spaces.items()}
                columns |= {name: group[name][()] for name in SCALARS}
            yield index, columns

    @property
    def _spaces(self) -> dict[str, gym.Space]:
        return {"observations": self.metadata.observation_space, "actions": self.metadata.action_space}

    def _columns(self, index: int) -> dict[str, Any]:
        """The columns of an episode, unread; dictionaries of them where the space is one."""
        where = f"{self.where}, episode {index}"
        group = member(self.where, self.file, f"episode_{index}")
        if not isinstance(group, h5py.Group):
            raise O2OError(f"{self.where} lacks episode_{index}; {AGAIN}")
        found = {name: self._found(where, group, name, space) for name, space in self._spaces.items()}
        return found | {name: _needed(where, group, name) for name in SCALARS}

    def _found(self, where: str, group: h5py.Group, name: str, space: gym.Space) -> Any:
        if isinstance(space, gym.spaces.Dict):
            return {key: self._found(where, group, f"{name}/{key}", part) for key, part in space.spaces.items()}
        return _needed(where, group, name, numbers=not self._pictures(space))

    def _pictures(self, space: gym.Space | None) -> bool:
        return space is not None and self.metadata.jpeg_encoding and is_image_space(space)

    def _check_length(self, what: str, found: Any, space: gym.Space | None, steps: int) -> None:
        """Raise `O2OError` for more rows than the episode has steps, of which nobody would read the rest."""
        if isinstance(space, gym.spaces.Dict):
            for name, part in space.spaces.items():
                self._check_length(f"{what}/{name}", found[name], part, steps)
        elif found.shape and found.shape[0] > steps + 1 and not self._pictures(space):
            raise O2OError(f"{what} has length {found.shape[0]}, there are {steps} rewards; re-record it")

    def _sizes(self, found: Any, space: gym.Space | None) -> tuple[int, int]:
        """Bytes of a column, and of reading it."""
        if isinstance(space, gym.spaces.Dict):
            parts = [self._sizes(found[name], part) for name, part in space.spaces.items()]
            return sum(size for size, _ in parts), sum(needed for _, needed in parts)
        pictures = math.prod((*found.shape[:1], *((space and space.shape) or ()))) if self._pictures(space) else 0
        return declared(found) + pictures, working(found) + pictures

    def _read(self, found: Any, space: gym.Space) -> Any:
        if isinstance(space, gym.spaces.Dict):
            return {name: self._read(found[name], part) for name, part in space.spaces.items()}
        return unpacked(found, tuple(space.shape or ())) if self._pictures(space) else found[()]


def _needed(where: str, group: h5py.Group, name: str, *, numbers: bool = True) -> h5py.Dataset:
    found = column(where, group, name, numbers=numbers)
    if found is None:
        whole_name, _, field = name.partition("/")
        lacking = f"{whole_name} lack {field!r}, which the dataset declares" if field else f"it lacks {name}"
        raise O2OError(f"{where}: {lacking}; {AGAIN}")
    return found
