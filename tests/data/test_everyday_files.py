"""Files as people have them are read by `burnish check`, and what was guessed about them is told."""

import json
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import polars
import pytest

from burnish.cli.main import main
from burnish.conversation import Task
from burnish.data import build_examples, detect_file, labels_of, load_table, read_rows
from burnish.data.build import TaskForm
from tests.data.workbooks import Fault, Shown, write_workbook

ROWS = [{"text": f"the lamp {n} is dark", "label": "ab"[n % 2]} for n in range(20)]
LINES = "".join(f"{row['text']},{row['label']}\n" for row in ROWS)
NUMBERED = "".join(f"{n},{row['text']},{row['label']}\n" for n, row in enumerate(ROWS))
CELLS = [list(row.values()) for row in ROWS]


def check(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What `burnish check FILE --quick` prints."""
    with chdir(path.parent), pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(sys, "argv", ["burnish", "check", path.name, "--quick", *more])
        main()
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


SHAPES: dict[str, tuple[str, str]] = {
    "index.csv": (",text,label\n" + NUMBERED, "unnamed_column"),
    "sep.csv": ("sep=;\ntext;label\n" + LINES.replace(",", ";"), "separator"),
    "pipe.csv": ("text|label\n" + LINES.replace(",", "|"), "separator"),
    "tabs.csv": ("text\tlabel\n" + LINES.replace(",", "\t"), "separator"),
    "commas.tsv": ("text,label\n" + LINES, "separator"),
    "trailing.csv": ("text,label,,\n" + LINES.replace("\n", ",,\n"), "unnamed_column"),
    "title.csv": ("Export of tickets,\n,\nText ,LABEL\n" + LINES, "title_rows"),
    "strange_title.csv": ("Our export\nwords,text,label\n" + NUMBERED, "title_rows"),
    "twice.csv": ("text,label,label\n" + LINES.replace("\n", ",z\n"), "repeated_column"),
    "wrapped.json": (json.dumps({"version": 1, "data": ROWS}), "json_shape"),
    "deep.json": (json.dumps({"message": "ok", "result": {"items": ROWS}}), "json_shape"),
    "columns.json": (json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}), "json_shape"),
    "pandas.json": (json.dumps({key: {n: row[key] for n, row in enumerate(ROWS)} for key in ROWS[0]}), "json_shape"),
    "index.json": (json.dumps({str(n): row for n, row in enumerate(ROWS)}), "json_shape"),
    "split.json": (
        json.dumps({"columns": ["text", "label"], "index": list(range(20)), "data": CELLS}),
        "json_shape",
    ),
    "cells.json": (json.dumps([["text", "label"], *CELLS]), "json_shape"),
    "pretty.jsonl": ("\n".join(json.dumps(row, indent=2) for row in ROWS), "json_shape"),
    "list.jsonl": (json.dumps(ROWS, indent=1), "json_shape"),
    "one_line.jsonl": ("".join(map(json.dumps, ROWS)), "json_shape"),
    "hub.json": (
        json.dumps({"features": [{"name": "text"}], "rows": [{"row_idx": 1, "row": row} for row in ROWS]}),
        "json_shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_of_another_shape_is_read_and_told(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, told = SHAPES[name]
    (tmp_path / name).write_text(text)
    printed = check(tmp_path / name, capsys)
    assert "20 rows, 20 sound" in printed
    assert f"[{told}]" in printed
    found, _ = detect_file(str(tmp_path / name))
    pairs = [
        (row.values[found.columns.by_part["text"]], row.values[found.columns.by_part["label"]])
        for row in read_rows(tmp_path / name)[0]
    ]
    assert pairs == [(row["text"], row["label"]) for row in ROWS]


@pytest.mark.parametrize("name", ["title.csv", "index.csv", "twice.csv", "pandas.json", "pretty.jsonl", "sep.csv"])
def test_a_cleaned_copy_holds_the_same_rows_as_lines(name: str, tmp_path: Path) -> None:
    from burnish.data.mending.mend import copy_of, mend_file

    path = tmp_path / name
    path.write_text(SHAPES[name][0].replace("lamp 3 ", "lamp\u200b 3 "))
    findings = load_table(path, Task.CLASSIFICATION, columns={}).findings
    copy = copy_of(path)
    assert copy.name == f"{path.stem}.clean.jsonl"
    assert [(change.done, change.before) for change in mend_file(path, copy, findings)] == [
        ("cleaned", "the lamp\u200b 3 is dark")
    ]
    before, after = read_rows(path)[0], read_rows(copy)[0]
    clean = [{key: value.replace("\u200b", "") for key, value in row.values.items()} for row in before]
    assert [row.values for row in after] == clean


def test_the_copy_says_which_rows_it_lacks(tmp_path: Path) -> None:
    from burnish.data.mending.mend import mend_file

    path = tmp_path / "x.csv"
    path.write_text("Our tickets\ntext,label\n" + LINES + "a,b,c,d\n")
    changes = mend_file(path, tmp_path / "y.jsonl", [])
    assert [(change.line, change.check, change.done) for change in changes] == [(23, "ragged_row", "removed")]
    assert len(read_rows(tmp_path / "y.jsonl")[0]) == 20


def test_what_cannot_be_guessed_is_refused_with_the_shape_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.json").write_text(json.dumps({"train": ROWS, "test": ROWS}))
    assert "lists of objects below 'train', 'test'" in check(tmp_path / "two.json", capsys)
    (tmp_path / "nan.json").write_text('[{"text": "NaN",\n "label": "a"},\n {"text": "b", "label": NaN}]')
    assert "nan.json:3 Not valid JSON (NaN is not JSON)" in check(tmp_path / "nan.json", capsys)
    (tmp_path / "strange.jsonl").write_text('{"mail": "a", "team": "b"}\n' * 30)
    assert 'The first row is {"mail": "a", "team": "b"}. Set data.columns' in check(tmp_path / "strange.jsonl", capsys)


def test_quotes_behind_a_backslash(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "".join(f'"a \\"dark\\", old lamp {n}",b\n' for n in range(9)))
    rows, findings = read_rows(path)
    assert [row.values["text"] for row in rows] == [f'a "dark", old lamp {n}' for n in range(9)]
    assert [finding.check for finding in findings] == ["separator"]


def test_a_workbook_is_read_by_the_sheet_that_has_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["Tickets", None], [None, None], ["text", "label"], *([row["text"], row["label"]] for row in ROWS)]
    path = write_workbook(tmp_path / "x.xlsx", {"About": [["Made by us"], ["in May"]], "Tickets": rows})
    printed = check(path, capsys)
    assert "20 rows, 20 sound" in printed
    assert "only the sheet 'Tickets' is read, not 'About'." in printed
    assert "line 1 is passed over; line 3 is read as the header." in printed


def test_cells_are_read_by_their_formats_and_merges(tmp_path: Path) -> None:
    cells = [
        ["text", "label", "group"],
        ["a", Shown(7, "000"), "x"], ["b", Shown(0.25, "0%"), None], ["c", Shown(46053, "d.m.yyyy"), "y"],
        ["d", Shown(46053.5, "yyyy-mm-dd hh:mm"), "y"], ["e", Shown(1.0625, "[h]:mm:ss"), "y"], ["f", True, "y"],
        ["g", 2.0, "y"], ["h", Fault("#REF!"), "y"], ["i", 1234567890123456789, "y"],
    ]  # fmt: skip
    rows, findings = read_rows(write_workbook(tmp_path / "x.xlsx", {"s": cells}, merged=["C2:C3"]))
    labels = ["007", "0.25", "2026-01-31", "2026-01-31T12:00:00", "25:30:00", "true", "2", ""]
    assert [row.values["label"] for row in rows][:8] == labels
    assert rows[1].values["group"] == "x"
    told = [finding.check for finding in findings]
    assert (told.count("cell_formats"), told.count("merged_cells"), told.count("long_number")) == (4, 1, 1)


def task_of(number: int, *answers: str, **more: Any) -> dict[str, Any]:
    result = [{"from_name": "topic", "type": "choices", "value": {"choices": [answer]}} for answer in answers]
    return {"id": number, "data": {"body": f"it is broken {number}"}, "annotations": [{"result": result, **more}]}


class TestLabelStudio:
    def test_tasks_are_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tasks = [task_of(n, "ab"[n % 2]) for n in range(30)] + [
            task_of(30, "a", was_cancelled=True),
            task_of(31, "a", "b"),
        ]
        disagreed = task_of(32, "a")
        disagreed["annotations"] += task_of(32, "b")["annotations"]
        path = tmp_path / "x.json"
        path.write_text(json.dumps([*tasks, disagreed]))
        printed = check(path, capsys)
        assert "read as columns 'body', 'topic'" in printed
        assert "x.json:31 Column 'topic' is null." in printed
        assert "x.json:32 Column 'topic' holds a set of labels: 'a', 'b'." in printed
        assert "x.json:33 2 annotations with different answers." in printed
        assert "32 rows, 30 sound" in printed

    def test_spans_are_fields(self, tmp_path: Path) -> None:
        span = {"start": 3, "end": 6, "labels": ["THING"]}
        rows = [{"id": n, "text": f"my cat {n}", "ner": [span] if n else [], "annotator": 1} for n in range(25)]
        path = tmp_path / "x.json"
        path.write_text(json.dumps(rows))
        found, _ = detect_file(str(path))
        assert (found.task, found.columns.by_part["fields"]) == (Task.EXTRACTION, "ner")
        assert [row.values["ner"] for row in read_rows(path)[0]][:2] == [{"THING": []}, {"THING": ["cat"]}]

    def test_tasks_without_an_annotation_are_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "x.json"
        path.write_text(json.dumps([{"id": 1, "data": {"text": "a"}, "annotations": []}]))
        assert "Annotate the tasks, then export them as JSON-MIN or JSON." in check(path, capsys)


def test_messages_become_conversations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (2, 7, "admin", "Hello!", "comment"), (1, 1, "user", "My lamp is dark.", "comment"),
        (1, 3, "admin", "Try another bulb.", "comment"), (1, 2, "user", "Since Monday.", "comment"),
        (1, 4, "admin", "He is angry.", "note"), (1, 5, "user", "Thanks", "comment"),
        (2, 8, "user", "Where is it?", "comment"), (2, 9, "bot", "On its way.", "comment"),
    ]  # fmt: skip
    path = tmp_path / "x.csv"
    path.write_text(
        "conversation_id,created_at,author_type,body,part_type\n"
        + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
    assert [row.values["messages"] for row in read_rows(path)[0]] == [
        [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "On its way."}],
        [
            {"role": "user", "content": "My lamp is dark.\n\nSince Monday."},
            {"role": "assistant", "content": "Try another bulb."},
        ],
    ]
    printed = check(path, capsys)
    assert "2 rows, 2 sound" in printed
    assert "x.csv:2 A message of the assistant is left out: nothing is asked before it." in printed
    assert "x.csv:6 Its part_type is 'note'." in printed
    assert "x.csv:7 A message of the user is left out: no answer follows." in printed


def examples_of(path: Path) -> list[tuple[str, str]]:
    table = load_table(path, Task.CLASSIFICATION, columns={})
    form = TaskForm(table.task, "", labels_of(table))
    return [(example.asked, example.target) for example in build_examples(table, form)]


@pytest.mark.parametrize("labels", [[1, 2], [True, False], ["007", "08"], ["a", None], [1.5, 2.0], [10**17, 3]])
def test_the_same_rows_give_the_same_examples_in_every_kind_of_file(labels: list[Any], tmp_path: Path) -> None:
    rows = [{"text": f'lamp {n}, "dark";\nsince May', "label": labels[n % 2]} for n in range(12)]
    frame = polars.DataFrame(rows)
    texts = [{**row, "label": labels_text(row["label"])} for row in rows]
    frame.write_parquet(tmp_path / "x.parquet")
    polars.DataFrame(texts).write_csv(tmp_path / "x.csv")
    polars.DataFrame(texts).write_csv(tmp_path / "x.tsv", separator="\t")
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "x.json").write_text(json.dumps(rows))
    write_workbook(tmp_path / "x.xlsx", {"s": [["text", "label"], *(list(row.values()) for row in rows)]})
    wanted = [(row["text"], row["label"]) for row in texts if row["label"]]
    for suffix in ("parquet", "csv", "tsv", "jsonl", "json", "xlsx"):
        assert examples_of(tmp_path / f"x.{suffix}") == wanted, suffix


def labels_text(value: Any) -> Any:
    """The text of each value that is wanted, written down here."""
    return (
        {1: "1", 2: "2", 1.5: "1.5", 10**17: "100000000000000000", 3: "3"}.get(value, value)
        if not isinstance(value, bool)
        else {True: "true", False: "false"}[value]
    )
