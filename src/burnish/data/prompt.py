"""The instruction that base and specialist are given where the recipe sets none: made of the labels or fields."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.conversation import Task

MAX_LISTED_LABELS = 30
MAX_LISTED_VALUES = 12


def default_system_prompt(
    task: Task, labels: Sequence[str], fields: Sequence[str], objects: Sequence[Mapping[str, Any]]
) -> str:
    """A system message for the task; "" for chat and completion, whose rows bring their own words."""
    if task is Task.CLASSIFICATION:
        return classification_prompt(labels)
    if task is Task.EXTRACTION:
        return extraction_prompt(fields, objects)
    return ""


def classification_prompt(labels: Sequence[str]) -> str:
    """Names the labels, unless they are so many that they would dwarf the message."""
    if len(labels) > MAX_LISTED_LABELS:
        return "Classify the message. Answer with its label and nothing else."
    return "Classify the message. Answer with one of these labels and nothing else: " + ", ".join(labels) + "."


def extraction_prompt(fields: Sequence[str], objects: Sequence[Mapping[str, Any]]) -> str:
    """Names each field with its kind, as the rows show it."""
    lines = [f"- {field}: {_describe([row.get(field) for row in objects])}" for field in fields]
    head = "Extract these fields from the message. Answer with one JSON object and nothing else:"
    return "\n".join([head, *lines])


def _describe(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    or_null = " or null" if len(known) < len(values) else ""
    if known and all(isinstance(value, bool) for value in known):
        return "true or false" + (" or null" if or_null else "")
    counts = Counter(value for value in known if isinstance(value, str))
    if counts and counts.total() == len(known) and _looks_closed(counts):
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in sorted(counts)) + or_null
    if known and all(isinstance(value, int | float) for value in known):
        return "a number" + or_null
    if known and all(isinstance(value, list) for value in known):
        return "a list" + or_null
    return "text" + or_null


def _looks_closed(counts: Counter[str]) -> bool:
    """Few values that each come up often are a closed set; names and dates are not."""
    return len(counts) <= MAX_LISTED_VALUES and counts.total() >= 5 * len(counts)
