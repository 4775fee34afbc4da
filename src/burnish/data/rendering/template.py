"""Conversation -> text, through the base model's own chat template."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from burnish.conversation import Message, Role, to_dicts
from burnish.data.formats.learned import THOUGHT_KEYS
from burnish.data.rendering.fidelity import THOUGHT_END, thought_of
from burnish.errors import RenderError


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that rendering needs."""

    chat_template: Any
    bos_token_id: int | None

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...
    def __call__(self, text: Any, **kwargs: Any) -> Any: ...
    def decode(self, token_ids: Any, **kwargs: Any) -> Any: ...


def template_source(tokenizer: Tokenizer) -> str:
    """The chat template as it is written; several named ones as one text, "" for a tokenizer without."""
    source = tokenizer.chat_template or ""
    return "\n".join(source.values()) if isinstance(source, dict) else str(source)


def apply_template(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Sequence[str],
    thinking: bool,
    add_generation_prompt: bool,
) -> str:
    """What the template writes. `enable_thinking` is the switch of templates that have modes; others ignore it.

    Raises:
        RenderError: the template refuses the conversation.
    """
    source = template_source(tokenizer)
    keys = () if THOUGHT_END in source else THOUGHT_KEYS  # most templates look for the marks, a few for a key
    thought_key = next((key for key in keys if f".{key}" in source or f"'{key}'" in source), None)
    try:
        text = tokenizer.apply_chat_template(
            [_for_template(row, thought_key) for row in to_dicts(messages)],
            tools=[json.loads(tool) for tool in tools] or None,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=thinking,
        )
    except Exception as error:  # jinja templates raise what they like
        raise RenderError(f"the base model's chat template refuses a conversation: {error}") from error
    return str(text)


def plain_text(messages: Sequence[Message], *, start: str, end: str) -> str:
    """For base models without a chat template: the texts in turn, an answer closed by the end token."""
    return start + "".join(m.content + (end if m.role is Role.ASSISTANT else "\n") for m in messages)


def _for_template(row: dict[str, Any], thought_key: str | None) -> dict[str, Any]:
    """Templates write arguments with `tojson`, so they want the object; the wire has its text."""
    row.pop("weight", None)
    if thought_key and THOUGHT_END in row["content"]:
        row[thought_key] = thought_of(row["content"])
        row["content"] = row["content"].rpartition(THOUGHT_END)[2].lstrip("\n")
    for call in row.get("tool_calls", ()):
        call["function"]["arguments"] = _parsed(call["function"]["arguments"])
    return row


def _parsed(arguments: str) -> Any:
    """The object, or the text as it is where it holds none."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments
    return value if isinstance(value, dict) else arguments
