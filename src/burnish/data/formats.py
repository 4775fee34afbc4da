"""The formats of rows: how each is recognised, and how a row of it reads as a conversation."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from burnish.conversation import Task
from burnish.data.columns import Columns, find_columns, listed
from burnish.data.dialects import openai_messages, openai_tools, parse_json, sharegpt_messages
from burnish.data.draft import ABSENT, Draft, Kind
from burnish.data.row import Row
from burnish.errors import DataError

# A file's format is decided by its first rows, so that a long file is decided while it is read.
NUM_ROWS_LOOKED_AT = 1000
MAX_LABEL_CHARS = 80

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """One way of writing examples. `names` are the usual columns of its parts, the surest first."""

    name: str
    meaning: str
    tasks: tuple[Task, ...]
    """What it can be used for; the first is what it suggests."""
    names: Mapping[str, tuple[str, ...]]
    optional: frozenset[str]
    draft: Callable[[Values, Columns], Draft]
    has_kind: Callable[[Values, Columns], bool] = lambda values, columns: True
    """Whether a row that has the columns has the right kind of values in them."""

    def has_columns(self, values: Mapping[str, Any], columns: Columns) -> bool:
        """Whether a row has all columns that this format cannot do without."""
        return all(columns.by_part.get(part) in values for part in self.names if part not in self.optional)

    def fits(self, values: Values, columns: Columns) -> bool:
        return self.has_columns(values, columns) and self.has_kind(values, columns)


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
    given = given or {}
    head = rows[:NUM_ROWS_LOOKED_AT]
    present = list(dict.fromkeys(key for row in head for key in row.values))
    candidates = _candidates(task, given, present, name)
    votes = Counter(found.name for row in head if (found := _format_of(row.values, candidates, given)))
    chosen = max(candidates, key=lambda candidate: votes[candidate.name])
    if not votes:
        chosen = _by_columns(candidates, present, given) or _refuse(name, task, candidates, present)
    columns = find_columns(chosen.names, present, given)
    reason = f"{votes[chosen.name]:,} of the {len(head):,} rows looked at hold {chosen.meaning}"
    if chosen is TEXT_LABEL:
        labels = [str(columns.value(row.values, "label")) for row in head]
        pairs = [candidate for candidate in candidates if Task.COMPLETION in candidate.tasks and candidate is not TEXT]
        if not _are_few(labels) and any(_format_of(row.values, pairs, given) for row in head):
            return detect_format(rows, name=name, task=Task.COMPLETION, given=given)
        reason += f", and {columns.by_part['label']!r} has {len(set(labels)):,} different values"
    unused = tuple(column for column in present if column not in columns.by_part.values())
    return Detection(chosen, columns, task or chosen.tasks[0], reason, unused)


def other_format(values: Values, detection: Detection) -> str | None:
    """What a row looks like that is not of the file's format but of another one; None if it is of none."""
    format = detection.format
    if format.fits(values, detection.columns):
        return None
    found = _format_of(values, [candidate for candidate in FORMATS if candidate is not TEXT], {})
    if found is None or (format.has_columns(values, detection.columns) and {found.name, format.name} != _BY_ITEMS):
        return None
    return f"{found.name} ({find_columns(found.names, values, {})})"


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


def _format_of(values: Values, formats: Sequence[Format], given: Mapping[str, str]) -> Format | None:
    return next((f for f in formats if f.fits(values, find_columns(f.names, values, given))), None)


def _by_columns(formats: Sequence[Format], present: Sequence[str], given: Mapping[str, str]) -> Format | None:
    """The format for rows none of which is sound."""
    keys = dict.fromkeys(present)
    fitting = (f for f in formats if f.has_columns(keys, find_columns(f.names, present, given)))
    return next((format for format in fitting if given or format is not TEXT), None)


