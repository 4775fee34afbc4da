"""Private values are replaced everywhere in a row; its shape, and everything else, stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.data.mending.redact import redact
from burnish.data.privacy import find_private
from tests.public_data import dataset

CARD = "4111 1111 1111 1111"


def clean(row: Any) -> Any:
    return redact(row)[0]


def test_the_same_value_gets_the_same_placeholder() -> None:
    row = {
        "messages": [
            {"role": "user", "content": "I am jane@example.com, not max@example.com. Card 4111-1111-1111-1111."},
            {"role": "assistant", "content": f"Thank you, Jane@example.com. We blocked {CARD}.", "weight": 1},
        ],
        "id": 7,
    }
    mended, redactions = redact(row)
    assert mended["messages"][0]["content"] == "I am [EMAIL], not [EMAIL_2]. Card [CARD]."
    assert mended["messages"][1] == {
        "role": "assistant",
        "content": "Thank you, [EMAIL]. We blocked [CARD].",
        "weight": 1,
    }
    assert mended["id"] == 7
    assert [(r.value, r.placeholder) for r in redactions][:2] == [
        ("jane@example.com", "[EMAIL]"),
        ("max@example.com", "[EMAIL_2]"),
    ]


def test_what_a_sentence_announces_is_replaced_where_nothing_announces_it() -> None:
    row = {"text": "Please call 07700 900123.", "fields": {"contact": "07700 900123", "people": "9"}}
    assert clean(row) == {"text": "Please call [PHONE].", "fields": {"contact": "[PHONE]", "people": "9"}}


def test_a_key_announces_as_a_word_does() -> None:
    assert clean({"phone": "07700900123", "count": "07700900124"}) == {"phone": "[PHONE]", "count": "07700900124"}


def test_json_inside_a_text_stays_json() -> None:
    arguments = json.dumps({"card": 4111111111111111, "sum": 12}, separators=(",", ":"))
    row = {"arguments": arguments, "pretty": json.dumps({"mail": "jane@example.com"})}
    assert clean(row) == {"arguments": '{"card":"[CARD]","sum":12}', "pretty": '{"mail": "[EMAIL]"}'}


def test_a_new_value_gets_no_placeholder_that_is_there_already() -> None:
    assert clean({"text": "[EMAIL] and [EMAIL_2] wrote to jane@example.com"}) == {
        "text": "[EMAIL] and [EMAIL_2] wrote to [EMAIL_3]"
    }


def test_a_value_is_not_replaced_inside_another_word() -> None:
    assert clean({"phone": "07700900123", "count": "107700900123"})["count"] == "107700900123"


@pytest.mark.parametrize("row", [{"text": "a table for 2 at 19:30", "n": 3, "x": None, "y": [True, 1.5]}, {}, []])
def test_a_row_without_anything_private_is_the_same_object(row: Any) -> None:
    mended, redactions = redact(row)
    assert mended is row and redactions == []


def test_nothing_private_is_left_in_the_messy_file() -> None:
    for line in dataset("messy/pii.jsonl").read_text().splitlines():
        row = json.loads(line)
        mended = clean(row)
        assert [find_private(m["content"]) for m in mended["messages"]] == [[]] * len(mended["messages"])
        assert [m["role"] for m in mended["messages"]] == [m["role"] for m in row["messages"]]
        assert clean(mended) == mended


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_the_shape_stays(row: Any) -> None:
    assert shape(clean(row)) == shape(row)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else None
