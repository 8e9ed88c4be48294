"""Rows of results as text: plain tables for terminals, Markdown for pages."""

import io
from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np
import rich.box
import rich.console
import rich.table

from purejaxo2o.disk.rows import Row
from purejaxo2o.figures import layout
from purejaxo2o.figures.stats import Interval
from purejaxo2o.types import O2OError


def table(
    rows: Sequence[Row],
    columns: Sequence[str] | Mapping[str, str] | None = None,
    title: str = "",
    *,
    width: int | None = None,
) -> str:
    """Rows as a plain-text table for terminals and logs.

    columns: names in order, or `{name: heading}`; by default those of the first row. A number with `<name>_low`
    and `<name>_high` beside it is shown with its interval. width: characters at most, default as many as
    needed. Where they are too few, names wrap between words; then the intervals go; then every row becomes a block
    of lines. No number and no word is ever cut. Raises `O2OError` for a column that no row has."""
    headings, cells = _cells(rows, columns)
    heading = [title] if title else []
    bare = [[layout.INTERVAL.sub("", text) for text in line] for line in cells]
    for lines in (cells, bare):
        widths = layout.fitted(headings, lines, width or 10_000)
        if widths is not None:
            return "\n".join([*heading, _grid(headings, lines, widths)])
    return "\n".join([*heading, layout.stacked(headings, cells, width or 10_000)])


def _grid(headings: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    grid = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for index, (heading, width) in enumerate(zip(headings, widths, strict=True)):
        right = layout.numeric([row[index] for row in rows])
        grid.add_column(heading, justify="right" if right else "left", width=width)
    for row in rows:
        grid.add_row(*row)
    # Names and intervals hold brackets, which are not markup here.
    console = rich.console.Console(
        file=io.StringIO(), width=10_000, markup=False, highlight=False, emoji=False, color_system=None
    )
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())


def markdown_table(rows: Sequence[Row], columns: Sequence[str] | Mapping[str, str] | None = None) -> str:
    """Rows as a Markdown table; `columns` as in `table`."""
    headings, cells = _cells(rows, columns)
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines)


def _cells(
    rows: Sequence[Row], columns: Iterable[str] | Mapping[str, str] | None
) -> tuple[list[str], list[list[str]]]:
    """Headings, and the text of every cell."""
    if not rows:
        raise O2OError("the table has no rows; pass at least one")
    if columns is None:  # limits are shown beside their figure
        columns = [c for c in rows[0] if c.removesuffix("_low").removesuffix("_high") not in rows[0].keys() - {c}]
    named = columns if isinstance(columns, Mapping) else {c: c.replace("_", " ") for c in columns}
    for name in named:
        if not any(name in row for row in rows):
            raise O2OError(f"no row has a column {name!r}; they have {', '.join(rows[0])}")
    return list(named.values()), [[_cell(row, name) for name in named] for row in rows]


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        value = np.asarray(value).item()
    if value is None:
        return "-"
    if isinstance(value, float):
        return str(Interval(value, row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan)))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
