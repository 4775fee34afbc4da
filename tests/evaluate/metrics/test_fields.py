"""Fields are right or wrong one by one; what says nothing counts for nothing."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.nested import build_tree, leaves
from burnish.evaluate.metrics.fields import FieldCounts, count_by_field, count_fields, find_object, parse_object

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcde"), values, max_size=5)


def counts(prediction: Any, target: Any) -> tuple[int, int, int]:
    found = count_fields(*(x if isinstance(x, str) else json.dumps(x) for x in (prediction, target)))
    return found.num_right, found.num_predicted, found.num_wanted


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        ({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, (2, 2, 2)),
        ({"a": 1, "b": "y"}, {"a": 1, "b": "x"}, (1, 2, 2)),
        ({"b": "x", "a": 1}, {"a": 1, "b": "x"}, (2, 2, 2)),
        ({"a": 1, "c": 1}, {"a": 1, "b": 1}, (1, 2, 2)),
        ({"a": None}, {"a": None}, (0, 0, 0)),
        ({"a": None}, {"a": 1}, (0, 0, 1)),
        ({"a": 1}, {"a": None}, (0, 1, 0)),
        ({}, {"a": [], "b": {}}, (0, 0, 0)),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}, (1, 2, 2)),
        ({"x": 1}, {"a": {"x": 1}}, (0, 1, 1)),
        ({"a": [1, 2, 2]}, {"a": [2, 1, 3]}, (2, 3, 3)),
        ({"a": [1, 1]}, {"a": [1]}, (1, 2, 1)),
        ({"a": 1}, {"a": [1]}, (0, 1, 1)),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 2}]}, (1, 2, 1)),
        ({"a": "1"}, {"a": 1}, (0, 1, 1)),
        ({"a": True}, {"a": 1}, (0, 1, 1)),
        ({"a": " x "}, {"a": "x"}, (1, 1, 1)),
        ({"a": "X"}, {"a": "x"}, (0, 1, 1)),
        ({"a": "ü"}, {"a": "ü"}, (1, 1, 1)),
    ],
)
def test_counts(prediction: Any, target: Any, expected: tuple[int, int, int]) -> None:
    assert counts(prediction, target) == expected


@pytest.mark.parametrize("prediction", ["", "no idea", '{"a": 1', "[1]", "1", "null", '{"a": 1,}', "{" * 5000])
def test_an_answer_without_an_object_finds_nothing(prediction: str) -> None:
    assert counts(prediction, {"a": 1}) == (0, 0, 1)


@pytest.mark.parametrize(
    "prediction",
    [
        '```json\n{"a": 1}\n```',
        'Sure! {"a": 1} Anything else? {"a": 2}',
        'The set {x} is {"a": 1}',
        '[{"a": 1}]',
        '\n {"a":\n1} ',
    ],
)
def test_the_first_object_in_an_answer_counts(prediction: str) -> None:
    assert counts(prediction, {"a": 1}) == (1, 1, 1)


def test_only_white_space_may_stand_around_a_parsed_object() -> None:
    assert parse_object(' {"a": 1}\n') == {"a": 1}
    assert parse_object('```{"a": 1}```') is None
    assert parse_object("[1]") is None
    assert parse_object('{"a":' * 100_000) is None


def test_by_field() -> None:
    found = count_by_field('{"a": 1, "b": [1, 2], "extra": "x"}', '{"a": 2, "b": [2], "c": 3}')
    assert found == {
        "a": {"a": FieldCounts(0, 1, 1)},
        "b": {"b[]": FieldCounts(1, 2, 1)},
        "c": {"c": FieldCounts(0, 0, 1)},
        "extra": {"extra": FieldCounts(0, 1, 0)},
    }


@settings(max_examples=100, deadline=None)
@given(objects)
def test_equal_objects_are_right_throughout(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    found = count_fields(f"Here: {text}", json.dumps(dict(reversed(value.items()))))
    assert found.num_right == found.num_predicted == found.num_wanted == len(list(leaves(build_tree(value))))
    assert find_object(text) == value


@settings(max_examples=100, deadline=None)
@given(objects, objects)
def test_the_fields_sum_to_the_whole_and_roles_can_be_swapped(one: dict[str, Any], other: dict[str, Any]) -> None:
    whole = count_fields(json.dumps(one), json.dumps(other))
    parts = [part for found in count_by_field(json.dumps(one), json.dumps(other)).values() for part in found.values()]
    assert whole == FieldCounts(
        sum(p.num_right for p in parts), sum(p.num_predicted for p in parts), sum(p.num_wanted for p in parts)
    )
    assert 0 <= whole.num_right <= min(whole.num_predicted, whole.num_wanted)
    back = count_fields(json.dumps(other), json.dumps(one))
    assert (back.num_right, back.num_predicted, back.num_wanted) == (
        whole.num_right,
        whole.num_wanted,
        whole.num_predicted,
    )
