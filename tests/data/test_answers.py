"""Answers that break the form of the others, boilerplate, repeated questions; each with its clean twin."""

import json

from burnish.data import Finding
from burnish.data.checks.answers import check_boilerplate, check_forms, check_repeated_questions
from tests.data.datasets import questions

TEXT = "this is a text of its own which no label has and it goes on"


def forms(*answers: str) -> list[tuple[str | None, str]]:
    findings = check_forms(questions(*((f"question {n}", answer) for n, answer in enumerate(answers))))
    return [(finding.row, finding.message) for finding in findings]


def test_json() -> None:
    objects = [json.dumps({"b": n, "a": "x"}) for n in range(30)]
    assert forms(*objects) == []
    assert forms(*objects, "none", '{"a": 1}', "[1]") == [
        (f"f:{row}", "the answer is no JSON object with the keys a, b, as nearly all are.") for row in (31, 32, 33)
    ]


def test_objects_whose_keys_vary() -> None:
    objects = [json.dumps({f"key {n % 7}": n}) for n in range(30)]
    assert forms(*objects) == []
    assert forms(*objects, "none") == [("f:31", "the answer is no JSON object, as nearly all are.")]


def test_labels() -> None:
    labels = ["yes", "no", "not yet"] * 10
    assert forms(*labels, "perhaps") == []
    assert forms(*labels, TEXT) == [("f:31", "the answer is a text, where nearly all are labels.")]


def test_no_form() -> None:
    assert forms(*["yes", TEXT] * 20) == []
    assert forms(*["yes"] * 18, TEXT) == [], "too few rows to tell"


def boilerplate(*answers: str) -> list[Finding]:
    return check_boilerplate(questions(*((f"question {n}", answer) for n, answer in enumerate(answers))))


def test_boilerplate() -> None:
    own = [" ".join(f"w{n}x{i}" for i in range(15)) for n in range(40)]
    assert boilerplate(*own) == []
    assert boilerplate(*(f"Thanks a lot for asking! {text}" for text in own[:19]), *own[19:]) == []
    found = boilerplate(*(f"Thanks a lot for asking! {text}. Kind regards, us" for text in own[:24]), *own[24:])
    assert [(finding.check, finding.message) for finding in found] == [
        ("shared_beginning", "60% of the answers begin with 'thanks a lot for asking'."),
        ("shared_ending", "60% of the answers end with 'kind regards us'."),
    ]
    assert [finding.row for finding in found] == [None, None]


def test_repeated_questions() -> None:
    rows = questions(("What is a burr?", "what is a burr"), ("say no", "say no"), ("What is a burr?", "A rough edge."))
    assert [finding.row for finding in check_repeated_questions(rows)] == ["f:1"]
    assert check_repeated_questions(questions(*[("activate my card", "Activate my card")] * 4)) == [], "a label"
    assert check_repeated_questions(questions(("name Ada Lovelace", '{"name": "Ada Lovelace"}'))) == []
