"""Missing values are missing whatever the file; texts that spell them are no labels unless the recipe says so."""

import json
from pathlib import Path
from typing import Any

import polars
import pytest

from burnish.conversation import Task
from burnish.data import Severity, Table, build_examples, labels_of, load_table
from burnish.data.build import TaskForm
from burnish.data.reading.missing import is_missing, spells_missing
from tests.data.test_everyday_files import check

SPELLINGS = [
    "nan",
    " NaN ",
    "NA",
    "N/A",
    "n.a.",
    "None",
    "null",
    "<NA>",
    "#N/A",
    "#REF!",
    "#VALUE!",
    "#DIV/0!",
    "-",
    "?",
]


def table_of(tmp_path: Path, rows: list[dict[str, Any]], task: Task = Task.CLASSIFICATION, **options: Any) -> Table:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_table(path, task, columns={}, **options)


def told(table: Table) -> list[tuple[str | None, str, Severity]]:
    return [(finding.row, finding.check, finding.severity) for finding in table.findings]


def with_label(label: Any, count: int) -> list[dict[str, Any]]:
    rows = [{"text": f"lamp {n}", "label": "ab"[n % 2]} for n in range(20)]
    return rows + [{"text": f"oven {n}", "label": label} for n in range(count)]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_in_many_labels_is_an_error_and_in_a_handful_a_warning(spelling: str, tmp_path: Path) -> None:
    many = table_of(tmp_path, with_label(spelling, 6))
    assert told(many) == [(f"x.jsonl:{n}", "missing_learned", Severity.ERROR) for n in range(21, 27)]
    assert labels_of(many) == ("a", "b")
    few = table_of(tmp_path, with_label(spelling, 5))
    assert {finding[1:] for finding in told(few)} == {("missing_spelling", Severity.WARNING)}
    assert len(few.rows) == 25


@pytest.mark.parametrize("word", ["nothing", "unknown", "other", "Nan Goldin", "NASA", "no", "0"])
def test_words_are_not_missing(word: str, tmp_path: Path) -> None:
    assert told(table_of(tmp_path, with_label(word, 6))) == []


@pytest.mark.parametrize("value", [None, "", {}, []])
def test_typed_nulls_are_no_label(value: Any, tmp_path: Path) -> None:
    found = table_of(tmp_path, with_label(value, 2))
    assert {finding[2] for finding in told(found)} == {Severity.ERROR}
    assert labels_of(found) == ("a", "b")


def test_nan_of_parquet_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [float(n % 3) if n % 4 else float("nan") for n in range(24)]
    path = tmp_path / "x.parquet"
    polars.DataFrame({"text": [f"lamp {n}" for n in range(24)], "label": labels}).write_parquet(path)
    assert labels_of(load_table(path, Task.CLASSIFICATION, columns={})) == ("0", "1", "2")
    assert "6 × content that is null" in check(path, capsys)


def test_the_recipe_settles_it_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in with_label("N/A", 8)))
    printed = check(path, capsys)
    assert "8 × a missing value" in printed or "[missing_learned]" in printed
    assert "List it in data.missing if the value is missing; set data.keep_missing_spelling = true" in printed
    assert "content that is null" in check(path, capsys, 'data.missing=["n/a"]')
    assert "28 rows, 28 sound" in check(path, capsys, "data.keep_missing_spelling=true")


def test_fields_may_be_null(tmp_path: Path) -> None:
    rows = [
        {"text": f"lamp {n}", "fields": {"size": "nan" if n < 8 else 3, "note": "none", "more": None}}
        for n in range(12)
    ]
    found = told(table_of(tmp_path, rows, Task.EXTRACTION))
    assert [check for _, check, _ in found].count("missing_learned") == 8
    assert {check for _, check, _ in found} == {"missing_learned", "missing_spelling"}
    table = table_of(tmp_path, rows, Task.EXTRACTION, missing=["NaN", "none"])
    form = TaskForm(table.task, "", (), ("size", "note", "more"))
    assert told(table) == []
    assert build_examples(table, form)[0].target == '{"size":null,"note":null,"more":null}'


def test_groups_and_times(tmp_path: Path) -> None:
    rows = [
        {"text": f"lamp {n}", "label": "a", "who": "nan" if n else "x", "at": "NaT" if n else "2026-01-31"}
        for n in range(7)
    ]
    table = table_of(tmp_path, rows, group_by="who", time_by="at")
    examples = build_examples(table, TaskForm(table.task, "", ("a",)))
    assert [(example.group, example.time) for example in examples][:2] == [("x", "2026-01-31T00:00:00"), (None, None)]
    assert [check for _, check, _ in told(table)] == ["missing_key"] * 12


def test_numbers_among_dates_have_no_order(tmp_path: Path) -> None:
    rows = [{"text": f"lamp {n}", "label": "a", "at": 46053 if n == 3 else f"2026-01-{n + 10}"} for n in range(7)]
    assert told(table_of(tmp_path, rows, time_by="at")) == [("x.jsonl:4", "bad_time", Severity.ERROR)]


def test_preferences_and_chats(tmp_path: Path) -> None:
    pairs = [{"prompt": f"q {n}", "chosen": "a", "rejected": "nan"} for n in range(6)]
    assert {check for _, check, _ in told(table_of(tmp_path, pairs, Task.CHAT))} == {"missing_learned"}
    chats = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "None"}]}] * 6
    assert sorted({finding[1:] for finding in told(table_of(tmp_path, chats, Task.CHAT))}) == [
        ("missing_learned", Severity.ERROR), ("missing_spelling", Severity.WARNING),
    ]  # fmt: skip


def test_what_is_missing() -> None:
    assert all(map(is_missing, [None, float("nan"), "", " ", [], {}]))
    assert not any(map(is_missing, [0, 0.0, False, "nan", [None]]))
    assert all(map(spells_missing, SPELLINGS))
