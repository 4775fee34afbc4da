"""Checks of an answer's form, each with answers that meet it and answers that do not."""

from typing import Any

import pytest

from burnish.evaluate.bundled import Half, instructions
from burnish.evaluate.instructions import follows

CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"kind": "max_words", "value": 3}, ["One two three.", "It's well-known here"], ["one two three four", "...", ""]),
    (
        {"kind": "num_sentences", "value": 2},
        ["It rains. We stay in.", "Really?! Yes.", "It costs 3.5 euros. Cheap", 'He said "no." Then left.'],
        ["One only.", "One. Two. Three.", ""],
    ),
    (
        {"kind": "contains", "value": ["lantern", "Oak"]},
        ["An oak, a LANTERN.", "the oak-tree's lantern"],
        ["lanterns oak"],
    ),
    ({"kind": "avoids", "value": ["sun"]}, ["The sunny day", "a day"], ["The Sun.", "sun-dried", "the sun's heat"]),
    ({"kind": "lower_case"}, ["all small, 3 times.", "größe"], ["One capital", "123"]),
    (
        {"kind": "numbered_list", "value": 3},
        ["1. a\n2. b\n3. c", "Here:\n1) a\n2) b\n  3) c\nDone."],
        ["1. a\n2. b", "1. a\n3. b\n2. c", "a\nb\nc", "1. a\n2. b\n3. c\n4. d"],
    ),
    (
        {"kind": "json_object", "value": ["a", "b"]},
        ['{"a": 1, "b": null}', '```json\n{"b": 1, "a": []}\n```'],
        ['{"a": 1}', '{"a": 1, "b": 2, "c": 3}', 'Here: {"a": 1, "b": 2}', "[1]", '{"a"', "[" * 100_000],
    ),
    (
        {"kind": "language", "value": "fr"},
        ["Le fromage est fait avec du lait de vache et il est très bon avec du pain."],
        ["The cheese is made of cow's milk and is very good with bread.", "oui"],
    ),
]


@pytest.mark.parametrize(("check", "met", "missed"), CASES, ids=[case[0]["kind"] for case in CASES])
def test_a_check_tells_answers_that_meet_it(check: dict[str, Any], met: list[str], missed: list[str]) -> None:
    assert [follows(answer, check) for answer in met] == [True] * len(met)
    assert [follows(answer, check) for answer in missed] == [False] * len(missed)


def test_the_bundled_demands_are_of_every_kind_in_both_halves() -> None:
    kinds = {case[0]["kind"] for case in CASES}
    for half in Half:
        rows = instructions(half)
        assert len(rows) == 40
        assert {row["check"]["kind"] for row in rows} == kinds
        assert not any(follows("", row["check"]) for row in rows)
        assert sum(follows(row["prompt"], row["check"]) for row in rows) < 20  # the prompt itself seldom meets it
