"""The cells of a table -> rows: which line names the columns, what stands above it, and columns without a name."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain

from burnish.data.finding import Check, Finding, Severity
from burnish.data.formats.formats import USUAL_NAMES
from burnish.data.reading.encoding import BLANK_LINE
from burnish.data.reading.row import Row

MAX_RECORDS_LOOKED_AT = 30
"""The header is one of the first records."""
MIN_TYPICAL_SHARE = 0.8

RAGGED_ROW = Check(
    "ragged_row",
    Severity.ERROR,
    "a row with more or fewer cells than the header",
    "Quote the cells that contain the delimiter, or remove the row.",
)
TITLE_ROWS = Check(
    "title_rows",
    Severity.NOTE,
    "lines above the header",
    "They are passed over; remove them if the header is another line.",
)
UNNAMED_COLUMN = Check(
    "unnamed_column", Severity.NOTE, "a column without a name", "Name it in the header if a recipe is to use it."
)
REPEATED_COLUMN = Check(
    "repeated_column",
    Severity.WARNING,
    "a column name that is there twice",
    "The first column keeps the name; give the others names of their own if they are the ones to use.",
)

Record = tuple[int, list[str]]
"""The cells of a row, and the line on which it begins."""


def rows_below_header(
    name: str, records: Iterable[Record | Finding], named: Collection[str]
) -> Iterator[Row | Finding]:
    """The rows of a table; `named` are columns that a recipe names, by which its header is known."""
    items = iter(records)
    head = list(_first(items))
    filled = [item for item in head if not isinstance(item, Finding) and _width(item[1])]
    at = find_header([cells for _, cells in filled], named)
    header, columns = (filled[at] if filled else None), list[str]()
    above = [line for line, _ in filled[:at]]
    for item in chain(head, items):
        if isinstance(item, Finding):
            yield item
        elif not _width(item[1]):
            yield BLANK_LINE.found("the row is blank.", f"{name}:{item[0]}")
        elif item is header:
            columns, found = _columns(name, item)
            yield from [*([_title(name, above, item)] if above else []), *found]
        elif columns:
            yield _row(name, item, columns)


def find_header(records: Sequence[Sequence[str]], named: Collection[str] = ()) -> int:
    """Which of the first records of a table names the columns; nothing above it is as wide.

    The one with the most usual names; where none has any, the first, unless it is a single cell above a wider table.
    """
    widths = [_width(cells) for cells in records]
    hits = [num_usual_names(cells, named) for cells in records]
    candidates = [i for i in range(len(records)) if hits[i] and all(width < widths[i] for width in widths[:i])]
    if candidates:
        return max(candidates, key=lambda i: (hits[i], -i))
    if len(widths) < 3 or widths[0] > 1:
        return 0
    typical, count = Counter(widths[1:]).most_common(1)[0]
    return widths.index(typical) if typical > 1 and count >= MIN_TYPICAL_SHARE * (len(widths) - 1) else 0


def num_usual_names(cells: Sequence[str], named: Collection[str] = ()) -> int:
    """How many of the cells are names of columns as a recipe or the formats have them."""
    wanted = {*USUAL_NAMES, *(name.strip().lower() for name in named)}
    return sum(column_name(cell).lower() in wanted for cell in cells)


def column_name(cell: str) -> str:
    """The name that a cell of a header gives: on one line, without what cannot be seen at its ends."""
    return " ".join(cell.strip("\ufeff\u200b").split())


def fitted(cells: list[str], columns: Sequence[str]) -> list[str] | None:
    """The cells under the columns: empty ones behind the last column do not count. None if they do not fit."""
    if len(cells) > len(columns) and not _width(cells[len(columns) :]):
        return cells[: len(columns)]
    absent = columns[len(cells) :]
    if absent and all(column.startswith(_UNNAMED) for column in absent):
        return [*cells, *("" for _ in absent)]
    return cells if len(cells) == len(columns) else None


def _first(items: Iterator[Record | Finding]) -> Iterator[Record | Finding]:
    """The items through the records among which the header is."""
    num_records = 0
    for item in items:
        yield item
        num_records += not isinstance(item, Finding) and _width(item[1]) > 0
        if num_records == MAX_RECORDS_LOOKED_AT:
            return


def _width(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _title(name: str, above: Sequence[int], header: Record) -> Finding:
    lines = f"line {above[0]} is" if len(above) == 1 else f"lines {', '.join(map(str, above))} are"
    return TITLE_ROWS.found(f"{name}: {lines} passed over; line {header[0]} is read as the header.")


def _columns(name: str, header: Record) -> tuple[list[str], list[Finding]]:
    """A name for each column, and what is odd about the names."""
    line, cells = header
    names = [column_name(cell) for cell in cells]
    columns, repeated = list[str](), list[str]()
    for number, own in enumerate(names, start=1):
        column = own or f"{_UNNAMED}{number}"
        copy = 1
        while column in columns:
            copy += 1
            column = f"{own} ({copy})"
        columns.append(column)
        repeated += [own] if copy > 1 else []
    findings = [
        REPEATED_COLUMN.found(
            f"two columns are called {column!r}; the second is read as '{column} (2)'.", f"{name}:{line}"
        )
        for column in dict.fromkeys(repeated)
    ]
    if unnamed := [column for column, own in zip(columns, names, strict=True) if not own]:
        shown = ", ".join(repr(column) for column in unnamed[:5]) + (", ..." if len(unnamed) > 5 else "")
        findings.append(UNNAMED_COLUMN.found(f"{name}: the header has empty cells; their columns are called {shown}."))
    return columns, findings


def _row(name: str, record: Record, columns: Sequence[str]) -> Row | Finding:
    line, cells = record
    own = fitted(cells, columns)
    if own is None:
        return RAGGED_ROW.found(f"{len(cells)} cells where the header has {len(columns)}.", f"{name}:{line}")
    pairs = zip(columns, own, strict=True)
    return Row(name, line, {column: cell for column, cell in pairs if cell or not column.startswith(_UNNAMED)})


_UNNAMED = "column "
