"""Spellings of a missing value, such as "nan", where a label, an answer, a question or a key is expected."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.formats.draft import Draft, Kind
from burnish.data.reading.missing import is_written_by_machine, spells_missing
from burnish.data.reading.row import Row
from burnish.data.texts import json_in

HANDFUL = 5
"""In so many rows of a file a spelling of a missing value is a warning; in more it is an error."""

_REMEDY = "List it in data.missing if the value is missing; set data.keep_missing_spelling = true if it is meant."
MISSING_SPELLING = Check("missing_spelling", Severity.WARNING, "a text that spells a missing value", _REMEDY)
MISSING_LEARNED = Check(
    "missing_learned",
    Severity.ERROR,
    f"a missing value spelled as text in more than {HANDFUL} rows, to be learned",
    _REMEDY,
)


class MissingCounts:
    """The findings about spellings of one file, row by row; in one pass the first few are warnings, the rest errors."""

    def __init__(self) -> None:
        self._rows = Counter[str]()

    def check(self, draft: Draft, row: str) -> list[Finding]:
        """The findings about a row, as far as the rows so far tell."""
        findings = list[Finding]()
        for place, text, is_grave in _spellings(draft):
            self._rows[place] += is_grave
            check = MISSING_LEARNED if is_grave and self._rows[place] > HANDFUL else MISSING_SPELLING
            findings.append(check.found(f"{place} is {text.strip()!r}.", row))
        return findings


def check_missing(rows: Sequence[Row], drafts: Sequence[Draft]) -> list[Finding]:
    """The findings about all rows of a file: of each place either warnings or errors."""
    found = [(row.id, *spelling) for row, draft in zip(rows, drafts, strict=True) for spelling in _spellings(draft)]
    counts = Counter(place for _, place, _, is_grave in found if is_grave)
    return [
        (MISSING_LEARNED if is_grave and counts[place] > HANDFUL else MISSING_SPELLING).found(
            f"{place} is {text.strip()!r}.", row
        )
        for row, place, text, is_grave in found
    ]


def _spellings(draft: Draft) -> Iterator[tuple[str, str, bool]]:
    """Where a draft spells a missing value, how, and whether that is grave.

    In a column of labels, questions or answers each spelling is grave; in a chat and in extracted fields people do
    write "none" or "?", so only those that programs write are.
    """
    messages = draft.messages if isinstance(draft.messages, list) else []
    for index, message in enumerate(messages):
        text = message.get("content") if isinstance(message, dict) else None
        if draft.kind is Kind.FIELDS and index == len(messages) - 1:
            yield from _in_fields(json_in(text) if isinstance(text, str) else text)
        elif isinstance(text, str) and spells_missing(text):
            place = draft.place(index) if draft.columns else f"a message of the {message.get('role')}"
            yield place, text, bool(draft.columns) or is_written_by_machine(text)
    if isinstance(draft.rejected, str) and spells_missing(draft.rejected):
        yield "the rejected answer", draft.rejected, True


def _in_fields(value: Any, path: str = "") -> Iterator[tuple[str, str, bool]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in_fields(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _in_fields(item, f"{path}[]")
    elif isinstance(value, str) and spells_missing(value):
        yield f"field {path!r}", value, is_written_by_machine(value)
