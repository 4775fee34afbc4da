"""The first checks: duplicates, conflicts, few rows and rare labels are told; sound data is left in peace."""

from burnish.conversation import Message, Role, Task
from burnish.data import Example, Severity, check_examples


def rows(*pairs: tuple[str, str]) -> list[Example]:
    return [
        Example(f"f:{n}", (Message(Role.USER, asked), Message(Role.ASSISTANT, answer)))
        for n, (asked, answer) in enumerate(pairs, start=1)
    ]


SOUND = [(f"question {n}", "ab"[n % 2]) for n in range(100)]


def messages(*more: tuple[str, str], task: Task = Task.CLASSIFICATION) -> dict[str, str]:
    findings = check_examples(rows(*more), task)
    assert all(finding.severity is Severity.WARNING for finding in findings)
    return {finding.check: str(finding) for finding in findings}


def test_sound_data() -> None:
    assert messages(*SOUND) == {}


def test_few_rows() -> None:
    found = messages(*SOUND[:99])
    assert found == {"few_rows": "99 rows: expect wide intervals. A few hundred rows give a clear verdict."}


def test_duplicates_with_one_answer_are_no_conflict() -> None:
    found = messages(*SOUND, ("Question  0", "a"), ("QUESTION 0", "a"))
    assert set(found) == {"duplicates"}
    assert found["duplicates"].startswith("2 rows ask what an earlier row asks.")


def test_conflicting_answers_name_their_rows() -> None:
    found = messages(*SOUND, ("Question 0", "b"), ("question 1", "b"))
    assert set(found) == {"duplicates", "conflicting_answers"}
    assert found["conflicting_answers"] == (
        "1 questions have different answers: f:1 and f:101. Decide which answer is right."
    )


def test_rare_labels_of_a_classification() -> None:
    more = [*SOUND, *((f"rare {n}", "c") for n in range(4)), *((f"enough {n}", "d") for n in range(5))]
    assert messages(*more) == {"rare_labels": "1 labels have fewer than 5 rows: c (4). Add rows for them."}
    assert messages(*more, task=Task.COMPLETION) == {}
