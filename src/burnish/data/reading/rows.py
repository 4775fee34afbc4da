"""A data file -> rows with line numbers; every row that cannot be read is named, and the others are read."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.documents import SUFFIXES, read_folder, read_text
from burnish.data.reading.encoding import BLANK_LINE, NumberedLine, decode_lines, suffix_of, told_if_empty
from burnish.data.reading.row import Row
from burnish.data.reading.sheets import read_csv, read_excel, read_parquet
from burnish.data.reading.strict_json import parse_strict
from burnish.errors import DataError

ERROR = Severity.ERROR
NO_ROWS = Check("no_rows", ERROR, "a file without a row", "Each row is one example.")
INVALID_JSON = Check("invalid_json", ERROR, "a line that is not JSON", "Mend the line or remove it.")
NOT_AN_OBJECT = Check(
    "not_an_object", ERROR, "a row that is no JSON object", "Write {...}, with a name for each value."
)
LONE_SURROGATE = Check(
    "lone_surrogate", ERROR, "half of a character, as in a cut emoji", "Mend the text: no tokenizer takes it."
)


def read_rows(path: Path) -> tuple[list[Row], list[Finding]]:
    """All rows of a file, or of a folder of texts, that can be read, and what was found on the way.

    Raises:
        DataError: there is no such file, or it cannot be read at all.
    """
    rows, findings = list[Row](), list[Finding]()
    for item in iter_rows(path):
        rows.append(item) if isinstance(item, Row) else findings.append(item)
    return rows, findings


def iter_rows(path: Path) -> Iterator[Row | Finding]:
    """The rows of a file one by one, each behind what was found about it. Raises as `read_rows` does."""
    is_empty = True
    for item in _reader(path)(path):
        is_empty = is_empty and not isinstance(item, Row) and item.severity is not ERROR
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


def read_jsonl(path: Path) -> Iterator[Row | Finding]:
    """One JSON object a line."""
    return _parse_lines(path.name, told_if_empty(path.name, decode_lines(path, path.name)))


def read_json(path: Path) -> Iterator[Row | Finding]:
    """A list of objects, whose rows are counted; or JSON Lines by another name."""
    lines = list[NumberedLine]()
    for item in told_if_empty(path.name, decode_lines(path, path.name)):
        if isinstance(item, Finding):
            yield item
        else:
            lines.append(item)
    if any(text.strip() for _, text in lines):
        yield from _parse_list(path.name, lines)


def _parse_list(name: str, lines: list[NumberedLine]) -> Iterator[Row | Finding]:
    whole = "".join(text for _, text in lines)
    try:
        values = parse_strict(whole)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _parse_lines(name, lines)
        else:
            yield INVALID_JSON.found(
                f"not valid JSON ({error.msg}), so the file is not read.", f"{name}:{error.lineno}"
            )
        return
    except ValueError as error:
        yield INVALID_JSON.found(f"{name}: not valid JSON ({error}), so the file is not read.")
        return
    if not isinstance(values, list):
        yield NOT_AN_OBJECT.found(f"{name}: a list of objects is expected, but this is {_kind(values)}.")
        return
    may_have_half = bool(_ESCAPED_HALF.search(whole))
    for number, value in enumerate(values, start=1):
        yield _row(name, number, value, may_have_half=may_have_half)


def _parse_lines(name: str, lines: Iterable[NumberedLine | Finding]) -> Iterator[Row | Finding]:
    for item in lines:
        if isinstance(item, Finding):
            yield item
            continue
        number, text = item
        if not text.strip():
            yield BLANK_LINE.found("the line is blank.", f"{name}:{number}")
            continue
        try:
            value = parse_strict(text)
        except ValueError as error:
            why = (
                f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
                if isinstance(error, json.JSONDecodeError)
                else error
            )
            yield INVALID_JSON.found(f"not valid JSON ({why}).", f"{name}:{number}")
        else:
            yield _row(name, number, value, may_have_half=bool(_ESCAPED_HALF.search(text)))


def _row(name: str, number: int, value: Any, *, may_have_half: bool) -> Row | Finding:
    if not isinstance(value, dict):
        return NOT_AN_OBJECT.found(f"a row is a JSON object {{...}}, but this is {_kind(value)}.", f"{name}:{number}")
    if may_have_half and (half := _HALF.search(json.dumps(value, ensure_ascii=False))):
        return LONE_SURROGATE.found(f"half of a character ({ascii(half[0])[1:-1]}).", f"{name}:{number}")
    return Row(name, number, value)


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false", dict: "an object"}
    return names.get(type(value), "null")


Reader = Callable[[Path], Iterator[Row | Finding]]
READERS: dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": partial(read_csv, delimiters=",;\t"),
    ".tsv": partial(read_csv, delimiters="\t"),
    ".parquet": read_parquet,
    ".xlsx": read_excel,
    ".txt": read_text,
    ".md": read_text,
}
BINARY = (".parquet", ".xlsx")
TABLE_SUFFIXES = tuple(suffix for suffix in READERS if suffix not in SUFFIXES)

# JSON can spell half of a surrogate pair; UTF-8 cannot.
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
