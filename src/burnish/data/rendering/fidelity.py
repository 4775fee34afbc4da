"""Whether a chat template writes what it is given, and the prompt of training as that of inference."""

import json

from burnish.conversation import Conversation, Message, Role

THOUGHT_END = "</think>"


def answer_behind(asked: Message, prompt: str, whole: str) -> str | None:
    """The answer in a template's text whose earlier part is not the prompt; None where it cannot be told.

    Mistral's template, for one, writes the system message into the last message if that is the user's, and nowhere
    once an answer follows. Such an answer stands behind the words that were asked and the generation prompt.
    """
    words = asked.content.strip()
    if not words or words not in prompt:
        return None
    _, found, answer = whole.rpartition(prompt[prompt.rfind(words) :])
    return answer if found else None


def describe_difference(prompt: str, whole: str) -> str:
    same = next(
        (i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), min(len(prompt), len(whole))
    )
    return (
        "the chat template renders the conversation differently for training and for inference: "
        f"{whole[same : same + 30]!r} where the prompt has {prompt[same : same + 30]!r}."
    )


def left_out(before: Conversation, prompt: str, answer: Message, answer_text: str) -> str | None:
    """The first text that the template does not write. Earlier thoughts are its own affair, and so is a system
    message, which may hold switches for the template."""
    for message in before:
        if message.role in (Role.USER, Role.TOOL) and not _is_in(message.content, prompt):
            return f"the {message.role.value} message {message.content.strip()[:40]!r}"
    for call in answer.tool_calls:
        if call.name not in answer_text:
            return f"the call of {call.name!r}"
    if (thought := thought_of(answer.content)) and not _is_in(thought, answer_text):
        return f"the thought {thought[:40]!r}"
    said = answer.content.rpartition(THOUGHT_END)[2]
    return None if _is_in(said, answer_text) else f"the answer {said.strip()[:40]!r} as it stands"


def thought_of(answer: str) -> str:
    """The thought that an answer begins with, without its marks; "" if it has none or an empty one."""
    return answer.rpartition(THOUGHT_END)[0].replace("<think>", "").strip()


def _is_in(content: str, text: str) -> bool:
    """Whether the content was written, as it stands or as JSON."""
    words = content.strip()
    return words in text or any(json.dumps(words, ensure_ascii=is_ascii)[1:-1] in text for is_ascii in (False, True))
