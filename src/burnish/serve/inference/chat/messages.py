"""A request's messages -> a conversation."""

from collections.abc import Sequence

from burnish.conversation import Conversation, Message, Role, ToolCall
from burnish.serve.errors import ApiError
from burnish.serve.inference.shapes import MessageShape, PartShape

ROLES = {"developer": Role.SYSTEM, "function": Role.TOOL}


def conversation_of(messages: Sequence[MessageShape]) -> Conversation:
    """The conversation as the client has it.

    Raises:
        ApiError: a message holds what no model here can read.
    """
    return tuple(_message(message, f"messages[{i}]") for i, message in enumerate(messages))


def put_behind(system: str, conversation: Conversation) -> Conversation:
    """The conversation behind `system` where it brings no system message of its own."""
    if not system or any(message.role is Role.SYSTEM for message in conversation):
        return conversation
    return (Message(Role.SYSTEM, system), *conversation)


def _message(message: MessageShape, place: str) -> Message:
    calls = [ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    if message.function_call:
        calls.append(ToolCall("", message.function_call.name, message.function_call.arguments))
    if message.content is None and message.role != "assistant":
        raise ApiError(f"{place}: the content is missing.", param=f"{place}.content")
    return Message(
        ROLES.get(message.role) or Role(message.role),
        _text(message.content or "", f"{place}.content"),
        name=message.name,
        tool_calls=tuple(calls),
        tool_call_id=message.tool_call_id,
    )


def _text(content: str | list[PartShape], place: str) -> str:
    return content if isinstance(content, str) else "".join(_part(part, place) for part in content)


def _part(part: PartShape, place: str) -> str:
    text = {"text": part.text, "refusal": part.refusal}.get(part.type)
    if text is None:
        raise ApiError(f"{place}: a part of type {part.type!r} cannot be read. Send texts only.", param=place)
    return text
