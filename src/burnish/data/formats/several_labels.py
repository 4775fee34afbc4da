"""Rows with several labels each: how they are written in other people's files, and what to do with them."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.data.finding import Check, Severity
from burnish.data.formats.columns import listed
from burnish.data.reading.row import Row

REMEDY = (
    'Classification has one label a row. Write several as {"text": "...", "fields": {"labels": ["...", "..."]}}, '
    'with task = "extraction": their score is then micro-F1.'
)
SEVERAL_LABELS = Check(
    "several_labels",
    Severity.ERROR,
    "a set of labels where one label is expected",
    f"{REMEDY} If no row has more than one, write the label without the list.",
)
MIN_FLAGS = 2
MANY_FLAGS = 4
"""So many are labels, whatever stands beside them."""
_YES = frozenset({"1", "1.0", "true", "yes", "y", "x"})
_NO = frozenset({"0", "0.0", "false", "no", "n", ""})
MAX_SHOWN = 5
MIN_REPEATS = 4
"""How often, on average, a value that names one label comes again."""


def labels_in(value: Any) -> list[str] | None:
    """The labels of a value that may hold several: a list, also as text, or an object of flags; else None."""
    if isinstance(value, str):
        value = _list_in(value)
    if isinstance(value, Mapping) and isinstance(value.get("choices"), list):  # as Label Studio writes them
        value = value["choices"]
    if isinstance(value, Mapping):
        is_flagged = len(value) >= MIN_FLAGS and all(_is_flag(item) for item in value.values())
        return [str(name) for name, item in value.items() if _is_yes(item)] if is_flagged else None
    if not isinstance(value, list) or any(isinstance(item, list | dict) or item is None for item in value):
        return None
    return [str(item) for item in value]


def find_fault(value: Any, column: str) -> str | None:
    """What a label column holds in place of one label; None for one label."""
    labels = labels_in(value)
    if labels is None:
        return None
    more = ", ..." if len(labels) > MAX_SHOWN else ""
    shown = ", ".join(repr(label) for label in labels[:MAX_SHOWN]) + more if labels else "none"
    return f"column {column!r} holds a set of labels: {shown}."


def spell_columns(rows: Sequence[Row], columns: Sequence[str]) -> str | None:
    """A sentence on columns that together hold several labels a row; None where there are none."""
    values = {column: [row.values.get(column) for row in rows] for column in columns}
    numbered = [column for column in columns if _stem(column) != column.lower() and _stem(column) in _LABEL_NAMES]
    if len(numbered) >= MIN_FLAGS:
        return f"The columns {listed(numbered)} hold several labels a row. {REMEDY}"
    flags = [column for column, found in values.items() if _are_flags(found)]
    if len(flags) < MANY_FLAGS and any(map(_are_names, values.values())):  # a label column of another name, beside them
        return None
    if len(flags) >= MIN_FLAGS:
        if all(sum(_is_yes(row.values.get(column)) for column in flags) == 1 for row in rows):
            return f"The columns {listed(flags)} say yes to one label a row. Write its name in one column, 'label'."
        few = [*flags[:MAX_SHOWN], *(["..."] if len(flags) > MAX_SHOWN else [])]
        return f"The columns {', '.join(few)} say yes or no: each row has several labels. {REMEDY}"
    sets = [column for column, found in values.items() if _are_sets(found)]
    if sets:
        return f"Column {sets[0]!r} holds a list of labels in each row. {REMEDY}"
    return None


_LABEL_NAMES = frozenset({"label", "labels", "tag", "tags", "category", "class", "topic", "intent", "genre"})


def _stem(column: str) -> str:
    return column.lower().strip().rstrip("0123456789").rstrip("_- .")


def _are_flags(values: Sequence[Any]) -> bool:
    """Nothing but yes and no, and both of them."""
    return all(map(_is_flag, values)) and any(map(_is_yes, values)) and not all(map(_is_yes, values))


def _are_names(values: Sequence[Any]) -> bool:
    """A few texts that come again and again, and no flags."""
    texts = {value for value in values if isinstance(value, str) and value.strip() and labels_in(value) is None}
    return 2 <= len(texts) <= len(values) // MIN_REPEATS and not all(map(_is_flag, texts))


def _are_sets(values: Sequence[Any]) -> bool:
    found = [labels_in(value) for value in values if value is not None]
    return (
        bool(found) and all(labels is not None for labels in found) and any(len(labels or ()) > 1 for labels in found)
    )


def _is_flag(value: Any) -> bool:
    return value is None or (isinstance(value, bool | int | float | str) and str(value).strip().lower() in _YES | _NO)


def _is_yes(value: Any) -> bool:
    return value is not None and str(value).strip().lower() in _YES


def _list_in(text: str) -> Any:
    """The list that a text spells, in JSON or as Python prints one; None where it spells none."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return value if isinstance(value, list) else None
    return None
