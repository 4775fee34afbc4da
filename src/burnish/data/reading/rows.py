"""A data file -> rows with line numbers; every row that cannot be read is named, and the others are read."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.documents import SUFFIXES, read_folder, read_text
from burnish.data.reading.encoding import suffix_of
from burnish.data.reading.exports import as_examples
from burnish.data.reading.header import REPEATED_COLUMN, TITLE_ROWS, UNNAMED_COLUMN
from burnish.data.reading.json_files import JSON_SHAPE, read_json
from burnish.data.reading.label_studio import LABEL_STUDIO
from burnish.data.reading.row import Row
from burnish.data.reading.sheets import SEPARATOR, read_csv, read_parquet
from burnish.data.reading.threads import MESSAGE_ROWS
from burnish.data.reading.workbook import read_excel
from burnish.errors import DataError

NO_ROWS = Check("no_rows", Severity.ERROR, "a file without a row", "Each row is one example.")


def read_rows(path: Path, *, named: Collection[str] = ()) -> tuple[list[Row], list[Finding]]:
    """All rows of a file, or of a folder of texts, that can be read, and what was found on the way.

    `named` are columns that a recipe names; by them headers, sheets and exports are known.

    Raises:
        DataError: there is no such file, or it cannot be read at all.
    """
    rows, findings = list[Row](), list[Finding]()
    for item in iter_rows(path, named=named):
        rows.append(item) if isinstance(item, Row) else findings.append(item)
    return rows, findings


def iter_rows(path: Path, *, named: Collection[str] = ()) -> Iterator[Row | Finding]:
    """The rows of a file one by one, each behind what was found about it. Raises as `read_rows` does."""
    is_empty = True
    for item in as_examples(path.name, _reader(path)(path, named), named):
        is_empty = is_empty and not isinstance(item, Row) and item.severity is not Severity.ERROR
        yield item
    if is_empty:
        yield NO_ROWS.found(f"{path.name}: there is no row in it.")


def _reader(path: Path) -> "Reader":
    if path.is_dir():
        return read_folder
    if not path.exists():
        raise DataError(f"{path}: no such file. Check the path; in a recipe it is relative to the recipe file.")
    suffix, is_gzip = suffix_of(path), path.suffix.lower() == ".gz"
    if suffix not in READERS or (is_gzip and suffix in BINARY):
        raise DataError(f'{path}: files that end in "{path.suffix}" are not read. Use {", ".join(READERS)}.')
    return READERS[suffix]


Reader = Callable[[Path, Collection[str]], Iterator[Row | Finding]]
READERS: dict[str, Reader] = {
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".xlsx": read_excel,
    ".txt": read_text,
    ".md": read_text,
}
RESHAPED = frozenset(
    check.id
    for check in (TITLE_ROWS, UNNAMED_COLUMN, REPEATED_COLUMN, SEPARATOR, JSON_SHAPE, LABEL_STUDIO, MESSAGE_ROWS)
)
"""What is told of files whose rows do not stand in them as they are read."""
BINARY = (".parquet", ".xlsx")
TABLE_SUFFIXES = tuple(suffix for suffix in READERS if suffix not in SUFFIXES)
