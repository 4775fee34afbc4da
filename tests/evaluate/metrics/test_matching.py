"""List items are matched as wholes, as well as that can be done; order counts only where that is said."""

import itertools
import json
import unicodedata
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.nested import Fields, Items, Leaf, Node, build_tree, leaves, ordered_lists
from burnish.evaluate.metrics import field_table, is_wholly_right
from burnish.evaluate.metrics.fields import count_fields
from burnish.evaluate.metrics.matching import match
from tests.evaluate.metrics.prediction_rows import rows_of

scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, "a", "b", "1", ""])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=9,
)
items = st.lists(st.fixed_dictionaries({"name": st.sampled_from("abc"), "n": st.integers(0, 2)}), max_size=4)


def counts(prediction: Any, target: Any, ordered: tuple[str, ...] = ()) -> tuple[int, int, int]:
    found = count_fields(*(x if isinstance(x, str) else json.dumps(x) for x in (prediction, target)), ordered)
    return found.num_right, found.num_predicted, found.num_wanted


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        # the quantities of two items swapped: the names are right, or the quantities, not both
        ({"i": [{"n": "a", "q": 1}, {"n": "b", "q": 2}]}, {"i": [{"n": "a", "q": 2}, {"n": "b", "q": 1}]}, (2, 4, 4)),
        ({"i": [{"n": "b", "q": 1}, {"n": "a", "q": 2}]}, {"i": [{"n": "a", "q": 2}, {"n": "b", "q": 1}]}, (4, 4, 4)),
        ({"i": [{"n": "a", "q": 1}]}, {"i": [{"n": "b", "q": 1}, {"n": "a", "q": 2}]}, (1, 2, 4)),  # one is missing
        ({"i": [{"n": "a", "q": 1}, {"n": "a", "q": 1}]}, {"i": [{"n": "a", "q": 1}]}, (2, 4, 2)),  # one is too many
        ({"t": [[1, 2], [3]]}, {"t": [[1], [2, 3]]}, (2, 3, 3)),
        ({"t": [[3], [2, 1]]}, {"t": [[1, 2], [3]]}, (3, 3, 3)),
        ({"t": [1, 2, 3]}, {"t": [[1, 2, 3]]}, (0, 3, 3)),
        ({"t": [{"x": {"y": [{"z": 1}]}}]}, {"t": [{"x": {"y": [{"z": 2}, {"z": 1}]}}]}, (1, 1, 2)),
        ('{"a": 10}', '{"a": 10.0}', (1, 1, 1)),
        ('{"a": 1e1}', '{"a": 10}', (1, 1, 1)),
        ('{"a": 0.10}', '{"a": 0.1}', (1, 1, 1)),
        ('{"a": -0.0}', '{"a": 0}', (1, 1, 1)),
        ('{"a": 12345678901234567890123.0}', '{"a": 12345678901234567890123}', (1, 1, 1)),
        ('{"a": 12345678901234567890123}', '{"a": 12345678901234567890124}', (0, 1, 1)),
        ('{"a": 1e99999999999999999999}', '{"a": 1}', (0, 1, 1)),
        ('{"a": 1e400}', '{"a": 1e401}', (0, 1, 1)),
        ('{"a": NaN}', '{"a": NaN}', (1, 1, 1)),
        ('{"a": "10"}', '{"a": 10}', (0, 1, 1)),
        ('{"a": true}', '{"a": 1}', (0, 1, 1)),
        ('{"a": "True"}', '{"a": true}', (0, 1, 1)),
        ('{"a": "caf\\u00e9"}', '{"a": "cafe\\u0301"}', (1, 1, 1)),
        ('{"a": "caf\\u00e9"}', '{"a": "cafe"}', (0, 1, 1)),
        ('[{"n": 1}, {"n": 2}]', '[{"n": 2}, {"n": 1}]', (2, 2, 2)),  # a list, not an object
        ('Here: [{"n": 1}]', '[{"n": 2}, {"n": 1}]', (1, 1, 2)),
        ('{"n": 1}', '[{"n": 1}]', (0, 0, 1)),
    ],
)
def test_by_hand(prediction: Any, target: Any, expected: tuple[int, int, int]) -> None:
    assert counts(prediction, target) == expected


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], (3, 3, 3)),
        ([3, 2, 1], [1, 2, 3], (1, 3, 3)),
        ([2, 3], [1, 2, 3], (2, 2, 3)),  # the first is missing, and the others do not pay for it
        ([None, 5], [5, None], (1, 2, 2)),
        ([{"a": 1, "b": 1}, {"a": 2}], [{"a": 2}, {"a": 1, "b": 1}], (2, 3, 3)),
    ],
)
def test_where_order_counts(prediction: Any, target: Any, expected: tuple[int, int, int]) -> None:
    assert counts({"s": prediction}, {"s": target}, ("s",)) == expected


