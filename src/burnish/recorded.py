"""Answers of a hosted model that were recorded (`burnish record`), as an arm that the specialist is held against."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, to_dicts
from burnish.data import Example
from burnish.errors import DataError, RecipeError
from burnish.files import sha256_of_json


@dataclass(frozen=True, kw_only=True)
class RecordedAnswer:
    """A line of the file: who was asked what, and what came of it."""

    id: str
    """Of the example, "file:line"."""
    prompt_sha256: str
    model: str
    host: str
    """Of the endpoint, without path, user or key."""
    prompt: list[dict[str, Any]]
    answer: str
    tool_calls: list[dict[str, Any]] | None = None
    """As they came; the arm compares texts, not calls."""
    latency_s: float
    """From the request to the whole answer, the network included; of the request that succeeded."""
    prompt_tokens: int | None
    """As the endpoint counts; None where it does not say."""
    completion_tokens: int | None
    finish_reason: str | None
    recorded_at: str

    def to_dict(self) -> dict[str, Any]:
        """The line as it is written."""
        row = asdict(self)
        return row if self.tool_calls else {key: value for key, value in row.items() if key != "tool_calls"}


def hash_prompt(prompt: Conversation, tools: Sequence[str] = ()) -> str:
    """Equal for what a model cannot tell apart: the messages, and the tools that it may call.

    By this, not by its place in a file, an answer finds its row again.
    """
    asked: list[Any] = [wire_messages(prompt)]
    return sha256_of_json([*asked, [json.loads(tool) for tool in tools]] if tools else asked)


def wire_messages(prompt: Conversation) -> list[dict[str, Any]]:
    """The prompt as an endpoint is given it; `weight` is a word of training files."""
    return [{key: value for key, value in row.items() if key != "weight"} for row in to_dicts(prompt)]


def read_recorded(path: Path) -> dict[str, RecordedAnswer]:
    """The answers of a file by the hash of their prompts; of one that was asked twice the later answer.

    A last line that is torn, because the recording was stopped while it was written, is left out.

    Raises:
        DataError: the file cannot be read, or a line of it is no recorded answer.
    """
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). `burnish record` makes such a file.") from None
    answers = dict[str, RecordedAnswer]()
    for number, line in enumerate(lines, start=1):
        try:
            answer = RecordedAnswer(**json.loads(line))
            if not isinstance(answer.answer, str) or not isinstance(answer.latency_s, int | float):
                raise TypeError
            answers[answer.prompt_sha256] = answer
        except (ValueError, TypeError):
            raise DataError(
                f"{path}:{number}: no answer of `burnish record`. Remove the line, or name another."
            ) from None
    return answers


def find_recorded(path: Path, test: Sequence[Example], recipe_name: str = "RECIPE") -> list[RecordedAnswer]:
    """The answer to each test row, in order.

    Raises:
        RecipeError: the file cannot be used, has answers of several models, or lacks some of the test rows.
    """
    try:
        answers = read_recorded(path)
    except DataError as error:
        raise RecipeError(f"evaluate.recorded: {error}") from None
    models = sorted({f"{answer.model} at {answer.host}" for answer in answers.values()})
    if len(models) > 1:
        raise RecipeError(
            f"evaluate.recorded: {path} has answers of {' and of '.join(models)}. Give each its own file."
        )
    hashes = [hash_prompt(example.prompt, example.tools) for example in test]
    if num_missing := sum(value not in answers for value in hashes):
        model = next(iter(answers.values())).model if answers else "MODEL"
        raise RecipeError(
            f"evaluate.recorded: {path} has no answer to {num_missing} of the {len(test)} test rows. Record them with "
            f"`burnish record {recipe_name} --test-only --model {model} --base-url URL --output {path}`."
        )
    return [answers[value] for value in hashes]
