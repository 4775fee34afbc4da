"""Formats: each is recognised with a reason, and each row reads as the conversation that it means."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Message, Role, Task, ToolCall
from burnish.data import (
    Detection,
    Example,
    Row,
    TaskForm,
    build_examples,
    detect_format,
    fields_of,
    labels_of,
    load_table,
    refuse_errors,
)
from burnish.errors import DataError

SYSTEM, USER, ASSISTANT, TOOL = Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL
ASKED = {"role": "user", "content": "q"}
BETTER, WORSE = ({"role": "assistant", "content": text} for text in "ab")
TURNS = [Message(USER, "q"), Message(ASSISTANT, "a")]
FROM = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


def detect(*rows: dict[str, Any], **options: Any) -> Detection:
    return detect_format([Row("x", n, row) for n, row in enumerate(rows, start=1)], name="x", **options)


def examples(tmp_path: Path, *rows: dict[str, Any], columns: dict[str, str] | None = None) -> list[Example]:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = detect(*rows, given=columns).task
    table = load_table(path, task, columns=columns or {})
    refuse_errors(table.findings)
    return build_examples(table, TaskForm(task, "", labels_of(table), fields_of(table)))


@pytest.mark.parametrize(
    ("row", "name", "task", "messages"),
    [
        ({"messages": [ASKED, BETTER]}, "chat", Task.CHAT, TURNS),
        ({"conversations": [ASKED, BETTER]}, "chat", Task.CHAT, TURNS),
        ({"messages": json.dumps([ASKED, BETTER])}, "chat", Task.CHAT, TURNS),
        ({"conversations": FROM}, "sharegpt", Task.CHAT, TURNS),
        ({"messages": FROM, "system": "s"}, "sharegpt", Task.CHAT, [Message(SYSTEM, "s"), *TURNS]),
        ({"prompt": "q", "completion": "a"}, "prompt_completion", Task.COMPLETION, TURNS),
        ({"prompt": [ASKED], "completion": [BETTER]}, "prompt_completion", Task.COMPLETION, TURNS),
        ({"question": "q", "answer": "a"}, "question_answer", Task.COMPLETION, TURNS),
        ({"instruction": "q", "output": "a"}, "alpaca", Task.COMPLETION, TURNS),
        ({"instruction": "q", "input": " ", "output": "a"}, "alpaca", Task.COMPLETION, TURNS),
        (
            {"instruction": "do", "input": "this", "output": "a"},
            "alpaca", Task.COMPLETION, [Message(USER, "do\n\nthis"), TURNS[1]],
        ),
        ({"text": "q", "label": "a"}, "text_label", Task.CLASSIFICATION, TURNS),
        ({"text": "q", "fields": {"k": 1}}, "text_fields", Task.EXTRACTION, [TURNS[0], Message(ASSISTANT, '{"k":1}')]),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference", Task.CHAT, TURNS),
        ({"prompt": [ASKED], "chosen": [BETTER], "rejected": [WORSE]}, "preference", Task.CHAT, TURNS),
        ({"prompt": "q", "chosen": [ASKED, BETTER], "rejected": [ASKED, WORSE]}, "preference", Task.CHAT, TURNS),
        ({"chosen": [ASKED, BETTER], "rejected": [ASKED, WORSE]}, "preference", Task.CHAT, TURNS),
        (
            {"input": {"messages": [ASKED]}, "preferred_output": [BETTER], "non_preferred_output": [WORSE]},
            "preference_openai", Task.CHAT, TURNS,
        ),
        ({"text": "a", "url": "https://example.com"}, "text", Task.COMPLETION, TURNS[1:]),
    ],
)  # fmt: skip
def test_each_format(tmp_path: Path, row: dict[str, Any], name: str, task: Task, messages: list[Message]) -> None:
    found = detect(row, row)
    assert (found.format.name, found.task) == (name, task)
    assert found.reason.startswith(f"2 of 2 rows hold {found.format.meaning}")
    (example,) = examples(tmp_path, row)
    assert list(example.messages) == messages
    assert example.rejected == ("b" if name.startswith("preference") else None)


def test_roles_of_other_dialects(tmp_path: Path) -> None:
    roles = ["system", "human", "function_call", "observation", "gpt", "user", "chatgpt"]
    call = json.dumps({"name": "f", "arguments": {"x": 1}})
    turns = [{"from": role, "value": call if role == "function_call" else role} for role in roles]
    (example,) = examples(tmp_path, {"conversations": turns})
    assert [m.role for m in example.messages] == [SYSTEM, USER, ASSISTANT, TOOL, ASSISTANT, USER, ASSISTANT]
    assert example.messages[2].tool_calls == (ToolCall("", "f", '{"x": 1}'),)
    openai = [{"role": "developer", "content": "s"}, ASKED, {"role": "assistant", "content": "a"}]
    assert examples(tmp_path, {"messages": openai})[0].messages[0] == Message(SYSTEM, "s")


@pytest.mark.parametrize(
    ("said", "answered", "tools"),
    [
        (
            {"content": None, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
            {"role": "tool", "tool_call_id": "c", "content": "7"},
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
        ),
        (
            {"content": "", "function_call": {"name": "f", "arguments": '{"x": 1}'}},
            {"role": "function", "name": "f", "content": "7"},
            {"functions": [{"name": "f"}]},
        ),
        (
            {"tool_calls": [{"name": "f", "arguments": {"x": 1}}]},
            {"role": "tool", "content": "7"},
            {"tools": '[{"name": "f"}]'},
        ),
    ],
)  # fmt: skip
def test_tools(tmp_path: Path, said: Any, answered: Any, tools: Any) -> None:
    row = {"messages": [ASKED, {"role": "assistant", **said}, answered, {**BETTER, "weight": 1}], **tools}
    (example,) = examples(tmp_path, row)
    call, answer = example.messages[1:3]
    assert [(c.name, c.arguments) for c in call.tool_calls] == [("f", '{"x": 1}')]
    assert (call.content, answer.role, answer.content) == ("", TOOL, "7")
    assert [json.loads(tool) for tool in example.tools] == [{"type": "function", "function": {"name": "f"}}]


def test_names_weights_and_parts_of_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "q"}, {"type": "text", "text": "!"}]
    messages = [{"role": "user", "name": "n", "content": parts}, {**BETTER, "weight": 0}, ASKED, BETTER]
    (example,) = examples(tmp_path, {"messages": messages})
    assert example.messages[0] == Message(USER, "q!", name="n")
    assert [message.is_learned for message in example.messages] == [True, False, True, True]


def test_reading_a_row_leaves_it_as_it_is() -> None:
    row = {"instruction": [{"role": "user", "content": "do"}], "input": "this", "output": "a"}
    before = json.dumps(row)
    found = detect(row)
    drafts = [found.format.draft(row, found.columns) for _ in range(2)]
    assert drafts[0].messages[0]["content"] == drafts[1].messages[0]["content"] == "do\n\nthis"
    assert json.dumps(row) == before


class TestDetection:
    def test_most_rows_decide(self) -> None:
        rows = [{"messages": [ASKED, BETTER]}] * 3 + [{"prompt": "q", "completion": "a"}] * 2
        found = detect(*rows)
        assert (found.format.name, found.reason) == ("chat", "3 of 5 rows hold messages of role and content")

    def test_texts_with_many_values_are_answers_and_not_labels(self) -> None:
        rows = [{"input": str(n), "output": f"{n} is right"} for n in range(9)]
        assert detect(*rows).format.name == "prompt_completion"
        assert detect(*rows, task=Task.CLASSIFICATION).format.name == "text_label"
        found = detect(*({"input": str(n), "output": "ab"[n % 2]} for n in range(9)))
        assert found.format.name == "text_label"
        assert found.reason == "9 of 9 rows hold a text and a label, and 'output' has 2 different values"
        assert detect(*({"text": str(n), "label": str(n)} for n in range(9))).format.name == "text_label"

    def test_a_text_beside_something_else_is_not_learned_alone(self) -> None:
        with pytest.raises(
            DataError, match=r"the columns are 'text', 'summary'\. The first row is .*\. Set data\.columns = "
        ):
            detect({"text": "q", "summary": "a"})
        assert detect({"text": "q", "summary": "a"}, given={"text": "text"}, task=Task.COMPLETION).format.name == "text"

    def test_columns_that_are_given_win(self) -> None:
        row = {"messages": [ASKED, BETTER], "body": "q", "completion": "a"}
        found = detect(row, given={"prompt": "body"}, task=Task.CHAT)
        assert (found.format.name, dict(found.columns.by_part)) == (
            "prompt_completion", {"prompt": "body", "completion": "completion"},
        )  # fmt: skip
        assert found.unused == ("messages",)

    def test_what_is_told(self) -> None:
        rows = [{"prompt": "q", "chosen": "a", "rejected": "b", "who": 1}] * 2
        assert str(detect(*rows)) == (
            "preference for task chat, because 2 of 2 rows hold a prompt with a chosen and a rejected answer; columns "
            "prompt = 'prompt', chosen = 'chosen', rejected = 'rejected' (not used: who); "
            "the better answers are learned"
        )

    def test_nothing_fits(self) -> None:
        with pytest.raises(DataError, match=r"x: no format fits: one needs input \+ .* the columns are 'x', 'y'\."):
            detect({"x": 1, "y": 2})

    def test_parts_of_different_formats(self) -> None:
        with pytest.raises(DataError, match=r"no format of chat has all of messages, prompt\. Name fewer\."):
            detect({"a": 1, "b": 2}, given={"messages": "a", "prompt": "b"}, task=Task.CHAT)
