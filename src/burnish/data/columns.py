"""Which columns hold what, for each task: named by the recipe, else detected by their usual names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.conversation import Task
from burnish.data.read import Row
from burnish.errors import DataError

# For each part of an example, the column names that mean it, the surest first.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversation"),
    "text": ("text", "message", "body", "input", "content", "sentence", "review", "email", "utterance", "query"),
    "label": ("label", "category", "intent", "class", "sentiment", "target", "output", "answer"),
    "fields": ("fields", "entities", "target", "output", "json", "answer"),
    "prompt": ("prompt", "question", "instruction", "input", "text", "query"),
    "completion": ("completion", "answer", "response", "output", "target", "reply"),
}
LAYOUTS: dict[Task, tuple[tuple[str, ...], ...]] = {
    Task.CHAT: (("messages",), ("prompt", "completion")),
    Task.COMPLETION: (("prompt", "completion"),),
    Task.CLASSIFICATION: (("text", "label"),),
    Task.EXTRACTION: (("text", "fields"),),
}


@dataclass(frozen=True)
class Columns:
    """Part of an example -> name of its column."""

    by_part: Mapping[str, str]

    def __contains__(self, part: str) -> bool:
        return part in self.by_part

    def value(self, row: Row, part: str) -> Any:
        """The row's value of a part; None if it has none."""
        return row.values.get(self.by_part[part])

    def __str__(self) -> str:
        return ", ".join(f"{part} = {column!r}" for part, column in self.by_part.items())


def find_columns(rows: Sequence[Row], task: Task, given: Mapping[str, str], *, name: str) -> Columns:
    """The columns that the task needs.

    Raises:
        DataError: a column is missing, or `given` names a part that the task has not.
    """
    present = list(dict.fromkeys(key for row in rows for key in row.values))
    parts = sorted({part for layout in LAYOUTS[task] for part in layout})
    if unknown := [part for part in given if part not in parts]:
        raise DataError(
            f"data.columns: {unknown[0]!r} is not a part of a {task} row. Its parts are {', '.join(parts)}."
        )
    if absent := [column for column in given.values() if column not in present]:
        raise DataError(f"{name}: no column {absent[0]!r}. The columns are {_listed(present)}.")
    for layout in LAYOUTS[task]:
        found = {part: given.get(part) or _detect(part, present, taken=given.values()) for part in layout}
        if all(found.values()):
            return Columns({part: column for part, column in found.items() if column})
    wanted = " or ".join(" + ".join(layout) for layout in LAYOUTS[task])
    example = "{" + ", ".join(f'{part} = "..."' for part in LAYOUTS[task][0]) + "}"
    raise DataError(
        f"{name}: task {task} needs {wanted}; the columns are {_listed(present)}. Set data.columns = {example}."
    )


def detect_task(rows: Sequence[Row]) -> tuple[Task, str]:
    """The task that the rows look like, and why."""
    present = list(dict.fromkeys(key for row in rows for key in row.values))
    if "messages" in present:
        return Task.CHAT, "there is a column of messages"
    text, fields = _detect("text", present), _detect("fields", present)
    if text and fields and all(isinstance(row.values.get(fields), dict) for row in rows):
        return Task.EXTRACTION, f"{text!r} is text and {fields!r} holds objects"
    label = _detect("label", present, taken=(text,) if text else ())
    if text and label:
        labels = [str(row.values.get(label)) for row in rows]
        if len(set(labels)) <= max(2, len(labels) // 3) and max(map(len, labels)) <= 80:
            return Task.CLASSIFICATION, f"{label!r} has {len(set(labels))} different short values in {len(rows)} rows"
    prompt = _detect("prompt", present)
    completion = _detect("completion", present, taken=(prompt,) if prompt else ())
    if prompt and completion:
        return Task.COMPLETION, f"{prompt!r} is answered by {completion!r}"
    raise DataError(
        f"the columns {_listed(present)} fit no task. Use messages; text + label; text + fields; or prompt + "
        "completion, or write a recipe with data.columns."
    )


def _detect(part: str, present: Sequence[str], taken: Any = ()) -> str | None:
    by_lower = {column.strip().lower(): column for column in present if column not in set(taken)}
    return next((by_lower[usual] for usual in USUAL_NAMES[part] if usual in by_lower), None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) if names else "none"
