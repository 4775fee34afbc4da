"""A cleaned copy: what is mended is gone from it, the rest is there to the letter, and the log tells all of it."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Task
from burnish.data import Check, Finding, Severity, build_examples, load_table, read_rows
from burnish.data.build import TaskForm
from burnish.data.mending.mend import MENDED, copy_of, log_of, mend_file, usual_spellings
from burnish.data.privacy import check_privacy
from burnish.errors import DataError
from burnish.files import read_jsonl
from tests.public_data import dataset

COPY = Check("duplicate_row", Severity.WARNING, "the same row again", "Remove it.")
NEAR = Check("near_duplicate", Severity.WARNING, "nearly the same row", "Look at it.")
LEAK = Check("in_train", Severity.WARNING, "a held-out row that is in train", "Remove it.")
VARIANT = Check("label_variant", Severity.WARNING, "another spelling of a label", "Spell it alike.")
BROKEN = Check("empty_assistant", Severity.ERROR, "no answer", "Write it.")
CONTROL = Check("control_character", Severity.WARNING, "a control character", "Remove it.")


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def log(output: Path) -> list[dict[str, Any]]:
    return read_jsonl(log_of(output))


def mend(source: Path, *findings: Finding, **options: Any) -> str:
    output = copy_of(source)
    mend_file(source, output, findings, **options)
    return output.read_text(encoding="utf-8")


def test_rows_are_removed_and_the_others_kept_to_the_letter(tmp_path: Path) -> None:
    odd = '{ "text":"caf\\u00e9",   "label" : "b"}\n'
    source = write(
        tmp_path / "rows.jsonl", odd, {"text": "x", "label": ""}, "{oops\n", odd, {"text": "y", "label": "a"}
    )
    before = source.read_bytes()
    findings = [
        BROKEN.found("no answer.", "rows.jsonl:2"),
        Check("invalid_json", Severity.ERROR, "", "").found("not JSON.", "rows.jsonl:3"),
        COPY.found("as rows.jsonl:1.", "rows.jsonl:4", ["rows.jsonl:1"]),
        NEAR.found("nearly as rows.jsonl:1.", "rows.jsonl:5", ["rows.jsonl:1"]),
    ]
    assert mend(source, *findings) == odd + json.dumps({"text": "y", "label": "a"}) + "\n"
    assert [(c["line"], c["check"], c["done"], c["why"]) for c in log(tmp_path / "rows.clean.jsonl")] == [
        (2, "empty_assistant", "removed", "no answer."),
        (3, "invalid_json", "removed", "not JSON."),
        (4, "duplicate_row", "removed", "as rows.jsonl:1."),
    ]
    assert source.read_bytes() == before


def test_a_leak_is_removed_from_train_and_stays_in_the_test(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", {"n": 1}, {"n": 2})
    test = write(tmp_path / "test.jsonl", {"n": 2}, {"n": 3})
    leak = LEAK.found("also in train.", "test.jsonl:1", ["train.jsonl:2"])
    assert mend(train, leak) == '{"n": 1}\n'
    assert mend_file(test, tmp_path / "out.jsonl", [leak]) == []
    assert not (tmp_path / "out.jsonl").exists()  # nothing was done


def test_texts_are_cleaned_and_the_log_shows_them(tmp_path: Path) -> None:
    source = write(
        tmp_path / "rows.jsonl", {"n": 1.0, "m": [{"role": "user", "content": "\x1b[31mre\x07d\x1b[0m\x85 a"}]}
    )
    text = mend(source, CONTROL.found("holds U+001B.", "rows.jsonl:1"))
    assert json.loads(text) == {"n": 1.0, "m": [{"role": "user", "content": "red a"}]}
    (change,) = log(copy_of(source))
    assert (change["done"], change["before"], change["after"]) == ("cleaned", "\x1b[31mre\x07d\x1b[0m\x85 a", "red a")


@pytest.mark.parametrize(
    ("row", "mended"),
    [
        ({"text": "Refund", "label": "Refund"}, {"text": "Refund", "label": "refund"}),
        ({"label": "Refund", "text": "Refund"}, {"label": "refund", "text": "Refund"}),
        (
            {"messages": [{"role": "user", "content": "Refund"}, {"role": "assistant", "content": "Refund"}]},
            {"messages": [{"role": "user", "content": "Refund"}, {"role": "assistant", "content": "refund"}]},
        ),
        (
            {"conversations": [{"from": "gpt", "value": " Refund"}, {"from": "human", "value": "Refund"}]},
            {"conversations": [{"from": "gpt", "value": "refund"}, {"from": "human", "value": "Refund"}]},
        ),
    ],
)
def test_only_the_answer_gets_the_usual_spelling(tmp_path: Path, row: Any, mended: Any) -> None:
    source = write(tmp_path / "rows.jsonl", row)
    finding = VARIANT.found("of 'refund'.", "rows.jsonl:1")
    assert json.loads(mend(source, finding, spellings={"rows.jsonl:1": ("Refund", "refund")})) == mended


def test_the_usual_spelling_is_that_of_the_related_row(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.csv", "text,label\n", "a,Refund\n", "b,refund\n", "c,refund\n")
    table = load_table(source, Task.CLASSIFICATION, columns={})
    examples = build_examples(table, TaskForm(Task.CLASSIFICATION, "", ("Refund", "refund")))
    findings = [VARIANT.found("of 'refund'.", "rows.csv:2", ["rows.csv:3", "rows.csv:4"])]
    assert usual_spellings(findings, examples) == {"rows.csv:2": ("Refund", "refund")}
    assert mend(source, *findings, spellings=usual_spellings(findings, examples)).startswith("text,label\na,refund\nb,")


def test_csv_stays_csv(tmp_path: Path) -> None:
    kept = '"one, ""two""\nthree",  b \n'
    source = write(
        tmp_path / "rows.csv", "text;label\n".replace(";", ","), kept, "x,\n", '"\x07bell, ring",a\n', "\n", "z,a"
    )
    findings = load_table(source, Task.CLASSIFICATION, columns={}).findings
    assert {finding.check for finding in findings} == {"empty_assistant", "control_character", "blank_line"}
    assert mend(source, *findings) == f'text,label\n{kept}"bell, ring",a\nz,a\n'


def test_a_json_list_stays_one(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.json", '[\n  {"text": "a",\n   "label": "x"},\n  {"text": "b"}\n]')
    text = mend(source, BROKEN.found("no answer.", "rows.json:2"))
    assert text == '[\n{"text": "a",\n   "label": "x"}\n]\n'
    assert len(read_rows(copy_of(source))[0]) == 1


def test_parquet_becomes_json_lines(tmp_path: Path) -> None:
    import polars

    source = tmp_path / "rows.parquet"
    polars.DataFrame({"text": ["a", "b"], "label": ["x", ""]}).write_parquet(source)
    assert copy_of(source).name == "rows.clean.jsonl"
    assert mend(source, BROKEN.found("no answer.", "rows.parquet:2")) == '{"text": "a", "label": "x"}\n'


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    source = tmp_path / "my.rows.jsonl.gz"
    source.write_bytes(gzip.compress(b'{"n": 1}\n{"n": 2}\n'))
    assert copy_of(source).name == "my.rows.clean.jsonl"
    assert mend(source, COPY.found("", "my.rows.jsonl.gz:2")) == '{"n": 1}\n'


def test_redaction_reaches_every_record_and_the_log_keeps_no_secret(tmp_path: Path) -> None:
    row = {"text": "I am jane@example.com", "label": "a", "owner": "jane@example.com"}
    source = write(tmp_path / "rows.jsonl", row, '{"text": "max@example.com\n', {"text": "nothing", "label": "b"})
    lines = mend(source, redact=True).split("\n")
    assert json.loads(lines[0]) == {"text": "I am [EMAIL]", "label": "a", "owner": "[EMAIL]"}
    assert lines[1:] == ['{"text": "[EMAIL]', '{"text": "nothing", "label": "b"}', ""]
    assert [(c["line"], c["before"], c["after"]) for c in log(copy_of(source))] == [
        (1, "jane…", "[EMAIL]"),
        (2, "max…", "[EMAIL]"),
    ]


def test_with_redaction_the_log_shows_no_text_of_the_row(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", {"text": "jane@example\u200b.com\x07"})
    mend(source, CONTROL.found("holds U+0007.", "rows.jsonl:1"), redact=True)
    (change,) = log(copy_of(source))
    assert (change["done"], change["before"], change["after"]) == ("cleaned", None, None)


def test_the_original_is_never_written_over(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", {"n": 1})
    with pytest.raises(DataError, match="this is the original, which is never written over"):
        mend_file(source, tmp_path / "." / "rows.jsonl", [COPY.found("", "rows.jsonl:1")])


def test_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="texts are not mended, only rows"):
        mend_file(write(tmp_path / "a.md", "# a\n"), tmp_path / "b.md")


TABLES = ["bad_json", "not_objects", "structure", "missing_role", "unknown_role", "empty_assistant", "empty_user"]
TABLES += ["no_answer", "null_content", "control_chars", "unicode_line_separators", "bom_crlf", "latin1", "utf16"]
TABLES += ["mixed", "mixed_shapes", "clean", "pii", "no_final_newline"]


@pytest.mark.parametrize(
    "name", [*(f"{name}.jsonl" for name in TABLES), "excel.csv", "ragged.csv", "quoted_newlines.csv"]
)
def test_the_copy_of_a_messy_file_has_nothing_left_to_mend(tmp_path: Path, name: str) -> None:
    source, output = dataset(f"messy/{name}"), tmp_path / name
    task = Task.CLASSIFICATION if name.endswith("csv") else Task.CHAT
    before = load_table(source, task, columns={})
    changes = mend_file(source, output, before.findings, redact=True)
    if not changes:
        assert not any(f.check in MENDED or f.severity is Severity.ERROR for f in before.findings)
        return
    after = load_table(output, task, columns={})
    assert [f for f in after.findings if f.check in MENDED or f.severity is Severity.ERROR] == []
    assert len(after.rows) == len(before.rows)
    if task is Task.CHAT:
        assert check_privacy(build_examples(after, TaskForm(task, ""))) == []
    told = {(change.check, change.line) for change in changes}
    for finding in before.findings:
        if finding.check in MENDED or finding.severity is Severity.ERROR:
            line = int(finding.row.rpartition(":")[2]) if finding.row else None
            assert any(told_line == line for _, told_line in told), finding


def test_what_nothing_is_done_to_stays_whatever_it_looks_like(tmp_path: Path) -> None:
    """Lines of odd spacing, escapes and numbers, a random share of which is removed."""
    rng = random.Random(0)
    for _ in range(50):
        rows = [
            json.dumps(
                {"text": chr(rng.randrange(32, 0x3000)) * 3, "n": rng.random()},
                ensure_ascii=rng.random() < 0.5,
                separators=rng.choice([(",", ":"), (" , ", " : ")]),
            )
            for _ in range(20)
        ]
        gone = set(rng.sample(range(20), rng.randrange(1, 20)))
        source = write(tmp_path / "rows.jsonl", *(row + "\n" for row in rows))
        text = mend(source, *(COPY.found("", f"rows.jsonl:{i + 1}") for i in gone))
        assert text == "".join(row + "\n" for i, row in enumerate(rows) if i not in gone)
