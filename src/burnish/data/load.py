"""Rows -> Examples, for each task; all problems of a file are told at once."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, Message, Role, Task, build_conversation
from burnish.data.columns import Columns, find_columns
from burnish.data.example import Example
from burnish.data.prompt import default_system_prompt
from burnish.data.read import Problem, Row, read_rows
from burnish.errors import DataError

MAX_PROBLEMS_SHOWN = 20
JSON_SEPARATORS = (",", ":")


@dataclass(frozen=True)
class Table:
    """The sound rows of one file with the columns that the task uses."""

    path: Path
    task: Task
    rows: list[Row]
    columns: Columns
    group_by: str | None = None


@dataclass(frozen=True)
class TaskForm:
    """What all examples of a task share: the instruction, and the labels or fields that answers are made of."""

    task: Task
    system: str
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


def load_table(
    path: Path, task: Task, *, columns: Mapping[str, str], group_by: str | None = None, max_rows: int | None = None
) -> Table:
    """Read a file and check every row of it.

    Raises:
        DataError: lists the rows that cannot be used, with line and remedy.
    """
    rows, problems = read_rows(path)
    if not rows:
        raise _problems_error(path, problems)
    found = find_columns(rows, task, columns, name=path.name)
    if group_by is not None and not any(group_by in row.values for row in rows):
        raise DataError(f"{path.name}: no column {group_by!r} to group by. Mend data.group_by.")
    for row in rows:
        problems += [Problem(row.line, message) for message in _CHECKS[task](row, found)]
    if problems:
        raise _problems_error(path, sorted(problems, key=lambda problem: problem.line or 0))
    return Table(path, task, rows[:max_rows], found, group_by)


def labels_of(table: Table) -> tuple[str, ...]:
    """The labels of a classification table, sorted."""
    if table.task is not Task.CLASSIFICATION:
        return ()
    return tuple(sorted({str(table.columns.value(row, "label")).strip() for row in table.rows}))


def fields_of(table: Table) -> tuple[str, ...]:
    """The keys of an extraction table's targets, in the order in which they first appear."""
    return tuple(dict.fromkeys(key for row in _objects(table) for key in row))


def system_prompt_of(table: Table, labels: Sequence[str], fields: Sequence[str]) -> str:
    """The instruction for rows that bring none."""
    return default_system_prompt(table.task, labels, fields, _objects(table))


def build_examples(table: Table, form: TaskForm) -> list[Example]:
    """The examples of a table, each with its prompt and target as the model will see them.

    Raises:
        DataError: a label or field that `form` does not know.
    """
    problems: list[Problem] = []
    examples = []
    for row in table.rows:
        if strange := _unknown_answer(row, table.columns, form):
            problems.append(Problem(row.line, strange))
        group = row.values.get(table.group_by) if table.group_by else None
        messages = _conversation(row, table.columns, form)
        # An empty cell, which is how CSV says null, names no group.
        examples.append(Example(f"{table.path.name}:{row.line}", messages, None if group in (None, "") else str(group)))
    if problems:
        raise _problems_error(table.path, problems)
    return examples


def canonical_json(fields: Mapping[str, Any], order: Sequence[str]) -> str:
    """Compact JSON with the keys in one order; a key that the row lacks is null; dates, as in Parquet, are text."""
    values = {key: fields.get(key) for key in order}
    return json.dumps(values, ensure_ascii=False, separators=JSON_SEPARATORS, default=str)


def _objects(table: Table) -> list[dict[str, Any]]:
    if table.task is not Task.EXTRACTION:
        return []
    return [_as_object(table.columns.value(row, "fields")) or {} for row in table.rows]


