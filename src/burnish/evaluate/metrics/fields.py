"""Extraction: the fields of a JSON answer, right or wrong one by one."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Leaf = tuple[str, str]
"""A dotted field name and its value as canonical JSON."""


@dataclass(frozen=True)
class FieldCounts:
    """What one answer got right: `2 * num_right / (num_predicted + num_wanted)` is its F1."""

    num_right: int
    num_predicted: int
    num_wanted: int


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, white space around it aside; None if it is anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def find_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in `text`, so that a baseline is not failed for a greeting or a code fence."""
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        start = text.find("{", start + 1)
    return None


def leaves(value: Any, name: str = "") -> Counter[Leaf]:
    """The fields that say something. null, and an empty list or object, say nothing; list items are a bag."""
    if value is None:
        return Counter()
    if isinstance(value, Mapping):
        return sum((leaves(item, f"{name}.{key}" if name else str(key)) for key, item in value.items()), Counter())
    if isinstance(value, list):
        return sum((leaves(item, f"{name}[]") for item in value), Counter())
    if isinstance(value, str):
        value = value.strip()
    return Counter({(name, json.dumps(value, ensure_ascii=False)): 1})


def count_fields(prediction: str, target: str) -> FieldCounts:
    """Compare an answer with the wanted object; an answer that holds no JSON object says nothing."""
    predicted, wanted = leaves(find_object(prediction)), leaves(parse_object(target))
    return FieldCounts((predicted & wanted).total(), predicted.total(), wanted.total())


def is_wholly_right(row: Mapping[str, Any]) -> bool:
    """Whether an answer says all that is wanted, and nothing else."""
    counts = count_fields(row["prediction"], row["target"])
    return find_object(row["prediction"]) is not None and counts.num_right == counts.num_predicted == counts.num_wanted


def count_by_field(prediction: str, target: str) -> dict[str, FieldCounts]:
    """The same for each top-level field of either object."""
    answer, wanted = find_object(prediction) or {}, parse_object(target) or {}
    counts = {}
    for key in dict.fromkeys([*wanted, *answer]):
        a, w = leaves(answer.get(key)), leaves(wanted.get(key))
        counts[key] = FieldCounts((a & w).total(), a.total(), w.total())
    return counts
