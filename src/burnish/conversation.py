"""Messages and conversations: the words that data, model, generation and serving share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Task(StrEnum):
    """What the specialist is for; it decides the columns of the data, the prompt and the metric."""

    CHAT = "chat"
    COMPLETION = "completion"
    CLASSIFICATION = "classification"
    EXTRACTION = "extraction"


@dataclass(frozen=True)
class ToolCall:
    """A function that the assistant wants called; `arguments` is the text of a JSON object, as on the OpenAI wire."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One turn of a conversation. An assistant's turn may call tools; a tool's turn answers one of the calls."""

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_learned: bool = True
    """False for an assistant's turn of weight 0, which is context only."""


Conversation = tuple[Message, ...]


def build_conversation(system: str | None, *turns: tuple[Role, str]) -> Conversation:
    """A conversation of the given turns, behind a system message unless `system` is empty."""
    head = (Message(Role.SYSTEM, system),) if system else ()
    return head + tuple(Message(role, content) for role, content in turns)


def to_dicts(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The form that chat templates and the OpenAI wire use."""
    return [_to_dict(message) for message in messages]


def from_dicts(rows: Iterable[Mapping[str, Any]]) -> Conversation:
    """The inverse of `to_dicts`; `weight` 0 marks a turn that is not learned."""
    return tuple(_from_dict(row) for row in rows)


def _to_dict(message: Message) -> dict[str, Any]:
    row: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if message.name is not None:
        row["name"] = message.name
    if message.tool_calls:
        row["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        row["tool_call_id"] = message.tool_call_id
    if not message.is_learned:
        row["weight"] = 0
    return row


def _from_dict(row: Mapping[str, Any]) -> Message:
    calls = tuple(
        ToolCall(call.get("id", ""), call["function"]["name"], call["function"]["arguments"])
        for call in row.get("tool_calls") or ()
    )
    return Message(
        Role(row["role"]),
        row.get("content") or "",
        name=row.get("name"),
        tool_calls=calls,
        tool_call_id=row.get("tool_call_id"),
        is_learned=row.get("weight", 1) != 0,
    )


def prompt_of(messages: Sequence[Message]) -> Conversation:
    """The messages up to, and without, the last assistant's answer: what the model sees at inference."""
    last = max(i for i, message in enumerate(messages) if message.role is Role.ASSISTANT)
    return tuple(messages[:last])
