"""A file's rows -> the format that they are in, with the reason."""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NoReturn

from burnish.conversation import Task
from burnish.data.formats.columns import Columns, find_columns, listed
from burnish.data.formats.dialects import parse_json
from burnish.data.formats.draft import Draft
from burnish.data.formats.drafts import Values
from burnish.data.formats.formats import (
    ABOUT_A_TEXT,
    BY_ITEMS,
    FORMATS,
    PREFERENCE,
    PREFERENCE_OPENAI,
    TEXT,
    TEXT_LABEL,
    Format,
)
from burnish.data.formats.several_labels import spell_columns
from burnish.data.reading.header import column_name
from burnish.data.reading.label_studio import ADMINISTRATIVE
from burnish.data.reading.missing import is_missing
from burnish.data.reading.row import Row
from burnish.data.reading.values import text_of
from burnish.errors import DataError

MAX_LABEL_CHARS = 80
MAX_ROW_CHARS_SHOWN = 200
MIN_ROWS_TO_GUESS = 20


@dataclass(frozen=True)
class Detection:
    """What a file was found to hold, and why."""

    format: Format
    columns: Columns
    task: Task
    reason: str
    unused: tuple[str, ...]
    """Columns that play no part."""

    def __str__(self) -> str:
        more = f" (not used: {', '.join(self.unused)})" if self.unused else ""
        lesson = "; the better answers are learned" if self.format in (PREFERENCE, PREFERENCE_OPENAI) else ""
        return f"{self.format.name} for task {self.task}, because {self.reason}; columns {self.columns}{more}{lesson}"


def detect_format(
    rows: Sequence[Row], *, name: str, task: Task | None = None, given: Mapping[str, str] | None = None
) -> Detection:
    """The format that most rows fit; `task` and `given` columns, as a recipe sets them, leave less to guess.

    Raises:
        DataError: no format fits, or `given` names a part or column that there is not.
    """
    present = list(dict.fromkeys(key for row in rows for key in row.values))
    given = {part: _present_name(column, present) for part, column in (given or {}).items()}
    candidates = _candidates(task, given, present, name)
    votes = _votes(rows, candidates, given)
    chosen = max(candidates, key=lambda candidate: votes[candidate.name])
    if not votes:
        # No row is sound. A text is learned alone only if it is alone, or a recipe says so.
        possible = [format for format, _ in _possible(present, candidates, given) if given or format is not TEXT]
        if not possible and not given and (guess := _guess(rows, present, task)):
            found = detect_format(rows, name=name, task=task, given=guess)
            column = next(guess[part] for part in ("label", "fields") if part in guess)
            return replace(found, reason=f"{found.reason}, and it is a guess: no other column than {column!r} is left")
        chosen = possible[0] if possible else _refuse(rows, name, task, candidates, present)
    columns = find_columns(chosen.names, present, given)
    reason = f"{votes[chosen.name]:,} of {len(rows):,} rows hold {chosen.meaning}"
    if chosen is TEXT_LABEL:
        answers = [columns.value(row.values, "label") for row in rows]
        labels = [str(text_of(answer)) for answer in answers if not is_missing(answer)] or [""]
        pairs = [candidate for candidate in candidates if Task.COMPLETION in candidate.tasks and candidate is not TEXT]
        if not _are_few(labels) and _votes(rows, pairs, given):
            return detect_format(rows, name=name, task=Task.COMPLETION, given=given)
        reason += f", and {columns.by_part['label']!r} has {len(set(labels)):,} different values"
    unused = tuple(column for column in present if column not in columns.by_part.values())
    return Detection(chosen, columns, task or chosen.tasks[0], reason, unused)


def other_format(values: Values, detection: Detection) -> str | None:
    """What a row looks like that is not of the file's format but of another one; None if it is of none."""
    format, columns = detection.format, detection.columns
    has_columns = format.has_columns(values, columns)
    if has_columns and format.has_kind(values, columns):
        return None
    others = _possible(list(values), [candidate for candidate in FORMATS if candidate is not TEXT], {})
    for found in _fitting(values, others):
        if not has_columns or {found.name, format.name} == BY_ITEMS:
            return f"{found.name} ({find_columns(found.names, values, {})})"
    return None


def draft_alone(values: Values) -> Draft | None:
    """A row by itself, of the first format that it fits; a prompt may lack its answer, which is then empty."""
    for whole in (values, {**values, "output": ""}):
        for format in _fitting(whole, _possible(list(whole), FORMATS, {})):
            return format.draft(whole, find_columns(format.names, list(whole), {}))
    return None


