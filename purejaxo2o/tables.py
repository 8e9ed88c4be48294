"""Rows of results as text: plain tables for terminals, Markdown for pages."""

import io
from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np
import rich.box
import rich.console
import rich.table

from purejaxo2o.sinks import Row
from purejaxo2o.stats import Interval
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
    needed. Raises `O2OError` for a column that no row has."""
    headings, cells = _cells(rows, columns)
    grid = rich.table.Table(title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for index, (heading, column) in enumerate(zip(headings, zip(*cells, strict=True), strict=True)):
        numeric = all(not text or text[0] in "0123456789-∞" for text in column)
        # Names stay whole: rows of a sweep differ in how they end.
        grid.add_column(heading, justify="right" if numeric else "left", no_wrap=index == 0)
    for line in cells:
        grid.add_row(*line)
    # Names and intervals hold brackets, which are not markup here.
    console = rich.console.Console(
        file=io.StringIO(),
        width=width or 10_000,
        markup=False,
        highlight=False,
        emoji=False,
        color_system=None,
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
