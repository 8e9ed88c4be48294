"""The episodes of a Minari dataset that is stored as Arrow or Parquet: one folder each, its rows one more than steps.

As in `episode_files`, sizes come from the headers, only the five columns are read, and pictures are unpacked only if
they are of the declared size.
"""

import importlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from minari.dataset.minari_storage import is_image_space

from purejaxo2o.data.hdf5 import AGAIN, readable
from purejaxo2o.data.limits import check_regular
from purejaxo2o.data.metadata import Metadata
from purejaxo2o.data.pictures import unpacked
from purejaxo2o.types import O2OError

COLUMNS = ("observations", "actions", "rewards", "terminations", "truncations")


def check_installed(where: str, metadata: Metadata) -> None:
    """Raise `O2OError` without the package that reads the format."""
    try:
        importlib.import_module("pyarrow.dataset")
    except ImportError as error:
        raise O2OError(
            f"{where} is stored as {metadata.data_format!r}, which needs pyarrow; pip install 'minari[arrow]'"
        ) from error


class ArrowEpisodes:
    """`episode_files.Episodes`. Raises `O2OError` for files that are missing, damaged or no files."""

    def __init__(self, where: str, folder: Path, metadata: Metadata, indices: Sequence[int]) -> None:
        self.where, self.folder, self.metadata, self.indices = where, folder, metadata, indices
        self.steps = self.stored = self.declared = self.largest = 0
        with readable(where):
            there = sum(1 for _ in folder.iterdir())
        if len(indices) > there:  # before the indices of a billion episodes are looked up
            raise O2OError(f"{where} has at most {there} of the {len(indices)} episodes it tells of; {AGAIN}")
        for index in indices:
            files = self._files(index)
            dataset = self._dataset(index, files)
            with readable(f"{where}, episode {index}"):
                rows, width = dataset.count_rows(), sum(self._width(dataset.schema, name) for name in COLUMNS)
            if rows < 2:
                raise O2OError(f"{where}, episode {index} has no steps; drop it from the dataset")
            self.stored += sum(path.stat().st_size for path in files)
            self.steps, self.declared = self.steps + rows - 1, self.declared + rows * width
            self.largest = max(self.largest, rows * width)

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in self.indices:
            dataset = self._dataset(index, self._files(index))
            with readable(f"{self.where}, episode {index}"):
                table = dataset.to_table(columns=list(COLUMNS)).combine_chunks()
                table.validate(full=True)
                arrays = {name: self._read(table[name].chunk(0), self._space(name)) for name in COLUMNS}
            steps = len(arrays["rewards"]) - 1
            observations = arrays.pop("observations")
            yield index, {"observations": observations, **{name: array[:steps] for name, array in arrays.items()}}

    def _files(self, index: int) -> list[Path]:
        """The files of an episode; all of them are ordinary ones."""
        folder = self.folder / str(index)
        if not folder.is_dir():
            raise O2OError(f"{self.where} lacks episode {index}; {AGAIN}")
        named = sorted(path for path in folder.iterdir() if path.name != "metadata.json")
        files = [path for path in named if not path.name.startswith(("_", "."))]
        for path in files:
            check_regular(self.where, path)
        if not files:
            raise O2OError(f"{self.where} lacks episode {index}; {AGAIN}")
        return files

    def _dataset(self, index: int, files: list[Path]) -> Any:
        with readable(f"{self.where}, episode {index}"):
            found = importlib.import_module("pyarrow.dataset").dataset(
                [str(path) for path in files], format=self.metadata.data_format
            )
        missing = [name for name in COLUMNS if name not in found.schema.names]
        if missing:
            raise O2OError(f"{self.where}, episode {index}: it lacks {', '.join(missing)}; {AGAIN}")
        return found

    def _space(self, name: str) -> gym.Space | None:
        return {"observations": self.metadata.observation_space, "actions": self.metadata.action_space}.get(name)

    def _pictures(self, space: gym.Space | None) -> bool:
        return space is not None and self.metadata.jpeg_encoding and is_image_space(space)

    def _width(self, schema: Any, name: str) -> int:
        """Bytes of a row of a column."""
        return self._bytes(schema.field(name).type, self._space(name))

    def _bytes(self, kind: Any, space: gym.Space | None) -> int:
        types = importlib.import_module("pyarrow.types")
        if isinstance(space, gym.spaces.Dict):
            return sum(self._bytes(kind.field(name).type, part) for name, part in space.spaces.items())
        if self._pictures(space):
            return math.prod((space and space.shape) or ())
        if types.is_fixed_size_list(kind):
            return kind.list_size * self._bytes(kind.value_type, None)
        if not (types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind)):
            raise ValueError(f"a column of {kind}, no real numbers")
        return max(1, kind.bit_width // 8)

    def _read(self, array: Any, space: gym.Space | None) -> Any:
        if isinstance(space, gym.spaces.Dict):
            return {name: self._read(array.field(name), part) for name, part in space.spaces.items()}
        if self._pictures(space):
            assert space is not None
            return unpacked([value.as_py() for value in array], tuple(space.shape or ()))
        if not hasattr(array.type, "list_size"):
            return array.to_numpy(zero_copy_only=False)
        flat = array.flatten().to_numpy(zero_copy_only=False)
        shape = tuple(space.shape or ()) if space is not None else ()
        return flat.reshape(len(array), *(shape if array.type.list_size == math.prod(shape) else (-1,)))