def test_a_schema_says_which_order_counts() -> None:
    place = {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]}
    schema = {
        "properties": {
            "route": {"type": "array", "items": {"$ref": "#/$defs/place"}},
            "old": {"items": [{"type": "string"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "o": {"anyOf": [{"type": "null"}, {"properties": {"at": place}}]},
            "self": {"$ref": "#"},
        },
        "$defs": {"place": place},
    }
    shallow = {path for path in ordered_lists(schema) if not path.startswith("self")}
    assert shallow == {"route[]", "old", "o.at"}


@settings(max_examples=200, deadline=None)
@given(items, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(rows: list[dict[str, Any]], random: Any) -> None:
    other = random.sample(rows, len(rows))
    assert is_wholly_right({"prediction": json.dumps({"i": other}), "target": json.dumps({"i": rows})})


@settings(max_examples=200, deadline=None)
@given(values, values, st.randoms(use_true_random=False))
def test_shuffled_lists_score_the_same(one: Any, other: Any, random: Any) -> None:
    assert counts({"v": _shuffled(one, random)}, {"v": other}) == counts({"v": one}, {"v": other})


@settings(max_examples=200, deadline=None)
@given(items.filter(len), st.data())
def test_values_swapped_between_two_items_lower_the_score(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    i, j = (data.draw(st.integers(0, len(rows) - 1)) for _ in range(2))
    swapped = [dict(row) for row in rows]
    swapped[i]["n"], swapped[j]["n"] = rows[j]["n"], rows[i]["n"]
    num_right, _, num_wanted = counts({"i": swapped}, {"i": rows})
    said, wanted = (Counter((row["name"], row["n"]) for row in some) for some in (swapped, rows))
    assert (num_right == num_wanted) == (said == wanted)


@settings(max_examples=200, deadline=None)
@given(values, values, st.booleans())
def test_it_is_the_best_matching_that_there_is(one: Any, other: Any, is_ordered: bool) -> None:
    ordered = ("v", "v[]", "v.a", "v.b", "v[][]", "v[].a", "v[].b") if is_ordered else ()
    trees = [build_tree(value, "v", ordered) for value in (one, other)]
    found = match(*trees)
    assert len(found) == _best(*trees) == len(match(*trees[::-1]))
    assert not Counter(found) - Counter(leaves(trees[0])) and not Counter(found) - Counter(leaves(trees[1]))
    assert len(match(trees[0], trees[0])) == sum(1 for _ in leaves(trees[0]))


def test_a_list_too_long_to_match_still_counts_its_equal_items() -> None:
    rows = [{"name": f"item {n}", "n": n} for n in range(2_000)]
    changed = [{**row, "n": -1} for row in rows[:1_500]] + rows[1_500:]
    assert counts({"i": rows[::-1]}, {"i": rows}) == (4_000, 4_000, 4_000)
    assert counts({"i": changed}, {"i": rows}) == (1_000, 4_000, 4_000)
    assert counts({"i": changed}, {"i": rows}, ("i",)) == (1_000, 4_000, 4_000)
    some = [{**row, "n": -1} for row in rows[:200]] + rows[200:]
    assert counts({"i": some}, {"i": rows}) == (3_800, 4_000, 4_000)


def test_what_lies_too_deep_is_one_value() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": [deep]}
    assert counts({"d": deep}, {"d": deep}) == (1, 1, 1)


def test_the_table_has_a_row_for_each_place() -> None:
    """The swapped quantities: the names name the items, so the quantities are what is wrong."""
    wanted = '{"items": [{"name": "kettle", "quantity": 2}, {"name": "lamp", "quantity": 1}], "note": null}'
    given = '{"items": [{"name": "lamp", "quantity": 2}, {"name": "kettle", "quantity": 1}], "note": null}'
    table = {row["name"]: row["f1"] for row in field_table(rows_of((given, wanted)))}
    assert table == {"items[].name": 1.0, "items[].quantity": 0.0, "note": None}


def test_keys_that_are_data_are_one_row_of_the_table() -> None:
    wanted = {"stock": {f"part {n}": n for n in range(30)}, "id": 7}
    given = {"stock": {f"part {n}": n for n in range(15)}, "id": 7}
    stock, number = field_table(rows_of((json.dumps(given), json.dumps(wanted))))
    assert (stock["name"], stock["precision"], stock["recall"]) == ("stock", 1.0, 0.5)
    assert (number["name"], number["f1"]) == ("id", 1.0)


def test_flat_objects_score_as_ever() -> None:
    """As when leaves were compared as a bag: by field 3 of 4, 2 of 4 with one more than wanted, none."""
    rows = rows_of(
        ('{"a": "x", "b": 1, "c": true, "d": null}', '{"a": "x", "b": 1, "c": true, "d": "y"}'),
        ('{"a": "x ", "b": 2, "c": false, "d": "z"}', '{"a": "x", "b": 1, "c": false, "d": null}'),
        ("I do not know.", '{"a": "x", "b": 1, "c": null, "d": null}'),
    )
    found = [counts(row["prediction"], row["target"]) for row in rows]
    assert found == [(3, 3, 4), (2, 4, 3), (0, 0, 2)]
    assert found == [_as_a_bag(row["prediction"], row["target"]) for row in rows]


@settings(max_examples=200, deadline=None)
@given(
    *[st.dictionaries(st.sampled_from("abcd"), st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=2))] * 2
)
def test_random_flat_objects_score_as_ever(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert counts(one, other) == _as_a_bag(json.dumps(one), json.dumps(other))


def _as_a_bag(prediction: str, target: str) -> tuple[int, int, int]:
    """The rule for flat objects, spelled out: equal values of the same key, null aside."""

    def bag(text: str) -> Counter[tuple[str, str]]:
        fields = json.loads(text) if text.startswith("{") else {}
        values = {k: v.strip() if isinstance(v, str) else v for k, v in fields.items() if v is not None}
        return Counter((k, unicodedata.normalize("NFC", json.dumps(v, ensure_ascii=False))) for k, v in values.items())

    given, wanted = bag(prediction), bag(target)
    return (given & wanted).total(), given.total(), wanted.total()


def _best(one: Node | None, other: Node | None) -> int:
    """By trying every matching."""
    if isinstance(one, Leaf) or isinstance(other, Leaf):
        return int(one == other)
    if isinstance(one, Fields) and isinstance(other, Fields):
        return sum(_best(part, dict(other.parts).get(key)) for key, part in one.parts)
    if not (isinstance(one, Items) and isinstance(other, Items)):
        return 0
    short, long = sorted((one.parts, other.parts), key=len)
    choices = itertools.combinations if one.is_ordered else itertools.permutations
    best = 0
    for size in range(len(short) + 1):
        for some in itertools.combinations(short, size):
            for partners in choices(long, size):
                best = max(best, sum(_best(a, b) for a, b in zip(some, partners, strict=True)))
    return best


def _shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shuffled(item, random) for key, item in value.items()}
    if isinstance(value, list):
        return [_shuffled(item, random) for item in random.sample(value, len(value))]
    return value
