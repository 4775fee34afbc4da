"""A data file as the text of its records, so that one that nothing is done to stays as it is to the letter."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burnish.data.finding import Finding, Severity
from burnish.data.reading.encoding import NumberedLine, decode_lines, suffix_of
from burnish.data.reading.row import Row
from burnish.data.reading.rows import BINARY, RESHAPED, read_rows
from burnish.data.reading.sheets import DELIMITERS, NUM_LINES_LOOKED_AT, delimiter_of
from burnish.errors import DataError


@dataclass(frozen=True)
class Record:
    """A row as it is written, without its line end, and what that says; None if it says nothing."""

    line: int
    text: str
    values: Any


@dataclass(frozen=True)
class Records:
    """All rows of a file, and how rows are spelled and put together in its format."""

    rows: list[Record]
    suffix: str
    spell: Callable[[Any], str]
    head: str = ""
    between: str = "\n"
    tail: str = "\n"
    unreadable: tuple[Finding, ...] = ()
    """Rows of a file that is written anew which cannot be read, so that the copy lacks them."""

    def join(self, texts: Iterable[str]) -> str:
        """The file that holds these rows."""
        body = self.between.join(texts)
        return f"{self.head}{body}{self.tail}" if body or self.head else ""


def read_records(path: Path) -> Records:
    """The rows of a file by their lines, as the findings name them.

    Parquet, Excel and files of another shape than rows, such as a list below a key, are given as JSON Lines.

    Raises:
        DataError: it holds texts, not rows, or cannot be read.
    """
    suffix = suffix_of(path)
    if path.is_dir() or suffix in (".txt", ".md"):
        raise DataError(f"{path}: texts are not mended, only rows. Mend the texts by hand.")
    read, findings = read_rows(path)
    if suffix in BINARY or _are_reshaped(findings):
        rows = [Record(row.line, _spell_json(row.values), row.values) for row in read]
        unreadable = tuple(one for one in findings if one.row and one.severity is Severity.ERROR)
        return Records(rows, ".jsonl", _spell_json, unreadable=unreadable)
    lines = [(item[0], _with_lf(item[1])) for item in decode_lines(path, path.name) if isinstance(item, tuple)]
    if suffix in DELIMITERS:
        return _read_table(lines, suffix, read)
    if suffix == ".json" and (items := _items_of_list("".join(text for _, text in lines))) is not None:
        return Records(items, suffix, _spell_json, head="[\n", between=",\n", tail="\n]\n")
    rows = [Record(number, _without_end(text), _parse(text)) for number, text in lines]
    return Records(rows, suffix, _spell_json)


def is_written_as_lines(path: Path) -> bool:
    """Whether the copy of a file is JSON Lines, whatever its name says."""
    return suffix_of(path) in BINARY or (not path.is_dir() and _are_reshaped(read_rows(path)[1]))


def _are_reshaped(findings: Iterable[Finding]) -> bool:
    return any(finding.check in RESHAPED for finding in findings)


def _items_of_list(text: str) -> list[Record] | None:
    """The items of a JSON list as they are written; None if it is none, as in JSON Lines by another name."""
    decoder, rows = json.JSONDecoder(), list[Record]()
    if not text.lstrip().startswith("["):
        return None
    place = text.index("[") + 1
    while (place := _skip(text, place, " \t\r\n,")) < len(text) and text[place] != "]":
        try:
            values, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        rows.append(Record(len(rows) + 1, text[place:end], values))
        place = end
    return rows


def _skip(text: str, place: int, characters: str) -> int:
    while place < len(text) and text[place] in characters:
        place += 1
    return place


def _read_table(lines: list[NumberedLine], suffix: str, read: Sequence[Row]) -> Records:
    """The records of a table whose first one that is not blank is the header."""
    delimiter, _ = delimiter_of([text for _, text in lines[:NUM_LINES_LOOKED_AT]], DELIMITERS[suffix])
    records = list(_cut(lines, delimiter))
    at = next((i for i, (_, _, cells) in enumerate(records) if cells and any(map(str.strip, cells))), len(records))
    head = "".join(f"{text}\n" for _, text, _ in records[at : at + 1])
    # A spreadsheet that quotes every cell does so in the header, too.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if head.startswith('"') else csv.QUOTE_MINIMAL

    def spell(values: dict[str, str]) -> str:
        stream = io.StringIO()
        csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator="").writerow(values.values())
        return stream.getvalue()

    values = {row.line: row.values for row in read}
    return Records([Record(line, text, values.get(line)) for line, text, _ in records[at + 1 :]], suffix, spell, head)


def _cut(lines: list[NumberedLine], delimiter: str) -> Iterator[tuple[int, str, list[str] | None]]:
    """Each record with its first line, its text and its cells; from where it is no CSV, the rest as one without."""
    taken, feed = list[str](), iter(lines)

    def texts() -> Iterator[str]:
        for _, text in feed:
            taken.append(text)
            yield text

    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            yield begins, _without_end("".join(taken)), cells
            begins += len(taken)
            taken.clear()
    except csv.Error:
        rest = "".join([*taken, *(text for _, text in feed)])
        yield begins, _without_end(rest), None


def _with_lf(text: str) -> str:
    return f"{text[:-2]}\n" if text.endswith("\r\n") else text


def _without_end(text: str) -> str:
    return text.removesuffix("\n")


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _spell_json(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, default=str)
