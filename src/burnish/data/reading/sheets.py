"""Tables -> rows: CSV and TSV, Parquet."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.encoding import NumberedLine, decode_lines, suffix_of, told_if_empty
from burnish.data.reading.header import Record, rows_below_header
from burnish.data.reading.row import Row
from burnish.data.reading.values import plain
from burnish.errors import DataError

NUM_LINES_LOOKED_AT = 50
"""The first lines of a table tell what divides its cells."""
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}

UNCLOSED_QUOTE = Check(
    "unclosed_quote", Severity.ERROR, "a quote that is not closed", "Close it; a quote inside a cell is doubled."
)
SEPARATOR = Check(
    "separator", Severity.NOTE, "cells divided by something else than the file's name says", "Nothing has to be done."
)


def read_csv(path: Path, named: Collection[str] = ()) -> Iterator[Row | Finding]:
    """The rows below the header, whatever divides the cells."""
    lines = told_if_empty(path.name, decode_lines(path, path.name))
    return rows_below_header(path.name, _records(path.name, lines, DELIMITERS[suffix_of(path)]), named)


def read_parquet(path: Path, named: Collection[str] = ()) -> Iterator[Row | Finding]:
    """The rows, counted from 1."""
    import polars

    try:
        frame = polars.read_parquet(path)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path.name}: not a readable Parquet file ({str(error).splitlines()[0]}).") from None
    # The shortest text of a 32-bit float is that of another 64-bit one: 0.1, and not 0.10000000149011612.
    short = polars.col(polars.Float32, polars.Float16)
    frame = frame.with_columns(short.cast(polars.String).cast(polars.Float64))
    for number, values in enumerate(frame.iter_rows(named=True), start=1):
        yield Row(path.name, number, plain(values))


def delimiter_of(texts: Sequence[str], delimiters: str) -> tuple[str, int]:
    """What divides the cells of a table that begins with these lines, and how many of them only say so (`sep=;`)."""
    if texts and (told := _SEPARATOR_LINE.fullmatch(texts[0].strip("\r\n\ufeff"))):
        return told[1].replace("\\t", "\t"), 1
    return max(delimiters, key=lambda delimiter: _fit(texts, delimiter)), 0


def _fit(texts: Sequence[str], delimiter: str) -> tuple[int, int]:
    """How many records have the usual number of cells, if that is more than one, and that number."""
    try:
        counts = Counter(len(cells) for cells in csv.reader(texts, delimiter=delimiter) if any(cells))
    except csv.Error:
        return 0, 0
    cells, records = max(counts.items(), key=lambda item: (item[0] > 1, item[1]), default=(0, 0))
    return (records, cells) if cells > 1 else (0, 0)


def _records(name: str, lines: Iterable[NumberedLine | Finding], delimiters: str) -> Iterator[Record | Finding]:
    """The records as they come, each behind what was found on its lines."""
    csv.field_size_limit(2**31 - 1)
    findings = list[Finding]()
    texts = _texts(lines, findings)
    head = list(islice(texts, NUM_LINES_LOOKED_AT))
    delimiter, begins = delimiter_of(head, delimiters)
    if begins or delimiter != delimiters[0]:
        shown = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter, f"{delimiter!r}")
        if begins or (delimiters, delimiter) != (DELIMITERS[".csv"], ";"):
            findings.append(SEPARATOR.found(f"{name}: the cells are divided by {shown}."))
    escape = _escape_of(head[begins:], delimiter)
    if escape:
        findings.append(SEPARATOR.found(f'{name}: quotes inside cells are written as {escape}".'))
    reader = csv.reader(chain(head[begins:], texts), delimiter=delimiter, escapechar=escape, strict=True)
    num_told, begins = begins, begins + 1
    try:
        for record in reader:
            yield from findings
            findings.clear()
            yield begins, record
            begins = reader.line_num + num_told + 1
    except csv.Error as error:
        message = f"not valid CSV from here on ({error}), so no further row is read."
        findings.append(UNCLOSED_QUOTE.found(message, f"{name}:{begins}"))
    yield from findings


def _escape_of(texts: Sequence[str], delimiter: str) -> str | None:
    """A backslash where quotes inside cells are written behind one, as databases export them."""
    if not any('\\"' in text for text in texts):
        return None
    for escape in (None, "\\"):
        try:
            list(csv.reader(texts, delimiter=delimiter, escapechar=escape, strict=True))
        except csv.Error as error:
            if "unexpected end" not in str(error):
                continue
        return escape
    return None


def _texts(lines: Iterable[NumberedLine | Finding], findings: list[Finding]) -> Iterator[str]:
    for item in lines:
        if isinstance(item, Finding):
            findings.append(item)
        else:
            yield item[1]


_SEPARATOR_LINE = re.compile(r'"?sep=(\\t|[^\w\s"]|\t)"?', re.IGNORECASE)
