"""A data file -> rows with line numbers; every row that cannot be read is named."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import DataError

# JSON can spell half of a surrogate pair, as in a cut emoji; no tokenizer and no UTF-8 file takes it.
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """The columns of one row and its line (its number, counted from 1, in Parquet and JSON arrays)."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a row, with what to do about it."""

    line: int | None
    message: str

    def at(self, path: Path) -> str:
        return f"{path.name}:{self.line}: {self.message}" if self.line else f"{path.name}: {self.message}"


def read_rows(path: Path) -> tuple[list[Row], list[Problem]]:
    """The rows of a .jsonl, .json, .csv, .tsv or .parquet file, and the problems of those that cannot be read.

    Raises:
        DataError: there is no such file, it cannot be read at all, or it holds no row.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        rows, problems = _read_parquet(path), list[Problem]()
    elif suffix in (".jsonl", ".ndjson"):
        rows, problems = _read_jsonl(_read_text(path))
    elif suffix == ".json":
        rows, problems = _read_json(path, _read_text(path))
    elif suffix in (".csv", ".tsv"):
        rows, problems = _read_csv(path, _read_text(path), "\t" if suffix == ".tsv" else ",")
    else:
        _check_is_file(path)
        raise DataError(
            f'{path}: files that end in "{suffix}" are not read. Use .jsonl, .json, .csv, .tsv or .parquet.'
        )
    if not rows and not problems:
        raise DataError(f"{path}: the file holds no rows. Each row is one example.")
    return rows, problems


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: this is a folder. Name a file in it.")
    if not path.exists():
        raise DataError(f"{path}: no such file. Check the path; in a recipe it is relative to the recipe file.")


def _read_text(path: Path) -> str:
    _check_is_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from None
    is_utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if is_utf16:
            raise DataError(f"{path.name}: begins as UTF-16 but is damaged. Save the file as UTF-8.") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path.name}:{line}: a byte that is not UTF-8. Save the file as UTF-8.") from None


def _read_jsonl(text: str) -> tuple[list[Row], list[Problem]]:
    values, problems = list[tuple[int, Any]](), list[Problem]()
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: U+2028 may stand inside a string
        if not line.strip():
            continue
        try:
            values.append((number, json.loads(line, parse_constant=_refuse_constant)))
        except (ValueError, RecursionError) as error:
            problems.append(Problem(number, f"not valid JSON ({error}). Mend the line or remove it."))
    rows, more = _sort_values(values)
    return rows, sorted(problems + more, key=lambda problem: problem.line or 0)


def _read_json(path: Path, text: str) -> tuple[list[Row], list[Problem]]:
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        return (
            _read_jsonl(text)
            if error.msg == "Extra data"
            else ([], [Problem(error.lineno, f"not valid JSON: {error.msg}.")])
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: not valid JSON ({error}). Mend the file.") from None
    if not isinstance(values, list):
        return [], [Problem(None, f"expected a list of objects, found a {_kind(values)}. Put [ ] around the rows.")]
    return _sort_values(list(enumerate(values, start=1)))


def _sort_values(values: Sequence[tuple[int, Any]]) -> tuple[list[Row], list[Problem]]:
    """JSON values with their numbers -> the rows among them, and what is wrong with the others."""
    rows, problems = list[Row](), list[Problem]()
    for number, value in values:
        if not isinstance(value, dict):
            message = f"a row must be a JSON object {{...}}, found a {_kind(value)}. Mend it."
            problems.append(Problem(number, message))
        elif half := _HALF_CHARACTER.search(json.dumps(value, ensure_ascii=False)):
            problems.append(Problem(number, f"half of a character ({ascii(half[0])[1:-1]}). Mend the text."))
        else:
            rows.append(Row(number, value))
    return rows, problems


def _read_csv(path: Path, text: str, delimiter: str) -> tuple[list[Row], list[Problem]]:
    rows, problems = list[Row](), list[Problem]()
    records = _csv_records(path, text, delimiter)
    _, header = next(records, (1, []))
    names = [name.strip() for name in header]
    if len(set(names)) < len(names) or not all(names):
        raise DataError(f"{path.name}:1: the header has an empty or repeated column name. Name each column once.")
    for line, record in records:
        if len(record) == len(names):
            rows.append(Row(line, dict(zip(names, record, strict=True))))
        else:
            message = f"{len(record)} cells where the header has {len(names)}. Quote cells that contain {delimiter!r}."
            problems.append(Problem(line, message))
    return rows, problems


def _csv_records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line on which it begins."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                yield begins, record
            begins = reader.line_num + 1
    except csv.Error as error:
        message = f"not valid CSV from here on ({error}). Is a quote left open?"
        raise DataError(f"{path.name}:{begins}: {message}") from None


def _read_parquet(path: Path) -> list[Row]:
    _check_is_file(path)
    import polars

    try:
        frame = polars.read_parquet(path)
    except (polars.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path.name}: not a readable Parquet file ({str(error).splitlines()[0]}).") from None
    return [Row(n, values) for n, values in enumerate(frame.iter_rows(named=True), start=1)]


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _kind(value: Any) -> str:
    names = {list: "list", str: "text", int: "number", float: "number", bool: "true/false", dict: "object"}
    return names.get(type(value), "null")
