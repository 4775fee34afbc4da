"""The sound rows of a table -> Examples, each with its prompt and target as the model will see them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.conversation import Conversation, Message, Role, Task, from_dicts
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity, refuse_errors
from burnish.data.formats.draft import Draft, Kind
from burnish.data.json_schema import find_breach
from burnish.data.load import Table
from burnish.data.prompt import default_system_prompt
from burnish.data.reading.missing import is_missing
from burnish.data.reading.row import Row
from burnish.data.reading.values import text_of
from burnish.data.times import sortable_time

JSON_SEPARATORS = (",", ":")

UNKNOWN_LABEL = Check("unknown_label", Severity.ERROR, "a label outside the declared set", "Mend the row or the list.")
UNKNOWN_FIELD = Check("unknown_field", Severity.ERROR, "a field outside the declared ones", "Mend the row or the list.")
BREAKS_SCHEMA = Check(
    "breaks_schema", Severity.ERROR, "an answer that breaks the declared JSON schema", "Mend the row or the schema."
)


@dataclass(frozen=True)
class TaskForm:
    """What all examples of a task share: the instruction, and the labels or fields that answers are made of."""

    task: Task
    system: str
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


def labels_of(table: Table) -> tuple[str, ...]:
    """The labels of a classification table, sorted."""
    if table.task is not Task.CLASSIFICATION:
        return ()
    return tuple(sorted({_answer(draft) for draft in table.drafts}))


def fields_of(table: Table) -> tuple[str, ...]:
    """The keys of an extraction table's targets, in the order in which they first appear."""
    return tuple(dict.fromkeys(key for fields in _objects(table) for key in fields))


def system_prompt_of(table: Table, labels: Sequence[str], fields: Sequence[str]) -> str:
    """The instruction for rows that bring none."""
    return default_system_prompt(table.task, labels, fields, _objects(table))


def check_answers(table: Table, form: TaskForm, schema: Mapping[str, Any] | None = None) -> list[Finding]:
    """Rows whose answer the labels or fields of `form`, or the JSON `schema`, do not admit."""
    findings = list[Finding]()
    for row, draft in zip(table.rows, table.drafts, strict=True):
        answer = _answer(draft)
        if table.task is Task.CLASSIFICATION and answer not in form.labels:
            findings.append(UNKNOWN_LABEL.found(f"label {answer!r} is not one of prompt.labels.", row.id))
        if draft.kind is Kind.FIELDS:
            strange = [key for key in json.loads(answer) if key not in form.fields]
            if strange:
                findings.append(UNKNOWN_FIELD.found(f"field {strange[0]!r} is not one of prompt.fields.", row.id))
        if schema is not None and (what := find_breach(schema, answer)):
            findings.append(BREAKS_SCHEMA.found(what, row.id))
    return findings


def build_examples(table: Table, form: TaskForm) -> list[Example]:
    """The examples of a table.

    Raises:
        DataError: a label or field that `form` does not know.
    """
    refuse_errors(check_answers(table, form))
    return [_example(table, row, draft, form) for row, draft in zip(table.rows, table.drafts, strict=True)]


def canonical_json(fields: Mapping[str, Any], order: Sequence[str]) -> str:
    """Compact JSON with the keys in one order; a key that the row lacks is null; dates, as in Parquet, are text."""
    values = {key: fields.get(key) for key in order}
    return json.dumps(values, ensure_ascii=False, separators=JSON_SEPARATORS, default=str)


def _objects(table: Table) -> list[dict[str, Any]]:
    return [json.loads(_answer(draft)) for draft in table.drafts if draft.kind is Kind.FIELDS]


def _answer(draft: Draft) -> str:
    return str(draft.messages[-1]["content"])


def _example(table: Table, row: Row, draft: Draft, form: TaskForm) -> Example:
    group = row.values.get(table.group_by) if table.group_by else row.file if table.path.is_dir() else None
    return Example(
        row.id,
        _conversation(draft, form),
        None if is_missing(group) else str(text_of(group)),
        tuple(json.dumps(tool, ensure_ascii=False, default=str) for tool in draft.tools or ()),
        draft.rejected or None,
        sortable_time(row.values.get(table.time_by)) if table.time_by else None,
    )


def _conversation(draft: Draft, form: TaskForm) -> Conversation:
    messages = from_dicts(draft.messages)
    if draft.kind is Kind.FIELDS:
        answer = canonical_json(json.loads(messages[-1].content), form.fields)
        messages = (*messages[:-1], Message(Role.ASSISTANT, answer))
    has_own = messages[0].role is Role.SYSTEM
    if has_own or not form.system or draft.kind is Kind.TEXT:
        return messages
    return (Message(Role.SYSTEM, form.system), *messages)
