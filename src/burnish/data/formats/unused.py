"""The keys of rows, messages, tools and calls that nothing reads: each is told once, with its first row."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.formats.detect import Detection
from burnish.data.formats.dialects import parse_json
from burnish.data.formats.learned import CONTEXT_KEYS, LEARNED_KEYS, THOUGHT_KEYS
from burnish.data.reading.row import Row

UNUSED_KEY = Check(
    "unused_key",
    Severity.WARNING,
    "a key that nothing reads",
    "If it should change what is learned, write it in another way; else remove it.",
)

READ_IN_MESSAGES = frozenset(
    (
        *("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "from", "value"),
        *LEARNED_KEYS,
        *CONTEXT_KEYS,
        *THOUGHT_KEYS,
    )
)
READ_IN_TOOLS = frozenset(("type", "function", "name", "description", "parameters", "strict"))
READ_IN_CALLS = frozenset(("id", "type", "function", "name", "arguments", "index"))
_HARMLESS = (
    "id uid uuid index idx key hash conversation_id message_id parent_id thread_id session_id user_id "
    "row_id timestamp time date datetime created created_at updated_at source dataset origin url link "
    "file filename path title topic category tags domain license author annotator labeler annotator_id "
    "reviewer model model_name generator score rating votes quality confidence language lang locale split "
    "meta metadata comment comments note notes tokens token_count num_tokens length num_turns refusal "
    "annotations "
)
HARMLESS = frozenset(_HARMLESS.split())
"""What a file may say of its messages and tools; none of it changes what is learned."""
CHANGES_LEARNING = frozenset(
    (
        *("system", "context", "enable_thinking", "chat_template_kwargs", "train_on_turn", "train_on_last_turn"),
        *(
            "history",
            "tools",
            "functions",
            "rejected_response",
            "image",
            "audio",
            "video",
            "images",
            "audios",
            "videos",
        ),
        *LEARNED_KEYS,
        *CONTEXT_KEYS,
        *THOUGHT_KEYS,
    )
)
"""Keys of a row that change what is learned elsewhere; any other column is named where the format is told."""


def check_keys(rows: Iterable[Row], detection: Detection) -> list[Finding]:
    """One finding for each key that has a value and that nothing reads."""
    counts = KeyCounts()
    for row in rows:
        counts.add(row, detection)
    return counts.findings()


class KeyCounts:
    """The unused keys of the rows so far."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[str, str]]()
        self._first: dict[tuple[str, str], str] = {}

    def add(self, row: Row, detection: Detection) -> None:
        for found in dict.fromkeys(_unused(row, detection)):
            self._counts[found] += 1
            self._first.setdefault(found, row.id)

    def findings(self) -> list[Finding]:
        return [
            UNUSED_KEY.found(f"{key!r} of {where} is not used; rows that have it: {count:,}.", self._first[where, key])
            for (where, key), count in self._counts.items()
        ]


def _unused(row: Row, detection: Detection) -> Iterator[tuple[str, str]]:
    read = set(detection.columns.by_part.values())
    for key, value in row.values.items():
        if key not in read and key.lower() in CHANGES_LEARNING and not _is_empty(value):
            yield "a row", key
    for column in read:
        items = parse_json(row.values.get(column))
        is_tools = column in ("tools", "functions")
        for item in items if isinstance(items, list) else []:
            yield from _unused_tool(item) if is_tools else _unused_message(item)


def _unused_message(message: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(message, dict) or not message.keys() & {"role", "from"}:
        return
    yield from _strange(message, "a message", READ_IN_MESSAGES)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        yield from _strange(call, "a tool call", READ_IN_CALLS)
        if isinstance(call, dict):
            yield from _strange(call.get("function"), "a called function", READ_IN_CALLS)


def _unused_tool(tool: Any) -> Iterator[tuple[str, str]]:
    tool = parse_json(tool)
    yield from _strange(tool, "a tool", READ_IN_TOOLS)
    if isinstance(tool, dict):
        yield from _strange(tool.get("function"), "a tool's function", READ_IN_TOOLS)


def _strange(item: Any, where: str, read: frozenset[str]) -> Iterator[tuple[str, str]]:
    for key, value in item.items() if isinstance(item, Mapping) else ():
        if key not in read and str(key).lower() not in HARMLESS and not _is_empty(value):
            yield where, str(key)


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}
