"""One row of the user's data, as every floor above the files sees it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from burnish.conversation import Conversation, Message, Role, prompt_of, to_dicts


@dataclass(frozen=True)
class Example:
    """A conversation that ends with the answer to learn, and the place where it came from.

    `id` is "file:line" ("file:row" for Parquet), so that every message about a row leads back to it.
    """

    id: str
    messages: Conversation
    group: str | None = None

    @property
    def prompt(self) -> Conversation:
        """What the model is given: everything before the last answer."""
        return prompt_of(self.messages)

    @property
    def target(self) -> str:
        """The answer that is wanted."""
        return self.messages[-1].content

    @property
    def duplicate_key(self) -> str:
        """Equal for examples that ask the same, but for case and white space; the system message does not count."""
        asked = "\x1e".join(" ".join(m.content.casefold().split()) for m in self.prompt if m.role is not Role.SYSTEM)
        return hashlib.sha256(asked.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The form in which splits are frozen."""
        row: dict[str, Any] = {"id": self.id, "messages": to_dicts(self.messages)}
        return row if self.group is None else {**row, "group": self.group}


def example_from_dict(row: dict[str, Any]) -> Example:
    """The inverse of `Example.to_dict`."""
    messages = tuple(Message(Role(m["role"]), m["content"]) for m in row["messages"])
    return Example(row["id"], messages, row.get("group"))
