"""A row of each format -> its draft. Nothing is refused here: what is wrong with a draft, the checks find."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from burnish.data.formats.columns import Columns
from burnish.data.formats.dialects import join_calls, openai_messages, openai_tools, parse_json, sharegpt_messages
from burnish.data.formats.draft import ABSENT, Draft, Kind
from burnish.data.reading.values import text_of

Values = Mapping[str, Any]
ASKED = ("user", "assistant")


def draft_chat(values: Values, columns: Columns) -> Draft:
    """Messages, with the tools or, as they were once called, the functions."""
    tools = openai_tools(columns.value(values, "tools") or columns.value(values, "functions"))
    messages = openai_messages(values.get(columns.by_part["messages"], ABSENT))
    rejected = _last_text(columns.value(values, "rejected"))
    kind = Kind.PREFERENCE if rejected else Kind.REPLY
    return _joined(Draft(messages, kind, tools=tools, rejected=rejected or None))


def draft_sharegpt(values: Values, columns: Columns) -> Draft:
    """Turns of from and value."""
    messages = sharegpt_messages(values.get(columns.by_part["messages"], ABSENT))
    draft = _joined(Draft(messages, tools=openai_tools(columns.value(values, "tools"))))
    return _with_system(draft, values, columns)


def draft_pair(values: Values, columns: Columns) -> Draft:
    """A prompt and its completion, or a question and its answer."""
    draft = _conversation(values, columns, "prompt", "completion")
    return _with_system(draft, values, columns)


def draft_alpaca(values: Values, columns: Columns) -> Draft:
    """The input, if there is one, stands below the instruction."""
    draft = _conversation(values, columns, "instruction", "output")
    more, asked = columns.value(values, "input"), _content(draft.messages[0])
    if isinstance(more, str) and more.strip() and isinstance(asked, str):
        draft.messages[0] = {"role": "user", "content": f"{asked}\n\n{more.strip()}".strip()}
    if earlier := _earlier_turns(columns.value(values, "history")):
        draft = replace(draft, messages=[*earlier, *draft.messages], columns=())
    return _with_system(draft, values, columns)


def _earlier_turns(history: Any) -> list[Any]:
    """Pairs of a question and its answer, as turns; what is no pair, the checks refuse."""
    pairs = parse_json(history)
    if pairs is None or pairs == "" or pairs == []:
        return []
    turns = list[Any]()
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2
        turns += (
            [{"role": role, "content": text} for role, text in zip(ASKED, pair, strict=True)] if is_pair else [pair]
        )
    return turns


def draft_preference(values: Values, columns: Columns) -> Draft:
    """The better answer may repeat the conversation that it belongs to."""
    chosen = values.get(columns.by_part["chosen"], ABSENT)
    if isinstance(chosen, list) and first_object(chosen).get("role") in ("system", "developer", "user"):
        draft = Draft(openai_messages(chosen))
    else:
        draft = _conversation(values, columns, "prompt", "chosen")
    rejected = values.get(columns.by_part["rejected"])
    draft = replace(draft, kind=Kind.PREFERENCE, rejected=_last_text(rejected))
    return _with_system(draft, values, columns)


def draft_preference_openai(values: Values, columns: Columns) -> Draft:
    """The answers are lists of messages that go on with the input."""
    asked = parse_json(columns.value(values, "input"))
    asked = asked if isinstance(asked, dict) else {}
    messages = openai_messages(asked.get("messages", ABSENT))
    preferred = openai_messages(columns.value(values, "preferred_output"))
    rejected = _last_text(columns.value(values, "non_preferred_output"))
    if isinstance(messages, list):
        messages = messages + (preferred if isinstance(preferred, list) and preferred else [{"role": "assistant"}])
    return Draft(messages, Kind.PREFERENCE, tools=openai_tools(asked.get("tools")), rejected=rejected)


def draft_label(values: Values, columns: Columns) -> Draft:
    """A text and its label, which may be a number."""
    return _conversation(values, columns, "text", "label")


def draft_fields(values: Values, columns: Columns) -> Draft:
    """The object as JSON text; dates, as in Parquet, are text in it."""
    draft = _conversation(values, columns, "text", "fields")
    fields = values.get(columns.by_part["fields"])
    if isinstance(fields, dict):
        draft.messages[-1] = {"role": "assistant", "content": json.dumps(fields, ensure_ascii=False, default=str)}
    return replace(draft, kind=Kind.FIELDS)


def draft_text(values: Values, columns: Columns) -> Draft:
    """A text to be learned as it is."""
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
    if isinstance(value, list) and "role" in first_object(value):
        return list(openai_messages(value))
    if value is ABSENT:
        return [{"role": role}]
    text = None if value in ([], {}) else text_of(value)  # a number has the same text in every kind of file
    return [{"role": role, "content": text.strip() if isinstance(text, str) else text}]


def _joined(draft: Draft) -> Draft:
    messages = join_calls(draft.messages)
    if messages == draft.messages:
        return draft
    return replace(draft, messages=messages, num_joined=len(draft.messages) - len(messages))


def _with_system(draft: Draft, values: Values, columns: Columns) -> Draft:
    """The same with the system message that a column of its own holds."""
    system = columns.value(values, "system")
    if system is None or (isinstance(system, str) and not system.strip()) or not isinstance(draft.messages, list):
        return draft
    names = (columns.by_part["system"], *draft.columns) if draft.columns else ()
    return replace(draft, messages=[{"role": "system", "content": system}, *draft.messages], columns=names)


def _last_text(answer: Any) -> Any:
    """The text of an answer that may be written as messages."""
    return _content(openai_messages(answer)[-1]) if isinstance(answer, list) and answer else text_of(answer)


def _content(message: Any) -> Any:
    return message.get("content") if isinstance(message, dict) else message


def first_object(value: Any) -> Values:
    """The first object of a list, which may be JSON text; an empty one if there is none."""
    items = parse_json(value)
    return next((item for item in items if isinstance(item, dict)), {}) if isinstance(items, list) else {}