def _candidates(task: Task | None, given: Mapping[str, str], present: Sequence[str], name: str) -> list[Format]:
    formats = [format for format in FORMATS if task is None or task in format.tasks]
    parts = sorted({part for format in formats for part in format.names})
    if unknown := [part for part in given if part not in parts]:
        raise DataError(
            f"data.columns: {unknown[0]!r} is not a part of a {task or 'known'} row. Its parts are {', '.join(parts)}."
        )
    if absent := [column for column in given.values() if column not in present]:
        raise DataError(f"{name}: no column {absent[0]!r}. The columns are {listed(present)}.")
    fitting = [format for format in formats if given.keys() <= format.names.keys()]
    if not fitting:
        raise DataError(f"data.columns: no format of {task or 'any task'} has all of {', '.join(given)}. Name fewer.")
    return fitting


def _votes(rows: Sequence[Row], formats: Sequence[Format], given: Mapping[str, str]) -> Counter[str]:
    """How many rows each format is the first to fit."""
    possible: dict[tuple[str, ...], list[tuple[Format, Columns]]] = {}  # most rows of a file have the same columns
    votes = Counter[str]()
    for row in rows:
        keys = tuple(row.values)
        if keys not in possible:
            possible[keys] = _possible(keys, formats, given)
        votes.update(format.name for format in _fitting(row.values, possible[keys]))
    return votes


def _possible(
    keys: Collection[str], formats: Sequence[Format], given: Mapping[str, str]
) -> list[tuple[Format, Columns]]:
    """The formats whose columns are there."""
    found = [(format, find_columns(format.names, keys, given)) for format in formats]
    return [(format, columns) for format, columns in found if format.has_columns(keys, columns)]


def _fitting(values: Values, possible: Sequence[tuple[Format, Columns]]) -> list[Format]:
    """The first of them whose kind of values is there, if any."""
    return list(islice((format for format, columns in possible if format.has_kind(values, columns)), 1))


def _are_few(labels: Sequence[str]) -> bool:
    return len(set(labels)) <= max(2, len(labels) // 3) and max(map(len, labels)) <= MAX_LABEL_CHARS


def _present_name(column: str, present: Sequence[str]) -> str:
    """The column that a recipe names; where there is none, the one whose name differs in case and spaces only."""
    if column in present:
        return column
    alike = [name for name in present if column_name(name).lower() == column_name(column).lower()]
    return alike[0] if len(alike) == 1 else column


def _guess(rows: Sequence[Row], present: Sequence[str], task: Task | None) -> dict[str, str] | None:
    """A text and the only other column that may be learned, if it looks like labels or objects."""
    text = find_columns({"text": TEXT_LABEL.names["text"]}, present, {}).by_part.get("text")
    others = [column for column in present if column != text and not _is_about_a_row(column)]
    if text is None or len(others) != 1 or len(rows) < MIN_ROWS_TO_GUESS:
        return None
    answers = [row.values.get(others[0]) for row in rows]
    answers = [answer for answer in answers if not is_missing(answer)]
    if not answers:
        return None
    if task in (None, Task.EXTRACTION) and all(isinstance(parse_json(answer), dict) for answer in answers):
        return {"text": text, "fields": others[0]}
    labels = [str(text_of(answer)) for answer in answers]
    return {"text": text, "label": others[0]} if task in (None, Task.CLASSIFICATION) and _are_few(labels) else None


def _is_about_a_row(column: str) -> bool:
    name = column_name(column).lower()
    return name in ABOUT_A_TEXT or name in ADMINISTRATIVE or bool(_NO_NAME.match(name))


def _refuse(
    rows: Sequence[Row], name: str, task: Task | None, candidates: Sequence[Format], present: Sequence[str]
) -> NoReturn:
    if task in (None, Task.CLASSIFICATION) and (said := spell_columns(rows, present)):
        raise DataError(f"{name}: {said}")

    def required(format: Format) -> list[str]:
        return [part for part in format.names if part not in format.optional]

    wanted = " or ".join(dict.fromkeys(" + ".join(required(format)) for format in candidates))
    example = "{" + ", ".join(f'{part} = "..."' for part in required(candidates[-1])) + "}"
    what = f"task {task} needs {wanted}" if task else f"no format fits: one needs {wanted}"
    first = json.dumps(rows[0].values, ensure_ascii=False, default=str)
    shown = f" The first row is {first[:MAX_ROW_CHARS_SHOWN]}{'...' if len(first) > MAX_ROW_CHARS_SHOWN else ''}."
    raise DataError(f"{name}: {what}; the columns are {listed(present)}.{shown} Set data.columns = {example}.")


_NO_NAME = re.compile(r"(column|unnamed:) \d+$|__index_level|index$|_")
