"""Tables -> rows: CSV and TSV, Parquet, Excel."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.encoding import BLANK_LINE, NumberedLine, decode_lines, told_if_empty
from burnish.data.reading.row import Row
from burnish.errors import DataError

RAGGED_ROW = Check(
    "ragged_row",
    Severity.ERROR,
    "a row with more or fewer cells than the header",
    "Quote the cells that contain the delimiter, or remove the row.",
)
UNCLOSED_QUOTE = Check(
    "unclosed_quote", Severity.ERROR, "a quote that is not closed", "Close it; a quote inside a cell is doubled."
)
BAD_HEADER = Check(
    "bad_header", Severity.ERROR, "a header with an empty or repeated column name", "Name each column once."
)
MORE_SHEETS = Check(
    "more_sheets",
    Severity.WARNING,
    "a workbook with more than one sheet",
    "Only the first is read; save others as files of their own.",
)

Record = tuple[int, list[str]]
"""The cells of a row, and the line on which it begins."""


def read_csv(path: Path, *, delimiters: str) -> Iterator[Row | Finding]:
    """The rows below a header; the one of `delimiters` that the header has most often divides the cells."""
    lines = told_if_empty(path.name, decode_lines(path, path.name))
    return _rows(path.name, _records(path.name, lines, delimiters))


def read_excel(path: Path) -> Iterator[Row | Finding]:
    """The rows below the header of the first sheet; every cell is text."""
    import fastexcel

    try:
        book = fastexcel.read_excel(path)
        # No blank row is skipped but at the end, so that a row's number is the one that Excel shows.
        sheet = book.load_sheet(0, header_row=None, dtypes="string", skip_rows=0, skip_whitespace_tail_rows=True)
        frame = sheet.to_polars()
    except (fastexcel.FastExcelError, OSError) as error:
        raise DataError(f"{path.name}: not a readable Excel file ({str(error).splitlines()[0]}).") from None
    if len(book.sheet_names) > 1:
        yield MORE_SHEETS.found(f"{path.name}: {len(book.sheet_names)} sheets; only {book.sheet_names[0]!r} is read.")
    cells = ([cell or "" for cell in record] for record in frame.iter_rows())
    yield from _rows(path.name, enumerate(cells, start=1))


def read_parquet(path: Path) -> Iterator[Row | Finding]:
    """The rows, counted from 1."""
    import polars

    try:
        frame = polars.read_parquet(path)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path.name}: not a readable Parquet file ({str(error).splitlines()[0]}).") from None
    for number, values in enumerate(frame.iter_rows(named=True), start=1):
        yield Row(path.name, number, values)


def _rows(name: str, records: Iterable[Record | Finding]) -> Iterator[Row | Finding]:
    """The first record that is not blank names the columns."""
    header: list[str] | None = None
    for item in records:
        if isinstance(item, Finding):
            yield item
            continue
        line, cells = item
        if not any(cell.strip() for cell in cells):
            yield BLANK_LINE.found("the row is blank.", f"{name}:{line}")
        elif header is None:
            header = [cell.strip() for cell in cells]
            if len(set(header)) < len(header) or not all(header):
                yield BAD_HEADER.found("the header has an empty or repeated column name.", f"{name}:{line}")
                return
        elif len(cells) != len(header):
            yield RAGGED_ROW.found(f"{len(cells)} cells where the header has {len(header)}.", f"{name}:{line}")
        else:
            yield Row(name, line, dict(zip(header, cells, strict=True)))


def _records(name: str, lines: Iterable[NumberedLine | Finding], delimiters: str) -> Iterator[Record | Finding]:
    """The records as they come, each behind what was found on its lines."""
    csv.field_size_limit(2**31 - 1)
    findings = list[Finding]()
    texts = _texts(lines, findings)
    head = list[str]()
    for text in texts:
        head.append(text)
        if text.strip():
            break
    delimiter = max(delimiters, key="".join(head).count)
    reader = csv.reader(chain(head, texts), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for record in reader:
            yield from findings
            findings.clear()
            yield begins, record
            begins = reader.line_num + 1
    except csv.Error as error:
        message = f"not valid CSV from here on ({error}), so no further row is read."
        findings.append(UNCLOSED_QUOTE.found(message, f"{name}:{begins}"))
    yield from findings


def _texts(lines: Iterable[NumberedLine | Finding], findings: list[Finding]) -> Iterator[str]:
    for item in lines:
        if isinstance(item, Finding):
            findings.append(item)
        else:
            yield item[1]
