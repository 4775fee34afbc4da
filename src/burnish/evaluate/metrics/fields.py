"""Extraction: the fields of a JSON answer, right or wrong one by one; list items are matched as wholes."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from burnish.data.nested import build_tree, leaves
from burnish.evaluate.metrics.matching import match

Counts = dict[str, dict[str, "FieldCounts"]]
"""By top-level field, and in it by the place of a value: {"items": {"items[].name": ...}}."""


@dataclass(frozen=True)
class FieldCounts:
    """What one answer got right: `2 * num_right / (num_predicted + num_wanted)` is its F1."""

    num_right: int
    num_predicted: int
    num_wanted: int

    def __add__(self, other: "FieldCounts") -> "FieldCounts":
        return FieldCounts(
            self.num_right + other.num_right,
            self.num_predicted + other.num_predicted,
            self.num_wanted + other.num_wanted,
        )


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, white space around it aside; None if it is anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def find_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in `text`, so that a baseline is not failed for a greeting or a code fence."""
    value = _find(text, "{", json.JSONDecoder())
    return value if isinstance(value, dict) else None


def count_fields(prediction: str, target: str, ordered: Collection[str] = ()) -> FieldCounts:
    """Compare an answer with the wanted object; an answer that holds no JSON object says nothing."""
    parts = [part for parts in count_by_field(prediction, target, ordered).values() for part in parts.values()]
    return sum(parts, FieldCounts(0, 0, 0))


def is_wholly_right(row: Mapping[str, Any]) -> bool:
    """Whether an answer says all that is wanted, and nothing else."""
    counts = count_fields(row["prediction"], row["target"], ordered_of(row))
    return _said(row["prediction"], row["target"])[0] is not None and (
        counts.num_right == counts.num_predicted == counts.num_wanted
    )


def ordered_of(row: Mapping[str, Any]) -> Collection[str]:
    """The lists of a prediction row whose order counts."""
    ordered: Collection[str] = row.get("ordered", ())
    return ordered


def count_by_field(prediction: str, target: str, ordered: Collection[str] = ()) -> Counts:
    """The same by field and place, for each top-level field of either object."""
    answer, wanted = (_by_key(value) for value in _said(prediction, target))
    counts: Counts = {}
    for key in dict.fromkeys([*wanted, *answer]):
        trees = [build_tree(values.get(key), key, ordered) for values in (answer, wanted)]
        told, asked, right = (Counter(leaf.path for leaf in found) for found in (*map(leaves, trees), match(*trees)))
        counts[key] = {path: FieldCounts(right[path], told[path], asked[path]) for path in asked | told}
    return counts


def _said(prediction: str, target: str) -> tuple[Any, Any]:
    """The first object of the answer, or list where a list is wanted, and what is wanted."""
    decoder = json.JSONDecoder(parse_float=_exact)
    try:
        wanted = decoder.decode(target)
    except (ValueError, RecursionError):
        wanted = None
    return _find(prediction, "[" if isinstance(wanted, list) else "{", decoder), wanted


def _by_key(value: Any) -> dict[str, Any]:
    """The fields of an object; a list is one field without a name."""
    return value if isinstance(value, dict) else {"": value} if isinstance(value, list) else {}


def _find(text: str, begin: str, decoder: json.JSONDecoder) -> Any:
    """The first JSON value in `text` that begins so; None where there is none."""
    start = text.find(begin)
    while start >= 0:
        try:
            return decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            start = text.find(begin, start + 1)
    return None


def _exact(text: str) -> Decimal | float:
    """A number of any length, but for an exponent that no Decimal holds."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return float(text)
