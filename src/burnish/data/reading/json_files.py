"""JSON files -> rows, whatever the name says: objects line by line, behind one another, in a list or in an object."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.containers import Unwrapped, unwrap
from burnish.data.reading.encoding import BLANK_LINE, NumberedLine, decode_lines, suffix_of, told_if_empty
from burnish.data.reading.row import Row
from burnish.data.reading.strict_json import find_refused_number, parse_next, parse_strict

ERROR = Severity.ERROR
INVALID_JSON = Check("invalid_json", ERROR, "a line that is not JSON", "Mend the line or remove it.")
NOT_AN_OBJECT = Check(
    "not_an_object", ERROR, "a row that is no JSON object", "Write {...}, with a name for each value."
)
LONE_SURROGATE = Check(
    "lone_surrogate", ERROR, "half of a character, as in a cut emoji", "Mend the text: no tokenizer takes it."
)
JSON_SHAPE = Check(
    "json_shape",
    Severity.NOTE,
    "JSON of another shape than its file's name says",
    "It is read as told; rows are named by their number, or by the line on which they begin.",
)
SHAPE_WANTED = 'Write {"text": "...", "label": "..."} on each line (.jsonl), or a list of such objects (.json).'

Lines = list[NumberedLine]
_Fault = json.JSONDecodeError


def read_json(path: Path, named: Collection[str] = ()) -> Iterator[Row | Finding]:
    """The objects of a file: one a line if its first line is one, else as the whole text holds them."""
    lines = iter(told_if_empty(path.name, decode_lines(path, path.name)))
    head = list(_through_first_text(lines))
    name, first = path.name, next((item[1] for item in head if not isinstance(item, Finding) and item[1].strip()), "")
    if _is_object(first):
        second = list(_through_first_text(lines))
        if any(not isinstance(item, Finding) and item[1].strip() for item in second):
            yield from _parse_lines(name, chain(head, second, lines))
            return
        head += second
    texts = Lines()
    for item in chain(head, lines):
        if isinstance(item, Finding):
            yield item
        else:
            texts.append(item)
    if first:
        yield from _parse_whole(name, texts, is_list_expected=suffix_of(path) == ".json")


def _through_first_text(lines: Iterator[NumberedLine | Finding]) -> Iterator[NumberedLine | Finding]:
    for item in lines:
        yield item
        if not isinstance(item, Finding) and item[1].strip():
            return


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse_strict(text), dict)
    except ValueError:
        return False


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
                f"{error.msg.removesuffix(' at')} at character {error.pos + 1}" if isinstance(error, _Fault) else error
            )
            yield INVALID_JSON.found(f"not valid JSON ({why}).", f"{name}:{number}")
        else:
            yield _row(name, number, value, may_have_half=bool(_ESCAPED_HALF.search(text)))


def _parse_whole(name: str, lines: Lines, *, is_list_expected: bool) -> Iterator[Row | Finding]:
    """One value, or several behind one another; lines with faults, where that tells more."""
    whole = "".join(text for _, text in lines)
    try:
        value = parse_strict(whole)
    except _Fault as error:
        yield from _parse_several(name, lines, whole, error)
        return
    except ValueError as error:
        place = find_refused_number(whole)
        line = f"{name}:{whole.count(chr(10), 0, place) + 1}" if place is not None else None
        if not whole.lstrip().startswith("["):
            yield from _parse_lines(name, lines)
        else:
            yield INVALID_JSON.found(f"not valid JSON ({error}), so the file is not read.", line)
        return
    found = unwrap(value)
    if found is None:
        yield NOT_AN_OBJECT.found(f"{name}: rows are expected, but this is {kind_of(value)}. {SHAPE_WANTED}")
    elif isinstance(found, str):
        yield NOT_AN_OBJECT.found(f"{name}: {found} {SHAPE_WANTED}")
    else:
        yield from _unwrapped(name, found, whole, is_list_expected=is_list_expected)


def _unwrapped(name: str, found: Unwrapped, whole: str, *, is_list_expected: bool) -> Iterator[Row | Finding]:
    told = found.told or (None if is_list_expected else "the file is one list; its items are read as rows.")
    if told and not found.is_one_row:
        yield JSON_SHAPE.found(f"{name}: {told}")
    may_have_half = bool(_ESCAPED_HALF.search(whole))
    for number, item in enumerate(found.items, start=1):
        yield _row(name, number, item, may_have_half=may_have_half)


def _parse_several(name: str, lines: Lines, whole: str, error: _Fault) -> Iterator[Row | Finding]:
    """Objects behind one another, over lines or on one; else a fault: of the list that it is, or of its lines."""
    by_line = list(_parse_lines(name, lines))
    behind = list(_parse_objects(name, whole)) if "{" in whole else []
    if _num_rows(behind) > _num_rows(by_line):
        yield JSON_SHAPE.found(f"{name}: the objects are not one a line; each is read as a row.")
        yield from behind
    elif whole.lstrip().startswith("[") and error.msg != "Extra data":
        yield INVALID_JSON.found(f"not valid JSON ({error.msg}), so the file is not read.", f"{name}:{error.lineno}")
    else:
        yield from by_line


def _parse_objects(name: str, whole: str) -> Iterator[Row | Finding]:
    """The objects of a text by the lines on which they begin; by their numbers if two begin on one line."""
    found, place = list[tuple[int, Any]](), 0
    while (place := _skip(whole, place)) < len(whole):
        start = place
        try:
            value, place = parse_next(whole, start)
        except ValueError as error:
            value = error
            place = _next_object(whole, start)
        found.append((start, value))
    lines, line, counted = list[int](), 1, 0
    for start, _ in found:
        line += whole.count("\n", counted, start)
        counted = start
        lines.append(line)
    numbers = lines if len(set(lines)) == len(lines) else list(range(1, len(found) + 1))
    for number, line, (_, value) in zip(numbers, lines, found, strict=True):
        if isinstance(value, ValueError):
            at = value.lineno if isinstance(value, _Fault) else line
            message = f"not valid JSON ({_reason(value)}; line {at}), so this object is not read."
            yield INVALID_JSON.found(message, f"{name}:{number}")
        else:
            yield _row(name, number, value, may_have_half=bool(_ESCAPED_HALF.search(whole)))


def _next_object(text: str, place: int) -> int:
    """Where, behind a broken object, the next one begins: with a brace at the beginning of a line."""
    at = text.find("\n{", place)
    return len(text) if at < 0 else at + 1


def _skip(text: str, place: int) -> int:
    """Past white space and commas between objects."""
    while place < len(text) and text[place] in " \t\r\n,":
        place += 1
    return place


def _num_rows(items: Iterable[Row | Finding]) -> int:
    return sum(isinstance(item, Row) for item in items)


def _reason(error: ValueError) -> str:
    if isinstance(error, _Fault):
        return f"{error.msg.removesuffix(' at')} at character {error.colno}"
    return str(error)


def _row(name: str, number: int, value: Any, *, may_have_half: bool) -> Row | Finding:
    if not isinstance(value, dict):
        return NOT_AN_OBJECT.found(f"a row is a JSON object {{...}}, but this is {kind_of(value)}.", f"{name}:{number}")
    if may_have_half and (half := _HALF.search(json.dumps(value, ensure_ascii=False))):
        return LONE_SURROGATE.found(f"half of a character ({ascii(half[0])[1:-1]}).", f"{name}:{number}")
    return Row(name, number, value)


def kind_of(value: Any) -> str:
    """What a JSON value is, for a message."""
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false", dict: "an object"}
    return names.get(type(value), "null")


# JSON can spell half of a surrogate pair; UTF-8 cannot.
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
