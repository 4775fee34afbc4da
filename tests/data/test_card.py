"""The card's numbers are those of the rows; what is not known is null, and the whole is JSON."""

import json
from typing import Any

import pytest

from burnish.conversation import Role, Task, build_conversation
from burnish.data import Check, Example, RenderedExample, Severity, Split
from burnish.data.card import MAX_BINS, build_card, describe_tokens

EMPTY = Check("empty_answer", Severity.ERROR, "a row without an answer", "Write it, or remove the row.")
COPY = Check("duplicate_row", Severity.WARNING, "the same row again", "Remove it.")


def rendered(prompt: int, answer: int) -> RenderedExample:
    mask = (False,) * prompt + (True,) * answer
    return RenderedExample("f:1", tuple(range(prompt + answer)), mask, prompt)


def row(line: int, label: str) -> Example:
    return Example(f"f:{line}", build_conversation("", (Role.USER, f"ask {line}"), (Role.ASSISTANT, label)))


SPLIT = Split([row(1, "a"), row(2, "b"), row(3, "b")], [row(4, "a")], [row(5, "b")], removed=["f:9"])


def card(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"task": Task.CLASSIFICATION, "sha256": {"f": "ab"}} | changes
    parts = {"train": [rendered(10, 2), rendered(20, 3), rendered(400, 4)], "validation": [rendered(30, 1)]}
    findings = [COPY.found("a copy.", "f:7"), EMPTY.found("empty.", "f:8"), COPY.found("a copy.", "f:6")]
    return build_card(SPLIT, parts, findings, **given)


def test_rows_labels_and_hashes() -> None:
    made = card()
    assert made["rows"] == {"train": 3, "validation": 1, "test": 1, "left_out": 1}
    assert made["labels"] == [
        {"label": "b", "train": 2, "validation": 0, "test": 1},
        {"label": "a", "train": 1, "validation": 1, "test": 0},
    ]
    assert made["sha256"] == {"f": "ab"}
    assert json.loads(json.dumps(made)) == made


def test_what_is_not_known_is_null() -> None:
    made = card(task=Task.CHAT)
    assert (made["labels"], made["languages"], made["estimate"]) == (None, None, None)
    assert card(languages={}, estimate={"seconds": 3})["languages"] == {}


def test_lengths_are_those_of_prompt_and_answer() -> None:
    tokens = card()["tokens"]
    assert tokens["prompt"] == {"min": 10, "median": 20, "p95": 400, "max": 400, "sum": 460}
    assert tokens["answer"] == {"min": 1, "median": 2, "p95": 4, "max": 4, "sum": 10}
    assert describe_tokens([]) is None


@pytest.mark.parametrize("longest", [1, 2, 23, 24, 25, 999, 1000, 4096, 123_457])
def test_every_length_is_in_one_of_few_round_bins(longest: int) -> None:
    tokens = describe_tokens([rendered(longest, 1), rendered(1, 1)])
    assert tokens is not None
    histogram = tokens["histogram"]
    edges = histogram["edges"]
    assert sum(histogram["prompt"]) == sum(histogram["answer"]) == 2
    assert len(edges) - 1 == len(histogram["prompt"]) <= MAX_BINS
    assert edges[0] == 0 and edges[-2] <= longest < edges[-1]
    assert str(edges[1]).rstrip("0") in ("1", "2", "5")


def test_findings_by_check_errors_first() -> None:
    empty, copies = card()["checks"]
    assert (empty["check"], empty["severity"], empty["count"], empty["done"]) == ("empty_answer", "error", 1, None)
    assert (copies["count"], copies["rows"]) == (2, ["f:7", "f:6"])
    assert (copies["meaning"], copies["remedy"]) == ("the same row again", "Remove it.")
    assert copies["done"] == "kept on one side of the split"
