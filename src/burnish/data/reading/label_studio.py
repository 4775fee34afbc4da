"""Exports of Label Studio -> rows with the annotated data and a column for each thing that was asked.

The formats are those that Label Studio calls JSON, JSON-MIN, CSV and TSV.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.reading.row import Row
from burnish.data.reading.strict_json import parse_strict
from burnish.errors import DataError

ADMINISTRATIVE = frozenset({
    "id", "annotation_id", "annotator", "agreement", "created_at", "updated_at", "lead_time", "inner_id", "project",
    "file_upload", "meta", "total_annotations", "cancelled_annotations", "total_predictions", "comment_count",
    "unresolved_comment_count", "last_comment_updated_at", "updated_by", "comment_authors", "was_cancelled",
    "ground_truth", "completed_by", "drafts", "predictions",
})  # fmt: skip
"""What describes a task and its annotation, and is never learned."""

LABEL_STUDIO = Check(
    "label_studio",
    Severity.NOTE,
    "an export of Label Studio",
    "Its annotations are read as told; nothing has to be done.",
)
ANNOTATORS_DISAGREE = Check(
    "annotators_disagree",
    Severity.ERROR,
    "a task whose annotations differ",
    "Mark the right one as ground truth in Label Studio and export again, or remove the task.",
)

Answers = dict[str, Any]


def is_label_studio(values: Mapping[str, Any]) -> bool:
    """Whether a row is a task as Label Studio exports it."""
    if isinstance(values.get("data"), dict) and ("annotations" in values or "completions" in values):
        return True
    return "annotation_id" in values or {"id", "annotator"} <= values.keys()


def read_tasks(name: str, items: Iterable[Row | Finding]) -> Iterator[Row | Finding]:
    """A row for each task: its data, and the value of each control by the control's name.

    One choice is a text, several are a list; spans are an object with the texts of each label.

    Raises:
        DataError: no task is annotated.
    """
    rows = list[Row]()
    for item in items:
        read = _read_task(item) if isinstance(item, Row) else item
        if isinstance(read, Row):
            rows.append(read)
        else:
            yield read
    spanned = _span_labels(rows)
    hidden = {*ADMINISTRATIVE, _ANNOTATED}
    controls = dict.fromkeys(key for row in rows for key in row.values if key not in hidden)
    if rows and not any(_is_annotated(row) for row in rows):
        raise DataError(
            f"{name}: an export of Label Studio without an annotation: each task's `annotations` are empty, skipped or "
            "only ids. Annotate the tasks, then export them as JSON-MIN or JSON."
        )
    told = f"; the spans of {', '.join(map(repr, spanned))} as the texts of each label" if spanned else ""
    yield LABEL_STUDIO.found(f"{name}: tasks of Label Studio, read as columns {', '.join(map(repr, controls))}{told}.")
    for row in rows:
        values = {key: row.values.get(key) for key in [*row.values, *controls]}
        for column, labels in spanned.items():
            values[column] = _spans_by_label(values[column], labels, values)
        yield Row(row.file, row.line, {key: value for key, value in values.items() if key != _ANNOTATED})


_ANNOTATED = "\x00annotated"


def _is_annotated(row: Row) -> bool:
    return bool(row.values.get(_ANNOTATED, True))


def _read_task(row: Row) -> Row | Finding:
    """A task with its data and answers as columns; spans are still lists."""
    values = row.values
    if not isinstance(values.get("data"), dict):
        return Row(row.file, row.line, {key: _short_answer(value) for key, value in values.items()})
    made = [item for item in values.get("annotations", values.get("completions")) or () if isinstance(item, dict)]
    made = [item for item in made if not item.get("was_cancelled")]
    made = [item for item in made if item.get("ground_truth")][:1] or made
    answers = [_answers(item.get("result") or ()) for item in made]
    if any(other != answers[0] for other in answers[1:]):
        return ANNOTATORS_DISAGREE.found(f"{len(answers)} annotations with different answers.", row.id)
    kept = {key: values[key] for key in ("id",) if key in values}
    return Row(
        row.file, row.line, {**kept, **values["data"], **(answers[0] if answers else {}), _ANNOTATED: bool(made)}
    )


def _answers(results: Sequence[Any]) -> Answers:
    """The value of each control."""
    found: dict[str, list[Any]] = {}
    for result in results:
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            found.setdefault(str(result.get("from_name")), []).extend(_values(result["value"]))
    return {control: _one_or_all(items) for control, items in found.items()}


def _values(value: Mapping[str, Any]) -> list[Any]:
    """What one result says: choices, spans, texts, paths in a taxonomy, or a number."""
    if "start" in value and "end" in value:
        return [dict(value)]
    for kind in ("choices", "text", "taxonomy", "rating", "number", "datetime", "selected"):
        if kind in value:
            items = value[kind] if isinstance(value[kind], list) else [value[kind]]
            return [" > ".join(map(str, item)) if isinstance(item, list) else item for item in items]
    return [dict(value)]


def _one_or_all(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 and not isinstance(items[0], dict) else items


def _short_answer(value: Any) -> Any:
    """A value of JSON-MIN, or of a cell of CSV that holds JSON."""
    if isinstance(value, str) and value.lstrip().startswith(('{"choices"', '[{"', '{"taxonomy"')):
        try:
            value = parse_strict(value)
        except ValueError:
            return value
    if isinstance(value, dict) and len(value) == 1 and value.keys() <= {"choices", "taxonomy"}:
        return _one_or_all(_values(value))
    return value


def _span_labels(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The columns that hold spans, each with its labels in the order in which they come."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for column, value in row.values.items():
            for span in value if isinstance(value, list) else ():
                if isinstance(span, dict) and "start" in span and "end" in span:
                    labels = found.setdefault(column, [])
                    labels += [label for label in _labels(span) if label not in labels]
    return found


def _labels(span: Mapping[str, Any]) -> list[str]:
    lists = [value for key, value in span.items() if key.endswith("labels") and isinstance(value, list)]
    return [str(label) for label in (lists[0] if lists else ())]


def _spans_by_label(spans: Any, labels: Sequence[str], values: Mapping[str, Any]) -> Any:
    """For each label the texts that were marked with it, in the order of the text; none are an empty list."""
    if spans is None:
        return None
    texts = dict[str, list[str]]((label, []) for label in labels)
    marked = [span for span in spans if isinstance(span, dict)] if isinstance(spans, list) else []
    for span in sorted(marked, key=lambda span: str(span.get("start")).zfill(12)):
        for label in _labels(span):
            texts[label].append(_text_of_span(span, values))
    return texts


def _text_of_span(span: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    if isinstance(span.get("text"), str):
        return str(span["text"])
    start, end = span["start"], span["end"]
    texts = [value for value in values.values() if isinstance(value, str)]
    is_place = isinstance(start, int) and isinstance(end, int)
    return max(texts, key=len, default="")[start:end] if is_place else ""
