"""Rows -> Examples: each task's form, and each fault told with file, line and remedy."""

import json
from pathlib import Path
from typing import Any, ClassVar

import polars
import pytest

from burnish.conversation import Message, Role, Task
from burnish.data import (
    Example,
    TaskForm,
    build_examples,
    canonical_json,
    check_answers,
    fields_of,
    labels_of,
    load_table,
    refuse_errors,
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
    refuse_errors(table.findings)
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
            'The first row is {"body": "a", "queue": "b"}. Set data.columns = {text = "...", label = "..."}.'
        )
        message = refusal(path, Task.CHAT)
        assert "needs input + preferred_output + non_preferred_output or chosen + rejected or messages or" in message

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
        assert message == "x.jsonl: no column 'whom'. Mend data.group_by."


class TestFaults:
    def test_one_is_told_with_its_line_and_remedy(self, tmp_path: Path) -> None:
        sound = chat(("user", "a"), ("assistant", "b"))
        assert refusal(write(tmp_path, sound, chat(("user", "a")), sound), Task.CHAT) == (
            "x.jsonl:2: no message is from the assistant. Add the assistant's answer."
        )

    @pytest.mark.parametrize(
        ("task", "row", "check", "message"),
        [
            (Task.COMPLETION, {"prompt": " ", "completion": "b"}, "empty_content", "column 'prompt' is empty."),
            (Task.COMPLETION, {"prompt": "a"}, "missing_content", "column 'completion' has no content."),
            (
                Task.COMPLETION,
                {"prompt": "a", "completion": ["b"]},
                "non_string_content",
                "column 'completion' is a list, not text.",
            ),
            (Task.CLASSIFICATION, {"text": "a", "label": None}, "null_content", "column 'label' is null."),
            (Task.CLASSIFICATION, {"text": "a", "label": " "}, "empty_assistant", "column 'label' is empty."),
            (Task.CLASSIFICATION, {"text": None, "label": "b"}, "null_content", "column 'text' is null."),
            (
                Task.EXTRACTION,
                {"text": "a", "fields": "[1]"},
                "fields_not_an_object",
                "column 'fields' holds a list. Give it a name, as in {\"items\": [...]}.",
            ),
            (
                Task.EXTRACTION,
                {"text": "a", "fields": "{"},
                "fields_not_an_object",
                "column 'fields' holds no JSON object.",
            ),
            (Task.EXTRACTION, {"text": "a"}, "fields_not_an_object", "column 'fields' holds no JSON object."),
        ],
    )
    def test_the_flat_formats(self, tmp_path: Path, task: Task, row: dict[str, Any], check: str, message: str) -> None:
        sound = {"text": "t", "label": "l", "fields": {}, "prompt": "p", "completion": "c"}
        path = write(tmp_path, *[{key: sound[key] for key in row} | sound] * 2, row)
        table = load_table(path, task, columns={})
        assert [(f.row, f.check, f.message) for f in table.findings] == [("x.jsonl:3", check, message)]
        assert [r.line for r in table.rows] == [1, 2]

    def test_a_file_without_rows(self, tmp_path: Path) -> None:
        table = load_table(write(tmp_path), Task.CLASSIFICATION, columns={})
        assert (table.rows, table.detection, [f.check for f in table.findings]) == ([], None, ["empty_file"])
        assert (labels_of(table), fields_of(table), build_examples(table, TaskForm(table.task, ""))) == ((), (), [])
        assert refusal(write(tmp_path), Task.CHAT).startswith("x.jsonl: the file is empty. Each row is one example")

    def test_all_at_once_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"text": "a", "label": "b"}, {"text": "", "label": ""}, [1], {"text": [3], "label": "b"})
        lines = refusal(path, Task.CLASSIFICATION).splitlines()
        assert lines[0] == "3 rows cannot be used:"
        assert [line.split(":")[1] for line in lines[1:]] == ["2", "2", "3", "4"]

    def test_a_long_list_is_cut(self, tmp_path: Path) -> None:
        lines = refusal(write(tmp_path, *[{"text": "", "label": "b"}] * 30), Task.CLASSIFICATION).splitlines()
        assert lines[0] == "30 rows cannot be used:"
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


class TestAnswers:
    SCHEMA: ClassVar = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    def test_a_declared_schema(self, tmp_path: Path) -> None:
        path = write(
            tmp_path, *({"prompt": "a", "completion": c} for c in ('{"n": 1}', '{"n": "one"}', "{}", "n is 1"))
        )
        table = load_table(path, Task.COMPLETION, columns={})
        found = check_answers(table, TaskForm(Task.COMPLETION, ""), self.SCHEMA)
        assert [(f.row, f.check, f.message) for f in found] == [
            ("x.jsonl:2", "breaks_schema", "the answer's $.n: 'one' is not of type 'integer'."),
            ("x.jsonl:3", "breaks_schema", "the answer's $: 'n' is a required property."),
            ("x.jsonl:4", "breaks_schema", "the answer is not JSON."),
        ]

    def test_labels_outside_the_declared_set(self, tmp_path: Path) -> None:
        path = write(tmp_path, *({"text": "a", "label": label} for label in ("x", "y", "x ")))
        table = load_table(path, Task.CLASSIFICATION, columns={})
        found = check_answers(table, TaskForm(Task.CLASSIFICATION, "", ("x",)))
        assert [(f.row, f.check) for f in found] == [("x.jsonl:2", "unknown_label")]


class TestTimes:
    def test_their_order_is_that_of_the_texts(self, tmp_path: Path) -> None:
        times = ["2026-01-31", "2026-01-31T12:00:00+02:00", "2026-01-31 11:00", "2026-02-01T00:00:00Z"]
        path = write(tmp_path, *({"text": "a", "label": "b", "day": time} for time in times))
        found = [e.time for e in examples(path, Task.CLASSIFICATION, time_by="day")]
        assert found == sorted(t for t in found if t)
        times = [9, 10.5, "1700000000", None, ""]
        path = write(tmp_path, *({"text": "a", "label": "b", "day": time} for time in times))
        assert [e.time and float(e.time) for e in examples(path, Task.CLASSIFICATION, time_by="day")] == [
            9, 10.5, 1.7e9, None, None,
        ]  # fmt: skip

    @pytest.mark.parametrize("time", ["yesterday", "31.01.2026", -1, True, [1]])
    def test_what_is_no_time_is_named(self, tmp_path: Path, time: Any) -> None:
        path = write(tmp_path, {"text": "a", "label": "b", "day": time})
        assert "x.jsonl:1: " in refusal(path, Task.CLASSIFICATION, time_by="day")
        assert "in column 'day' is no time. Write it by ISO 8601" in refusal(path, Task.CLASSIFICATION, time_by="day")


def test_what_is_asked_decides_about_duplicates_not_the_instruction() -> None:
    one = Example("a", (Message(SYSTEM, "s"), Message(USER, "Where  is\tIT?"), Message(ASSISTANT, "x")))
    two = Example("b", (Message(USER, " where is it? "), Message(ASSISTANT, "y")))
    three = Example("c", (Message(USER, "where is it"), Message(ASSISTANT, "y")))
    assert one.duplicate_key == two.duplicate_key != three.duplicate_key


def test_a_text_that_answers_nothing_stands_for_itself() -> None:
    one, two = (Example(text, (Message(ASSISTANT, text),)) for text in ("a", "b"))
    assert (one.asked, one.prompt) == ("a", ())
    assert one.duplicate_key != two.duplicate_key
