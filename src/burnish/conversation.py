"""Messages and conversations: the words that data, model, generation and serving share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Task(StrEnum):
    """What the specialist is for; it decides the columns of the data, the prompt and the metric."""

    CHAT = "chat"
    COMPLETION = "completion"
    CLASSIFICATION = "classification"
    EXTRACTION = "extraction"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


Conversation = tuple[Message, ...]


def build_conversation(system: str | None, *turns: tuple[Role, str]) -> Conversation:
    """A conversation of the given turns, behind a system message unless `system` is empty."""
    head = (Message(Role.SYSTEM, system),) if system else ()
    return head + tuple(Message(role, content) for role, content in turns)


def to_dicts(messages: Iterable[Message]) -> list[dict[str, str]]:
    """The form that chat templates and the OpenAI wire use."""
    return [{"role": message.role.value, "content": message.content} for message in messages]


def prompt_of(messages: Sequence[Message]) -> Conversation:
    """The messages up to, and without, the last assistant's answer: what the model sees at inference."""
    last = max(i for i, message in enumerate(messages) if message.role is Role.ASSISTANT)
    return tuple(messages[:last])