def _as_object(value: Any) -> dict[str, Any] | None:
    """A target object, which CSV files hold as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _conversation(row: Row, columns: Columns, form: TaskForm) -> Conversation:
    if "messages" in columns:
        messages = tuple(Message(Role(m["role"]), m["content"]) for m in columns.value(row, "messages"))
        has_own = messages[0].role is Role.SYSTEM
        return messages if has_own or not form.system else (Message(Role.SYSTEM, form.system), *messages)
    if form.task is Task.CLASSIFICATION:
        asked, answer = columns.value(row, "text"), str(columns.value(row, "label")).strip()
    elif form.task is Task.EXTRACTION:
        asked = columns.value(row, "text")
        answer = canonical_json(_as_object(columns.value(row, "fields")) or {}, form.fields)
    else:
        asked, answer = columns.value(row, "prompt"), columns.value(row, "completion")
    return build_conversation(form.system, (Role.USER, asked.strip()), (Role.ASSISTANT, answer.strip()))


def _unknown_answer(row: Row, columns: Columns, form: TaskForm) -> str | None:
    if form.task is Task.CLASSIFICATION:
        label = str(columns.value(row, "label")).strip()
        return (
            None if label in form.labels else f"label {label!r} is not one of prompt.labels. Mend the row or the list."
        )
    if form.task is Task.EXTRACTION:
        strange = [key for key in _as_object(columns.value(row, "fields")) or {} if key not in form.fields]
        return f"field {strange[0]!r} is not one of prompt.fields. Mend the row or the list." if strange else None
    return None


def _check_messages(row: Row, columns: Columns) -> list[str]:
    messages = columns.value(row, "messages")
    if not isinstance(messages, list) or not messages:
        return ["`messages` must be a list of {role, content}. Mend the row or remove it."]
    for n, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or "role" not in message:
            return [f"message {n} has no role. Each message is {{role, content}}."]
        if message["role"] not in [role.value for role in Role]:
            return [f"message {n} has role {message['role']!r}. Use system, user or assistant."]
        content = message.get("content")
        if not isinstance(content, str) or not content.strip():
            return [f"message {n} ({message['role']}) has no text. Add its content or remove the row."]
        if message["role"] == Role.SYSTEM and n > 1:
            return [f"message {n} is a system message. Only the first message can be one."]
    roles = [message["role"] for message in messages if message["role"] != Role.SYSTEM]
    if not roles or roles[0] != Role.USER:
        return ["the conversation does not begin with a user message. Add the question or remove the row."]
    if any(a == b for a, b in pairwise(roles)):
        return ["two messages in a row have the same role. Join them or add what is missing between."]
    if roles[-1] != Role.ASSISTANT:
        return [f'the last message has role "{roles[-1]}". Add the assistant\'s answer or remove the row.']
    return []


def _check_pair(row: Row, columns: Columns) -> list[str]:
    return _check_text(row, columns, "prompt") + _check_text(row, columns, "completion")


def _check_labelled(row: Row, columns: Columns) -> list[str]:
    label = columns.value(row, "label")
    if label is None or not str(label).strip():
        return [*_check_text(row, columns, "text"), "the label is empty. Label the row or remove it."]
    return _check_text(row, columns, "text")


def _check_extraction(row: Row, columns: Columns) -> list[str]:
    problems = _check_text(row, columns, "text")
    if _as_object(columns.value(row, "fields")) is None:
        problems.append(
            f"column {columns.by_part['fields']!r} holds no JSON object. Write {{}} if there is nothing to extract."
        )
    return problems


def _check_text(row: Row, columns: Columns, part: str) -> list[str]:
    value = columns.value(row, part)
    if isinstance(value, str) and value.strip():
        return []
    what = "is empty" if value is None or isinstance(value, str) else f"is a {type(value).__name__}, not text"
    return [f"column {columns.by_part[part]!r} {what}. Fill it in or remove the row."]


_CHECKS: dict[Task, Callable[[Row, Columns], list[str]]] = {
    Task.CHAT: lambda row, columns: (_check_messages if "messages" in columns else _check_pair)(row, columns),
    Task.COMPLETION: _check_pair,
    Task.CLASSIFICATION: _check_labelled,
    Task.EXTRACTION: _check_extraction,
}


def _problems_error(path: Path, problems: Sequence[Problem]) -> DataError:
    shown = [problem.at(path) for problem in problems[:MAX_PROBLEMS_SHOWN]]
    more = len(problems) - len(shown)
    num_rows = len({problem.line for problem in problems})
    what = f"{num_rows} rows" if num_rows > 1 else "a row"
    head = [f"{path.name}: {what} cannot be used:"] if len(problems) > 1 else []
    return DataError("\n  ".join([*head, *shown, *([f"... and {more} more"] if more else [])]))
