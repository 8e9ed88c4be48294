"""How wide the columns of a table are where a terminal has few: numbers are never cut, names wrap between words."""

import re
import textwrap
from collections.abc import Sequence

GAP, EDGE = 3, 2
"""Characters between two columns and at either end, as `rich.box.SIMPLE_HEAD` has them."""
NUMBER = re.compile(r"^-?[\d∞]|^-?$")
"""How the text of a number begins; `-` and nothing stand for a number that is missing."""
INTERVAL = re.compile(r" \[[^\]]*\]$")
"""What `Interval` writes behind its figure."""


def numeric(column: Sequence[str]) -> bool:
    """Whether a column holds numbers, with or without intervals; they stand on the right."""
    return all(NUMBER.match(text) and " " not in INTERVAL.sub("", text) for text in column)


def fitted(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, solid: Sequence[bool] | None = None
) -> list[int] | None:
    """The widths of the columns such that a table takes at most `width` characters, breaking lines only between
    words; None if it cannot be.

    solid: columns whose cells are not broken at all, by default those of numbers; headings always may."""
    columns = list(zip(headings, *rows, strict=True))
    solid = [numeric(column[1:]) for column in columns] if solid is None else solid
    found = [
        max(_longest_word(heading), *(len(text) if firm else _longest_word(text) for text in cells), 1)
        for (heading, *cells), firm in zip(columns, solid, strict=True)
    ]
    whole = [max(map(len, column)) for column in columns]
    room = width - GAP * (len(columns) - 1) - 2 * EDGE - sum(found)
    if room < 0:
        return None
    while room and found != whole:  # one character at a time to the narrowest that wants more
        index = min((i for i in range(len(found)) if found[i] < whole[i]), key=lambda i: found[i])
        found[index] += 1
        room -= 1
    return found


def stacked(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A block of lines for each row, its first cell above the others: what is left where no table fits."""
    lines = []
    for row in rows:
        for index, (heading, text) in enumerate(zip(headings, row, strict=True)):
            label = f"{'  ' * (index > 0)}{heading}: "
            wrapped = textwrap.TextWrapper(
                max(width, len(label) + 1),
                initial_indent=label,
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            ).wrap(text)
            lines += wrapped or [label.rstrip()]
    return "\n".join(lines)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)
