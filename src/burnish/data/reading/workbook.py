"""Excel workbooks -> rows: the sheet that holds the examples, and what its cells say."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.cell_formats import FAILED, CellFormats, read_cell_formats
from burnish.data.reading.header import MAX_RECORDS_LOOKED_AT, Record, find_header, num_usual_names, rows_below_header
from burnish.data.reading.row import Row
from burnish.errors import DataError

MORE_SHEETS = Check(
    "more_sheets",
    Severity.WARNING,
    "a workbook with more than one sheet",
    "If another one is meant, save it as a file of its own.",
)
CELL_FORMATS = Check(
    "cell_formats",
    Severity.NOTE,
    "cells that Excel shows otherwise than it stores them",
    "They are read as told; format the column as text and write what should be learned if that is not meant.",
)
LONG_NUMBER = Check(
    "long_number",
    Severity.WARNING,
    "a number of more than 15 digits in a spreadsheet, whose last digits are lost",
    "Compare it with its source; format the column as text before the numbers are written.",
)
MERGED_CELLS = Check(
    "merged_cells", Severity.NOTE, "merged cells", "Each row gets the value of the cell; nothing has to be done."
)


def read_excel(path: Path, named: Collection[str] = ()) -> Iterator[Row | Finding]:
    """The rows below the header of the first sheet that has examples; every cell is text."""
    import fastexcel

    try:
        book = fastexcel.read_excel(path)
        sheets = [_cells(book, number) for number in range(len(book.sheet_names))]
    except (fastexcel.FastExcelError, OSError) as error:
        raise DataError(f"{path.name}: not a readable Excel file ({str(error).splitlines()[0]}).") from None
    if not sheets:
        return
    chosen = max(range(len(sheets)), key=lambda number: (_promise(sheets[number], named), -number))
    cells, others = sheets[chosen], [name for i, name in enumerate(book.sheet_names) if i != chosen]
    if others:
        shown = ", ".join(map(repr, others[:5])) + (", ..." if len(others) > 5 else "")
        yield MORE_SHEETS.found(f"{path.name}: only the sheet {book.sheet_names[chosen]!r} is read, not {shown}.")
    formats = read_cell_formats(path, chosen)
    yield from _apply(path.name, cells, formats)
    yield from rows_below_header(path.name, _long_numbers(path.name, cells, formats), named)


def _cells(book: Any, number: int) -> list[list[str]]:
    """The cells of a sheet as text; one that is empty or whose formula failed is empty."""
    # No blank row is skipped but at the end, so that a row's number is the one that Excel shows.
    sheet = book.load_sheet(number, header_row=None, dtypes="string", skip_rows=0, skip_whitespace_tail_rows=True)
    return [[cell or "" for cell in record] for record in sheet.to_polars().iter_rows()]


def _promise(cells: Sequence[Sequence[str]], named: Collection[str]) -> tuple[bool, int]:
    """How much a sheet looks like one of examples: rows below a header, and usual names in that."""
    filled = [row for row in cells if any(cell.strip() for cell in row)][:MAX_RECORDS_LOOKED_AT]
    if len(filled) < 2:
        return False, 0
    at = find_header(filled, named)
    return at + 1 < len(filled), num_usual_names(filled[at], named)


def _apply(name: str, cells: list[list[str]], formats: CellFormats) -> Iterator[Finding]:
    """Put into the cells what their formats and merges say, and tell it once for each kind."""
    for first, last, column in formats.merged:
        if last < len(cells) and column < len(cells[first]) and cells[first][column].strip():
            for row in range(first + 1, last + 1):
                cells[row][column] = cells[first][column]
            place = f"rows {first + 1} to {last + 1}"
            yield MERGED_CELLS.found(
                f"{name}: {cells[first][column][:40]!r} is read in {place}.", f"{name}:{first + 1}"
            )
    told = set[str]()
    for (row, column), cell in formats.cells.items():
        if row >= len(cells) or column >= len(cells[row]) or not (cells[row][column] or cell.kind == FAILED):
            continue
        cells[row][column] = text = cells[row][column] if cell.text is None else cell.text
        if cell.is_changed and cell.kind not in told:
            told.add(cell.kind)
            read_as = f"as {text!r}" if text else "as empty cells"
            yield CELL_FORMATS.found(f"{name}: {cell.kind} are read {read_as}, first in {_letters(column)}{row + 1}.")


def _long_numbers(name: str, cells: Sequence[list[str]], formats: CellFormats) -> Iterator[Record | Finding]:
    for number, record in enumerate(cells, start=1):
        for column, cell in enumerate(record):
            if len(cell) > 15 and cell.isdigit() and (number - 1, column) in formats.numbers:
                place = f"{_letters(column)}{number}"
                yield LONG_NUMBER.found(f"{place} holds {cell}.", f"{name}:{number}")
        yield number, record


def _letters(column: int) -> str:
    """The name of a column, counted from 0: A, ..., Z, AA, ..."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
