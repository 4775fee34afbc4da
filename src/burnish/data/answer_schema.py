"""Targets of an extraction task -> the JSON schema that they all fit."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MAX_ENUM_VALUES = 30
MIN_TIMES_SEEN = 5
"""On average, by each value of a closed set."""
MAX_UNSEEN_SHARE = 0.01
_KINDS = {
    str: "string",
    bool: "boolean",
    int: "number",  # not "integer": the next row may have a fraction
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}
_SPELLINGS = ((",", ":"), (", ", ": "))


def infer_schema(targets: Sequence[str]) -> dict[str, Any] | None:
    """The schema of JSON objects: keys in order, the types that each was seen with, and values where they are few.

    It says in `x-guidance` how the targets put spaces between values. None where a target is no JSON object.
    """
    values = _parsed(targets)
    if not values:
        return None
    return {**_schema_of(values), "x-guidance": _spacing(values, targets)}


def _parsed(targets: Sequence[str]) -> list[dict[str, Any]]:
    """Empty unless all of them are objects."""
    try:
        values = [json.loads(target) for target in targets]
    except (ValueError, RecursionError):
        return []
    return values if all(isinstance(value, dict) for value in values) else []


def _spacing(values: Sequence[Any], targets: Sequence[str]) -> dict[str, Any]:
    """Spaces where all targets have them; anywhere if these differ."""
    for separators in _SPELLINGS:
        if all(
            json.dumps(value, ensure_ascii=False, separators=separators) == target.strip()
            for value, target in zip(values, targets, strict=True)
        ):
            item, key = separators
            return {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
    return {"whitespace_flexible": True}


def _schema_of(values: Sequence[Any]) -> dict[str, Any]:
    """What all of `values` fit."""
    kinds = sorted({_KINDS[type(value)] for value in values})
    texts = Counter(value for value in values if isinstance(value, str))
    if texts and set(kinds) <= {"string", "null"} and _is_closed(texts):
        return {"enum": [*sorted(texts), *([None] if "null" in kinds else [])]}
    schema: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    if items := [item for value in values if isinstance(value, list) for item in value]:
        schema["items"] = _schema_of(items)
    if objects := [value for value in values if isinstance(value, dict)]:
        schema |= _keys_of(objects)
    return schema


def _keys_of(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys, or only what their values fit where the keys are themselves data, such as the items of an order."""
    seen = Counter(key for value in objects for key in value)
    if _unseen_share(seen) > MAX_UNSEEN_SHARE and len(objects) > 1:
        return {"additionalProperties": _schema_of([item for value in objects for item in value.values()])}
    return {
        "properties": {key: _schema_of([value[key] for value in objects if key in value]) for key in seen},
        "required": [key for key, count in seen.items() if count == len(objects)],
        "additionalProperties": False,
    }


def _is_closed(counts: Counter[str]) -> bool:
    """Whether the values seen are likely all that there are.

    To leave a value out makes a right answer impossible, to list none only leaves the model free; so it takes few
    values, seen often, and next to no chance that a new row brings another.
    """
    is_small = len(counts) <= MAX_ENUM_VALUES and counts.total() >= MIN_TIMES_SEEN * len(counts)
    return is_small and _unseen_share(counts) <= MAX_UNSEEN_SHARE


def _unseen_share(counts: Counter[str]) -> float:
    """The share of values that are new among further ones: that of the values seen only once (Good 1953)."""
    return sum(count == 1 for count in counts.values()) / max(1, counts.total())
