"""The schema of an extraction task, from its targets."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data import infer_schema

KEYS = st.sampled_from(["a", "b", "ключ", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


def schema_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    schema = infer_schema([json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows])
    assert schema is not None
    return schema


def field(*values: Any) -> dict[str, Any]:
    """What is inferred about a field with these values."""
    found: dict[str, Any] = schema_of([{"f": value} for value in values])["properties"]["f"]
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=6))
def test_all_targets_fit_the_schema(rows: list[dict[str, Any]]) -> None:
    schema = schema_of(rows)
    validator = jsonschema.Draft202012Validator(schema)
    for row in rows:
        validator.validate(row)


def test_keys_stand_in_order_and_are_required_where_all_rows_have_them() -> None:
    schema = schema_of(
        [{"b": 1, "a": None}, {"b": 2, "a": None}, {"b": 2, "a": None, "c": 1}, {"b": 2, "a": 0, "c": 1}]
    )
    assert list(schema["properties"]) == ["b", "a", "c"]
    assert schema["required"] == ["b", "a"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["a"] == {"type": ["null", "number"]}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([True, False], {"type": "boolean"}),
        ([1, 2], {"type": "number"}),
        (["a", 1, None], {"type": ["null", "number", "string"]}),
        ([[1], []], {"type": "array", "items": {"type": "number"}}),
        ([[], []], {"type": "array"}),
        ([["a", "b"], ["a"], ["b"]] * 5, {"type": "array", "items": {"enum": ["a", "b"]}}),
    ],
)
def test_types_are_those_that_were_seen(values: list[Any], wanted: dict[str, Any]) -> None:
    assert field(*values) == wanted


@pytest.mark.parametrize(
    ("values", "is_listed"),
    [
        (["b", "a"] * 5, True),
        (["b", "a"] * 4, False),  # four times each
        (["b", "a", None] * 5, True),
        ([f"v{n}" for n in range(30)] * 5, True),
        ([f"v{n}" for n in range(31)] * 5, False),
        (["a"] * 40 + ["b"], False),  # one in 41 was new: one in 41 may be again
        (["a"] * 100 + ["b"], True),
        (["a", "b"] * 5 + [1], False),
    ],
)
def test_values_are_listed_where_no_others_are_to_be_expected(values: list[Any], is_listed: bool) -> None:
    found = field(*values)
    assert ("enum" in found) is is_listed
    if is_listed:
        assert set(found["enum"]) == set(values)


def test_keys_that_are_data_are_left_free() -> None:
    """An order's items by name: the next order has others."""
    found = field(*({f"item {n}": n, f"item {n + 1}": 1} for n in range(0, 40, 2)))
    assert found == {"type": "object", "additionalProperties": {"type": "number"}}


@pytest.mark.parametrize("targets", [[], ["text"], ['{"a":1}', "[1]"], ['{"a":1}', '{"a":1} and more']])
def test_without_objects_there_is_no_schema(targets: list[str]) -> None:
    assert infer_schema(targets) is None
