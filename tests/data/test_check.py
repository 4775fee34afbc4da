"""The checks together: sound data is left in peace, and the public sets give what was looked at by eye."""

from collections import Counter

import pytest

from burnish.conversation import Task
from burnish.data import Severity, check_examples
from tests.data.datasets import dataset, needs_datasets, questions

SOUND = [(f"question {n}", "ab"[n % 2]) for n in range(100)]


def told(*pairs: tuple[str, str], task: Task = Task.CLASSIFICATION) -> dict[str, str]:
    return {finding.check: str(finding) for finding in check_examples(questions(*pairs), task)}


def test_sound_data() -> None:
    assert told(*SOUND) == {}


def test_few_rows() -> None:
    assert told(*SOUND[:99]) == {"few_rows": "99 rows: expect wide intervals. A few hundred rows give a clear verdict."}


def test_each_check_is_asked() -> None:
    found = told(*SOUND, ("Question 0", "a"), ("question 1", "b"), ("question 2", "b"), ("x", "A"))
    assert set(found) == {
        "near_duplicate",
        "duplicate_row",
        "conflicting_label",
        "label_variant",
        "rare_labels",
    }


def test_labels_are_weighed_in_a_classification_only() -> None:
    pairs = [*SOUND, ("one more", "c")]
    assert set(told(*pairs)) == {"rare_labels"}
    assert told(*pairs, task=Task.CHAT) == {}


# gsm8k has none: some of its rows will do.
MAX_ROWS = {"gsm8k": 2000}


@needs_datasets
@pytest.mark.parametrize(
    ("name", "task", "counts"),
    [
        ("bank_chat", Task.CHAT, {"near_duplicate": 7}),
        ("banking77", Task.CLASSIFICATION, {"near_duplicate": 613, "duplicate_row": 4, "conflicting_label": 2}),
        (
            "restaurant8k",
            Task.EXTRACTION,
            {"near_duplicate": 467, "duplicate_row": 183, "conflicting_label": 229},
        ),
        ("medquad", Task.COMPLETION, {"near_duplicate": 2, "several_answers": 354, "repeated_question": 1}),
        ("gsm8k", Task.COMPLETION, {}),
    ],
)
def test_public_sets(name: str, task: Task, counts: dict[str, int]) -> None:
    findings = check_examples(dataset(f"{name}/train.jsonl")[: MAX_ROWS.get(name)], task)
    assert Counter(finding.check for finding in findings) == counts
    assert all(finding.severity is not Severity.ERROR for finding in findings)
    assert all(count == 1 for count in Counter((f.check, f.row) for f in findings if f.row).values())