def _are_few(labels: Sequence[str]) -> bool:
    return len(set(labels)) <= max(2, len(labels) // 3) and max(map(len, labels)) <= MAX_LABEL_CHARS


def _refuse(name: str, task: Task | None, candidates: Sequence[Format], present: Sequence[str]) -> NoReturn:
    def required(format: Format) -> list[str]:
        return [part for part in format.names if part not in format.optional]

    wanted = " or ".join(dict.fromkeys(" + ".join(required(format)) for format in candidates))
    example = "{" + ", ".join(f'{part} = "..."' for part in required(candidates[-1])) + "}"
    what = f"task {task} needs {wanted}" if task else f"no format fits: one needs {wanted}"
    raise DataError(f"{name}: {what}; the columns are {listed(present)}. Set data.columns = {example}.")


def _draft_chat(values: Values, columns: Columns) -> Draft:
    tools = openai_tools(columns.value(values, "tools") or columns.value(values, "functions"))
    return Draft(openai_messages(values.get(columns.by_part["messages"], ABSENT)), tools=tools)


def _draft_sharegpt(values: Values, columns: Columns) -> Draft:
    messages = sharegpt_messages(values.get(columns.by_part["messages"], ABSENT))
    draft = Draft(messages, tools=openai_tools(columns.value(values, "tools")))
    return _with_system(draft, values, columns)


def _draft_pair(values: Values, columns: Columns) -> Draft:
    draft = _conversation(values, columns, "prompt", "completion")
    return _with_system(draft, values, columns)


def _draft_alpaca(values: Values, columns: Columns) -> Draft:
    draft = _conversation(values, columns, "instruction", "output")
    more = columns.value(values, "input")
    asked = draft.messages[0]
    if isinstance(more, str) and more.strip() and isinstance(asked.get("content"), str):
        asked["content"] = f"{asked['content']}\n\n{more.strip()}".strip()
    return _with_system(draft, values, columns)


def _draft_preference(values: Values, columns: Columns) -> Draft:
    """The better answer may repeat the conversation that it belongs to."""
    chosen = values.get(columns.by_part["chosen"], ABSENT)
    whole = openai_messages(chosen)
    if isinstance(whole, list) and _first(whole).get("role") in ("system", "user"):
        draft = Draft(whole)
    else:
        draft = _conversation(values, columns, "prompt", "chosen")
    rejected = values.get(columns.by_part["rejected"])
    draft = Draft(draft.messages, Kind.PREFERENCE, draft.columns, rejected=_last_text(rejected))
    return _with_system(draft, values, columns)


def _draft_preference_openai(values: Values, columns: Columns) -> Draft:
    asked = parse_json(columns.value(values, "input"))
    asked = asked if isinstance(asked, dict) else {}
    messages = openai_messages(asked.get("messages", ABSENT))
    preferred = openai_messages(columns.value(values, "preferred_output"))
    rejected = _last_text(columns.value(values, "non_preferred_output"))
    if isinstance(messages, list):
        messages = messages + (preferred if isinstance(preferred, list) else [])
    return Draft(messages, Kind.PREFERENCE, tools=openai_tools(asked.get("tools")), rejected=rejected)


def _draft_label(values: Values, columns: Columns) -> Draft:
    draft = _conversation(values, columns, "text", "label")
    answer = draft.messages[-1]
    if isinstance(answer.get("content"), bool | int | float):
        answer["content"] = str(answer["content"])
    return draft


def _draft_fields(values: Values, columns: Columns) -> Draft:
    draft = _conversation(values, columns, "text", "fields")
    answer = draft.messages[-1]
    if isinstance(answer.get("content"), dict):
        # Dates, as in Parquet, are text.
        answer["content"] = json.dumps(answer["content"], ensure_ascii=False, default=str)
    return Draft(draft.messages, Kind.FIELDS, draft.columns)


def _draft_text(values: Values, columns: Columns) -> Draft:
    column = columns.by_part["text"]
    message = {"role": "assistant"} | ({"content": values[column]} if column in values else {})
    return Draft([message], Kind.TEXT, (column,))


def _conversation(values: Values, columns: Columns, asked: str, answer: str) -> Draft:
    """A question and its answer, each a text or a list of messages."""
    names = columns.by_part.get(asked, asked), columns.by_part.get(answer, answer)
    turns = [
        _as_messages(values.get(name, ABSENT), role) for name, role in zip(names, ("user", "assistant"), strict=True)
    ]
    is_flat = all(len(turn) == 1 for turn in turns)
    return Draft([*turns[0], *turns[1]], columns=names if is_flat else ())


def _as_messages(value: Any, role: str) -> list[Any]:
    messages = openai_messages(value)
    if isinstance(messages, list) and isinstance(_first(messages).get("role"), str):
        return messages
    if value is ABSENT:
        return [{"role": role}]
    return [{"role": role, "content": value.strip() if isinstance(value, str) else value}]


def _with_system(draft: Draft, values: Values, columns: Columns) -> Draft:
    """The same with the system message that a column of its own holds."""
    system = columns.value(values, "system")
    if system is None or system == "" or not isinstance(draft.messages, list):
        return draft
    names = (columns.by_part["system"], *draft.columns) if draft.columns else ()
    messages = [{"role": "system", "content": system}, *draft.messages]
    return Draft(messages, draft.kind, names, draft.tools, draft.rejected)


def _last_text(answer: Any) -> Any:
    """The text of an answer that may be written as messages."""
    messages = openai_messages(answer)
    last = messages[-1] if isinstance(messages, list) and messages else messages
    return last.get("content") if isinstance(last, dict) else last


def _first(value: Any) -> Mapping[str, Any]:
    items = parse_json(value)
    return next((item for item in items if isinstance(item, dict)), {}) if isinstance(items, list) else {}


def _has_item_with(key: str) -> Callable[[Values, Columns], bool]:
    return lambda values, columns: key in _first(columns.value(values, "messages"))


def _are_fields(values: Values, columns: Columns) -> bool:
    return isinstance(parse_json(columns.value(values, "fields")), dict)


def _is_only_text(values: Values, columns: Columns) -> bool:
    """Anything else in the row than what describes a text may be what is to be learned."""
    return all(key == columns.by_part["text"] or key.strip().lower() in _ABOUT_A_TEXT for key in values)


def _is_openai_input(values: Values, columns: Columns) -> bool:
    return isinstance(parse_json(columns.value(values, "input")), dict)


_ABOUT_A_TEXT = ("id", "url", "source", "title", "meta", "metadata", "timestamp", "date", "author", "language", "file")
_ANY_TEXT = ("text", "message", "body", "input", "content", "sentence", "review", "email", "utterance", "query")
_SYSTEM: dict[str, tuple[str, ...]] = {"system": ("system", "system_prompt")}
_TOOLS: dict[str, tuple[str, ...]] = {"tools": ("tools",)}
_BY_ITEMS = {"chat", "sharegpt"}  # they have one column alike; what is in it tells them apart
_ONE_ANSWER = (Task.COMPLETION, Task.CHAT)

PREFERENCE_OPENAI = Format(
    "preference_openai",
    "an input with a preferred and a non-preferred output",
    (Task.CHAT,),
    {
        "input": ("input",),
        "preferred_output": ("preferred_output",),
        "non_preferred_output": ("non_preferred_output",),
    },
    frozenset(),
    _draft_preference_openai,
    _is_openai_input,
)
PREFERENCE = Format(
    "preference",
    "a prompt with a chosen and a rejected answer",
    (Task.CHAT,),
    {"prompt": ("prompt", "question", "instruction"), "chosen": ("chosen",), "rejected": ("rejected",)} | _SYSTEM,
    frozenset({"prompt", "system"}),
    _draft_preference,
)
CHAT = Format(
    "chat",
    "messages of role and content",
    (Task.CHAT,),
    {"messages": ("messages", "conversation", "conversations")} | _TOOLS | {"functions": ("functions",)},
    frozenset({"tools", "functions"}),
    _draft_chat,
    _has_item_with("role"),
)
SHAREGPT = Format(
    "sharegpt",
    "turns of from and value",
    (Task.CHAT,),
    {"messages": ("conversations", "conversation", "messages")} | _TOOLS | _SYSTEM,
    frozenset({"tools", "system"}),
    _draft_sharegpt,
    _has_item_with("from"),
)
ALPACA = Format(
    "alpaca",
    "an instruction, at times with an input, and an output",
    _ONE_ANSWER,
    {"instruction": ("instruction",), "input": ("input",), "output": ("output", "response")} | _SYSTEM,
    frozenset({"input", "system"}),
    _draft_alpaca,
)
TEXT_FIELDS = Format(
    "text_fields",
    "a text and an object",
    (Task.EXTRACTION,),
    {"text": _ANY_TEXT, "fields": ("fields", "entities", "target", "output", "json", "answer")},
    frozenset(),
    _draft_fields,
    _are_fields,
)
TEXT_LABEL = Format(
    "text_label",
    "a text and a label",
    (Task.CLASSIFICATION,),
    {
        "text": _ANY_TEXT,
        "label": ("label", "category", "intent", "class", "sentiment", "target", "output", "answer"),
    },
    frozenset(),
    _draft_label,
)
QUESTION_ANSWER = Format(
    "question_answer",
    "a question and its answer",
    _ONE_ANSWER,
    {"prompt": ("question", "query"), "completion": ("answer", "response", "reply")} | _SYSTEM,
    frozenset({"system"}),
    _draft_pair,
)
PROMPT_COMPLETION = Format(
    "prompt_completion",
    "a prompt and its completion",
    _ONE_ANSWER,
    {
        "prompt": ("prompt", "question", "instruction", "input", "text", "query"),
        "completion": ("completion", "answer", "response", "output", "target", "reply"),
    }
    | _SYSTEM,
    frozenset({"system"}),
    _draft_pair,
)
TEXT = Format(
    "text", "nothing but text", (Task.COMPLETION,), {"text": ("text",)}, frozenset(), _draft_text, _is_only_text
)

FORMATS = (
    PREFERENCE_OPENAI,
    PREFERENCE,
    CHAT,
    SHAREGPT,
    ALPACA,
    TEXT_FIELDS,
    TEXT_LABEL,
    QUESTION_ANSWER,
    PROMPT_COMPLETION,
    TEXT,
)
"""The first that fits a row is the row's."""
