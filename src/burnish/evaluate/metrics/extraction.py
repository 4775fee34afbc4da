"""Extracted objects: whether they can be read, field by field, and what in them was made up."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from burnish.data.checks.folding import fold
from burnish.data.nested import build_tree, leaves
from burnish.evaluate.metrics.confidence import measure_calibration, risk_coverage
from burnish.evaluate.metrics.fields import (
    Counts,
    FieldCounts,
    count_by_field,
    count_fields,
    find_object,
    is_wholly_right,
    ordered_of,
    parse_object,
)
from burnish.evaluate.statistics import RowScores, score_interval

NUM_NAMES = 10
MAX_PLACES = 20
"""In a field: one with more, such as an object whose keys are themselves data, is one row of the table."""


def measure_fields(
    rows: Sequence[dict[str, Any]],
    asked: Sequence[str],
    validation: Sequence[dict[str, Any]] = (),
    *,
    fields: Collection[str] = (),
    schema: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> dict[str, Any]:
    """An arm's prediction rows as JSON objects; `asked` is the text that each was to be taken from, `validation` are
    rows to choose thresholds on, if there are any.

    `precision`, `recall` and `f1` are micro-averaged: right fields over those that were predicted, wanted, or both.
    `invented_fields` is the share of keys that are not among `fields`; `invented_values` the share of text values that
    do not stand in what was asked. Values of a closed set, such as a category, need not stand there: so read it beside
    `invented_values_of_targets`. `json_validity` is strict: an object and nothing else. What was not asked for is None.
    """
    counts = [count_fields(row["prediction"], row["target"], ordered_of(row)) for row in rows]
    objects = [find_object(row["prediction"]) or {} for row in rows]
    strange = [[key for key in value if key not in fields] for value in objects]
    strings = [_strings(value) for value in objects]
    wanted = [_strings(parse_object(row["target"]) or {}) for row in rows]
    absent, absent_wanted = (
        [_absent(found, text) for found, text in zip(part, asked, strict=True)] for part in (strings, wanted)
    )
    parts = {
        "json_validity": _share([parse_object(row["prediction"]) is not None for row in rows]),
        "schema_validity": None if schema is None else _share(_fits(rows, schema)),
        "precision": _ratio([c.num_right for c in counts], [c.num_predicted for c in counts]),
        "recall": _ratio([c.num_right for c in counts], [c.num_wanted for c in counts]),
        "f1": _ratio([2 * c.num_right for c in counts], [c.num_predicted + c.num_wanted for c in counts]),
        "invented_fields": _ratio(map(len, strange), map(len, objects)) if fields else None,
        "invented_values": _ratio(map(len, absent), map(len, strings)),
        "invented_values_of_targets": _ratio(map(len, absent_wanted), map(len, wanted)),
    }
    intervals = {
        name: None
        if part is None
        else score_interval(part, confidence=confidence, num_resamples=num_resamples).to_dict()
        for name, part in parts.items()
    }
    names = Counter(key for keys in strange for key in keys)
    return {
        **intervals,
        "invented_field_names": [key for key, _ in names.most_common(NUM_NAMES)] if fields else None,
        "invented_values_by_field": _absent_by_field(strings, absent, wanted, absent_wanted),
        "fields": field_table(rows),
        "calibration": measure_calibration(rows, is_right=is_wholly_right),
        "risk_coverage": risk_coverage(rows, validation, is_right=is_wholly_right, confidence=confidence),
    }


def field_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each place of the targets, such as "items[].name"; a share of nothing is None.

    `num_rows` counts the rows whose target has something there. What an answer says elsewhere counts in the score and
    not in this table.
    """
    names, counts = count_by_name(rows)
    return [_field(name, [found[name] for found in counts if name in found]) for name in names]


def count_by_name(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[dict[str, FieldCounts]]]:
    """The places of the targets in their order, and the counts of each row there."""
    by_row = [count_by_field(row["prediction"], row["target"], ordered_of(row)) for row in rows]
    places: dict[str, dict[str, None]] = {}
    for row, counts in zip(rows, by_row, strict=True):
        for key in parse_object(row["target"]) or ([""] if "" in counts else []):
            wanted = (path for path, count in counts[key].items() if count.num_wanted)
            places.setdefault(key, {}).update(dict.fromkeys(wanted))
    shown = {key: list(paths) if 0 < len(paths) <= MAX_PLACES else [key] for key, paths in places.items()}
    names = list(dict.fromkeys(name for paths in shown.values() for name in paths))
    return names, [_by_name(counts, shown) for counts in by_row]


def _by_name(counts: Counts, shown: Mapping[str, Sequence[str]]) -> dict[str, FieldCounts]:
    """The counts of a row by the names that are shown; a place without a name of its own counts for its field."""
    found: dict[str, FieldCounts] = {}
    for key, parts in counts.items():
        for path, count in parts.items():
            name = path if path in shown.get(key, ()) else key
            found[name] = found.get(name, FieldCounts(0, 0, 0)) + count
    return found


def _field(name: str, counts: Sequence[FieldCounts]) -> dict[str, Any]:
    right, predicted, wanted = (
        sum(getattr(c, key) for c in counts) for key in ("num_right", "num_predicted", "num_wanted")
    )
    return {
        "name": name,
        "precision": right / predicted if predicted else None,
        "recall": right / wanted if wanted else None,
        "f1": 2 * right / (predicted + wanted) if predicted + wanted else None,
        "num_rows": sum(c.num_wanted > 0 for c in counts),
    }


def _share(is_so: Sequence[bool]) -> RowScores:
    return _ratio(is_so, [1] * len(is_so))


def _ratio(numerators: Iterable[int], denominators: Iterable[int]) -> RowScores:
    return RowScores(np.array([*numerators]), np.array([*denominators]))


def _fits(rows: Sequence[dict[str, Any]], schema: Mapping[str, Any]) -> list[bool]:
    from jsonschema.validators import validator_for

    validator = validator_for(schema)(schema)
    objects = [parse_object(row["prediction"]) for row in rows]
    return [value is not None and validator.is_valid(value) for value in objects]


def _strings(value: dict[str, Any]) -> list[tuple[str, str]]:
    """(dotted field, text) of each text value that says something."""
    found = leaves(build_tree(value))
    return [(leaf.path, leaf.text) for leaf in found if leaf.kind == "text" and leaf.text]


def _absent(strings: Sequence[tuple[str, str]], asked: str) -> list[tuple[str, str]]:
    """Those whose words do not stand in `asked`, but for case, punctuation and spacing."""
    words = fold(asked)
    text, borders = "".join(words), {0, *accumulate(map(len, words))}
    return [(name, value) for name, value in strings if not _stands_in("".join(fold(value)), text, borders)]


def _stands_in(value: str, text: str, borders: set[int]) -> bool:
    """Whether `value` is a run of whole words: "am" does not stand in "same", "hk40117" does in "HK-40117"."""
    start = text.find(value)
    while start >= 0:
        if start in borders and start + len(value) in borders:
            return True
        start = text.find(value, start + 1)
    return False


def _absent_by_field(*lists: Sequence[Sequence[tuple[str, str]]]) -> list[dict[str, Any]]:
    """The shares field by field, so that closed sets can be told from values that are copied."""
    strings, absent, wanted, absent_wanted = (Counter(name for row in part for name, _ in row) for part in lists)
    return [
        {
            "name": name,
            "share": absent[name] / strings[name] if strings[name] else None,
            "share_of_targets": absent_wanted[name] / wanted[name] if wanted[name] else None,
            "num_values": strings[name],
        }
        for name in dict.fromkeys([*wanted, *strings])
    ]
