"""A row in the form of a conversation, before anything of it is checked."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Absent(Enum):
    """What stands for a value that a row does not have; null is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


class Kind(Enum):
    """What the answer of a row is."""

    REPLY = "reply"
    FIELDS = "fields"
    """The text of a JSON object."""
    TEXT = "text"
    """A text that answers nothing and is learned as it is."""
    PREFERENCE = "preference"
    """The better one of two."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a row says, in the one form that all formats share; its faults are kept for the checks to find.

    `messages` and `tools` are lists of objects in the OpenAI spelling if the row is sound. `columns` names the column
    that each message of a flat row comes from; without it they are counted. `rejected` is the worse answer.
    """

    messages: Any
    kind: Kind = Kind.REPLY
    columns: tuple[str, ...] = ()
    tools: Any = None
    rejected: Any = None
    num_joined: int = 0
    """Turns of calls that were joined with the answer before them."""

    def place(self, index: int) -> str:
        """What a finding calls one of the messages."""
        if self.columns:
            return f"column {self.columns[index]!r}"
        message = self.messages[index]
        role = message.get("role") if isinstance(message, dict) else None
        return f"message {index + 1} ({role})" if isinstance(role, str) and role else f"message {index + 1}"
