"""The formats of rows: how each is recognised, and how a row of it reads as a conversation."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from burnish.conversation import Task
from burnish.data.formats.columns import Columns
from burnish.data.formats.dialects import parse_json
from burnish.data.formats.draft import Draft
from burnish.data.formats.drafts import (
    Values,
    draft_alpaca,
    draft_chat,
    draft_fields,
    draft_label,
    draft_pair,
    draft_preference,
    draft_preference_openai,
    draft_sharegpt,
    draft_text,
    first_object,
)


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

    def has_columns(self, keys: Container[str], columns: Columns) -> bool:
        """Whether all columns are there that this format cannot do without."""
        return all(columns.by_part.get(part) in keys for part in self.names if part not in self.optional)


def _has_item_with(key: str) -> Callable[[Values, Columns], bool]:
    return lambda values, columns: key in first_object(columns.value(values, "messages"))


def _are_fields(values: Values, columns: Columns) -> bool:
    return isinstance(parse_json(columns.value(values, "fields")), dict)


def _is_only_text(values: Values, columns: Columns) -> bool:
    """Anything else in the row than what describes a text may be what is to be learned."""
    return all(key == columns.by_part["text"] or key.strip().lower() in ABOUT_A_TEXT for key in values)


def _is_openai_input(values: Values, columns: Columns) -> bool:
    return isinstance(parse_json(columns.value(values, "input")), dict)


ABOUT_A_TEXT = ("id", "url", "source", "title", "meta", "metadata", "timestamp", "date", "author", "language", "file")
_ANY_TEXT = ("text", "message", "body", "input", "content", "sentence", "review", "email", "utterance", "query")
_SYSTEM: dict[str, tuple[str, ...]] = {"system": ("system", "system_prompt")}
_TOOLS: dict[str, tuple[str, ...]] = {"tools": ("tools",)}
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
    draft_preference_openai,
    _is_openai_input,
)
PREFERENCE = Format(
    "preference",
    "a prompt with a chosen and a rejected answer",
    (Task.CHAT,),
    {"prompt": ("prompt", "question", "instruction"), "chosen": ("chosen",), "rejected": ("rejected",)} | _SYSTEM,
    frozenset({"prompt", "system"}),
    draft_preference,
)
CHAT = Format(
    "chat",
    "messages of role and content",
    (Task.CHAT,),
    {"messages": ("messages", "conversation", "conversations")}
    | _TOOLS
    | {"functions": ("functions",), "rejected": ("rejected_response",)},
    frozenset({"tools", "functions", "rejected"}),
    draft_chat,
    _has_item_with("role"),
)
SHAREGPT = Format(
    "sharegpt",
    "turns of from and value",
    (Task.CHAT,),
    {"messages": ("conversations", "conversation", "messages")} | _TOOLS | _SYSTEM,
    frozenset({"tools", "system"}),
    draft_sharegpt,
    _has_item_with("from"),
)
ALPACA = Format(
    "alpaca",
    "an instruction, at times with an input, and an output",
    _ONE_ANSWER,
    {"instruction": ("instruction",), "input": ("input",), "output": ("output", "response")}
    | {"history": ("history",)}
    | _SYSTEM,
    frozenset({"input", "history", "system"}),
    draft_alpaca,
)
TEXT_FIELDS = Format(
    "text_fields",
    "a text and an object",
    (Task.EXTRACTION,),
    {
        "text": _ANY_TEXT,
        "fields": ("fields", "entities", "target", "output", "json", "answer", "label", "labels", "spans"),
    },
    frozenset(),
    draft_fields,
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
    draft_label,
)
QUESTION_ANSWER = Format(
    "question_answer",
    "a question and its answer",
    _ONE_ANSWER,
    {"prompt": ("question", "query"), "completion": ("answer", "response", "reply")} | _SYSTEM,
    frozenset({"system"}),
    draft_pair,
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
    draft_pair,
)
TEXT = Format(
    "text", "nothing but text", (Task.COMPLETION,), {"text": ("text",)}, frozenset(), draft_text, _is_only_text
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

USUAL_NAMES = frozenset(name for format in FORMATS for names in format.names.values() for name in names)
"""Of columns, in any format."""

BY_ITEMS = {CHAT.name, SHAREGPT.name}
"""They may have the same column; what is in it tells them apart."""
