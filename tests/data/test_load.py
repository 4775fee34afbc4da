"""Rows -> Examples: each task's form, and each fault told with file, line and remedy."""

import json
from pathlib import Path
from typing import Any

import polars
import pytest

from burnish.conversation import Message, Role, Task
from burnish.data import (
    Example,
    TaskForm,
    build_examples,
    canonical_json,
    detect_task,
    fields_of,
    labels_of,
    load_table,
    read_rows,
    system_prompt_of,
)
from burnish.errors import DataError

SYSTEM, USER, ASSISTANT = Role.SYSTEM, Role.USER, Role.ASSISTANT


def write(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def examples(path: Path, task: Task, system: str = "", **options: Any) -> list[Example]:
    table = load_table(path, task, columns=options.pop("columns", {}), **options)
    return build_examples(table, TaskForm(task, system, labels_of(table), fields_of(table)))


def turns(example: Example) -> list[tuple[Role, str]]:
    return [(message.role, message.content) for message in example.messages]


def refusal(path: Path, task: Task, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        examples(path, task, **options)
    return str(caught.value)


def chat(*messages: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


class TestEachTask:
    def test_chat_keeps_its_own_system_message(self, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            chat(("user", " hi "), ("assistant", "ho")),
            chat(("system", "own"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")),
        )
        first, second = examples(path, Task.CHAT, "common")
        assert turns(first) == [(SYSTEM, "common"), (USER, " hi "), (ASSISTANT, "ho")]
        assert turns(second) == [(SYSTEM, "own"), (USER, "a"), (ASSISTANT, "b"), (USER, "c"), (ASSISTANT, "d")]
        assert (first.id, second.id) == ("x.jsonl:1", "x.jsonl:2")
        assert second.prompt == second.messages[:-1]
        assert turns(examples(path, Task.CHAT)[0])[0] == (USER, " hi ")

    @pytest.mark.parametrize("task", [Task.CHAT, Task.COMPLETION])
    def test_pairs(self, tmp_path: Path, task: Task) -> None:
        path = write(tmp_path, {"question": " why? ", "answer": " so. "})
        assert turns(examples(path, task)[0]) == [(USER, "why?"), (ASSISTANT, "so.")]

    def test_classification(self, tmp_path: Path) -> None:
        path = write(
            tmp_path, {"text": "b", "label": " two "}, {"text": "a", "label": 1}, {"text": "c", "label": "two"}
        )
        table = load_table(path, Task.CLASSIFICATION, columns={})
        assert labels_of(table) == ("1", "two")
        assert fields_of(table) == ()
        assert [e.target for e in examples(path, Task.CLASSIFICATION)] == ["two", "1", "two"]
        assert "these labels and nothing else: 1, two." in system_prompt_of(table, labels_of(table), ())

    def test_extraction_has_one_order_of_keys_and_null_for_what_is_missing(self, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            {"text": "a", "fields": {"z": "ü", "n": None}},
            {"text": "b", "fields": '{"m": [1], "z": "q"}'},
            {"text": "c", "fields": {}},
        )
        assert fields_of(load_table(path, Task.EXTRACTION, columns={})) == ("z", "n", "m")
        assert [e.target for e in examples(path, Task.EXTRACTION)] == [
            '{"z":"ü","n":null,"m":null}',
            '{"z":"q","n":null,"m":[1]}',
            '{"z":null,"n":null,"m":null}',
        ]

    def test_dates_in_parquet_become_text(self, tmp_path: Path) -> None:
        frame = polars.DataFrame({"text": ["a"], "day": ["2026-01-31"]}).with_columns(polars.col("day").str.to_date())
        frame.select("text", polars.struct("day").alias("fields")).write_parquet(tmp_path / "x.parquet")
        assert examples(tmp_path / "x.parquet", Task.EXTRACTION)[0].target == '{"day":"2026-01-31"}'

    def test_canonical_json(self) -> None:
        assert canonical_json({"b": 1, "a": {"y": "ß", "x": True}}, ["a", "b", "c"]) == (
            '{"a":{"y":"ß","x":true},"b":1,"c":null}'
        )

    def test_max_rows(self, tmp_path: Path) -> None:
        path = write(tmp_path, *({"text": "a", "label": str(n)} for n in range(5)))
        assert [e.target for e in examples(path, Task.CLASSIFICATION, max_rows=2)] == ["0", "1"]


class TestColumns:
    def test_given_ones_win(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"text": "wrong", "body": "right", "queue": "q", "label": "no"})
        (example,) = examples(path, Task.CLASSIFICATION, columns={"text": "body", "label": "queue"})
        assert (example.prompt[0].content, example.target) == ("right", "q")

    def test_a_column_is_used_once(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"input": "a", "output": "b", "text": "c"})
        (example,) = examples(path, Task.COMPLETION, columns={"completion": "input"})
        assert (example.prompt[0].content, example.target) == ("c", "a")

    def test_missing(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"body": "a", "queue": "b"})
        message = refusal(path, Task.CLASSIFICATION)
        assert message == (
            "x.jsonl: task classification needs text + label; the columns are 'body', 'queue'. "
            'Set data.columns = {text = "...", label = "..."}.'
        )
        assert "needs messages or prompt + completion" in refusal(path, Task.CHAT)

    def test_given_but_absent(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"text": "a", "label": "b"})
        message = refusal(path, Task.CLASSIFICATION, columns={"text": "txt"})
        assert message == "x.jsonl: no column 'txt'. The columns are 'text', 'label'."

    def test_given_for_a_part_that_is_none(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"text": "a", "label": "b"})
        message = refusal(path, Task.CLASSIFICATION, columns={"prompt": "text"})
        assert message == "data.columns: 'prompt' is not a part of a classification row. Its parts are label, text."

    def test_group_by(self, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            *({"text": "a", "label": "b", "who": who} for who in (7, "7", None, "")),
            {"text": "c", "label": "d"},
        )
        groups = [e.group for e in examples(path, Task.CLASSIFICATION, group_by="who")]
        assert groups == ["7", "7", None, None, None], "an empty cell, as in CSV, names no group"
        assert [e.group for e in examples(path, Task.CLASSIFICATION)] == [None] * 5
        message = refusal(path, Task.CLASSIFICATION, group_by="whom")
        assert message == "x.jsonl: no column 'whom' to group by. Mend data.group_by."


