"""The ways in which messages and tools are written -> the OpenAI spelling.

What is not understood is left as it is, for the checks of structure to find.
"""

import json
from collections.abc import Mapping
from typing import Any

from burnish.data.formats.learned import is_thought_part, read_thought, read_weight, with_thought
from burnish.data.reading.strict_json import parse_strict

ROLES = ("system", "user", "assistant", "tool")
_OPENAI_ALIASES = {"developer": "system", "function": "tool"}
_SHAREGPT_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
} | {role: role for role in ROLES}


def openai_messages(value: Any) -> Any:
    """Messages of role and content, also as the JSON text that a cell of a table holds."""
    items = parse_json(value)
    return [_openai_message(item) for item in items] if isinstance(items, list) else value


def sharegpt_messages(value: Any) -> Any:
    """Turns of from and value."""
    items = parse_json(value)
    return [_sharegpt_message(item) for item in items] if isinstance(items, list) else value


def join_calls(messages: Any) -> Any:
    """The same with each run of an answer and the calls behind it as one turn, as chat templates want them."""
    if not isinstance(messages, list):
        return messages
    joined = list[Any]()
    for message in messages:
        if joined and _continues(joined[-1], message):
            joined[-1] = joined[-1] | {"tool_calls": [*joined[-1].get("tool_calls", []), *message["tool_calls"]]}
        else:
            joined.append(message)
    return joined


def openai_tools(value: Any) -> Any:
    """The tools of a row: objects of type function, each also as JSON text or without the outer object."""
    items = parse_json(value)
    if not isinstance(items, list):
        return items or None
    tools = [_with_parameters(_without_null(parse_json(item))) for item in items]
    return [{"type": "function", "function": tool} if _is_bare(tool) else tool for tool in tools] or None


def parse_json(value: Any) -> Any:
    """What a text says if it is JSON; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return parse_strict(value)
    except ValueError:
        return value


def _openai_message(item: Any) -> Any:
    if not isinstance(item, dict) or (
        len(item) == 2 and item.get("role") in ROLES and type(item.get("content")) is str
    ):
        return item
    # Columnar files give every message all keys; there, null says that the message has no such thing.
    message = {key: value for key, value in item.items() if value is not None or key in ("role", "content")}
    if isinstance(role := message.get("role"), str):
        message["role"] = _OPENAI_ALIASES.get(role, role)
    if "function_call" in message:
        message["tool_calls"] = [message.pop("function_call")]
    if isinstance(calls := message.get("tool_calls"), list):
        message["tool_calls"] = [_tool_call(call) for call in calls]
        message["content"] = message.get("content") or ""
    thought = read_thought(message)
    if "content" in message:
        message["content"] = _joined_parts(message["content"])
    return _marked(message, item, thought)


def _sharegpt_message(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    message = {key: item[key] for key in ("name",) if item.get(key) is not None}
    if "from" in item:
        message["role"] = _SHAREGPT_ROLES.get(item["from"], item["from"]) if type(item["from"]) is str else item["from"]
    if item.get("from") == "function_call":
        message |= {"content": "", "tool_calls": _parsed_calls(item.get("value"))}
    elif "value" in item:
        message["content"] = item["value"]
    return _marked(message, item, read_thought(item))


def _marked(message: dict[str, Any], item: Mapping[str, Any], thought: str) -> dict[str, Any]:
    """The message with the weight of its flags, and behind its thought."""
    message |= read_weight(item)
    if thought and message.get("role") == "assistant" and isinstance(message.get("content"), str):
        message["content"] = with_thought(thought, message["content"])
    return message


def _parsed_calls(value: Any) -> list[Any]:
    calls = parse_json(value)
    return [_tool_call(parse_json(call)) for call in calls] if isinstance(calls, list) else [_tool_call(calls)]


def _continues(before: Any, message: Any) -> bool:
    """Whether a message is nothing but calls that the answer before it makes."""
    return (
        isinstance(before, dict)
        and isinstance(message, dict)
        and before.get("role") == message.get("role") == "assistant"
        and not message.get("content")
        and isinstance(message.get("tool_calls"), list)
        and isinstance(before.get("tool_calls", []), list)
        and before.get("weight", 1) == message.get("weight", 1)
    )


def _with_parameters(tool: Any) -> Any:
    """Parameters may be written as JSON text."""
    if not isinstance(tool, dict):
        return tool
    tool = {**tool, "function": _with_parameters(tool["function"])} if "function" in tool else tool
    return {**tool, "parameters": parse_json(tool["parameters"])} if "parameters" in tool else tool


def _without_null(value: Any) -> Any:
    """Columnar files give every tool the properties of all others; there, null says that it has no such thing."""
    if isinstance(value, dict):
        may_be_null = ("default", "const")
        return {key: _without_null(item) for key, item in value.items() if item is not None or key in may_be_null}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


def _tool_call(call: Any) -> Any:
    """A call with its arguments as text; the function may stand in it without the outer object."""
    if not isinstance(call, Mapping):
        return call
    function = call.get("function", call)
    if not isinstance(function, Mapping):
        return call
    arguments = function.get("arguments")
    text = json.dumps(arguments, ensure_ascii=False, default=str) if isinstance(arguments, dict) else arguments
    return {"id": call.get("id") or "", "function": {"name": function.get("name"), "arguments": text}}


def _joined_parts(content: Any) -> Any:
    """The text of content that comes as a list of parts, all of which are text."""
    if isinstance(content, list) and content and all(_is_text_part(p) or is_thought_part(p) for p in content):
        return "".join(part["text"] for part in content if _is_text_part(part))
    return content


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _is_bare(tool: Any) -> bool:
    return isinstance(tool, dict) and "name" in tool and "function" not in tool
