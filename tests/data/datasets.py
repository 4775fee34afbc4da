"""The public datasets beside the repository, as examples; tests that need them skip where they are absent."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Conversation, Message, Role, build_conversation, from_dicts
from burnish.data import Example

DATASETS = Path(__file__).parents[3] / "shared" / "data"
needs_datasets = pytest.mark.skipif(not DATASETS.is_dir(), reason="needs the datasets beside the repository")


def question(text: str, answer: str, *, row: str = "f:1", system: str = "", group: str | None = None) -> Example:
    return Example(row, build_conversation(system, (Role.USER, text), (Role.ASSISTANT, answer)), group)


def questions(*pairs: tuple[str, str], file: str = "f") -> list[Example]:
    return [question(text, answer, row=f"{file}:{n}") for n, (text, answer) in enumerate(pairs, start=1)]


def dataset(name: str) -> list[Example]:
    """The examples of `name`, such as "banking77/train.jsonl"; rows that are no sound example are left out."""
    examples = []
    for line, text in enumerate((DATASETS / name).read_bytes().split(b"\n"), start=1):
        try:
            messages = _messages(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if _is_sound(messages):
            examples.append(Example(f"{Path(name).name}:{line}", messages))
    return examples


def _messages(row: dict[str, Any]) -> Conversation:
    if "messages" in row:
        return from_dicts(row["messages"])
    if "label" in row:
        asked, answer = row["text"].strip(), row["label"]
    elif "fields" in row:
        asked, answer = row["text"].strip(), json.dumps(row["fields"], sort_keys=True)
    elif "question" in row:
        asked, answer = row["question"], row["answer"]
    else:
        asked, answer = row["prompt"], row["completion"]
    return build_conversation("", (Role.USER, asked), (Role.ASSISTANT, answer))


def _is_sound(messages: tuple[Message, ...]) -> bool:
    texts = all(isinstance(message.content, str) and message.content.strip() for message in messages)
    return texts and len(messages) > 1 and messages[-1].role is Role.ASSISTANT
