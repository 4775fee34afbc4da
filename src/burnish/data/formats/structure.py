"""The checks of one row: has it the form of a conversation that ends with an answer?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from burnish.data.finding import Check, Finding, Severity
from burnish.data.formats.characters import check_text
from burnish.data.formats.dialects import ROLES
from burnish.data.formats.draft import ABSENT, Draft, Kind
from burnish.data.reading.strict_json import parse_strict

ERROR, WARNING = Severity.ERROR, Severity.WARNING

MISSING_MESSAGES = Check("missing_messages", ERROR, "a row without messages", "Add them or remove the row.")
MESSAGES_NOT_A_LIST = Check(
    "messages_not_a_list", ERROR, "messages that are no list", "Write a list of {role, content} or remove the row."
)
EMPTY_MESSAGES = Check("empty_messages", ERROR, "a conversation without a message", "Remove the row.")
MESSAGE_NOT_AN_OBJECT = Check(
    "message_not_an_object", ERROR, "a message that is no object", "Each message is {role, content}."
)
MISSING_ROLE = Check("missing_role", ERROR, "a message without a role", "Each message is {role, content}.")
UNKNOWN_ROLE = Check("unknown_role", ERROR, "a role that there is not", "Use system, user, assistant or tool.")
MISSING_CONTENT = Check("missing_content", ERROR, "a message without content", "Add it or remove the row.")
NULL_CONTENT = Check("null_content", ERROR, "content that is null", "Add it or remove the row.")
NON_STRING_CONTENT = Check("non_string_content", ERROR, "content that is no text", "Write text or remove the row.")
EMPTY_ASSISTANT = Check("empty_assistant", ERROR, "an empty answer", "Add the answer or remove the row.")
EMPTY_CONTENT = Check("empty_content", ERROR, "an empty message", "Fill it in or remove the row.")
BAD_MESSAGE_FIELD = Check(
    "bad_message_field",
    ERROR,
    "a name, id or weight of a wrong kind",
    "The flags of a message agree, each 0 or 1, true or false; names and ids are text.",
)
BAD_TOOL_CALL = Check(
    "bad_tool_call",
    ERROR,
    "a tool call that does not parse",
    'Write {"function": {"name": "...", "arguments": "the text of a JSON object"}}.',
)
BAD_TOOLS = Check(
    "bad_tools", ERROR, "tools that do not parse", 'Write a list of {"type": "function", "function": {"name": ...}}.'
)
UNDECLARED_TOOL = Check(
    "undeclared_tool", WARNING, "a call of a tool that the row does not list", "Add it to `tools`, or mend the name."
)
TOOL_WITHOUT_CALL = Check(
    "tool_without_call", ERROR, "a tool's message that no call comes before", "Add the call or remove the row."
)
SYSTEM_NOT_FIRST = Check(
    "system_not_first", ERROR, "a system message behind another one", "Only the first message can be one."
)
NO_ASSISTANT = Check("no_assistant", ERROR, "a conversation without an answer", "Add the assistant's answer.")
ASSISTANT_FIRST = Check(
    "assistant_first", ERROR, "an answer that nothing was asked for", "Add the question or remove the row."
)
CONSECUTIVE_ASSISTANT = Check(
    "consecutive_assistant",
    ERROR,
    "two answers in a row",
    "Join them or add what is missing between.",
)
JOINED_CALLS = Check(
    "joined_calls",
    Severity.NOTE,
    "a call that stands in a turn of its own behind an answer, or behind another call",
    "Nothing has to be done: they are one turn, as chat templates write it.",
)
CONSECUTIVE_USER = Check(
    "consecutive_user",
    WARNING,
    "two user messages in a row",
    "Join them where the base model's chat template wants turns.",
)
LAST_NOT_ASSISTANT = Check(
    "last_not_assistant", ERROR, "a conversation that does not end with an answer", "Add the answer or cut the rest."
)
FIELDS_NOT_AN_OBJECT = Check(
    "fields_not_an_object", ERROR, "fields that are no JSON object", "Write {} if there is nothing to extract."
)
EMPTY_CHOSEN = Check("empty_chosen", ERROR, "a preference without the better answer", "Add it or remove the row.")
MISSING_REJECTED = Check(
    "missing_rejected", WARNING, "a preference without the worse answer", "Add it; the better answer is learned alone."
)
CHOSEN_EQUALS_REJECTED = Check(
    "chosen_equals_rejected", WARNING, "a preference whose answers are equal", "Mend it; it tells of no preference."
)

Message = Mapping[str, Any]


def check_draft(draft: Draft, row: str) -> list[Finding]:
    """All findings about a row; a row with an error cannot be used."""
    return [check.found(message, row) for check, message in _find(draft)]


Found = Iterator[tuple[Check, str]]


def _find(draft: Draft) -> Found:
    """The order of the messages is looked at only if each of them is sound."""
    if broken := _broken_list(draft.messages):
        yield broken
        return
    faults = [found for index in range(len(draft.messages)) if (found := _fault_of(draft, index))]
    yield from faults
    if not faults and draft.kind is not Kind.TEXT:
        yield from _order(draft.messages)
    if draft.kind is Kind.PREFERENCE:
        yield from _preference(draft)
    if draft.num_joined:
        yield JOINED_CALLS, f"{draft.num_joined} of its turns joined the answer before."
    yield from _tools(draft)
    yield from _texts(draft)


def _broken_list(messages: Any) -> tuple[Check, str] | None:
    if messages is ABSENT:
        return MISSING_MESSAGES, "there are no messages."
    if not isinstance(messages, list):
        return MESSAGES_NOT_A_LIST, f"the messages are {_kind(messages)}, not a list."
    return None if messages else (EMPTY_MESSAGES, "the list of messages is empty.")


def _fault_of(draft: Draft, index: int) -> tuple[Check, str] | None:
    """The first thing wrong with a message; what follows from it is not told."""
    message = draft.messages[index]
    if not isinstance(message, dict):
        return MESSAGE_NOT_AN_OBJECT, f"{draft.place(index)} is {_kind(message)}, not an object."
    is_last = index == len(draft.messages) - 1
    if is_last and draft.kind is Kind.FIELDS:
        return _fields_fault(message, draft.place(index))
    for check, fault in _MESSAGE_CHECKS:
        if what := fault(message):
            if is_last and draft.kind is Kind.PREFERENCE and check in _NO_ANSWER:
                check = EMPTY_CHOSEN
            return check, f"{draft.place(index)} {what}."
    return None


def _fields_fault(message: Message, place: str) -> tuple[Check, str] | None:
    content = message.get("content")
    try:
        value = parse_strict(content) if isinstance(content, str) else content
    except ValueError:
        value = None
    if isinstance(value, list):
        return FIELDS_NOT_AN_OBJECT, f'{place} holds a list. Give it a name, as in {{"items": [...]}}.'
    return None if isinstance(value, dict) else (FIELDS_NOT_AN_OBJECT, f"{place} holds no JSON object.")


def _missing_role(message: Message) -> str | None:
    return None if "role" in message else "has no role"


def _unknown_role(message: Message) -> str | None:
    role = message["role"]
    return None if isinstance(role, str) and role in ROLES else f"has role {role!r}"


def _missing_content(message: Message) -> str | None:
    return None if "content" in message else "has no content"


def _null_content(message: Message) -> str | None:
    return "is null" if message["content"] is None else None


def _non_string_content(message: Message) -> str | None:
    content = message["content"]
    return None if isinstance(content, str) else f"is {_kind(content)}, not text"


def _empty_assistant(message: Message) -> str | None:
    is_empty = message["role"] == "assistant" and not message["content"].strip() and not message.get("tool_calls")
    return "is empty" if is_empty else None


def _empty_content(message: Message) -> str | None:
    """A tool may have nothing to say."""
    return "is empty" if message["role"] in ("system", "user") and not message["content"].strip() else None


def _bad_field(message: Message) -> str | None:
    if message.get("weight", 1) not in (0, 1):
        weight = message["weight"]
        return f"has {weight}" if isinstance(weight, str) and " = " in weight else f"has weight {weight!r}"
    return next(
        (f"has a {key} that is no text" for key in _TEXT_KEYS if not isinstance(message.get(key, ""), str)), None
    )


def _bad_tool_call(message: Message) -> str | None:
    calls = message.get("tool_calls", [])
    if not isinstance(calls, list):
        return f"has tool calls that are {_kind(calls)}, not a list"
    return next((what for call in calls if (what := _call_fault(call))), None)


def _call_fault(call: Any) -> str | None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return "has a tool call without a function"
    if not isinstance(function.get("name"), str) or not function["name"]:
        return "has a tool call without a name"
    try:
        arguments = parse_strict(function["arguments"])
    except (ValueError, TypeError, KeyError, AttributeError):
        arguments = None
    return None if isinstance(arguments, dict) else f"calls {function['name']} with arguments that are no JSON object"


_TEXT_KEYS = ("name", "tool_call_id")
_MESSAGE_CHECKS: tuple[tuple[Check, Callable[[Message], str | None]], ...] = (
    (MISSING_ROLE, _missing_role),
    (UNKNOWN_ROLE, _unknown_role),
    (MISSING_CONTENT, _missing_content),
    (NULL_CONTENT, _null_content),
    (NON_STRING_CONTENT, _non_string_content),
    (BAD_MESSAGE_FIELD, _bad_field),
    (BAD_TOOL_CALL, _bad_tool_call),
    (EMPTY_ASSISTANT, _empty_assistant),
    (EMPTY_CONTENT, _empty_content),
)
_NO_ANSWER = (MISSING_CONTENT, NULL_CONTENT, EMPTY_ASSISTANT)


def _order(messages: Sequence[Message]) -> Found:
    roles = [message["role"] for message in messages]
    for number, role in enumerate(roles[1:], start=2):
        if role == "system":
            yield SYSTEM_NOT_FIRST, f"message {number} is a system message."
    turns = [role for role in roles if role != "system"]
    if "assistant" not in turns:
        yield NO_ASSISTANT, "no message is from the assistant."
        return
    if turns[0] == "assistant":
        yield ASSISTANT_FIRST, "the conversation begins with the assistant."
    pairs = list(pairwise(turns))
    if ("assistant", "assistant") in pairs:
        yield CONSECUTIVE_ASSISTANT, "two messages of the assistant follow each other."
    if ("user", "user") in pairs:
        yield CONSECUTIVE_USER, "two messages of the user follow each other."
    if any(two == "tool" and one not in ("assistant", "tool") for one, two in [("", turns[0]), *pairs]):
        yield TOOL_WITHOUT_CALL, "a tool's message follows no call."
    if turns[-1] != "assistant":
        yield LAST_NOT_ASSISTANT, f'the last message has role "{turns[-1]}".'


def _preference(draft: Draft) -> Found:
    if not draft.rejected:
        yield MISSING_REJECTED, "there is no rejected answer."
    elif not isinstance(draft.rejected, str):
        yield NON_STRING_CONTENT, f"the rejected answer is {_kind(draft.rejected)}, not text."
    elif isinstance(last := draft.messages[-1], dict) and last.get("content") == draft.rejected:
        yield CHOSEN_EQUALS_REJECTED, "the chosen and the rejected answer are equal."


def _tools(draft: Draft) -> Found:
    if draft.tools is None:
        return
    names = list[Any]()
    for tool in draft.tools if isinstance(draft.tools, list) else [None]:
        function = tool.get("function") if isinstance(tool, dict) else None
        names.append(function.get("name") if isinstance(function, dict) else None)
    if not all(isinstance(name, str) and name for name in names):
        yield BAD_TOOLS, "the tools are no list of functions with a name."
        return
    for message in draft.messages:
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        for call in calls if isinstance(calls, list) else []:
            if not _call_fault(call) and (called := call["function"]["name"]) not in names:
                yield UNDECLARED_TOOL, f"{called!r} is called, but the tools are {', '.join(names)}."


def _texts(draft: Draft) -> Found:
    contents = [message.get("content") if isinstance(message, dict) else None for message in draft.messages]
    texts = [(draft.place(index), text) for index, text in enumerate(contents) if isinstance(text, str)]
    if isinstance(draft.rejected, str):
        texts.append(("the rejected answer", draft.rejected))
    for place, text in texts:
        yield from check_text(place, text)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")
