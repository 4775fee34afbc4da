"""One answer as the page shows it: its mark, and its parts with those that differ from the target."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.data.nested import build_tree
from burnish.report.format import format_score
from burnish.report.record import Json

LONG_ANSWER = 700  # characters; what is longer is folded


@dataclass(frozen=True)
class Part:
    """A field of a JSON answer, or, without a name, a text."""

    name: str
    text: str
    is_different: bool


@dataclass(frozen=True)
class Answer:
    """What some arms answered alike; `mark` is "right", "wrong", "partly" or, for the target, empty."""

    arms: tuple[tuple[int, str], ...]  # index and title; the target has none
    mark: str
    score: str
    parts: tuple[Part, ...]
    is_long: bool


def build_answer(row: Json, arms: Sequence[tuple[int, str]]) -> Answer:
    """The answer of a row of predictions that the arms share, compared with the row's target."""
    text, target = str(row.get("prediction") or ""), str(row.get("target") or "")
    score = row.get("score")
    mark = "" if score is None else "right" if score >= 1 else "wrong" if score <= 0 else "partly"
    return Answer(
        tuple(arms), mark, format_score(score), _parts(text, target, row.get("ordered", ())), len(text) > LONG_ANSWER
    )


def build_target(target: str) -> Answer:
    """The target itself, in the same form."""
    return Answer((), "", "", _parts(target, target), len(target) > LONG_ANSWER)


def _parts(text: str, target: str, ordered: Collection[str] = ()) -> tuple[Part, ...]:
    wanted, given = _parse_object(target), _parse_object(text)
    if wanted is None or given is None:
        # Two long texts differ nearly always; only a label or a broken JSON answer is worth the highlight.
        is_label = wanted is not None or max(len(text), len(target)) < 60
        return (Part("", text, is_label and text.strip() != target.strip()),)
    keys = [*wanted, *(key for key in given if key not in wanted)]
    return tuple(_field(key, wanted, given, ordered) for key in keys)


def _field(key: str, wanted: dict[str, Any], given: dict[str, Any], ordered: Collection[str]) -> Part:
    if key not in given:
        return Part(key, "(missing)", is_different=True)
    said, asked = (build_tree(values.get(key), key, ordered) for values in (given, wanted))
    return Part(key, _pretty(given[key]), key not in wanted or said != asked)


def _pretty(value: Any) -> str:
    """The JSON of a value, over several lines only where it holds others; keys sorted, to be compared by eye."""
    indent = 2 if isinstance(value, (dict, list)) and value else None
    return json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True)


def _parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object in `text`, with or without words or a code fence around it."""
    try:
        value = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