USER_THEN = ("user", "a")
CHAT_FAULTS = [
    ({"messages": "hi"}, "`messages` must be a list of {role, content}. Mend the row or remove it."),
    ({"messages": []}, "`messages` must be a list of {role, content}. Mend the row or remove it."),
    ({"messages": ["hi"]}, "message 1 has no role. Each message is {role, content}."),
    (chat(("human", "a")), "message 1 has role 'human'. Use system, user or assistant."),
    (chat(([], "a")), "message 1 has role []. Use system, user or assistant."),  # type: ignore[arg-type]
    (chat(USER_THEN, ("assistant", " ")), "message 2 (assistant) has no text. Add its content or remove the row."),
    (chat(USER_THEN, ("assistant", None)), "message 2 (assistant) has no text. Add its content or remove the row."),
    (chat(USER_THEN, ("system", "b")), "message 2 is a system message. Only the first message can be one."),
    (
        chat(("assistant", "a")),
        "the conversation does not begin with a user message. Add the question or remove the row.",
    ),
    (chat(("system", "a")), "the conversation does not begin with a user message. Add the question or remove the row."),
    (chat(USER_THEN, USER_THEN), "two messages in a row have the same role. Join them or add what is missing between."),
    (chat(USER_THEN), 'the last message has role "user". Add the assistant\'s answer or remove the row.'),
]


