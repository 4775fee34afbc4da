"""The findings about private data: a row and kind each, nothing of the value repeated, no false alarm on real data."""

import json
from pathlib import Path

import pytest

from burnish.conversation import Message, Role, ToolCall, build_conversation, from_dicts
from burnish.data import Example, Finding
from burnish.data.privacy import PRIVACY_CHECKS, PrivateKind, check_privacy, mask
from tests.public_data import dataset

CARD = "4111 1111 1111 1111"


def example(asked: str, answer: str = "fine", system: str = "", line: int = 1) -> Example:
    return Example(f"f:{line}", build_conversation(system, (Role.USER, asked), (Role.ASSISTANT, answer)))


def told(*examples: Example) -> list[tuple[str, str | None, str]]:
    return [(finding.check, finding.row, finding.message) for finding in check_privacy(examples)]


def chat_examples(path: Path) -> list[Example]:
    """The rows that can be read, as they are."""
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            found.append(Example(f"{path.name}:{number}", from_dicts(json.loads(line)["messages"])))
        except (ValueError, KeyError, TypeError):
            continue
    return [row for row in found if row.messages and all(isinstance(m.content, str) for m in row.messages)]


def test_one_finding_for_each_row_and_kind() -> None:
    row = example(f"card {CARD}, write to jane@example.com or max@example.com", "jane@example.com")
    assert told(row) == [
        ("pii_card", "f:1", "this row holds a payment card number (4111…)."),
        ("pii_email", "f:1", "this row holds 2 e-mail addresses (jane…, max…)."),
    ]


def test_a_system_message_that_rows_share_is_told_once() -> None:
    rows = [example("hello", system="Ask jane@example.com.", line=n) for n in range(1, 4)]
    (finding,) = check_privacy(rows)
    assert finding.message == "the system message of 3 rows holds an e-mail address (jane…)."
    assert (finding.row, finding.related) == ("f:1", ("f:2", "f:3"))


def test_tool_calls_and_rejected_answers_are_read() -> None:
    call = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "pay", json.dumps({"card": CARD})),))
    row = Example("f:1", (Message(Role.USER, "pay"), call), rejected="write to jane@example.com")
    assert [kind for kind, _, _ in told(row)] == ["pii_card", "pii_email"]


@pytest.mark.parametrize("value", [CARD, "jane.roe@example.com", "54362315-K", "a@b.io", "ghp_" + "a1B2" * 9])
def test_a_mask_shows_a_quarter_at_most(value: str) -> None:
    shown = mask(value).removesuffix("…")
    assert value.startswith(shown) and len(shown) <= min(4, len(value) / 4)


def test_every_kind_has_a_check_of_its_id() -> None:
    assert {kind: check.id for kind, check in PRIVACY_CHECKS.items()} == {kind: kind.value for kind in PrivateKind}


@pytest.mark.parametrize("name", ["pii.jsonl", "mixed.jsonl", "clean.jsonl"])
def test_messy_files_have_exactly_what_is_expected(name: str) -> None:
    expected = json.loads(dataset("messy/expectations.json").read_text())[name]
    wanted = {(f["problem"], f"{name}:{f['line']}") for f in expected if f["problem"].startswith(("pii_", "secret"))}
    assert {(f.check, f.row) for f in check_privacy(chat_examples(dataset(f"messy/{name}")))} == wanted


@pytest.mark.parametrize("name", ["bank_chat/train.jsonl", "banking77/train.jsonl", "restaurant8k/train.jsonl"])
def test_real_questions_hold_nothing_private(name: str) -> None:
    assert find_in_dataset(name) == []


def test_medquad_holds_the_contacts_of_institutes() -> None:
    found = find_in_dataset("medquad/test.jsonl") + find_in_dataset("medquad/train.jsonl")
    assert {finding.check for finding in found} == {"pii_email", "pii_phone"}
    assert len(found) == 22


def find_in_dataset(name: str) -> list[Finding]:
    rows = [json.loads(line) for line in dataset(name).read_text().split("\n") if line]
    texts = [row.get("text") or json.dumps(row, ensure_ascii=False) for row in rows]
    return check_privacy([example(text, line=n) for n, text in enumerate(texts, start=1)])
