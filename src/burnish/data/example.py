"""One row of the user's data, as every floor above the files sees it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from burnish.conversation import Conversation, Role, from_dicts, prompt_of, to_dicts


@dataclass(frozen=True)
class Example:
    """A conversation that ends with the answer to learn, and the place where it came from.

    `id` is "file:line" ("file:row" for Parquet), so that every message about a row leads back to it. `tools` are
    the JSON texts of the functions that the conversation may call. `rejected` is the worse answer of a preference
    row, whose better answer is the target. `time` sorts as the rows' times do.
    """

    id: str
    messages: Conversation
    group: str | None = None
    tools: tuple[str, ...] = ()
    rejected: str | None = None
    time: str | None = None

    @property
    def prompt(self) -> Conversation:
        """What the model is given: everything before the last answer."""
        return prompt_of(self.messages)

    @property
    def target(self) -> str:
        """The answer that is wanted."""
        return self.messages[-1].content

    @property
    def asked(self) -> str:
        """What is asked, as one text without the system message; a text that answers nothing stands for itself."""
        messages = self.prompt or self.messages
        return "\x1e".join(message.content for message in messages if message.role is not Role.SYSTEM)

    @property
    def duplicate_key(self) -> str:
        """Equal for examples that ask the same, but for case and white space; the system message does not count."""
        asked = "\x1e".join(" ".join(text.casefold().split()) for text in self.asked.split("\x1e"))
        return hashlib.sha256(asked.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The form in which splits are frozen."""
        row: dict[str, Any] = {"id": self.id, "messages": to_dicts(self.messages)}
        if self.tools:
            row["tools"] = list(self.tools)
        more = {"group": self.group, "rejected": self.rejected, "time": self.time}
        return row | {key: value for key, value in more.items() if value is not None}


def example_from_dict(row: dict[str, Any]) -> Example:
    """The inverse of `Example.to_dict`."""
    return Example(
        row["id"],
        from_dicts(row["messages"]),
        row.get("group"),
        tuple(row.get("tools", ())),
        row.get("rejected"),
        row.get("time"),
    )
