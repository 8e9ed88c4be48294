"""Where the rows of a run go on the host: files; experiment trackers are in `trackers.py`.

A row is a dictionary of what is known after a segment: numbers, strings, arrays over lanes, nested dictionaries.
"""

import csv
import io
import json
import os
from pathlib import Path
from typing import Protocol, TextIO, runtime_checkable

from purejaxo2o.disk.rows import Row, flat, plain


@runtime_checkable
class Sink(Protocol):
    """Takes one row per segment, in order."""

    def write(self, row: Row) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line, flushed at every row; NaN and infinities become null, arrays lists.

    keep: rows of an existing file to keep (the segments before the checkpoint that a run resumes from); the rest
    of it, a line cut short by a crash included, is dropped."""

    def __init__(self, path: str | os.PathLike[str], *, keep: int = 0) -> None:
        self._file = _open(path, keep)

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(plain(row), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Csv:
    """Comma-separated values, nested names joined with `/`, one column per lane of an array.

    A row with new columns rewrites the file with a wider header. `keep` as in `JsonLines`."""

    def __init__(self, path: str | os.PathLike[str], *, keep: int = 0) -> None:
        self._path = Path(path)
        self._file = _open(path, keep + 1 if keep else 0)  # the header is a line too
        self._columns = list(self._read().fieldnames or [])

    def write(self, row: Row) -> None:
        cells = {name: " ".join(str(value).splitlines()) for name, value in flat(row).items()}
        missing = [name for name in cells if name not in self._columns]
        if missing:
            self._widen(missing)
        csv.DictWriter(self._file, self._columns, lineterminator="\n").writerow(cells)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _read(self) -> csv.DictReader:
        return csv.DictReader(io.StringIO(self._path.read_text(encoding="utf-8")))

    def _widen(self, columns: list[str]) -> None:
        rows = list(self._read())
        self._columns += columns
        self._file.close()
        wider = self._path.with_name(f".{self._path.name}.wider")
        with wider.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(wider, self._path)
        self._file = self._path.open("a", newline="", encoding="utf-8")


def _open(path: str | os.PathLike[str], lines: int) -> TextIO:
    """The file, cut after its first `lines` whole lines, ready to be written on."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    kept = path.read_bytes().splitlines(keepends=True)[:lines]
    os.truncate(path, sum(len(line) for line in kept if line.endswith(b"\n")))
    return path.open("a", newline="", encoding="utf-8")