class TestFaults:
    @pytest.mark.parametrize(("row", "message"), CHAT_FAULTS)
    def test_chat(self, tmp_path: Path, row: dict[str, Any], message: str) -> None:
        sound = chat(("user", "a"), ("assistant", "b"))
        assert refusal(write(tmp_path, sound, row, sound), Task.CHAT) == f"x.jsonl:2: {message}"

    @pytest.mark.parametrize(
        ("task", "row", "message"),
        [
            (
                Task.COMPLETION,
                {"prompt": " ", "completion": "b"},
                "column 'prompt' is empty. Fill it in or remove the row.",
            ),
            (Task.COMPLETION, {"prompt": "a"}, "column 'completion' is empty. Fill it in or remove the row."),
            (
                Task.COMPLETION,
                {"prompt": "a", "completion": 3},
                "column 'completion' is a int, not text. Fill it in or remove the row.",
            ),
            (Task.CLASSIFICATION, {"text": "a", "label": None}, "the label is empty. Label the row or remove it."),
            (
                Task.CLASSIFICATION,
                {"text": None, "label": "b"},
                "column 'text' is empty. Fill it in or remove the row.",
            ),
            (
                Task.EXTRACTION,
                {"text": "a", "fields": "[1]"},
                "column 'fields' holds no JSON object. Write {} if there is nothing to extract.",
            ),
            (
                Task.EXTRACTION,
                {"text": "a", "fields": "{"},
                "column 'fields' holds no JSON object. Write {} if there is nothing to extract.",
            ),
            (
                Task.EXTRACTION,
                {"text": "a"},
                "column 'fields' holds no JSON object. Write {} if there is nothing to extract.",
            ),
        ],
    )
    def test_the_other_tasks(self, tmp_path: Path, task: Task, row: dict[str, Any], message: str) -> None:
        sound = {"text": "t", "label": "l", "fields": {}, "prompt": "p", "completion": "c"}
        assert refusal(write(tmp_path, sound, row), task) == f"x.jsonl:2: {message}"

    def test_all_at_once_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"text": "a", "label": "b"}, {"text": "", "label": ""}, [1], {"text": 3, "label": "b"})
        lines = refusal(path, Task.CLASSIFICATION).splitlines()
        assert lines[0] == "x.jsonl: 3 rows cannot be used:"
        assert [line.split(":")[1] for line in lines[1:]] == ["2", "2", "3", "4"]

    def test_a_long_list_is_cut(self, tmp_path: Path) -> None:
        lines = refusal(write(tmp_path, *[{"text": "", "label": "b"}] * 30), Task.CLASSIFICATION).splitlines()
        assert lines[0] == "x.jsonl: 30 rows cannot be used:"
        assert len(lines) == 22
        assert lines[-1].strip() == "... and 10 more"

    def test_an_answer_that_the_form_does_not_know(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"text": "a", "label": "b", "fields": {"k": 1}})
        for task, message in (
            (Task.CLASSIFICATION, "x.jsonl:1: label 'b' is not one of prompt.labels. Mend the row or the list."),
            (Task.EXTRACTION, "x.jsonl:1: field 'k' is not one of prompt.fields. Mend the row or the list."),
        ):
            with pytest.raises(DataError) as caught:
                build_examples(load_table(path, task, columns={}), TaskForm(task, "", ("x",), ("y",)))
            assert str(caught.value) == message


class TestDetection:
    @pytest.mark.parametrize(
        ("rows", "task"),
        [
            ([chat(("user", "a"), ("assistant", "b"))], Task.CHAT),
            ([{"text": "a", "fields": {"x": 1}}], Task.EXTRACTION),
            ([{"body": str(n), "Intent": "ab"[n % 2]} for n in range(6)], Task.CLASSIFICATION),
            ([{"question": str(n), "answer": f"{n} is right"} for n in range(9)], Task.COMPLETION),
        ],
    )
    def test_each_task(self, tmp_path: Path, rows: list[Any], task: Task) -> None:
        found, why = detect_task(read_rows(write(tmp_path, *rows))[0])
        assert found is task
        assert why

    def test_nothing_fits(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"the columns 'x', 'y' fit no task\. Use messages; text \+ label"):
            detect_task(read_rows(write(tmp_path, {"x": 1, "y": 2}))[0])


def test_what_is_asked_decides_about_duplicates_not_the_instruction() -> None:
    one = Example("a", (Message(SYSTEM, "s"), Message(USER, "Where  is\tIT?"), Message(ASSISTANT, "x")))
    two = Example("b", (Message(USER, " where is it? "), Message(ASSISTANT, "y")))
    three = Example("c", (Message(USER, "where is it"), Message(ASSISTANT, "y")))
    assert one.duplicate_key == two.duplicate_key != three.duplicate_key
