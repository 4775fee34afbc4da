"""System messages for templates without a system role: they stand in the user's turn, whoever renders."""

from collections.abc import Sequence
from dataclasses import replace

from burnish.conversation import Conversation, Message, Role, build_conversation
from burnish.data.rendering.template import Tokenizer, apply_template
from burnish.errors import RenderError

BETWEEN = "\n\n"
SYSTEM_MARK, USER_MARK = "zyx system zyx", "zyx user zyx"
"""Words that no template writes."""


def needs_folding(tokenizer: Tokenizer) -> bool:
    """Whether the chat template refuses system messages or leaves them out, and would write the user's turn alone.

    It is tried on one turn and on several, since some templates write a system message only into certain turns.
    """
    one = ((Role.USER, USER_MARK),)
    several = ((Role.USER, "a"), (Role.ASSISTANT, "b"), *one)
    return any(
        SYSTEM_MARK not in _written(tokenizer, build_conversation(SYSTEM_MARK, *turns))
        and USER_MARK in _written(tokenizer, build_conversation(None, *turns))
        for turns in (one, several)
    )


def fold_system(messages: Sequence[Message]) -> Conversation:
    """The conversation without system messages: each stands at the beginning of the user's turn that follows it.

    Where an answer follows instead, it is joined to the user's turn before it, or is a user's turn of its own. A longer
    conversation folds to one that begins alike, so that a prompt stays the beginning of what is learned.
    """
    folded, waiting = list[Message](), list[str]()
    for message in messages:
        if message.role is Role.SYSTEM:
            waiting += [message.content] if message.content else []
            continue
        if message.role is Role.USER and waiting:
            message, waiting = replace(message, content=BETWEEN.join([*waiting, message.content])), []
        elif message.role is Role.ASSISTANT:
            folded, waiting = _flush(folded, waiting), []
        folded.append(message)
    return tuple(_flush(folded, waiting))


def _flush(folded: list[Message], waiting: list[str]) -> list[Message]:
    """With the system messages that no user's turn follows."""
    if not waiting:
        return folded
    if folded and folded[-1].role is Role.USER:
        last = folded[-1]
        return [*folded[:-1], replace(last, content=BETWEEN.join([last.content, *waiting]))]
    return [*folded, Message(Role.USER, BETWEEN.join(waiting))]


def _written(tokenizer: Tokenizer, messages: Conversation) -> str:
    """What the template writes; "" where it refuses."""
    try:
        return apply_template(tokenizer, messages, tools=(), thinking=False, add_generation_prompt=True)
    except RenderError:
        return ""
