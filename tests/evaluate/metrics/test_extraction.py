"""Objects: readable, within the schema, right by field, and nothing made up that goes unseen."""

from typing import Any

import pytest

from burnish.evaluate.metrics import field_table, measure_fields
from tests.evaluate.metrics.prediction_rows import rows_of

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "kind": {"enum": ["a", "b"]}}}


def measured(*rows: tuple[str, str, str], **options: Any) -> dict[str, Any]:
    """`rows` are (prediction, target, asked)."""
    pairs = [(prediction, target) for prediction, target, _ in rows]
    return measure_fields(rows_of(*pairs), [asked for *_, asked in rows], num_resamples=200, **options)


def test_by_hand() -> None:
    found = measured(
        ('{"name": "Ada", "kind": "a"}', '{"name": "Ada", "kind": "b"}', "I am Ada"),
        ('So: {"name": "Bo"}', '{"name": "Bo", "kind": null}', "Bo here"),
        ('{"name": 7}', '{"name": "Cy"}', "CY!"),
        ("nothing", '{"name": "Di"}', "hello"),
        schema=SCHEMA,
    )
    assert found["json_validity"]["value"] == 0.5
    assert found["json_validity"]["method"] == "Wilson"
    assert found["schema_validity"]["value"] == 0.25
    assert found["precision"]["value"] == pytest.approx(2 / 4)
    assert found["recall"]["value"] == pytest.approx(2 / 5)
    assert found["f1"]["value"] == pytest.approx(4 / 9)
    name, kind = found["fields"]
    assert (name["precision"], name["recall"], name["f1"]) == pytest.approx((2 / 3, 2 / 4, 4 / 7))
    assert (name["name"], name["num_rows"]) == ("name", 4)
    assert (kind["name"], kind["precision"], kind["recall"], kind["num_rows"]) == ("kind", 0.0, 0.0, 1)


def test_what_was_not_asked_for_is_not_measured() -> None:
    found = measured(("{}", '{"a": null}', "x"))
    assert found["schema_validity"] is found["invented_fields"] is found["invented_field_names"] is None
    assert found["f1"]["value"] is found["invented_values"]["value"] is None
    assert field_table(rows_of(("{}", '{"a": null}'))) == [
        {"name": "a", "precision": None, "recall": None, "f1": None, "num_rows": 0}
    ]


def test_invented_fields() -> None:
    rows = [('{"a": 1, "z": 2, "y": null}', '{"a": 1}', ""), ('{"a": 1, "z": 2}', '{"a": 1}', "")]
    found = measured(*rows, fields=("a", "b"))
    assert found["invented_fields"]["value"] == pytest.approx(3 / 5)
    assert found["invented_field_names"] == ["z", "y"]


@pytest.mark.parametrize(
    ("value", "asked", "is_invented"),
    [
        ("electric blanket", "my Electric  Blanket's torn", True),  # "blankets" is another word
        ("electric blanket", "The ELECTRIC\nblanket, please", False),
        ("HK-40117", "order hk40117.", False),
        ("hk 40117", "order HK-40117.", False),
        ("am", "the same", True),
        ("9 pm", "at 19 pm", True),
        ("espresso", "a kettle", True),
        ("東京", "私は東京に住む", False),
        ("大阪", "私は東京に住む", True),
    ],
)
def test_a_value_is_invented_if_its_words_do_not_stand_in_the_question(
    value: str, asked: str, is_invented: bool
) -> None:
    found = measured((f'{{"a": "{value}", "n": 5, "list": ["{value}"]}}', '{"a": null}', asked))
    assert found["invented_values"]["value"] == float(is_invented)
    assert found["invented_values_of_targets"]["value"] is None


def test_closed_sets_are_told_by_field() -> None:
    found = measured(
        ('{"kind": "billing", "name": "Zoe"}', '{"kind": "billing", "name": "Ada"}', "Ada wants a refund"),
        ('{"kind": "repair", "name": "Bo"}', '{"kind": "billing", "name": "Bo"}', "Bo wants a refund"),
    )
    assert found["invented_values"]["value"] == pytest.approx(3 / 4)
    assert found["invented_values_of_targets"]["value"] == pytest.approx(2 / 4)
    assert found["invented_values_by_field"] == [
        {"name": "kind", "share": 1.0, "share_of_targets": 1.0, "num_values": 2},
        {"name": "name", "share": 0.5, "share_of_targets": 0.0, "num_values": 2},
    ]
