"""Files with known defects: the checks find exactly those, by row and id, and are silent about sound data."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Task
from burnish.data import Example, Finding, Severity, Table, TaskForm, build_examples, detect_file, labels_of, load_table
from burnish.errors import DataError

DATA = Path(__file__).parents[3] / "shared" / "data"
MESSY = DATA / "messy"
EXPECTATIONS: dict[str, list[dict[str, Any]]] = (
    json.loads((MESSY / "expectations.json").read_text()) if MESSY.is_dir() else {}
)
pytestmark = pytest.mark.skipif(not EXPECTATIONS, reason="the public data is not here")

STRUCTURE_IDS = frozenset(
    {
        "invalid_json",
        "not_an_object",
        "blank_line",
        "missing_messages",
        "empty_messages",
        "messages_not_a_list",
        "message_not_an_object",
        "missing_role",
        "unknown_role",
        "missing_content",
        "null_content",
        "non_string_content",
        "empty_assistant",
        "empty_content",
        "assistant_first",
        "consecutive_assistant",
        "no_assistant",
        "last_not_assistant",
        "system_not_first",
        "long_message",
        "control_character",
        "invisible_character",
        "line_separator",
        "replacement_character",
        "lone_surrogate",
        "not_utf8",
        "utf8_bom",
        "crlf",
        "utf16",
        "empty_file",
        "whitespace_only",
        "ragged_row",
        "unclosed_quote",
        "other_shape",
        "chosen_equals_rejected",
        "missing_rejected",
        "empty_chosen",
    }
)
HYGIENE_IDS = frozenset(
    {
        "duplicate_row",
        "near_duplicate",
        "conflicting_label",
        "label_variant",
        "in_train",
        "near_in_train",
        "in_train_other_label",
    }
)
PRIVACY_IDS = frozenset(
    {
        "pii_email",
        "pii_phone",
        "pii_iban",
        "pii_card",
    }
)

# What is called on each file, and the ids that it answers for.
CHECKERS: list[tuple[Callable[[Table, Sequence[Example]], Sequence[Finding]], frozenset[str]]] = [
    (lambda table, examples: table.findings, STRUCTURE_IDS),
]


def examine(path: Path) -> list[Finding]:
    try:
        task = detect_file(str(path))[0].task
    except DataError:
        task = Task.CHAT
    table = load_table(path, task, columns={})
    examples = build_examples(table, TaskForm(task, "", labels_of(table)))
    return [finding for check, _ in CHECKERS for finding in check(table, examples)]


@pytest.mark.parametrize("name", EXPECTATIONS)
def test_each_file_gives_exactly_its_problems(name: str) -> None:
    answered = frozenset[str]().union(*(ids for _, ids in CHECKERS))
    expected = [problem for problem in EXPECTATIONS[name] if problem["problem"] in answered]
    accepted = [
        {(problem["line"], problem["problem"]), (problem["line"], problem.get("or", problem["problem"]))}
        for problem in expected
    ]
    found = {(_line(finding), finding.check) for finding in examine(MESSY / name)}
    assert [names for names in accepted if not names & found] == []
    assert found - set().union(*accepted) == set()


def test_the_ids_of_all_checkers_are_those_of_the_expectations() -> None:
    named = {problem["problem"] for problems in EXPECTATIONS.values() for problem in problems}
    assert named == STRUCTURE_IDS | HYGIENE_IDS | PRIVACY_IDS


def test_the_formats_are_those_of_the_manifest() -> None:
    shapes = {name: entry["shape"] for name, entry in json.loads((MESSY / "manifest.json").read_text()).items()}
    names = {"preference_messages": "preference"}  # one format, with texts or with messages
    for name, shape in shapes.items():
        if shape != "none":
            assert detect_file(str(MESSY / name))[0].format.name == names.get(shape, shape), name


def test_sound_data_has_no_errors_and_only_the_warnings_that_were_looked_at() -> None:
    found = Counter[tuple[str, str, str]]()
    for path in sorted(DATA.glob("[!m]*/*.jsonl")) + sorted(DATA.glob("medquad/*.jsonl")):
        for finding in load_table(path, detect_file(str(path))[0].task, columns={}).findings:
            found[path.parent.name, finding.check, finding.severity] += 1
    assert found == {
        ("gsm8k", "invisible_character", Severity.WARNING): 2,
        ("gsm8k", "line_separator", Severity.NOTE): 1,
        ("restaurant8k", "replacement_character", Severity.WARNING): 1,
    }


def _line(finding: Finding) -> int | None:
    return int(finding.row.rpartition(":")[2]) if finding.row else None
